//! An environment's values: each change is a new version, with all of them in one secret.
//!
//! Promise: version, secret and the environment's number come together; a version never changes.

use crate::item::{item, record};
use crate::transact::Written;
use crate::{AuditEntry, Records, RecordsError, SealedSecret, keys};
use domain::release::ValuesVersion;
use domain::{EnvironmentId, TeamId};

impl Records {
    /// Store the version after the newest one. False when another one came in between: read again.
    pub async fn values_put(
        &self,
        (team, id): (TeamId, EnvironmentId),
        version: &ValuesVersion,
        secret: &SealedSecret,
        audit: &AuditEntry,
    ) -> Result<bool, RecordsError> {
        let at = keys::values_version(team, id, version.version);
        let writes = vec![
            self.put_new(item(at, version)?)?,
            self.put_new_secret(item(keys::secret(team, secret.id), secret)?)?,
            self.update(
                keys::environment(team, id),
                "SET values_version = :next ADD revision :one",
                "values_version = :read",
                vec![
                    (":next", Self::number(version.version)),
                    (":read", Self::number(version.version.saturating_sub(1))),
                    (":one", Self::number(1)),
                ],
            )?,
            self.put_new(audit.item(team)?)?,
        ];
        Ok(self.write_all(writes).await? == Written::All)
    }

    /// One version; none for 0.
    pub async fn values_version(
        &self,
        team: TeamId,
        id: EnvironmentId,
        version: u64,
    ) -> Result<Option<ValuesVersion>, RecordsError> {
        if version == 0 {
            return Ok(None);
        }
        let stored = self.get(keys::values_version(team, id, version)).await?;
        record(stored.ok_or(RecordsError::NotFound("version of values"))?).map(Some)
    }

    /// All of them, oldest first.
    pub(crate) async fn values_versions(
        &self,
        team: TeamId,
        id: EnvironmentId,
    ) -> Result<Vec<ValuesVersion>, RecordsError> {
        let stored = self.query(keys::values(team, id), "VERSION#").await?;
        stored.into_iter().map(record).collect()
    }
}
