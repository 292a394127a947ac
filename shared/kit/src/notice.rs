//! Notices: what waits in the queue between the notifier, which sees that something happened, and the sender, which tells people.
//!
//! Promise: a notice that comes twice is the same notice, so each receiver is told of it under one id.

use domain::{DeploymentId, StepError, TeamId, WebhookEndpointId};
use serde::{Deserialize, Serialize};

/// The body of a message in the queue, as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Whose.
    pub team_id: TeamId,
    /// About which deployment.
    pub deployment_id: DeploymentId,
    /// What happened.
    pub kind: NoticeKind,
    /// The deployment's `seq` when it happened: a stream tells a change more than once, and it may happen again later.
    pub seq: u64,
}

/// What happened, as receivers read it in `type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeKind {
    /// An undo failed: something is left on the target, and its lock is kept until a person has looked.
    #[serde(rename = "deployment.needs_attention")]
    DeploymentNeedsAttention,
}

impl Notice {
    /// The id under which an endpoint is told of it, each time the same; it holds no dot, as signatures want it.
    pub fn message_id(&self, endpoint: WebhookEndpointId) -> String {
        format!("msg_{}_{}_{endpoint}", self.deployment_id, self.seq)
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
            deployment_id: DeploymentId::from_parts(2, 2),
            kind: NoticeKind::DeploymentNeedsAttention,
            seq,
        }
    }

    #[test]
    fn a_notice_reads_back_as_it_was_written_and_its_kind_is_the_events_type() {
        let text = serde_json::to_string(&notice(7)).expect("JSON");
        assert!(
            text.contains(r#""kind":"deployment.needs_attention""#),
            "{text}"
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
        assert_eq!(notice(7).message_id(one), notice(7).message_id(one));
        assert_ne!(notice(7).message_id(one), notice(7).message_id(two));
        assert_ne!(notice(7).message_id(one), notice(8).message_id(one));
        assert!(!notice(7).message_id(one).contains('.'));
    }
}
