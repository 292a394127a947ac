//! Webhook endpoints: the addresses that a team's notices are sent to.
//!
//! Promise: an endpoint comes and goes with its sealed secret and its audit entry, and a team never has more than the limit.

use crate::item::{item, record};
use crate::transact::Written;
use crate::{AuditEntry, Records, RecordsError, SealedSecret, keys};
use domain::{SCHEMA, SecretId, TeamId, Time, WebhookEndpointId, time_text};
use serde::{Deserialize, Serialize};

/// Because each notice waits for all of a team's endpoints, and more receivers than these share one of their own.
pub const WEBHOOK_ENDPOINTS_LIMIT: u64 = 10;

/// How often a write that met another one is tried before others are let through.
const ATTEMPTS: u32 = 8;

/// An address that notices are sent to.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WebhookEndpoint {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: WebhookEndpointId,
    /// Its team.
    pub team_id: TeamId,
    /// Where they go.
    pub url: String,
    /// What they are signed with, `whsec_…`, in the secrets table.
    pub secret: SecretId,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

impl WebhookEndpoint {
    /// A new one.
    pub fn new(
        id: WebhookEndpointId,
        team_id: TeamId,
        url: &str,
        secret: SecretId,
        created_at: Time,
    ) -> Self {
        Self {
            schema: SCHEMA,
            id,
            team_id,
            url: url.to_string(),
            secret,
            created_at,
        }
    }
}

impl Records {
    /// Store an endpoint and its secret, if the team has room for it.
    pub async fn webhook_endpoint_create(
        &self,
        endpoint: &WebhookEndpoint,
        secret: &SealedSecret,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let (team, number) = (endpoint.team_id, Self::number);
        for attempt in 0..ATTEMPTS {
            let writes = vec![
                self.put_new(item(keys::webhook_endpoint(team, endpoint.id), endpoint)?)?,
                self.put_new_secret(item(keys::secret(team, secret.id), secret)?)?,
                self.update(
                    keys::webhook_endpoint_count(team),
                    "SET held = if_not_exists(held, :none) + :one",
                    "attribute_not_exists(held) OR held < :limit",
                    vec![
                        (":none", number(0)),
                        (":one", number(1)),
                        (":limit", number(WEBHOOK_ENDPOINTS_LIMIT)),
                    ],
                )?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            let held = self.webhook_endpoints(team).await?.len();
            if u64::try_from(held).unwrap_or(u64::MAX) >= WEBHOOK_ENDPOINTS_LIMIT {
                return Err(RecordsError::LimitReached {
                    of: "team",
                    what: "webhook endpoints",
                    limit: WEBHOOK_ENDPOINTS_LIMIT,
                });
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// A team's endpoints, oldest first.
    pub async fn webhook_endpoints(
        &self,
        team: TeamId,
    ) -> Result<Vec<WebhookEndpoint>, RecordsError> {
        self.query(keys::team(team), "WEBHOOK_ENDPOINT#")
            .await?
            .into_iter()
            .map(record)
            .collect()
    }

    /// Delete an endpoint and its secret, for good.
    pub async fn webhook_endpoint_delete(
        &self,
        team: TeamId,
        id: WebhookEndpointId,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        for attempt in 0..ATTEMPTS {
            let endpoint: WebhookEndpoint = record(
                self.get(keys::webhook_endpoint(team, id))
                    .await?
                    .ok_or(RecordsError::NotFound("webhook endpoint"))?,
            )?;
            let writes = vec![
                self.delete_if(
                    keys::webhook_endpoint(team, id),
                    "attribute_exists(pk)",
                    Vec::new(),
                )?,
                self.delete_secret(keys::secret(team, endpoint.secret))?,
                self.update(
                    keys::webhook_endpoint_count(team),
                    "SET held = held - :one",
                    "held > :none",
                    vec![(":none", Self::number(0)), (":one", Self::number(1))],
                )?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }
}
