//! A stream of unknown length as an object of the store.
//!
//! Promise: the object is complete only after `finish`, and then it is what was written, by its SHA-256. Buffers take
//! at most [`BUFFERS_LIMIT_BYTES`], however long the stream is and however long the store is away.

use crate::fault::{Result, broken, refused, unavailable};
use crate::jobs::line::{Backoff, Line};
use crate::jobs::store::{Put, Store};
use crate::jobs::{as_io, carried};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::AgentError;
use protocol::job::{PARTS_LIMIT, Part, PartSent, Say, Sealed, Url};
use sha2::{Digest, Sha256};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// All buffers of one upload together. With them the agent stays below 256 MB.
pub const BUFFERS_LIMIT_BYTES: usize = 128 * 1024 * 1024;
/// S3's own limit.
const NUMBERS: u32 = 10_000;
/// A small object is sent in one, and S3 wants at least 5 MiB of all parts but the last.
const FIRST_PART_BYTES: usize = 8 * 1024 * 1024;
/// One at a time fits the buffers.
const LAST_PART_BYTES: usize = BUFFERS_LIMIT_BYTES;
/// After so many parts they become twice as large: 10,000 of them carry 1.1 TB.
const PARTS_OF_A_SIZE: u32 = 500;
/// More than one, because a part waits for the store's answer at its end.
const SENDERS: usize = 3;
/// How soon a sender without work sees that the job is to stop.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// How large the part of this number becomes, counted from 1.
fn part_bytes(number: u32) -> usize {
    let doublings = ((number - 1) / PARTS_OF_A_SIZE).min(16);
    (FIRST_PART_BYTES << doublings).min(LAST_PART_BYTES)
}

/// An object on its way. Dropped without `finish`, it never becomes one.
#[derive(Debug)]
pub struct Upload {
    parts: Arc<Parts>,
    number: u32,
    part_bytes: Option<usize>,
    current: Vec<u8>,
    sum: Sha256,
    size_bytes: u64,
}

#[derive(Debug)]
struct Parts {
    line: Arc<Line>,
    store: Store,
    object: String,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    ready: VecDeque<Ready>,
    /// Bytes in memory, of parts that are ready or being sent.
    held: usize,
    sent: Vec<PartSent>,
    closed: bool,
    failed: Option<AgentError>,
}

#[derive(Debug)]
struct Ready {
    part: Part,
    bytes: Vec<u8>,
    url: Option<Url>,
}

impl Upload {
    /// Begin the object of this name.
    pub fn new(line: &Arc<Line>, object: &str) -> Self {
        Self::with_parts_of(line, object, None)
    }

