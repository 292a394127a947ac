//! The parts of an object between the one who writes it and the store.
//!
//! Promise: a part is sent until the store has it under its checksum, or the upload fails. Each sender holds one part.

use crate::fault::{Result, broken, unavailable, with_detail};
use crate::jobs::line::{Backoff, Line};
use crate::jobs::store::{Put, Store};
use protocol::AgentError;
use protocol::job::{PARTS_LIMIT, Part, PartSent, Say, Url};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// More than one, because a part waits for the store's answer at its end.
const SENDERS: usize = 3;
/// After so many failures without an answer, another URL is asked for.
const TRIES_OF_A_URL: u32 = 3;
/// How soon a sender without work sees that the job is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

#[derive(Debug)]
pub(super) struct Parts {
    pub(super) line: Arc<Line>,
    store: Store,
    pub(super) object: String,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) ready: VecDeque<Ready>,
    /// Bytes in memory, of parts that are ready or being sent.
    pub(super) held: usize,
    /// How many those are: an empty part holds no bytes.
    pub(super) unsent: usize,
    pub(super) sent: Vec<PartSent>,
    pub(super) closed: bool,
    failed: Option<AgentError>,
}

#[derive(Debug)]
pub(super) struct Ready {
    part: Part,
    bytes: Vec<u8>,
    url: Option<Url>,
}

impl Parts {
    /// Of the object of this name, with its senders at work.
    pub(super) fn new(line: &Arc<Line>, object: &str) -> Arc<Self> {
        let parts = Arc::new(Self {
            store: Store::new(&line.tempo),
            line: Arc::clone(line),
            object: object.to_string(),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        for _ in 0..SENDERS {
            let parts = Arc::clone(&parts);
            thread::spawn(move || parts.send_all());
        }
        parts
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn push(&self, part: Part, bytes: Vec<u8>) {
        let mut state = self.state();
        state.held += bytes.capacity();
        state.unsent += 1;
        let url = None;
        state.ready.push_back(Ready { part, bytes, url });
        drop(state);
        self.changed.notify_all();
    }

    /// Wait for the senders; an error when one failed, or the job is to stop.
    pub(super) fn wait_until(
        &self,
        is_so: impl Fn(&State) -> bool,
    ) -> Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        loop {
            if let Some(error) = &state.failed {
                return Err(error.clone());
            }
            self.line.check()?;
            if is_so(&state) {
                return Ok(state);
            }
            state = self.sleep(state);
        }
    }

    fn sleep<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        let waited = self.changed.wait_timeout(state, LOOK_AGAIN);
        waited.unwrap_or_else(PoisonError::into_inner).0
    }

    /// What a sender does until the upload is over.
    pub(super) fn send_all(&self) {
        while let Some(ready) = self.next() {
            let held = ready.bytes.capacity();
            let sent = self.send(ready);
            let mut state = self.state();
            state.held -= held;
            state.unsent -= 1;
            match sent {
                Ok(sent) => state.sent.push(sent),
                Err(error) => _ = state.failed.get_or_insert(error),
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn next(&self) -> Option<Ready> {
        let mut state = self.state();
        loop {
            if state.closed || state.failed.is_some() || self.line.check().is_err() {
                return None;
            }
            if let Some(ready) = state.ready.pop_front() {
                return Some(ready);
            }
            state = self.sleep(state);
        }
    }

    fn send(&self, ready: Ready) -> Result<PartSent> {
        let Ready {
            part,
            bytes,
            mut url,
        } = ready;
        let mut backoff = Backoff::new(&self.line.tempo);
        let (mut refusals, mut tries) = (0, 0u32);
        let mut begin = Instant::now();
        loop {
            let to = match url.take() {
                Some(url) => Some(url),
                None => {
                    let asking = Instant::now();
                    let to = self.ask_for_urls(&part)?;
                    // The callback's absence is not the store's.
                    begin += asking.elapsed();
                    to
                }
            };
            let put = to
                .as_ref()
                .map_or(Put::Refused(0), |to| self.store.put(to, &bytes));
            match put {
                Put::Stored { etag } => return Ok(PartSent { part, etag }),
                Put::Again { why } if begin.elapsed() >= self.line.tempo.store_away => {
                    return Err(away(why));
                }
                // The URL may still be good. But a store that refuses one before it has read the part may close
                // the connection, and then its "no" is never seen.
                Put::Again { .. } => {
                    tries += 1;
                    url = to.filter(|_| !tries.is_multiple_of(TRIES_OF_A_URL));
                }
                Put::Expired | Put::Refused(_) if refusals < self.line.tempo.refusals => {
                    refusals += 1
                }
                Put::Expired => return Err(denied(403)),
                Put::Refused(status) => return Err(denied(status)),
            }
            self.line.wait(backoff.wait())?;
        }
    }

    /// A URL for this part, and, while we ask, for all that wait for one.
    fn ask_for_urls(&self, part: &Part) -> Result<Option<Url>> {
        let state = self.state();
        let others = state.ready.iter().filter(|other| other.url.is_none());
        let parts = [part]
            .into_iter()
            .chain(others.map(|other| &other.part))
            .take(PARTS_LIMIT)
            .cloned()
            .collect();
        drop(state);
        let reply = self.line.ask(&Say::Parts {
            object: self.object.clone(),
            parts,
        })?;
        let mut own = None;
        let mut state = self.state();
        for url in reply.urls {
            if url.number == part.number {
                own = Some(url);
            } else if let Some(other) = state
                .ready
                .iter_mut()
                .find(|other| other.part.number == url.number)
            {
                other.url = Some(url);
            }
        }
        Ok(own)
    }
}

/// The store was away for too long.
pub(super) fn away(why: String) -> AgentError {
    let error = unavailable(
        "store_unreachable",
        "The backup store was not reached from this server for a long time. Check that the server may reach it over HTTPS.",
    );
    with_detail(error, why)
}

/// The store does not take or give this; 0 when the callback gave no address for it.
pub(super) fn denied(status: u16) -> AgentError {
    broken(
        "store_refused",
        format!("The backup store refused a request ({status})."),
    )
}
