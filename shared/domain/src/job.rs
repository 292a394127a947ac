//! A step's work in the hands of a server's agent.
//!
//! Promise: what stands here says who may report how the step ended, and where its bytes go; no secret is in clear.

use crate::{DeploymentId, SCHEMA, ServerId, TeamId, Time, time_text};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a job's function answers in the place of an error when there is nothing to wait for: the step is done already.
pub const JOB_DONE: &str = "Triphammer.Done";

/// A job's agent says that it lives at least every 15 seconds; six lost words are a lost agent.
pub const SILENCE_SECONDS: u32 = 90;

/// The code of a server's failure whose agent is silent.
pub const AGENT_LOST: &str = "agent_lost";

/// A job that was given to an agent: one a step, replaced when the step is begun again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Job {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its step.
    pub step: String,
    /// Where, when the step is done on each server of an environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<ServerId>,
    /// Of the worker that started it or took it over; a report with another one is not heard.
    pub fence: u64,
    /// Step Functions waits for this.
    pub token: String,
    /// Hex SHA-256 of what it proves itself with.
    pub secret_hash: String,
    /// The meta under which later steps find what it gave; absent when it gives nothing.
    pub gives: Option<String>,
    /// What it may read and write in the store, by the words it uses.
    pub objects: BTreeMap<String, JobObject>,
    /// Bytes of log it sent.
    pub log_bytes: u64,
    /// When its agent last said a word; written for jobs that others of their step outlive.
    #[serde(
        default,
        with = "time_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub heard_at: Option<Time>,
    /// Where its whole log is, once it is over and the lines were put together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_key: Option<String>,
}

/// Where the whole log of a step's job is: one line of JSON for each line of the log, of all its workers.
pub fn log_key(team: TeamId, deployment: DeploymentId, job: &str) -> String {
    format!("logs/{team}/{deployment}/{job}.jsonl")
}

/// The word for a step's job in keys: `archive_files`, or `build_image@01J…` when each server has one.
pub fn job_name(step: &str, server: Option<ServerId>) -> String {
    match server {
        None => step.to_string(),
        Some(server) => format!("{step}@{server}"),
    }
}

/// An object of the store that a job may touch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobObject {
    /// Its key in the bucket.
    pub key: String,
    /// Read or write.
    pub access: Access,
    /// The upload of its parts, once there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<String>,
    /// Hex SHA-256, once it is complete and was read back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
}

/// What a job may do with an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Fetch it.
    Read,
    /// Send it, once.
    Write,
}

impl JobObject {
    /// An object that is fetched.
    pub fn read(key: impl Into<String>) -> Self {
        Self::of(key, Access::Read)
    }

    /// An object that is sent.
    pub fn write(key: impl Into<String>) -> Self {
        Self::of(key, Access::Write)
    }

    fn of(key: impl Into<String>, access: Access) -> Self {
        Self {
            key: key.into(),
            access,
            upload_id: None,
            sha256: None,
        }
    }
}

impl Job {
    /// As [`job_name`].
    pub fn name(&self) -> String {
        job_name(&self.step, self.server)
    }

    /// Has its agent been silent for too long? Not known of one that nobody listened to.
    pub fn is_silent(&self, now: Time) -> bool {
        let limit = chrono::TimeDelta::seconds(i64::from(SILENCE_SECONDS));
        self.heard_at.is_some_and(|heard| now - heard > limit)
    }

    /// A job that begins, or goes on with what an earlier worker of the same step sent.
    pub fn begun(
        step: &str,
        server: Option<ServerId>,
        fence: u64,
        token: &str,
        secret_hash: String,
        order: JobOrder,
        earlier: Option<&Job>,
    ) -> Self {
        let mut objects = order.objects;
        for (name, object) in &mut objects {
            let same = earlier
                .and_then(|job| job.objects.get(name))
                .filter(|old| old.key == object.key && old.access == object.access);
            if let Some(old) = same {
                object.clone_from(old);
            }
        }
        Self {
            schema: SCHEMA,
            step: step.to_string(),
            server,
            fence,
            token: token.to_string(),
            secret_hash,
            gives: order.gives,
            objects,
            log_bytes: earlier.map_or(0, |job| job.log_bytes),
            heard_at: None,
            log_key: None,
        }
    }
}

/// What a step says of the job that it starts.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct JobOrder {
    /// What it may read and write.
    pub objects: BTreeMap<String, JobObject>,
    /// The meta under which later steps find what it gives.
    pub gives: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(key: &str) -> JobOrder {
        JobOrder {
            objects: BTreeMap::from([("files".to_string(), JobObject::write(key))]),
            gives: None,
        }
    }

    #[test]
    fn a_job_begun_again_goes_on_with_its_upload_and_with_no_other() {
        let mut first = Job::begun(
            "archive_files",
            None,
            1,
            "t1",
            "h1".into(),
            order("a"),
            None,
        );
        first.objects.get_mut("files").expect("an object").upload_id = Some("u1".into());
        let again = Job::begun(
            "archive_files",
            None,
            2,
            "t2",
            "h2".into(),
            order("a"),
            Some(&first),
        );
        assert_eq!(again.objects["files"].upload_id.as_deref(), Some("u1"));
        let other = Job::begun(
            "archive_files",
            None,
            2,
            "t2",
            "h2".into(),
            order("b"),
            Some(&first),
        );
        assert_eq!(other.objects["files"].upload_id, None);
    }
}
