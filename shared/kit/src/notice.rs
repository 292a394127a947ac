//! Notices: what waits in the queue between the notifier, which sees that something happened, and the sender, which tells people.
//!
//! Promise: a notice that comes twice is the same notice, so each receiver is told of it under one id.

use domain::{
    BackupConfigurationId, DeploymentId, SiteId, StepError, TeamId, Time, WebhookEndpointId,
    time_text,
};
use serde::{Deserialize, Serialize};

/// The body of a message in the queue, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose.
    pub team_id: TeamId,
    /// What happened, and to what.
    #[serde(flatten)]
    pub subject: Subject,
}

/// What happened; its name is the `type` that receivers read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind")]
pub enum Subject {
    /// An undo failed: something is left on the target, and its lock is kept until a person has looked.
    #[serde(rename = "deployment.needs_attention")]
    NeedsAttention {
        /// Which deployment.
        deployment_id: DeploymentId,
        /// Its `seq` when it happened: a stream tells a change more than once, and it may happen again later.
        seq: u64,
    },
    /// A backup that a schedule began did not complete.
    #[serde(rename = "backup.failed")]
    BackupFailed {
        /// Which deployment.
        deployment_id: DeploymentId,
        /// Of which site.
        site_id: SiteId,
        /// By which configuration.
        configuration_id: BackupConfigurationId,
    },
    /// A backup was due a whole period ago, and there is none since.
    #[serde(rename = "backup.missing")]
    BackupMissing {
        /// Of which site.
        site_id: SiteId,
        /// By which configuration.
        configuration_id: BackupConfigurationId,
        /// When it was due.
        #[serde(with = "time_text")]
        due_at: Time,
    },
}

impl Subject {
    /// What happened, as receivers read it in `type`.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NeedsAttention { .. } => "deployment.needs_attention",
            Self::BackupFailed { .. } => "backup.failed",
            Self::BackupMissing { .. } => "backup.missing",
        }
    }
}

impl Notice {
    /// The id under which an endpoint is told of it, each time the same; it holds no dot, as signatures want it.
    pub fn message_id(&self, endpoint: WebhookEndpointId) -> String {
        match &self.subject {
            Subject::NeedsAttention { deployment_id, seq } => {
                format!("msg_{deployment_id}_{seq}_{endpoint}")
            }
            // The verdict falls once.
            Subject::BackupFailed { deployment_id, .. } => {
                format!("msg_{deployment_id}_failed_{endpoint}")
            }
            Subject::BackupMissing {
                configuration_id,
                due_at,
                ..
            } => format!("msg_{configuration_id}_{}_{endpoint}", due_at.timestamp()),
        }
    }
}

/// Where notices wait for the sender.
#[derive(Debug, Clone)]
pub struct Notices {
    client: aws_sdk_sqs::Client,
    queue: String,
}

impl Notices {
    /// Of this stack.
    pub async fn new(config: &crate::Config) -> Self {
        Self {
            client: aws_sdk_sqs::Client::new(&crate::cloud::aws_config().await),
            queue: config.notices_queue.clone(),
        }
    }

    /// Let it be sent. Safe to repeat: receivers know it by its id.
    pub async fn put(&self, notice: &Notice) -> Result<(), StepError> {
        let body = serde_json::to_string(notice).map_err(StepError::broken)?;
        let sent = self
            .client
            .send_message()
            .queue_url(&self.queue)
            .message_body(body)
            .send()
            .await;
        sent.map(|_| ()).map_err(|error| {
            StepError::unavailable("notices_unavailable", "The queue of notices is away.")
                .caused_by(error)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notice(seq: u64) -> Notice {
        Notice {
            team_id: TeamId::from_parts(1, 1),
            subject: Subject::NeedsAttention {
                deployment_id: DeploymentId::from_parts(2, 2),
                seq,
            },
        }
    }

    fn missing(seconds: i64) -> Notice {
        Notice {
            team_id: TeamId::from_parts(1, 1),
            subject: Subject::BackupMissing {
                site_id: SiteId::from_parts(5, 5),
                configuration_id: BackupConfigurationId::from_parts(6, 6),
                due_at: Time::from_timestamp(seconds, 0).expect("a time"),
            },
        }
    }

    fn failed() -> Notice {
        Notice {
            team_id: TeamId::from_parts(1, 1),
            subject: Subject::BackupFailed {
                deployment_id: DeploymentId::from_parts(2, 2),
                site_id: SiteId::from_parts(5, 5),
                configuration_id: BackupConfigurationId::from_parts(6, 6),
            },
        }
    }

    #[test]
    fn a_notice_reads_back_as_it_was_written_and_its_kind_is_the_events_type() {
        for notice in [notice(7), missing(7), failed()] {
            let text = serde_json::to_string(&notice).expect("JSON");
            let kind = format!(r#""kind":"{}""#, notice.subject.kind());
            assert!(text.contains(&kind), "{text}");
            let read: Notice = serde_json::from_str(&text).expect("a notice");
            assert_eq!(read, notice);
        }
    }

    #[test]
    fn a_notice_that_waits_in_the_queue_since_before_is_understood() {
        let id = DeploymentId::from_parts(2, 2);
        let text = format!(
            r#"{{"team_id":"{}","deployment_id":"{id}","kind":"deployment.needs_attention","seq":7}}"#,
            TeamId::from_parts(1, 1)
        );
        assert_eq!(
            serde_json::from_str::<Notice>(&text).expect("a notice"),
            notice(7)
        );
    }

    #[test]
    fn a_message_is_of_one_endpoint_and_one_moment() {
        let (one, two) = (
            WebhookEndpointId::from_parts(3, 3),
            WebhookEndpointId::from_parts(4, 4),
        );
        let all = [notice(7), notice(8), missing(7), missing(8), failed()];
        for (at, notice) in all.iter().enumerate() {
            assert_eq!(notice.message_id(one), notice.message_id(one));
            assert_ne!(notice.message_id(one), notice.message_id(two));
            assert!(!notice.message_id(one).contains('.'));
            let others = all.iter().enumerate().filter(|(other, _)| *other != at);
            for (_, other) in others {
                assert_ne!(notice.message_id(one), other.message_id(one));
            }
        }
    }
}
