//! One notice, to one endpoint.
//!
//! Promise: an endpoint that has it is not called; one that answers 410 Gone is deleted, and the audit trail says why.

use crate::Sender;
use domain::{Actor, ActorKind, StepError, WebhookEndpointId};
use kit::notice::Notice;
use kit::webhook_signature::{self, sign};
use records::{AuditEntry, RecordsError, WebhookEndpoint};

/// How it came to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delivered {
    /// It has it now.
    Now,
    /// It had it already.
    Before,
    /// It wants no more of them.
    Gone,
}

impl Sender {
    /// An error means that it does not have the notice yet.
    pub(crate) async fn deliver(
        &self,
        notice: &Notice,
        endpoint: &WebhookEndpoint,
        body: &[u8],
    ) -> Result<Delivered, StepError> {
        let (cloud, team) = (&self.cloud, endpoint.team_id);
        let (id, now) = (notice.message_id(endpoint.id), cloud.clock.now());
        if cloud.records.notice_is_delivered(team, &id, now).await? {
            return Ok(Delivered::Before);
        }
        let secret = cloud
            .secrets
            .open(team, endpoint.secret, now.timestamp())
            .await?;
        let secret = std::str::from_utf8(&secret)
            .map_err(|_| StepError::broken("a signing secret is not text"))?;
        let headers = [
            ("content-type", "application/json"),
            (webhook_signature::ID, &id),
            (webhook_signature::TIMESTAMP, &now.timestamp().to_string()),
            (
                webhook_signature::SIGNATURE,
                &sign(secret, &id, now.timestamp(), body)?,
            ),
        ];
        let reply = self
            .outbound
            .post(&endpoint.url, &headers, body.to_vec())
            .await?;
        match reply.status {
            200..=299 => {
                // It has it, whatever becomes of the note: without one it may be told again, under the same id.
                if let Err(error) = cloud.records.notice_delivered(team, &id, now).await {
                    let error = StepError::from(error);
                    tracing::warn!(
                        message = id,
                        error = error.chain(),
                        "delivered, but not noted"
                    );
                }
                Ok(Delivered::Now)
            }
            410 => {
                self.forget(endpoint).await?;
                Ok(Delivered::Gone)
            }
            status => Err(StepError::unavailable(
                "not_taken",
                format!("The endpoint answered {status}."),
            )),
        }
    }

    async fn forget(&self, endpoint: &WebhookEndpoint) -> Result<(), StepError> {
        let (time, random) = self.cloud.id_parts();
        let audit = AuditEntry {
            id: WebhookEndpointId::from_parts(time, random).to_string(),
            at: self.cloud.clock.now(),
            actor: Actor {
                kind: ActorKind::System,
                id: "sender".to_string(),
                name: "Triphammer".to_string(),
                role: String::new(),
            },
            from: String::new(),
            action: "webhook_endpoint.delete".to_string(),
            target: endpoint.id.to_string(),
            detail: "it answered a notice with 410 Gone".to_string(),
        };
        let deleted = self
            .cloud
            .records
            .webhook_endpoint_delete(endpoint.team_id, endpoint.id, &audit)
            .await;
        match deleted {
            // A person was quicker.
            Ok(()) | Err(RecordsError::NotFound(_)) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}
