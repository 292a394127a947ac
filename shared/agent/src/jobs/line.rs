//! The line between a job and its callback: signs of life, questions, and the verdict on the job.
//!
//! Promise: a callback that is away is waited for, and stops no work; a cancel in any answer reaches every part of the
//! job at once; after the end of the job nothing more is said.

use crate::fault::{Result, broken, first_bytes, unavailable};
use crate::jobs::Tempo;
use crate::jobs::callback::{Answer, Callback};
use crate::jobs::folder::{Folder, Stored};
use crate::jobs::journal::Journal;
use crate::jobs::rate::Meter;
use crate::secret;
use protocol::AgentError;
use protocol::job::{JobOrder, Progress, REPORT_LIMIT_BYTES, ReportReply, Say, Stream};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The rest of a report is its frame and the progress.
const LOG_OF_A_REPORT_BYTES: usize = REPORT_LIMIT_BYTES - 16 * 1024;
/// With so much to log, a sign of life comes sooner.
const MUCH_TO_LOG_BYTES: usize = REPORT_LIMIT_BYTES / 2;
/// What goes with the result leaves room for the result.
const LOG_OF_THE_RESULT_BYTES: usize = REPORT_LIMIT_BYTES / 4;
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

/// What came of telling the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// It was heard.
    Heard,
    /// The callback said that the job is over.
    Over,
    /// Nobody heard it for too long.
    Unheard,
}

/// The line.
#[derive(Debug)]
pub struct Line {
    /// Its patience.
    pub tempo: Tempo,
    callback: Callback,
    folder: Folder,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    verdict: Verdict,
    progress: Option<Progress>,
    is_news: bool,
    meter: Meter,
    journal: Journal,
    denied_since: Option<Instant>,
    closing: bool,
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

    fn state(&self) -> MutexGuard<'_, State> {
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
    fn once(&self, say: &Say) -> Answer {
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

    fn denied(&self, order: &JobOrder) {
        let since = *self.state().denied_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= self.tempo.denied_for {
            self.end(order);
        }
    }

    /// The job is over, unless another order came at this very moment.
    fn end(&self, order: &JobOrder) {
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

    /// Give signs of life until the line is closed, or the job is over.
    pub fn beat(&self) {
        let mut backoff = Backoff::new(&self.tempo);
        let mut refusals = 0;
        loop {
            let (progress, log) = {
                let state = self.state();
                if state.closing || state.verdict == Verdict::Over {
                    return;
                }
                let progress = state.progress.clone().filter(|_| state.is_news);
                (progress, state.journal.first(LOG_OF_A_REPORT_BYTES))
            };
            let last = log.last().map(|line| line.number);
            let say = Say::Alive {
                progress: progress.clone(),
                log,
            };
            let answer = self.once(&say);
            refusals = match answer {
                Answer::Refused(_) => refusals + 1,
                _ => 0,
            };
            // A report that is refused again and again must not keep all later ones back.
            let is_through = matches!(answer, Answer::Heard(_)) || refusals >= self.tempo.refusals;
            let mut state = self.state();
            if is_through {
                backoff = Backoff::new(&self.tempo);
                state.is_news &= state.progress != progress;
                if let Some(last) = last {
                    state.journal.heard(last);
                }
            }
            let pause = if is_through {
                self.tempo.heartbeat
            } else {
                backoff.wait()
            };
            self.pause(state, pause, is_through);
        }
    }

    /// Until the next sign of life is due.
    fn pause(&self, mut state: MutexGuard<'_, State>, pause: Duration, may_hurry: bool) {
        let until = Instant::now() + pause;
        loop {
            let hurry = may_hurry && state.journal.waiting_bytes() >= MUCH_TO_LOG_BYTES;
            let now = Instant::now();
            if state.closing || state.verdict == Verdict::Over || hurry || now >= until {
                return;
            }
            let waited = self.changed.wait_timeout(state, until - now);
            state = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// No more signs of life.
    pub fn close(&self) {
        self.state().closing = true;
        self.changed.notify_all();
    }

    /// The last lines of the log, to go with the result.
    pub fn last_lines(&self) -> Vec<protocol::job::LogLine> {
        self.state().journal.take_last(LOG_OF_THE_RESULT_BYTES)
    }

    /// Tell what is stored until it is heard; what else was logged goes before it.
    pub fn tell(&self, stored: &Stored) -> Told {
        let until = Instant::now() + self.tempo.tell_for;
        let mut backoff = Backoff::new(&self.tempo);
        while self.verdict() != Verdict::Over {
            let log = self.state().journal.first(LOG_OF_A_REPORT_BYTES);
            let last = log.last().map(|line| line.number);
            let say = match last {
                Some(_) => Say::Alive {
                    progress: None,
                    log,
                },
                None => Say::Ended {
                    result: stored.result.clone(),
                    log: stored.log.clone(),
                },
            };
            let (answer, order) = self.callback.say(&say);
            match (answer, order) {
                (Answer::Heard(reply), Some(order)) => match last {
                    Some(number) => {
                        let mut state = self.state();
                        state.journal.heard(number);
                        if reply.log_full {
                            state.journal.close(now_ms());
                        }
                        continue;
                    }
                    // Another order came meanwhile: it wants to hear the result too.
                    None if self.folder.end(&order, true) == Ok(false) => continue,
                    None => return Told::Heard,
                },
                // Lines that nobody takes must not keep the result back.
                (Answer::Refused(_), _) if last.is_some() => {
                    self.state().journal.heard(last.unwrap_or_default());
                    continue;
                }
                (Answer::Gone, Some(order)) => self.end(&order),
                (Answer::Denied, Some(order)) => self.denied(&order),
                _ => self.state().denied_since = None,
            }
            if Instant::now() >= until {
                return Told::Unheard;
            }
            std::thread::sleep(backoff.wait());
        }
        Told::Over
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

fn now_ms() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
