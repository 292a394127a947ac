//! Every touch of a site's tree, done by a process of the site's own user.
//!
//! Promise: root never opens a path inside a tree while the site's user lives. The worker is this same binary; it gets
//! one job on stdin, works beneath the site's home only, and what it replies decides nothing but the next step.

pub mod copy;
pub mod fetch;
pub mod remove;
pub mod unpack;
pub mod worker;

use crate::accounts::User;
use crate::fault::{Result, broken, disk_full, refused, with_detail};
use crate::run::{self, As};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::process::Command;

/// Where a new tree is put together before it is renamed to [`PUBLIC`].
pub const INCOMING: &str = ".triphammer-incoming";
/// The web root.
pub const PUBLIC: &str = "public";
/// Uploads and sessions, so that nothing of a site is left in `/tmp` when it goes.
pub const TMP: &str = "tmp";
/// WordPress has about 3000 files; the largest bundles with languages and plugins stay far below this.
pub const ENTRIES_LIMIT: u64 = 200_000;
/// Twenty times WordPress with all its languages.
pub const BYTES_LIMIT: u64 = 4 * 1024 * 1024 * 1024;
/// No source tree is deeper, and a loop of links ends here.
pub const DEPTH_LIMIT: usize = 40;

/// One job. `home` is the site's, absolute.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "job", rename_all = "snake_case")]
pub enum Job {
    /// What is there? `mark` is looked for in wp-config.
    Look { home: String, mark: String },
    /// Make the incoming tree from the `.tar.gz` that follows on stdin.
    Unpack { home: String },
    /// Make the incoming tree from a directory of the host.
    Copy { home: String, source: String },
    /// The incoming tree becomes the web root.
    Publish { home: String },
    /// Throw the incoming tree away.
    Discard { home: String },
    /// Write wp-config.php.
    Config { home: String, content: String },
    /// Let WordPress answer that it is being worked on, or no more.
    Maintenance { home: String, on: bool },
    /// Remove all that is in the home.
    Clear { home: String },
}

/// How it went.
#[derive(Debug, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Done {
    /// As asked.
    Yes,
    /// Reply to [`Job::Look`].
    Looked {
        /// Is there a web root?
        public: bool,
        /// Is there a wp-config with the mark?
        config: bool,
    },
    /// Not done.
    Failed(Failure),
}

/// Why not.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Failure {
    /// Stable.
    pub code: Code,
    /// For people.
    pub message: String,
}

/// The kinds of failures.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// No room.
    DiskFull,
    /// The archive or directory is not what it should be.
    SourceRefused,
    /// Anything else.
    Failed,
}

impl Failure {
    /// The source cannot be taken.
    pub fn source(message: impl Into<String>) -> Self {
        Self {
            code: Code::SourceRefused,
            message: message.into(),
        }
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        let code = if crate::fault::is_no_room(&error) {
            Code::DiskFull
        } else {
            Code::Failed
        };
        Self {
            code,
            message: error.to_string(),
        }
    }
}

/// The worker, not yet started. The binary is reached through `/proc`: an upgrade may have replaced its path.
pub fn command(user: &User) -> Command {
    let mut command = run::command(Path::new("/proc/self/exe"), user.rights());
    command.arg("tree-worker");
    command
}

/// Have a job done by the site's user.
pub fn ask(user: &User, job: &Job) -> Result<Done> {
    ask_as(command(user), job)
}

/// Have a job done with root's rights: only when no process of the user is left.
pub fn ask_as_root(job: &Job) -> Result<Done> {
    let mut command = run::command(Path::new("/proc/self/exe"), As::Root);
    command.arg("tree-worker");
    ask_as(command, job)
}

fn ask_as(mut command: Command, job: &Job) -> Result<Done> {
    let seen = run::run(&mut command, &line(job)?)?;
    understand(job.home(), &seen)
}

/// A job as the worker reads it.
pub fn line(job: &Job) -> Result<Vec<u8>> {
    let mut line = serde_json::to_vec(job)
        .map_err(|_| broken("tree_worker", "A job could not be written."))?;
    line.push(b'\n');
    Ok(line)
}

/// What the worker replied, or the error it stands for.
pub fn understand(home: &str, seen: &run::Outcome) -> Result<Done> {
    match serde_json::from_str(seen.output.trim()) {
        Ok(Done::Failed(failure)) => Err(match failure.code {
            Code::DiskFull => disk_full(&Path::new(home).join(PUBLIC)),
            Code::SourceRefused => refused(
                "source_refused",
                format!(
                    "WordPress could not be taken from there: {}.",
                    failure.message
                ),
            ),
            Code::Failed => with_detail(
                broken("tree_failed", format!("Could not work in {home}.")),
                failure.message,
            ),
        }),
        Ok(done) => Ok(done),
        Err(_) => Err(with_detail(
            broken("tree_worker", format!("The work in {home} was cut short.")),
            seen.status.clone(),
        )),
    }
}

impl Job {
    /// The home it works in.
    pub fn home(&self) -> &str {
        match self {
            Job::Look { home, .. }
            | Job::Unpack { home }
            | Job::Copy { home, .. }
            | Job::Publish { home }
            | Job::Discard { home }
            | Job::Config { home, .. }
            | Job::Maintenance { home, .. }
            | Job::Clear { home } => home,
        }
    }
}
