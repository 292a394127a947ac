//! The part of a backup that reads a site's tree, as the site's own user.
//!
//! Promise: it knows the tree's path and the manifest before, and nothing else; what it says is the site's own word.

use crate::fault::{Result, broken, io_at, refused, unavailable, with_detail};
use crate::jobs::child::{Word, say, socket};
use archive::manifest::{Limits, Reader};
use archive::{Error, Exclude, Progress, create};
use protocol::AgentError;
use rustix::fs::{Mode, OFlags};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Read, Write};
use std::net::Shutdown;
use std::ops::ControlFlow;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// What is asked is a path and some patterns.
const LINE_LIMIT_BYTES: u64 = 256 * 1024;
/// More often, nobody looks.
const SAY_EVERY: Duration = Duration::from_millis(500);
/// More names of files are for the log, not for the record.
const NOTES_LIMIT: usize = 20;

/// What a child is asked, one line; the manifest before follows when there is one.
#[derive(Debug, Serialize, Deserialize)]
pub struct Asked {
    /// The web root.
    pub root: String,
    /// What is left out.
    pub exclude: Vec<String>,
    /// When the walk begins, seconds since 1970.
    pub at_seconds: i64,
    /// Does the manifest before follow?
    pub parent: bool,
}

/// What a child gives.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Given {
    pub entries: u64,
    pub tree_bytes: u64,
    pub changed: u64,
    pub changed_bytes: u64,
    pub deleted: u64,
    pub notes: Vec<String>,
}

fn asked(input: &mut impl BufRead) -> Result<(Asked, OwnedFd, Exclude)> {
    let mut line = Vec::new();
    let read = input.take(LINE_LIMIT_BYTES).read_until(b'\n', &mut line);
    read.map_err(|error| io_at(Path::new("a socket"), &error))?;
    let asked: Asked = serde_json::from_slice(&line)
        .map_err(|_| broken("child_lost", "What a child is asked was not understood."))?;
    let flags = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::RDONLY | OFlags::CLOEXEC;
    let root = rustix::fs::open(asked.root.as_str(), flags, Mode::empty())
        .map_err(|error| io_at(Path::new(&asked.root), &error.into()))?;
    let exclude = Exclude::new(&asked.exclude).map_err(fault)?;
    Ok((asked, root, exclude))
}

fn saying(total: Option<u64>) -> impl FnMut(Progress) -> ControlFlow<()> {
    let mut last = Instant::now();
    move |progress| {
        if last.elapsed() >= SAY_EVERY {
            last = Instant::now();
            say(&Word::Progress {
                done: progress.bytes,
                total,
                unit: "bytes".to_string(),
            });
        }
        ControlFlow::Continue(())
    }
}

/// Walk, and compare.
pub fn survey() -> Result<serde_json::Value> {
    let mut input = BufReader::new(socket()?);
    let (asked, root, exclude) = asked(&mut input)?;
    let previous = match asked.parent {
        true => Some(Reader::new(input, Limits::default()).map_err(fault)?),
        false => None,
    };
    let found = archive::survey(root.as_fd(), &exclude, previous, &mut saying(None));
    let found = found.map_err(fault)?;
    given(Given {
        entries: found.entries,
        tree_bytes: found.tree_bytes,
        changed: found.changed,
        changed_bytes: found.changed_bytes,
        deleted: found.deleted,
        notes: Vec::new(),
    })
}

/// The archive on stdout, the manifest on the socket.
pub fn archive() -> Result<serde_json::Value> {
    let socket = socket()?;
    let lost = |error: io::Error| io_at(Path::new("a socket"), &error);
    let mut input = BufReader::new(socket.try_clone().map_err(lost)?);
    let (asked, root, exclude) = asked(&mut input)?;
    let options = create::Options {
        exclude,
        at_seconds: asked.at_seconds,
        threads: 0,
    };
    let stdout = io::stdout().as_fd().try_clone_to_owned().map_err(lost)?;
    let mut archive = BufWriter::new(File::from(stdout));
    let mut manifest = BufWriter::new(&socket);
    let created = if asked.parent {
        let previous = Reader::new(input, Limits::default()).map_err(fault)?;
        let out = (&mut archive, &mut manifest);
        create::incremental(
            root.as_fd(),
            &options,
            previous,
            out.0,
            out.1,
            &mut saying(None),
        )
    } else {
        let found = archive::survey(root.as_fd(), &options.exclude, none(), &mut saying(None));
        let mut on = saying(Some(found.map_err(fault)?.tree_bytes));
        create::full(root.as_fd(), &options, &mut archive, &mut manifest, &mut on)
    }
    .map_err(fault)?;
    archive.flush().map_err(lost)?;
    manifest.flush().map_err(lost)?;
    drop(manifest);
    socket.shutdown(Shutdown::Write).map_err(lost)?;
    for note in &created.notes {
        say(&Word::Log(note.to_string()));
    }
    let mut notes: Vec<String> = created.notes.iter().map(ToString::to_string).collect();
    notes.truncate(NOTES_LIMIT);
    let more = created.noted.saturating_sub(notes.len() as u64);
    if more > 0 {
        notes.push(format!("and {more} more, which the log names"));
    }
    given(Given {
        entries: created.tail.entries,
        tree_bytes: created.tail.tree_bytes,
        changed: created.tail.archived,
        changed_bytes: created.tail.archived_bytes,
        deleted: created.deleted,
        notes,
    })
}

fn none() -> Option<Reader<io::Empty>> {
    None
}

fn given(given: Given) -> Result<serde_json::Value> {
    serde_json::to_value(given)
        .map_err(|_| broken("reply_lost", "What a job gives could not be written."))
}

/// What an error of the archives means to the one who asked.
pub fn fault(error: Error) -> AgentError {
    let detail = std::error::Error::source(&error).map(ToString::to_string);
    let said = match &error {
        Error::Cancelled => unavailable("cancelled", "It was told to stop."),
        Error::Pattern(_) => refused("bad_pattern", format!("{error}.")),
        Error::NoRoom { .. } => refused("disk_full", format!("{error}.")),
        Error::Input(source) => {
            return crate::jobs::meant(source, |error| {
                with_detail(
                    unavailable("input_lost", "An object could not be read to its end."),
                    error.to_string(),
                )
            });
        }
        Error::Output(source) => {
            return crate::jobs::meant(source, |error| {
                with_detail(
                    unavailable("output_lost", "An object could not be written to its end."),
                    error.to_string(),
                )
            });
        }
        Error::Manifest(_) | Error::Version(_) | Error::Chain { .. } | Error::Archive { .. } => {
            refused(
                "backup_damaged",
                format!("The backup cannot be used: {error}."),
            )
        }
        Error::Limit { .. } => refused("too_large", format!("{error}.")),
        _ => broken("tree_failed", format!("{error}.")),
    };
    with_detail(said, detail.unwrap_or_default())
}
