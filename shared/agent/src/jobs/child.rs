//! The part of a work that touches a site's tree: this same binary, as the site's user.
//!
//! Promise: it inherits no secret, neither in its environment nor as a file, cannot be traced by the site's other
//! processes, and is killed when the job is to stop. What it says is bounded, and never trusted further than the site.
//!
//! It has three ways to speak: stdout is a stream of bytes; stderr carries [`Word`]s, one JSON line each; stdin is a
//! socket, from which it reads its input and into which it may write a second stream.
//!
//! Being untraceable, it cannot read its own `/proc/self/fd`: a file's mode is set through the open file, not by path.

use crate::accounts::User;
use crate::fault::{Result, broken, first_bytes, io_at, with_detail};
use crate::jobs::line::{Line, Verdict};
use crate::jobs::work;
use crate::run;
use protocol::AgentError;
use protocol::job::Stream;
use serde::{Deserialize, Serialize};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{ChildStdout, ExitCode, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// What a child gives at its end fits, and so does every line of a log.
const WORD_LIMIT_BYTES: u64 = 128 * 1024;
/// A message for people.
const MESSAGE_LIMIT_BYTES: usize = 1024;
/// How soon a child that is to stop is killed.
const LOOK: Duration = Duration::from_millis(250);
/// How soon the end of a child is seen.
const LOOK_AT_END: Duration = Duration::from_millis(10);

/// What a child says on stderr.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// As [`crate::jobs::context::Context::progress`].
    Progress {
        /// So much is done.
        done: u64,
        /// Of so much.
        total: Option<u64>,
        /// `bytes`, `files`.
        unit: String,
    },
    /// A line for the log.
    Log(String),
    /// Its work is done; what it gives.
    Done(serde_json::Value),
    /// It is not.
    Failed(AgentError),
}

/// A child at work. Dropped without `finish`, it is killed.
#[derive(Debug)]
pub struct Child {
    process: Arc<Mutex<std::process::Child>>,
    over: Arc<AtomicBool>,
    words: Option<JoinHandle<Option<Word>>>,
    line: Arc<Line>,
    input: Option<UnixStream>,
    output: Option<ChildStdout>,
}

impl Child {
    /// Start it. The binary is reached through `/proc`: an upgrade may have replaced its path.
    pub fn start(line: &Arc<Line>, user: &User, name: &str) -> Result<Self> {
        let mut command = run::command(Path::new("/proc/self/exe"), user.rights());
        command.args(["job-child", name]);
        Self::spawn(line, command)
    }

    /// Start this program instead, with stdin and the rest as a child has them.
    pub fn spawn(line: &Arc<Line>, mut command: std::process::Command) -> Result<Self> {
        line.check()?;
        let (input, theirs) =
            UnixStream::pair().map_err(|error| io_at(Path::new("a socket"), &error))?;
        let mut process = run::start(command.stdin(Stdio::from(OwnedFd::from(theirs))))?;
        // The command holds their end of the socket; without this the child would never see the end of ours.
        drop(command);
        let (output, errors) = (process.stdout.take(), process.stderr.take());
        let process = Arc::new(Mutex::new(process));
        let over = Arc::new(AtomicBool::new(false));
        let (watched, watching) = (Arc::clone(&process), Arc::clone(line));
        let ended = Arc::clone(&over);
        thread::spawn(move || {
            while !ended.load(Ordering::SeqCst) && watching.wait(LOOK).is_ok() {}
            kill(&watched, &ended);
        });
        let listening = Arc::clone(line);
        let words = thread::spawn(move || {
            errors.and_then(|errors| listen(&listening, BufReader::new(errors)))
        });
        Ok(Self {
            process,
            over,
            words: Some(words),
            line: Arc::clone(line),
            input: Some(input),
            output,
        })
    }

    /// The other end of its stdin: write its input, shut writing down at the end; read its second stream.
    pub fn input(&mut self) -> Result<UnixStream> {
        self.input.take().ok_or_else(taken)
    }

