//! The line between a job and its callback: questions, and the verdict on the job.
//!
//! Promise: a callback that is away is waited for, and stops no work; a cancel in any answer reaches every part of the
//! job at once; after the end of the job nothing more is said.

use crate::fault::{Result, broken, first_bytes, unavailable};
use crate::jobs::Tempo;
use crate::jobs::callback::{Answer, Callback};
use crate::jobs::folder::Folder;
use crate::jobs::journal::Journal;
use crate::jobs::rate::Meter;
use crate::secret;
use protocol::AgentError;
use protocol::job::{JobOrder, Progress, REPORT_LIMIT_BYTES, ReportReply, Say, Stream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// With so much to log, a sign of life comes sooner.
pub(super) const MUCH_TO_LOG_BYTES: usize = REPORT_LIMIT_BYTES / 2;
/// `bytes`, `files`, `rows`.
const UNIT_LIMIT_BYTES: usize = 16;

/// Is the work to go on?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Yes.
    Working,
    /// No: it was told to stop.
    Cancelled,
    /// No: its time is over.
    Late,
    /// No, and nobody wants to hear of it.
    Over,
}

/// The line.
#[derive(Debug)]
pub struct Line {
    /// Its patience.
    pub tempo: Tempo,
    pub(super) callback: Callback,
    pub(super) folder: Folder,
    state: Mutex<State>,
    pub(super) changed: Condvar,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) verdict: Verdict,
    pub(super) progress: Option<Progress>,
    pub(super) is_news: bool,
    pub(super) meter: Meter,
    pub(super) journal: Journal,
    pub(super) denied_since: Option<Instant>,
    pub(super) closing: bool,
}

/// Waits that double up to the heartbeat's, each a little different, so that many jobs do not come back at once.
#[derive(Debug)]
pub struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    /// From the first wait on.
    pub fn new(tempo: &Tempo) -> Self {
        Self {
            next: tempo.first_wait,
            longest: tempo.heartbeat,
        }
    }

    /// How long to wait now: between three quarters and all of it.
    pub fn wait(&mut self) -> Duration {
        let now = self.next;
        self.next = (now * 2).min(self.longest);
        let quarters = secret::letters(1)
            .bytes()
            .map(|b| u32::from(b % 8))
            .sum::<u32>();
        now * (24 + quarters) / 32
    }
}

impl Line {
    /// Of the job in this folder.
    pub fn new(folder: &Folder, tempo: Tempo) -> Result<Self> {
        Ok(Self {
            callback: Callback::new(folder, &tempo),
            tempo,
            folder: folder.clone(),
            state: Mutex::new(State {
                verdict: Verdict::Working,
                progress: None,
                is_news: false,
                meter: Meter::default(),
                journal: Journal::from(folder.first_line()?),
                denied_since: None,
                closing: false,
            }),
            changed: Condvar::new(),
        })
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Is the work to go on?
    pub fn verdict(&self) -> Verdict {
        self.state().verdict
    }

    /// The first verdict counts, but nothing is said after the end.
    pub fn decide(&self, verdict: Verdict) {
        let mut state = self.state();
        if state.verdict == Verdict::Working || verdict == Verdict::Over {
            state.verdict = verdict;
        }
        drop(state);
        self.changed.notify_all();
    }

    /// An error when the work is not to go on.
    pub fn check(&self) -> Result<()> {
        match self.verdict() {
            Verdict::Working => Ok(()),
            verdict => Err(stopped(verdict)),
        }
    }

    /// Wait, but not longer than the work is to go on.
    pub fn wait(&self, patience: Duration) -> Result<()> {
        let until = Instant::now() + patience;
        let mut state = self.state();
        while state.verdict == Verdict::Working {
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            let waited = self.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        Err(stopped(state.verdict))
    }

    /// How far the work is; said with the next sign of life.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        let mut state = self.state();
        state.is_news = true;
        state.progress = Some(Progress {
            done,
            total,
            unit: first_bytes(unit, UNIT_LIMIT_BYTES),
            rate: state.meter.rate(Instant::now(), done),
        });
    }

    /// Log a line.
    pub fn log(&self, stream: Stream, text: &str) {
        let mut state = self.state();
        state.journal.push(now_ms(), stream, text);
        if state.journal.waiting_bytes() >= MUCH_TO_LOG_BYTES {
            self.changed.notify_all();
        }
    }

    /// Say a word once, and take what its answer says about the job.
    pub(super) fn once(&self, say: &Say) -> Answer {
        let (answer, order) = self.callback.say(say);
        match (&answer, order) {
            (Answer::Heard(reply), _) => self.heard(reply),
            (Answer::Gone, Some(order)) => self.end(&order),
            (Answer::Denied, Some(order)) => self.denied(&order),
            _ => {}
        }
        answer
    }

    fn heard(&self, reply: &ReportReply) {
        let mut state = self.state();
        state.denied_since = None;
        if reply.log_full {
            state.journal.close(now_ms());
        }
        drop(state);
        if reply.cancel {
            self.decide(Verdict::Cancelled);
        }
    }

    pub(super) fn denied(&self, order: &JobOrder) {
        let since = *self.state().denied_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.tempo.denied_for {
            self.end(order);
        }
    }

    /// The job is over, unless another order came at this very moment.
    pub(super) fn end(&self, order: &JobOrder) {
        match self.folder.end(order, false) {
            Ok(false) => self.state().denied_since = None,
            // A disk that cannot be written does not make the job any less over.
            Ok(true) | Err(_) => self.decide(Verdict::Over),
        }
    }

    /// Ask until there is an answer, or the work is not to go on.
    pub fn ask(&self, say: &Say) -> Result<ReportReply> {
        let mut backoff = Backoff::new(&self.tempo);
        let mut refusals = 0;
        loop {
            self.check()?;
            match self.once(say) {
                Answer::Heard(reply) => {
                    self.check()?;
                    return Ok(reply);
                }
                Answer::Refused(status) => {
                    refusals += 1;
                    if refusals >= self.tempo.refusals {
                        return Err(broken(
                            "callback_refused",
                            format!("The callback refused what the job asked of it ({status})."),
                        ));
                    }
                }
                Answer::Away | Answer::Denied | Answer::Gone => {}
            }
            self.wait(backoff.wait())?;
        }
    }
}

fn stopped(verdict: Verdict) -> AgentError {
    match verdict {
        Verdict::Late => unavailable(
            "deadline_passed",
            "The job took longer than it was given, and was ended.",
        ),
        _ => unavailable("cancelled", "The job was told to stop."),
    }
}

pub(super) fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
