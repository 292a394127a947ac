//! The audit trail: who did what, from where, to what.
//!
//! Promise: an entry is written in the transaction of what it tells, and never changed.

use crate::item::{Item, item, record, s};
use crate::{Page, Records, RecordsError, keys};
use domain::{Actor, TeamId, Time, time_text};
use serde::{Deserialize, Serialize};

/// One entry.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct AuditEntry {
    /// Its own id: sorts by time.
    pub id: String,
    /// When.
    #[serde(with = "time_text")]
    pub at: Time,
    /// Who.
    pub actor: Actor,
    /// From which address.
    pub from: String,
    /// What: `site.create`.
    pub action: String,
    /// To what.
    pub target: String,
    /// More, for people. Never a secret.
    pub detail: String,
}

impl AuditEntry {
    pub(crate) fn item(&self, team: TeamId) -> Result<Item, RecordsError> {
        item((keys::audit_partition(team), self.id.clone()), self)
    }
}

impl Records {
    /// Write an entry that belongs to no other write.
    pub async fn audit_write(&self, team: TeamId, entry: &AuditEntry) -> Result<(), RecordsError> {
        self.write_all(vec![self.put_new(entry.item(team)?)?])
            .await
            .map(|_| ())
    }

    /// A team's trail, newest first.
    pub async fn audit_page(
        &self,
        team: TeamId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<AuditEntry>, RecordsError> {
        let from = match cursor {
            None => None,
            Some(id) if id.len() == 26 && id.bytes().all(|b| b.is_ascii_alphanumeric()) => Some(
                crate::item::key((keys::audit_partition(team), id.to_string())),
            ),
            Some(_) => return Err(RecordsError::BadCursor),
        };
        let reply = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :pk")
            .expression_attribute_values(":pk", s(keys::audit_partition(team)))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(100))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(crate::error::from_sdk)?;
        let next_cursor = reply
            .last_evaluated_key
            .and_then(|key| key.get("sk").and_then(|sk| sk.as_s().ok()).cloned());
        Ok(Page {
            items: reply
                .items
                .into_iter()
                .flatten()
                .map(record)
                .collect::<Result<_, _>>()?,
            next_cursor,
        })
    }
}
