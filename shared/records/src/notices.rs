//! Which notices an endpoint has.
//!
//! Promise: a note is kept longer than any queue keeps the message that would send the notice again.

use crate::error::from_sdk;
use crate::item::{item, record};
use crate::{Records, RecordsError, keys};
use domain::{SCHEMA, TeamId, Time};
use serde::{Deserialize, Serialize};

/// Because SQS keeps a message for 14 days at most, in a queue for failures too; one more for clocks.
const KEPT_SECONDS: i64 = 15 * 24 * 60 * 60;

#[derive(Debug, Serialize, Deserialize)]
struct Delivered {
    schema: u32,
    /// Seconds since 1970 after which it is of no use; DynamoDB removes it some time later.
    expires_at: i64,
}

impl Records {
    /// Note that an endpoint has this message. Noting it again keeps it longer.
    pub async fn notice_delivered(
        &self,
        team: TeamId,
        message_id: &str,
        now: Time,
    ) -> Result<(), RecordsError> {
        let note = Delivered {
            schema: SCHEMA,
            expires_at: now.timestamp() + KEPT_SECONDS,
        };
        self.client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(item(keys::notice(team, message_id), &note)?))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }

    /// Has its endpoint this message?
    pub async fn notice_is_delivered(
        &self,
        team: TeamId,
        message_id: &str,
        now: Time,
    ) -> Result<bool, RecordsError> {
        let found = self.get(keys::notice(team, message_id)).await?;
        let note: Option<Delivered> = found.map(record).transpose()?;
        Ok(note.is_some_and(|note| note.expires_at > now.timestamp()))
    }
}
