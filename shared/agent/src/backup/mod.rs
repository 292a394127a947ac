//! Backups of a site: its database through its server's own client, its files by a child of the site's own user.
//!
//! Promise: an object is complete when its reader, its writer and the store all say so; nothing on the site changes.

mod child;
mod files;

pub use child::{archive as child_archive, fault as child_fault, survey as child_survey};
pub use files::{ARCHIVE, SURVEY, collect, files};

use crate::database::{self, Server};
use crate::fault::Result;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use protocol::job::{BackupSite, Database, DatabaseBackedUp, SiteBackedUp};
use protocol::text::bytes;
use std::ops::ControlFlow;

/// See [`protocol::job::Work::BackupDatabase`].
pub fn database(context: &Context, asked: &Database) -> Result<Finished> {
    let done = dumped(context, &asked.database)?;
    let summary = told(&done);
    Finished::new(done, summary)
}

fn told(done: &DatabaseBackedUp) -> String {
    format!(
        "Dumped {} tables, {}, to {}",
        done.tables,
        bytes(done.dump_bytes),
        bytes(done.database.size_bytes)
    )
}

fn dumped(context: &Context, name: &str) -> Result<DatabaseBackedUp> {
    let server = Server::host();
    let total = database::estimate(&server, name)?;
    let mut upload = context.upload("database");
    let mut on = progress(context, total);
    let done = database::dump(&server, name, &mut upload, &mut on);
    // A cancel ends the client, which is then seen as a failed one.
    context.check()?;
    let done = done?;
    done.notes.iter().for_each(|note| context.complain(note));
    Ok(DatabaseBackedUp {
        database: upload.finish()?,
        dump_bytes: done.dump_bytes,
        tables: done.tables,
        client: done.client,
        server: done.server,
        notes: done.notes,
    })
}

/// Says how many bytes are done, and stops when the job is to stop.
pub fn progress(context: &Context, total: u64) -> impl FnMut(u64) -> ControlFlow<()> {
    move |done| {
        context.progress(done, Some(total.max(done)), "bytes");
        if context.is_cancelled() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }
}

/// See [`protocol::job::Work::BackupSite`].
pub fn site(context: &Context, asked: &BackupSite) -> Result<Finished> {
    let mut said = Vec::new();
    let database = match &asked.database {
        Some(name) => {
            let done = dumped(context, name)?;
            said.push(told(&done));
            Some(done)
        }
        None => None,
    };
    let files = match &asked.files {
        Some(asked) => {
            let done = files::archived(context, asked)?;
            said.push(files::told(&done));
            Some(done)
        }
        None => None,
    };
    Finished::new(SiteBackedUp { database, files }, said.join("; "))
}
