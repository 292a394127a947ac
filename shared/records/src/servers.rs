//! Servers.
//!
//! Promise: a server is changed by reading, deciding and writing over what was read, or not at all.

use crate::item::{item, key, record};
use crate::{Records, RecordsError, keys};
use domain::{Server, ServerId, TeamId};

impl Records {
    /// One server.
    pub async fn server(&self, team: TeamId, id: ServerId) -> Result<Server, RecordsError> {
        record(
            self.get(keys::server(team, id))
                .await?
                .ok_or(RecordsError::NotFound("server"))?,
        )
    }

    /// A team's servers, oldest first.
    pub async fn servers(&self, team: TeamId) -> Result<Vec<Server>, RecordsError> {
        self.query(keys::team(team), "SERVER#")
            .await?
            .into_iter()
            .map(record)
            .collect()
    }

    /// Change a server; `change` may be called again with a newer one. Its status belongs to settle and is not written here.
    pub async fn server_update(
        &self,
        team: TeamId,
        id: ServerId,
        mut change: impl FnMut(&mut Server),
    ) -> Result<Server, RecordsError> {
        for attempt in 0..8 {
            let before = self
                .get(keys::server(team, id))
                .await?
                .ok_or(RecordsError::NotFound("server"))?;
            let mut server: Server = record(before.clone())?;
            change(&mut server);
            let after = item(keys::server(team, id), &server)?;
            // Only what changed is written and compared: a status set by settle meanwhile stays.
            let changed: Vec<_> = after
                .iter()
                .filter(|(name, value)| before.get(*name) != Some(value))
                .collect();
            if changed.is_empty() {
                return Ok(server);
            }
            let mut update = self
                .client
                .update_item()
                .table_name(&self.table)
                .set_key(Some(key(keys::server(team, id))));
            let (mut sets, mut conditions) = (Vec::new(), vec!["attribute_exists(pk)".to_string()]);
            for (at, (name, value)) in changed.into_iter().enumerate() {
                sets.push(format!("#n{at} = :v{at}"));
                update = update
                    .expression_attribute_names(format!("#n{at}"), name)
                    .expression_attribute_values(format!(":v{at}"), value.clone());
                match before.get(name) {
                    Some(old) => {
                        conditions.push(format!("#n{at} = :o{at}"));
                        update = update.expression_attribute_values(format!(":o{at}"), old.clone());
                    }
                    None => conditions.push(format!("attribute_not_exists(#n{at})")),
                }
            }
            let sent = update
                .update_expression(format!("SET {}", sets.join(", ")))
                .condition_expression(conditions.join(" AND "))
                .send()
                .await;
            match sent {
                Ok(_) => return Ok(server),
                Err(error)
                    if error
                        .as_service_error()
                        .is_some_and(|error| error.is_conditional_check_failed_exception()) =>
                {
                    Self::jitter(attempt).await
                }
                Err(error) => return Err(crate::error::from_sdk(error)),
            }
        }
        Err(RecordsError::Contended)
    }
}
