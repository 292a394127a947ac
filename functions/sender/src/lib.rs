//! Notices, from the queue to the addresses that a team named.
//!
//! Promise: a message leaves the queue when every endpoint of its team has the notice. One that fails brings the message
//! back, and those that have it already are not told again: a note of each delivery outlives the message. Only an end between
//! a receiver's yes and that note tells it twice, under the same `webhook-id`. Messages and endpoints fail each for itself.

mod delivery;
mod event;

use domain::{StepError, Time};
use event::NoticeEvent;
use futures_util::future::join_all;
use kit::notice::Notice;
use kit::{Cloud, Outbound};
use serde::{Deserialize, Serialize};

/// What SQS hands over.
#[derive(Debug, Deserialize)]
pub struct Event {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// Its name in the reply.
    pub message_id: String,
    /// A [`Notice`] as JSON.
    pub body: String,
    /// What SQS knows of it.
    #[serde(default)]
    pub attributes: Attributes,
}

/// What SQS knows of a message.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Attributes {
    /// When it was put into the queue: milliseconds since 1970.
    #[serde(default)]
    pub sent_timestamp: Option<String>,
}

/// Which messages come again.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reply {
    /// Each by itself; the others are done.
    pub batch_item_failures: Vec<Failed>,
}

/// A message that comes again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failed {
    /// Its `messageId`.
    pub item_identifier: String,
}

/// See the module.
#[derive(Debug)]
pub struct Sender {
    pub(crate) cloud: Cloud,
    pub(crate) outbound: Outbound,
}

impl Sender {
    /// From these records, by this client.
    pub fn new(cloud: Cloud, outbound: Outbound) -> Self {
        Self { cloud, outbound }
    }

    /// One batch. Its messages go one after another, each to all of its endpoints at once: so it takes 5 seconds a message at most.
    pub async fn send(&self, event: Event) -> Reply {
        let mut batch_item_failures = Vec::new();
        for message in event.records {
            // Boxed: the SDK's futures are too deep for the compiler to lay out in one piece.
            if let Err(error) = Box::pin(self.tell(&message)).await {
                tracing::error!(
                    message = message.message_id,
                    error = error.chain(),
                    "a notice was not delivered to all"
                );
                batch_item_failures.push(Failed {
                    item_identifier: message.message_id,
                });
            }
        }
        Reply {
            batch_item_failures,
        }
    }

    async fn tell(&self, message: &Message) -> Result<(), StepError> {
        let notice: Notice = serde_json::from_str(&message.body).map_err(StepError::broken)?;
        let (team, kind) = (notice.team_id, notice.subject.kind());
        let endpoints = self.cloud.records.webhook_endpoints(team).await?;
        if endpoints.is_empty() {
            tracing::info!(%team, subject = ?notice.subject, "nobody is to be told: the team has no webhook endpoint");
            return Ok(());
        }
        let read = NoticeEvent::read(&self.cloud.records, &notice, self.happened(message)).await?;
        let Some(event) = read else {
            // It will not come back, and there is nothing to say of it.
            tracing::warn!(%team, subject = ?notice.subject, "nobody is told: it is not there any more");
            return Ok(());
        };
        let body = serde_json::to_vec(&event).map_err(StepError::broken)?;
        let told = join_all(
            endpoints
                .iter()
                .map(|endpoint| Box::pin(self.deliver(&notice, endpoint, &body))),
        )
        .await;
        let mut failed = 0;
        for (endpoint, told) in endpoints.iter().zip(told) {
            match told {
                Ok(delivered) => {
                    tracing::info!(%team, kind, endpoint = %endpoint.id, ?delivered, "told");
                }
                Err(error) => {
                    failed += 1;
                    tracing::warn!(%team, kind, endpoint = %endpoint.id, error = error.chain(), "not told");
                }
            }
        }
        match failed {
            0 => Ok(()),
            _ => Err(StepError::unavailable(
                "not_delivered",
                format!(
                    "{failed} of {} endpoints do not have the notice.",
                    endpoints.len()
                ),
            )),
        }
    }

    /// When what is told of happened: the notice was put into the queue then.
    fn happened(&self, message: &Message) -> Time {
        let sent = message.attributes.sent_timestamp.as_deref();
        sent.and_then(|milliseconds| milliseconds.parse().ok())
            .and_then(Time::from_timestamp_millis)
            .unwrap_or_else(|| self.cloud.clock.now())
    }
}
