//! The only crate that knows table and key names.
//!
//! Promise: every method takes the team and builds its keys from it; every status write is conditional; no scans.

mod audit;
mod backup_configurations;
mod backups;
mod create;
mod deployments;
mod environment_settings;
mod environments;
mod error;
mod history;
mod item;
mod jobs;
pub mod keys;
mod live;
mod logs;
mod making;
mod notices;
mod projects;
mod secrets;
mod servers;
mod services;
mod sites;
pub mod stream;
mod table;
mod tokens;
mod transact;
mod uploads;
mod values;
mod webhook_endpoints;

pub use audit::AuditEntry;
pub use backup_configurations::Occurrence;
pub use backups::Put;
pub use create::{Claim, CreateRefused, Created, Idempotency, NewDeployment, TargetRecord};
pub use deployments::{Applied, merged};
pub use environment_settings::environment_claims;
pub use environments::Seen;
pub use error::RecordsError;
pub use history::{Page, read_cursor, write_cursor};
pub use jobs::JobKey;
pub use live::{Connection, TOPICS_LIMIT, Ticket};
pub use logs::{LOG_CHUNK_LINES, LogChunk, LogLine, LogPosition, StepLogLine};
pub use making::Made;
pub use secrets::SealedSecret;
pub use stream::StreamChange;
pub use table::{INDEXES, create_records_table, create_secrets_table};
pub use tokens::TokenRecord;
pub use webhook_endpoints::{WEBHOOK_ENDPOINTS_LIMIT, WebhookEndpoint};

use aws_sdk_dynamodb::Client;

/// The records of all teams.
#[derive(Debug, Clone)]
pub struct Records {
    client: Client,
    table: String,
    secrets_table: String,
}

impl Records {
    /// Over this table and the one for secrets.
    pub fn new(client: Client, table: impl Into<String>, secrets_table: impl Into<String>) -> Self {
        Self {
            client,
            table: table.into(),
            secrets_table: secrets_table.into(),
        }
    }
}
