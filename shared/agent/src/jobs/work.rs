//! The one place where each work is called, in the job itself and in its child of the site's user.
//!
//! Promise: what this agent cannot do yet is refused before anything is touched.

use crate::fault::{Result, refused};
use crate::host;
use crate::jobs::context::Context;
use protocol::AgentError;
use protocol::job::Work;
use protocol::{DatabaseName, SiteName};
use serde::Serialize;

/// Work that is done.
#[derive(Debug)]
pub struct Finished {
    /// As its [`Work`] says.
    pub gives: serde_json::Value,
    /// One line for people: "Archived 11,962 files, 938 MB".
    pub summary: String,
}

impl Finished {
    /// With what it gives.
    pub fn new(gives: impl Serialize, summary: impl Into<String>) -> Result<Self> {
        let gives = serde_json::to_value(gives).map_err(|_| {
            crate::fault::broken("reply_lost", "What a job gives could not be written.")
        })?;
        Ok(Self {
            gives,
            summary: summary.into(),
        })
    }
}

/// Do it, with root's rights; every touch of a site's tree belongs into [`Context::child`].
pub fn perform(_context: &Context, work: &Work) -> Result<Finished> {
    match work {
        Work::BackupDatabase(_) => Err(unknown("back up a database")),
        Work::CollectFiles(_) => Err(unknown("collect files")),
        Work::ArchiveFiles(_) => Err(unknown("archive files")),
        Work::BackupSite(_) => Err(unknown("back up a site")),
        Work::DownloadBackup(_) => Err(unknown("download a backup")),
        Work::RestoreDatabase(_) => Err(unknown("restore a database")),
        Work::RestoreFiles(_) => Err(unknown("restore files")),
        Work::CleanUpRestore(_) => Err(unknown("clean up after a restore")),
    }
}

/// The part that runs as the site's user, named by the argument that [`Context::child`] was given.
pub fn child(name: &str) -> Result<serde_json::Value> {
    Err(unknown(name))
}

/// See [`protocol::Call::DatabaseSwapBack`].
pub fn database_swap_back(_work: &mut host::Work<'_>, _asked: &DatabaseName) -> Result<()> {
    Err(unknown("swap a database back"))
}

/// See [`protocol::Call::FilesSwapBack`].
pub fn files_swap_back(_work: &mut host::Work<'_>, _asked: &SiteName) -> Result<()> {
    Err(unknown("swap files back"))
}

fn unknown(what: &str) -> AgentError {
    refused(
        "unknown_work",
        format!("This agent cannot {what}. Run check_server, which upgrades it."),
    )
}
