//! What the steps on a site or server share: what they need, and how they say what they did.
//!
//! Promise: one type per shape; a step names what it reads.

pub mod release;

use domain::{BackupPlan, JobObject, JobOrder, ServerId, SiteId, StepError};
use kit::step::Nothing;
use kit::{At, Done};
use protocol::job::{Files, Sealed, Work};
use serde::Deserialize;
use sites::Hosts;
use std::time::Duration;

/// As long as the machine waits for a job.
const JOB_LIMIT: Duration = Duration::from_secs(60 * 60);

/// A site on a server.
#[derive(Debug, Clone, Deserialize)]
pub struct SiteNeeds {
    /// The site.
    pub site_id: SiteId,
    /// Where it lives.
    pub server_id: ServerId,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerNeeds {
    /// The server.
    pub server_id: ServerId,
}

/// Give a step's work to the agent of its server.
pub async fn hand_over(
    hosts: &Hosts,
    at: &At,
    server: ServerId,
    order: JobOrder,
    work: Work,
) -> Result<Done<Nothing>, StepError> {
    let host = hosts.connect(at, server).await?;
    let ticket = at.job(order).await?;
    let started = host.start(ticket, JOB_LIMIT, work).await?;
    tracing::info!(?started, "the agent has it");
    Ok(Done::HandedOver)
}

/// What a job writes to a backup: these objects, under this meta.
pub fn written(backup: &BackupPlan, objects: &[&str], gives: &str) -> JobOrder {
    JobOrder {
        objects: objects
            .iter()
            .map(|name| (name.to_string(), JobObject::write(backup.key(name))))
            .collect(),
        gives: Some(gives.to_string()),
    }
}

/// The files of a backup, as the agent is asked for them; the parent's manifest is added to what the job may read.
pub fn files(backup: &BackupPlan, site: &str, order: &mut JobOrder) -> Files {
    if let Some(parent) = &backup.parent {
        let manifest = JobObject::read(&parent.manifest_key);
        order
            .objects
            .insert("parent_manifest".to_string(), manifest);
    }
    Files {
        site: site.to_string(),
        exclude: backup.exclude.clone(),
        parent: backup.parent.as_ref().map(|parent| Sealed {
            size_bytes: parent.manifest.size_bytes,
            sha256: parent.manifest.sha256.clone(),
        }),
    }
}

/// The lines of a reply, for people.
pub fn told(notes: &[String], otherwise: &str) -> String {
    if notes.is_empty() {
        otherwise.to_string()
    } else {
        notes.join("; ")
    }
}

/// Where WordPress comes from, as the configuration says it.
pub fn wordpress_source(setting: &str) -> Result<protocol::WordPressSource, StepError> {
    match setting.strip_prefix("directory:") {
        Some(path) => Ok(protocol::WordPressSource::Directory {
            path: path.to_string(),
        }),
        None if setting.starts_with("https://") || setting.starts_with("http://") => {
            let (url, sha256) = match setting.split_once("#sha256=") {
                Some((url, sum)) => (url, Some(sum.to_string())),
                None => (setting, None),
            };
            Ok(protocol::WordPressSource::Url {
                url: url.to_string(),
                sha256,
            })
        }
        None => Err(StepError::broken(format!(
            "WORDPRESS_SOURCE must be a URL or directory:/path, not {setting}"
        ))),
    }
}
