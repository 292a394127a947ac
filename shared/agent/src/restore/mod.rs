//! A backup back onto its site: everything is put together and checked beside the site, and then swapped in.
//!
//! Promise: the live site is not touched before all of the backup was seen to be right; each swap is one act of the
//! kernel or the database, so that at any moment a side is the old one or the new one, and the way back is as short.

mod download;
mod maintenance;
mod staging;
mod swap;

pub use download::download;

use crate::backup::progress;
use crate::check;
use crate::database::{Restore, Server};
use crate::fault::{Result, io_at};
use crate::host;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use protocol::job::{Database, FilesRestored, Site};
use protocol::text::bytes;
use protocol::{DatabaseName, SiteName};
use staging::Staging;
use std::fs::File;

/// See [`protocol::job::Work::RestoreDatabase`].
pub fn database(context: &Context, asked: &Database) -> Result<Finished> {
    let staging = Staging::of(context.paths(), context.lease())?;
    let facts = staging.facts()?;
    let server = Server::host();
    let restore = Restore::new(&server, context.paths(), context.lease(), &asked.database)?;
    let path = staging.dump();
    let mut dump = File::open(&path).map_err(|error| io_at(&path, &error))?;
    let loaded = restore.load(
        &mut dump,
        facts.dump_bytes,
        &mut progress(context, facts.dump_bytes),
    );
    // A cancel ends the client, which is then seen as a failed one.
    context.check()?;
    loaded?;
    maintenance::begin(context.paths(), &asked.site)?;
    let done = restore.swap()?;
    if facts.links == 0 {
        maintenance::end(context.paths(), &asked.site)?;
    }
    done.notes.iter().for_each(|note| context.log(note));
    let summary = format!(
        "{} tables of {} are live",
        done.tables,
        bytes(facts.dump_bytes)
    );
    Finished::new(done, summary)
}

/// See [`protocol::job::Work::RestoreFiles`].
pub fn files(context: &Context, asked: &Site) -> Result<Finished> {
    let staging = Staging::of(context.paths(), context.lease())?;
    let facts = staging.facts()?;
    context.check()?;
    swap::swap(context.paths(), &staging, &asked.site)?;
    let summary = format!(
        "{} entries, {} are live",
        facts.entries,
        bytes(facts.tree_bytes)
    );
    Finished::new(
        FilesRestored {
            entries: facts.entries,
        },
        summary,
    )
}

/// See [`protocol::job::Work::CleanUpRestore`].
pub fn clean_up(context: &Context, asked: &Database) -> Result<Finished> {
    check::name("site", &asked.site)?;
    let server = Server::host();
    Restore::new(&server, context.paths(), context.lease(), &asked.database)?.clean_up()?;
    Staging::of(context.paths(), context.lease())?.remove()?;
    maintenance::end(context.paths(), &asked.site)?;
    swap::forget_compiled(context.paths(), &asked.site)?;
    Finished::new(serde_json::json!({}), "The old side is gone")
}

/// See [`protocol::Call::DatabaseSwapBack`].
pub fn database_back(work: &mut host::Work<'_>, asked: &DatabaseName) -> Result<()> {
    crate::database::swap_back(work, asked)?;
    // A site and its database have one name.
    maintenance::end(work.paths, &asked.database)
}

/// See [`protocol::Call::FilesSwapBack`].
pub fn files_back(work: &mut host::Work<'_>, asked: &SiteName) -> Result<()> {
    check::name("site", &asked.site)?;
    let staging = Staging::of(work.paths, work.lease)?;
    if swap::back(work.paths, &staging, &asked.site)? {
        work.did("the old files are live again");
    }
    Ok(())
}

/// See [`protocol::Call::RestoreDiscard`].
pub fn discard(work: &mut host::Work<'_>, asked: &SiteName) -> Result<()> {
    check::name("site", &asked.site)?;
    let staging = Staging::of(work.paths, work.lease)?;
    swap::refuse_while_swapped(work.paths, &staging, &asked.site)?;
    if staging.remove()? {
        work.did("what was downloaded is gone");
    }
    Ok(())
}
