//! The words everything else speaks: ids, states with their transitions, records, errors.
//!
//! Promise: plain values. No AWS, no async, no clock; an illegal transition cannot be expressed as an allowed one.

pub mod backup;
pub mod backup_configuration;
pub mod deployment;
pub mod error;
pub mod ids;
pub mod job;
pub mod lifecycle;
pub mod names;
pub mod release;
pub mod release_diff;
pub mod retention;
pub mod schedule;
pub mod scope;
pub mod state;
pub mod target;
pub mod upload;
pub mod vocabulary;

pub use backup::{
    Backup, BackupParent, BackupPlan, BackupReason, BackupScope, DatabaseContents, FilesContents,
    RestorePointStatus, SealedObject, backup_prefix,
};
pub use backup_configuration::BackupConfiguration;
pub use deployment::{
    Actor, ActorKind, Deployment, DeploymentStep, Failure, OnCommit, Progress, StepKind,
    StepServer, TargetRef,
};
pub use error::{ErrorKind, SERVER_UNREACHABLE, StepError};
pub use ids::{
    BackupConfigurationId, BackupId, DeploymentId, EnvironmentId, ProjectId, SecretId, ServerId,
    ServiceId, SiteId, TeamId, TokenId, UploadId, WebhookEndpointId,
};
pub use job::{
    AGENT_LOST, Access, JOB_DONE, Job, JobObject, JobOrder, SILENCE_SECONDS, job_name, log_key,
};
pub use release::{Environment, FrozenRelease, Project, Service};
pub use release_diff::ReleaseDiff;
pub use retention::Retention;
pub use schedule::Schedule;
pub use scope::{Role, Scope};
pub use state::{
    DeploymentStatus, Dispatch, EnvironmentStatus, Outcome, Phase, Settlement, StepStatus,
    Transitions, Trigger,
};
pub use target::{
    HostKey, LockKey, Server, ServerFacts, ServerStatus, Site, SiteStatus, TargetKind,
};
pub use upload::Upload;
pub use vocabulary::Vocabulary;

/// When something happened: UTC, stored and shown as RFC 3339 with milliseconds.
pub type Time = chrono::DateTime<chrono::Utc>;

/// The one way a time is written.
pub fn rfc3339(time: Time) -> String {
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

/// The number in every record's `schema`. Readers accept it and the one before.
pub const SCHEMA: u32 = 1;

/// Times in records, always with milliseconds, so that they sort as text.
pub mod time_text {
    use super::Time;
    use serde::{Deserialize, Deserializer, Serializer};

    /// As RFC 3339 with milliseconds.
    pub fn serialize<S: Serializer>(time: &Time, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::rfc3339(*time))
    }

    /// Any RFC 3339 time.
    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Time, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }

    /// The same for times that may be absent.
    pub mod option {
        use super::Time;
        use serde::{Deserialize, Deserializer, Serializer};

        /// As RFC 3339 with milliseconds, or null.
        pub fn serialize<S: Serializer>(time: &Option<Time>, to: S) -> Result<S::Ok, S::Error> {
            match time {
                Some(time) => super::serialize(time, to),
                None => to.serialize_none(),
            }
        }

        /// Any RFC 3339 time, or null.
        pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Time>, D::Error> {
            match Option::<String>::deserialize(from)? {
                Some(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
                None => Ok(None),
            }
        }
    }
}