    /// With parts of one size, for tests.
    pub fn with_parts_of(line: &Arc<Line>, object: &str, part_bytes: Option<usize>) -> Self {
        let parts = Arc::new(Parts {
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
        Self {
            parts,
            number: 1,
            part_bytes,
            current: Vec::new(),
            sum: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// Bytes that the store has, for the progress.
    pub fn sent_bytes(&self) -> u64 {
        self.parts
            .state()
            .sent
            .iter()
            .map(|sent| sent.part.size_bytes)
            .sum()
    }

    /// Send the rest and have the object completed; what it is then.
    pub fn finish(mut self) -> Result<Sealed> {
        // An empty object has one empty part.
        if !self.current.is_empty() || self.number == 1 {
            self.seal()?;
        }
        let sealed = Sealed {
            size_bytes: self.size_bytes,
            sha256: hex::encode(std::mem::take(&mut self.sum).finalize()),
        };
        let mut parts = self
            .parts
            .wait_until(|state| state.held == 0 && state.ready.is_empty())?;
        let mut sent = std::mem::take(&mut parts.sent);
        drop(parts);
        sent.sort_by_key(|sent| sent.part.number);
        self.parts.line.ask(&Say::Complete {
            object: self.parts.object.clone(),
            parts: sent,
            sealed: sealed.clone(),
        })?;
        Ok(sealed)
    }

    /// Make room for the next part; this is where the writer waits for the store.
    fn begin_part(&mut self) -> Result<()> {
        if self.number > NUMBERS {
            return Err(refused(
                "object_too_large",
                "The backup is larger than 1.1 TB, which is more than one object may hold.",
            ));
        }
        let next = self.part_bytes.unwrap_or_else(|| part_bytes(self.number));
        let parts = self.parts.wait_until(|state| {
            state.held == 0
                || (state.held + next <= BUFFERS_LIMIT_BYTES && state.ready.len() < PARTS_LIMIT)
        })?;
        drop(parts);
        self.current = Vec::with_capacity(next);
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.current);
        let part = Part {
            number: self.number,
            size_bytes: bytes.len() as u64,
            sha256: STANDARD.encode(Sha256::digest(&bytes)),
        };
        self.number += 1;
        self.parts.push(part, bytes);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.parts.line.check().map_err(as_io)?;
        if self.current.capacity() == 0 {
            self.begin_part().map_err(as_io)?;
        }
        let taken = bytes
            .len()
            .min(self.current.capacity() - self.current.len());
        self.current.extend_from_slice(&bytes[..taken]);
        self.sum.update(&bytes[..taken]);
        self.size_bytes += taken as u64;
        if self.current.len() == self.current.capacity() {
            self.seal().map_err(as_io)?;
        }
        Ok(taken)
    }

    /// Parts are sent when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.parts.state();
        state.closed = true;
        state.ready.clear();
        drop(state);
        self.parts.changed.notify_all();
    }
}

impl Parts {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, part: Part, bytes: Vec<u8>) {
        let mut state = self.state();
        state.held += bytes.capacity();
        let url = None;
        state.ready.push_back(Ready { part, bytes, url });
        drop(state);
        self.changed.notify_all();
    }

    /// Wait for the senders; an error when one failed, or the job is to stop.
    fn wait_until(&self, is_so: impl Fn(&State) -> bool) -> Result<MutexGuard<'_, State>> {
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
    fn send_all(&self) {
        while let Some(ready) = self.next() {
            let held = ready.bytes.capacity();
            let sent = self.send(ready);
            let mut state = self.state();
            state.held -= held;
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
        let mut refusals = 0;
        let begin = Instant::now();
        loop {
            let to = match url.take() {
                Some(url) => Some(url),
                None => self.ask_for_urls(&part)?,
            };
            let put = to
                .as_ref()
                .map_or(Put::Refused(0), |to| self.store.put(to, &bytes));
            match put {
                Put::Stored { etag } => return Ok(PartSent { part, etag }),
                Put::Again if begin.elapsed() >= self.line.tempo.store_away => return Err(away()),
                // The URL may still be good.
                Put::Again => url = to,
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
pub(super) fn away() -> AgentError {
    unavailable(
        "store_unreachable",
        "The backup store was not reached from this server for a long time. Check that the server may reach it over HTTPS.",
    )
}

/// The store does not take or give this; 0 when the callback gave no address for it.
pub(super) fn denied(status: u16) -> AgentError {
    broken(
        "store_refused",
        format!("The backup store refused a request ({status})."),
    )
}

/// What a failed `write` or `read` of an object means; `other` says what it means when it came from elsewhere.
pub fn meant(error: &io::Error, other: impl FnOnce(&io::Error) -> AgentError) -> AgentError {
    carried(error).unwrap_or_else(|| other(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ten_thousand_parts_carry_a_terabyte_and_none_is_larger_than_the_buffers() {
        let all: u64 = (1..=NUMBERS).map(|number| part_bytes(number) as u64).sum();
        assert!(all > 1_100_000_000_000, "{all}");
        assert_eq!(part_bytes(1), FIRST_PART_BYTES);
        assert_eq!(part_bytes(NUMBERS), BUFFERS_LIMIT_BYTES);
    }
}
