//! All that a restore needs, fetched and checked beside the site.
//!
//! Promise: what is there when it says done was read to its end and has the checksums that the backup recorded; the
//! tree is exactly the last manifest's. Nothing of the site was touched, and there was room for all of it.

use super::staging::{Facts, Staging};
use crate::backup::{child_fault, progress};
use crate::fault::{Result, io_at, refused};
use crate::jobs::context::Context;
use crate::jobs::meant;
use crate::jobs::work::Finished;
use archive::manifest::{Limits, Reader};
use archive::restore::{Link, Options, restore};
use protocol::job::{BackupDownloaded, DownloadBackup, Sealed};
use protocol::text::bytes;
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;

/// Kept free beside what is put together: the site goes on working meanwhile.
const ROOM_BYTES: u64 = 256 * 1024 * 1024;
/// A file that runs with its owner's rights.
const SETUID: u32 = 0o4000;

/// See [`protocol::job::Work::DownloadBackup`].
pub fn download(context: &Context, asked: &DownloadBackup) -> Result<Finished> {
    context.site_user(&asked.site)?;
    let staging = Staging::of(context.paths(), context.lease())?;
    check_room(context, asked)?;
    staging.make()?;
    let dump_bytes = match &asked.database {
        Some(dump) => {
            context.log("fetching the dump");
            fetch(context, "database", &dump.sealed, &staging.dump())?;
            dump.dump_bytes
        }
        None => 0,
    };
    let (entries, tree_bytes) = tree(context, asked, &staging)?;
    let facts = Facts {
        entries,
        tree_bytes,
        dump_bytes,
        links: asked.chain.len(),
    };
    staging.complete(&facts)?;
    Finished::new(
        BackupDownloaded {
            entries,
            tree_bytes,
            dump_bytes,
        },
        format!(
            "{entries} entries, {}, and a dump of {} are beside the site, and right",
            bytes(tree_bytes),
            bytes(dump_bytes)
        ),
    )
}

fn check_room(context: &Context, asked: &DownloadBackup) -> Result<()> {
    let homes = context.paths().homes();
    let found = rustix::fs::statvfs(&homes).map_err(|error| io_at(&homes, &error.into()))?;
    let free = found.f_bavail.saturating_mul(found.f_frsize);
    let dump = asked
        .database
        .as_ref()
        .map_or(0, |dump| dump.sealed.size_bytes);
    let tree = asked.chain.last().map_or(0, |link| link.tree_bytes);
    let need = dump.saturating_add(tree).saturating_add(ROOM_BYTES);
    if free < need {
        return Err(refused(
            "disk_full",
            format!(
                "The restore needs {} on {}, and {} are free.",
                bytes(need),
                homes.display(),
                bytes(free)
            ),
        ));
    }
    Ok(())
}

fn fetch(context: &Context, object: &str, sealed: &Sealed, path: &Path) -> Result<()> {
    let mut from = context.fetch(object, sealed);
    let mut into = File::create(path).map_err(|error| io_at(path, &error))?;
    io::copy(&mut from, &mut into)
        .and_then(|_| into.flush())
        .and_then(|()| into.sync_all())
        .map_err(|error| meant(&error, |error| io_at(path, error)))
}

/// Entries and bytes of the tree.
fn tree(context: &Context, asked: &DownloadBackup, staging: &Staging) -> Result<(u64, u64)> {
    let Some(last) = asked.chain.last() else {
        return Ok((0, 0));
    };
    let mut chain = Vec::new();
    for (at, link) in asked.chain.iter().enumerate() {
        let path = staging.manifest(at);
        fetch(context, &format!("manifest_{at}"), &link.manifest, &path)?;
        let open = || File::open(&path).map_err(|error| io_at(&path, &error));
        refuse_rights(open()?)?;
        chain.push(Link {
            archive: context.fetch(&format!("files_{at}"), &link.files),
            manifest: BufReader::new(open()?),
        });
    }
    let path = staging.tree();
    let root = File::open(&path).map_err(|error| io_at(&path, &error))?;
    let options = Options {
        owners: true,
        ..Options::default()
    };
    let mut on = progress(context, last.tree_bytes);
    let mut said = |done: archive::Progress| -> ControlFlow<()> { on(done.bytes) };
    let done = restore(root.as_fd(), chain, &options, &mut said);
    context.check()?;
    let done = done.map_err(child_fault)?;
    Ok((done.entries, done.tree_bytes))
}

/// A site's user cannot make a file that runs as root; a backup that has one is not of that site.
fn refuse_rights(manifest: File) -> Result<()> {
    let limits = Limits::default();
    let mut manifest = Reader::new(BufReader::new(manifest), limits).map_err(child_fault)?;
    while let Some(entry) = manifest.next_entry().map_err(child_fault)? {
        if entry.uid == 0 && entry.mode & SETUID != 0 {
            return Err(refused(
                "backup_damaged",
                "The backup holds a file that would run with root's rights; it is not restored.",
            ));
        }
    }
    Ok(())
}
