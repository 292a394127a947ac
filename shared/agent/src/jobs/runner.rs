//! A job at work: `triphammer-agent job <folder>`, the main process of the job's unit.
//!
//! Promise: the work ends when it is cancelled, late or not wanted any more, whether it cooperates or not. How it
//! ended is on the disk before anybody is told, and then told until it is heard.

use crate::fault::{Result, broken, refused, unavailable};
use crate::jobs::context::Context;
use crate::jobs::folder::{Folder, Stored};
use crate::jobs::line::{Backoff, Line, Verdict};
use crate::jobs::work::{self, Finished};
use crate::jobs::{Tempo, order, start};
use crate::lease;
use crate::paths::Paths;
use crate::processes::ProcessId;
use crate::run;
use protocol::AgentError;
use protocol::job::{JobResult, REPORT_LIMIT_BYTES, Stream, Work};
use std::os::unix::process::CommandExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How often the verdict and the clock are looked at.
const LOOK: Duration = Duration::from_millis(100);
/// What a work gives goes into one report, beside the last lines of the log.
const GIVES_LIMIT_BYTES: usize = REPORT_LIMIT_BYTES / 2;

/// What does the work, and what ends the programs it started.
#[derive(Debug, Clone, Copy)]
pub struct Doing {
    /// [`work::perform`], or a test's own.
    pub perform: fn(&Context, &Work) -> Result<Finished>,
    /// Called again and again from the verdict on until the work has ended, and once when it has.
    pub stop: fn(),
}

/// What the process does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Next {
    /// Nothing: the job is over, or waits on the disk.
    Exit,
    /// The work does not end. Its result is stored: begin again without it, to tell that.
    Replace,
}

/// The program.
pub fn main(path: &Path) -> ExitCode {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let doing = Doing {
        perform: work::perform,
        stop,
    };
    match main_with(&Paths::host(), path, doing) {
        Ok(Next::Exit) => ExitCode::SUCCESS,
        Ok(Next::Replace) => {
            // The same process to systemd; every thread of the old program is gone.
            let error = Command::new("/proc/self/exe").arg("job").arg(path).exec();
            eprintln!("the job could not begin again: {}", error.kind());
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("{}: {}", error.code, error.message);
            ExitCode::FAILURE
        }
    }
}

/// The program, with another work to do.
pub fn main_with(paths: &Paths, path: &Path, doing: Doing) -> Result<Next> {
    let folder = Folder::at(path);
    order::name(&folder.job())?;
    if Folder::of(paths, &folder.job()).path() != path {
        return Err(refused("bad_request", "This is no job's folder."));
    }
    let target = folder.order()?.lease.target;
    if !lease::names(paths, &target, &start::unit(&folder.job()))? {
        return Err(refused(
            "stale_fence",
            "A newer step works on this target; this one came too late.",
        ));
    }
    run(paths, &folder, Tempo::default(), doing)
}

fn stop() {
    run::stop();
    ProcessId::own().end_children();
}

/// Do the work unless its result is there, and tell the result.
pub fn run(paths: &Paths, folder: &Folder, tempo: Tempo, doing: Doing) -> Result<Next> {
    let Some(_worker) = folder.work()? else {
        return Ok(Next::Exit);
    };
    let line = Arc::new(Line::new(folder, tempo)?);
    let stored = match folder.result()? {
        Some(stored) => stored,
        None => {
            let heart = {
                let line = Arc::clone(&line);
                thread::spawn(move || line.beat())
            };
            let ended = supervise(paths, folder, &line, doing)?;
            // Whatever it left behind must not outlive it while the result is told.
            (doing.stop)();
            if line.verdict() == Verdict::Over {
                return Ok(Next::Exit);
            }
            let is_hung = ended.is_none();
            let stored = Stored {
                result: judge(line.verdict(), ended),
                log: line.last_lines(),
            };
            store(folder, &line, &stored);
            if is_hung {
                return Ok(Next::Replace);
            }
            line.close();
            let _ = heart.join();
            stored
        }
    };
    // Nobody to hear it is no failure: it waits on the disk.
    line.tell(&stored);
    Ok(Next::Exit)
}

/// Let the work run until it ends, or until it had its time to end after the verdict.
fn supervise(
    paths: &Paths,
    folder: &Folder,
    line: &Arc<Line>,
    doing: Doing,
) -> Result<Option<Result<Finished>>> {
    let order = folder.order()?;
    let late = Instant::now() + Duration::from_secs(order.start.limit_seconds);
    let context = Context::new(paths, &order.lease, line);
    let (done, ended) = channel();
    thread::spawn(move || {
        let work = AssertUnwindSafe(|| (doing.perform)(&context, &order.start.work));
        let result = catch_unwind(work).unwrap_or_else(|_| Err(panicked()));
        // Nobody waits any more when the job is over.
        let _ = done.send(result);
    });
    Ok(watch(line, &ended, late, doing.stop))
}

fn watch(
    line: &Line,
    ended: &Receiver<Result<Finished>>,
    late: Instant,
    stop: fn(),
) -> Option<Result<Finished>> {
    let mut given_up = None;
    loop {
        match ended.recv_timeout(LOOK) {
            Ok(result) => return Some(result),
            Err(RecvTimeoutError::Disconnected) => return Some(Err(panicked())),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let now = Instant::now();
        if now >= late {
            line.decide(Verdict::Late);
        }
        if line.verdict() != Verdict::Working {
            stop();
            if now >= *given_up.get_or_insert(now + line.tempo.ends_within) {
                return None;
            }
        }
    }
}

/// Work that is done is done, also when a cancel came a moment before.
fn judge(verdict: Verdict, ended: Option<Result<Finished>>) -> JobResult {
    match (ended, verdict) {
        (Some(Ok(Finished { gives, summary })), _) => {
            if gives.to_string().len() + summary.len() > GIVES_LIMIT_BYTES {
                return JobResult::Failed(broken(
                    "result_too_large",
                    "What the job gives is too large to be told.",
                ));
            }
            JobResult::Done { gives, summary }
        }
        (_, Verdict::Cancelled) => JobResult::Cancelled,
        (_, Verdict::Late) => JobResult::Failed(unavailable(
            "deadline_passed",
            "The job took longer than it was given, and was ended.",
        )),
        (Some(Err(error)), _) => JobResult::Failed(error),
        (None, _) => JobResult::Failed(panicked()),
    }
}

/// A full disk is waited for: the work's own temporary files may just be going, and people see the job's log.
fn store(folder: &Folder, line: &Line, stored: &Stored) {
    let mut backoff = Backoff::new(&line.tempo);
    while let Err(error) = folder.put_result(stored) {
        if line.verdict() == Verdict::Over {
            return;
        }
        line.log(Stream::Err, &format!("The result waits: {}", error.message));
        thread::sleep(backoff.wait());
    }
}

fn panicked() -> AgentError {
    broken(
        "agent_stopped",
        "The agent stopped with an error of its own.",
    )
}
