//! The one place where each work is called, in the job itself and in its child of the site's user.
//!
//! Promise: what this agent cannot do yet is refused before anything is touched.

use crate::fault::{Result, refused};
use crate::jobs::context::Context;
use crate::release::{containers, health, images, source, switch};
use crate::{backup, restore};
use protocol::AgentError;
use protocol::job::Work;
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
pub fn perform(context: &Context, work: &Work) -> Result<Finished> {
    match work {
        Work::BackupDatabase(asked) => backup::database(context, asked),
        Work::CollectFiles(asked) => backup::collect(context, asked),
        Work::ArchiveFiles(asked) => backup::files(context, asked),
        Work::BackupSite(asked) => backup::site(context, asked),
        Work::DownloadBackup(asked) => restore::download(context, asked),
        Work::RestoreDatabase(asked) => restore::database(context, asked),
        Work::RestoreFiles(asked) => restore::files(context, asked),
        Work::CleanUpRestore(asked) => restore::clean_up(context, asked),
        Work::FetchSource(asked) => source::fetch(context, asked),
        Work::BuildImage(asked) => images::build(context, asked),
        Work::PullImages(asked) => images::pull(context, asked),
        Work::StartContainers(asked) => containers::start(context, asked),
        Work::AwaitHealth(asked) => health::wait(context, asked),
        Work::FinishRelease(asked) => switch::finish(context, asked),
        Work::StopEnvironment(asked) => containers::stop(context, asked),
        Work::StartEnvironment(asked) => containers::start_again(context, asked),
        Work::RestartEnvironment(asked) => containers::restart(context, asked),
        Work::RemoveEnvironment(asked) => containers::clear(context, asked),
        Work::SaveImages(asked) => images::save(context, asked),
        Work::LoadImages(asked) => images::load(context, asked),
    }
}

/// The part that runs as the site's user, named by the argument that [`Context::child`] was given.
pub fn child(name: &str) -> Result<serde_json::Value> {
    match name {
        backup::SURVEY => backup::child_survey(),
        backup::ARCHIVE => backup::child_archive(),
        other => Err(unknown(other)),
    }
}

fn unknown(what: &str) -> AgentError {
    refused(
        "unknown_work",
        format!("This agent cannot {what}. Run check_server, which upgrades it."),
    )
}
