//! Histories: a team's, a target's, and what is open.
//!
//! Promise: newest first, one query and one batch read a page however long the history is; cursors are opaque.

use crate::error::from_sdk;
use crate::item::{Item, record, s};
use crate::{Records, RecordsError, keys};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use domain::{Deployment, DeploymentId, TargetKind, TeamId};
use std::collections::HashMap;

/// Entries, and where to go on.
#[derive(Debug)]
pub struct Page<T> {
    /// Newest first.
    pub items: Vec<T>,
    /// Where the next page begins.
    pub next_cursor: Option<String>,
}

impl Records {
    /// A team's deployments, newest first.
    pub async fn history_page(
        &self,
        team: TeamId,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Deployment>, RecordsError> {
        self.page(team, "by_team", "team_key", keys::team(team), cursor, limit)
            .await
    }

    /// A target's deployments, newest first.
    pub async fn target_history_page(
        &self,
        team: TeamId,
        kind: TargetKind,
        id: &str,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Deployment>, RecordsError> {
        let partition = format!("TEAM#{team}#{}:{id}", kind.as_str());
        self.page(team, "by_target", "target_key", partition, cursor, limit)
            .await
    }

    async fn page(
        &self,
        team: TeamId,
        index: &str,
        attribute: &str,
        partition: String,
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<Page<Deployment>, RecordsError> {
        // A cursor is the last id of the page before. The partition comes from the caller's own team, never from the cursor.
        let from = cursor.map(read_cursor).transpose()?.map(|id| {
            let (pk, sk) = keys::deployment(team, id);
            HashMap::from([
                ("pk".to_string(), s(pk)),
                ("sk".to_string(), s(sk)),
                (attribute.to_string(), s(partition.clone())),
                ("id".to_string(), s(id.to_string())),
            ])
        });
        let reply = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(index)
            .key_condition_expression("#key = :key")
            .expression_attribute_names("#key", attribute)
            .expression_attribute_values(":key", s(partition))
            .scan_index_forward(false)
            .limit(i32::try_from(limit).unwrap_or(100))
            .set_exclusive_start_key(from)
            .send()
            .await
            .map_err(from_sdk)?;
        let found: Vec<Item> = reply.items.unwrap_or_default();
        let text = |item: &Item, name: &str| {
            item.get(name)
                .and_then(|value| value.as_s().ok())
                .cloned()
                .unwrap_or_default()
        };
        let wanted = found
            .iter()
            .map(|item| (text(item, "pk"), text(item, "sk")));
        let mut items: Vec<Deployment> = self
            .get_all(wanted)
            .await?
            .into_iter()
            .map(record)
            .collect::<Result<_, _>>()?;
        items.sort_by_key(|deployment| std::cmp::Reverse(deployment.id));
        let next_cursor = reply.last_evaluated_key.and_then(|key| {
            key.get("id")
                .and_then(|id| id.as_s().ok())
                .and_then(|id| id.parse().ok())
                .map(write_cursor)
        });
        Ok(Page { items, next_cursor })
    }

    /// Every unsettled deployment of every team: for the sweeper alone.
    pub async fn open_deployments(&self) -> Result<Vec<(TeamId, DeploymentId)>, RecordsError> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let reply = self
                .client
                .query()
                .table_name(&self.table)
                .index_name("open")
                .key_condition_expression("open_key = :open")
                .expression_attribute_values(":open", s(keys::OPEN))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(from_sdk)?;
            for item in reply.items.into_iter().flatten() {
                let pk = item
                    .get("pk")
                    .and_then(|pk| pk.as_s().ok())
                    .cloned()
                    .unwrap_or_default();
                let mut parts = pk.split('#');
                let (team, id) = (parts.nth(1), parts.nth(1));
                if let (Some(Ok(team)), Some(Ok(id))) = (team.map(str::parse), id.map(str::parse)) {
                    found.push((team, id));
                }
            }
            from = reply.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }
}

/// Where the page after this one's last entry begins.
pub fn write_cursor(last: DeploymentId) -> String {
    URL_SAFE_NO_PAD.encode(last.to_string())
}

/// The last entry of the page before; only text that [`write_cursor`] writes is one.
pub fn read_cursor(cursor: &str) -> Result<DeploymentId, RecordsError> {
    let bytes = URL_SAFE_NO_PAD
        .decode(cursor)
        .map_err(|_| RecordsError::BadCursor)?;
    std::str::from_utf8(&bytes)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(RecordsError::BadCursor)
}