    /// Its stdout. Read it to the end before [`Child::finish`].
    pub fn output(&mut self) -> Result<ChildStdout> {
        self.output.take().ok_or_else(taken)
    }

    /// Wait for its end; what it gives.
    pub fn finish(mut self) -> Result<serde_json::Value> {
        drop((self.input.take(), self.output.take()));
        let status = loop {
            let mut process = self.process.lock().unwrap_or_else(PoisonError::into_inner);
            match process.try_wait() {
                Ok(Some(status)) => {
                    self.over.store(true, Ordering::SeqCst);
                    break status;
                }
                Ok(None) => drop(process),
                Err(_) => return Err(lost("its end was not seen")),
            }
            thread::sleep(LOOK_AT_END);
        };
        let words = self.words.take().and_then(|words| words.join().ok());
        if self.line.verdict() != Verdict::Working {
            self.line.check()?;
        }
        match words.flatten() {
            Some(Word::Done(gives)) if status.success() => Ok(gives),
            Some(Word::Failed(mut error)) => {
                error.code = first_bytes(&error.code, 64);
                error.message = first_bytes(&error.message, MESSAGE_LIMIT_BYTES);
                let detail = std::mem::take(&mut error.detail);
                Err(with_detail(error, detail))
            }
            _ => Err(lost(&status.to_string())),
        }
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        kill(&self.process, &self.over);
    }
}

/// Unless its end was seen: then its id may be another's.
fn kill(process: &Mutex<std::process::Child>, over: &AtomicBool) {
    let mut process = process.lock().unwrap_or_else(PoisonError::into_inner);
    if !over.swap(true, Ordering::SeqCst) {
        // The standard library kills no process that was waited for already.
        let _ = process.kill();
        let _ = process.wait();
    }
}

fn taken() -> AgentError {
    broken("program_lost", "A program was started without its pipes.")
}

fn lost(how: &str) -> AgentError {
    with_detail(
        broken("child_lost", "The work in the site's tree was cut short."),
        how,
    )
}

/// Pass on what it says; what it said of its end.
fn listen(line: &Line, mut errors: impl BufRead) -> Option<Word> {
    let mut last = None;
    let mut text = Vec::new();
    while let Ok(read) = errors
        .by_ref()
        .take(WORD_LIMIT_BYTES)
        .read_until(b'\n', &mut text)
        && read > 0
    {
        match serde_json::from_slice(&text) {
            Ok(Word::Progress { done, total, unit }) => line.progress(done, total, &unit),
            Ok(Word::Log(said)) => line.log(Stream::Out, &said),
            Ok(end) => last = Some(end),
            Err(_) => line.log(Stream::Err, String::from_utf8_lossy(&text).trim_end()),
        }
        text.clear();
    }
    last
}

/// In the child: say a word. Nobody left to hear it is no failure of the work.
pub fn say(word: &Word) {
    if let Ok(mut text) = serde_json::to_vec(word) {
        text.push(b'\n');
        let _ = io::stderr().lock().write_all(&text);
    }
}

/// In the child: its input, and the way for a second stream.
pub fn socket() -> Result<UnixStream> {
    let own = io::stdin().as_fd().try_clone_to_owned();
    own.map(UnixStream::from)
        .map_err(|error| io_at(Path::new("a socket"), &error))
}

/// `triphammer-agent job-child`.
pub fn main(name: &str) -> ExitCode {
    // Other processes of the site's user may not look into this one, nor steer it.
    let behavior = rustix::process::DumpableBehavior::NotDumpable;
    let guarded = rustix::process::set_dumpable_behavior(behavior);
    let done = guarded
        .map_err(|error| io_at(Path::new("/proc/self"), &error.into()))
        .and_then(|()| work::child(name));
    say(&done.map_or_else(Word::Failed, Word::Done));
    ExitCode::SUCCESS
}
