//! A site's files into the store: a child of the site's user reads, this process sends.
//!
//! Promise: objects are completed only after the child said that it read all of the tree.

use super::child::{Asked, Given};
use crate::fault::{Result, broken, io_at};
use crate::jobs::child::Child;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::jobs::{carried, meant};
use protocol::job::{Files, FilesArchived, FilesCollected};
use protocol::text::bytes;
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

/// The child that walks.
pub const SURVEY: &str = "survey";
/// The child that archives.
pub const ARCHIVE: &str = "archive";

/// See [`protocol::job::Work::CollectFiles`].
pub fn collect(context: &Context, asked: &Files) -> Result<Finished> {
    let mut child = start(context, asked, SURVEY)?;
    let fed = feed(context, asked, &child.input()?);
    let given = finished(child, fed)?;
    let collected = collected(&given);
    let summary = match &asked.parent {
        Some(_) => format!(
            "{} of {} entries are new or changed, {}; {} are gone",
            collected.changed,
            collected.entries,
            bytes(collected.changed_bytes),
            collected.deleted
        ),
        None => format!(
            "{} entries, {}",
            collected.entries,
            bytes(collected.tree_bytes)
        ),
    };
    Finished::new(collected, summary)
}

/// See [`protocol::job::Work::ArchiveFiles`].
pub fn files(context: &Context, asked: &Files) -> Result<Finished> {
    let done = archived(context, asked)?;
    let summary = told(&done);
    Finished::new(done, summary)
}

/// For people.
pub fn told(done: &FilesArchived) -> String {
    format!(
        "Archived {} of {} entries, {}, to {}",
        done.collected.changed,
        done.collected.entries,
        bytes(done.collected.changed_bytes),
        bytes(done.files.size_bytes)
    )
}

/// The objects `files` and `manifest`.
pub fn archived(context: &Context, asked: &Files) -> Result<FilesArchived> {
    let mut child = start(context, asked, ARCHIVE)?;
    let socket = child.input()?;
    let output = child.output()?;
    let (mut files, mut manifest) = (context.upload("files"), context.upload("manifest"));
    let (fed, sent, listed) = thread::scope(|scope| {
        let fed = scope.spawn(|| feed(context, asked, &socket));
        let listed = scope.spawn(|| copy(&socket, &mut manifest));
        let sent = copy(output, &mut files);
        (joined(fed.join()), sent, joined(listed.join()))
    });
    let given = finished(child, fed)?;
    sent?;
    listed?;
    Ok(FilesArchived {
        files: files.finish()?,
        manifest: manifest.finish()?,
        collected: collected(&given),
        notes: given.notes,
    })
}

fn joined(done: thread::Result<Result<()>>) -> Result<()> {
    done.unwrap_or_else(|_| {
        Err(broken(
            "agent_stopped",
            "A part of the job stopped with an error of its own.",
        ))
    })
}

fn start(context: &Context, asked: &Files, name: &str) -> Result<Child> {
    context.child(&context.site_user(&asked.site)?, name)
}

/// What the child is asked, and the manifest before.
fn feed(context: &Context, asked: &Files, mut socket: &UnixStream) -> Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let question = Asked {
        root: context.paths().public(&asked.site).display().to_string(),
        exclude: asked.exclude.clone(),
        at_seconds: now.map_or(0, |now| now.as_secs().cast_signed()),
        parent: asked.parent.is_some(),
    };
    let mut line = serde_json::to_vec(&question)
        .map_err(|_| broken("reply_lost", "What a child is asked could not be written."))?;
    line.push(b'\n');
    // A child that does not read any more has said why, or will be seen to be gone.
    if socket.write_all(&line).is_err() {
        return Ok(());
    }
    let mut fetched = Ok(());
    if let Some(sealed) = &asked.parent {
        let mut manifest = context.fetch("parent_manifest", sealed);
        if let Err(error) = io::copy(&mut manifest, &mut socket) {
            fetched = carried(&error).map_or(Ok(()), Err);
        }
    }
    let _gone_already = socket.shutdown(Shutdown::Write);
    fetched
}

fn copy(mut from: impl Read, mut into: impl Write) -> Result<()> {
    io::copy(&mut from, &mut into)
        .map(|_| ())
        .map_err(|error| meant(&error, |error| io_at(Path::new("a pipe"), error)))
}

/// What it gives. That it could not be fed explains whatever it says of its end.
fn finished(child: Child, fed: Result<()>) -> Result<Given> {
    let given = child.finish();
    fed?;
    serde_json::from_value(given?)
        .map_err(|_| broken("child_lost", "What a child gave was not understood."))
}

fn collected(given: &Given) -> FilesCollected {
    FilesCollected {
        entries: given.entries,
        tree_bytes: given.tree_bytes,
        changed: given.changed,
        changed_bytes: given.changed_bytes,
        deleted: given.deleted,
    }
}
