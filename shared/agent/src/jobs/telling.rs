//! What a job says unasked: signs of life while it works, and its result at the end.
//!
//! Promise: a line of the log is dropped only when it was heard or refused; the result is told until it is heard, for a
//! day, and nothing keeps it back.

use crate::jobs::callback::Answer;
use crate::jobs::folder::Stored;
use crate::jobs::line::{Backoff, Line, MUCH_TO_LOG_BYTES, State, Verdict, now_ms};
use protocol::job::{LogLine, REPORT_LIMIT_BYTES, Say};
use std::sync::{MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The rest of a report is its frame and the progress.
const LOG_OF_A_REPORT_BYTES: usize = REPORT_LIMIT_BYTES - 16 * 1024;
/// What goes with the result leaves room for the result.
const LOG_OF_THE_RESULT_BYTES: usize = REPORT_LIMIT_BYTES / 4;

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

impl Line {
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
    pub fn last_lines(&self) -> Vec<LogLine> {
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
