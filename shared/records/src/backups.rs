//! Backups of sites.
//!
//! Promise: a backup is in the list when it is complete, and not before; it is stored once.

use crate::error::from_sdk;
use crate::item::{item, key, record, s};
use crate::{Records, RecordsError, keys};
use domain::{Backup, BackupId, RestorePointStatus, SiteId, TeamId};

impl Records {
    /// A backup is complete. A repeat finds it there.
    pub async fn backup_put(&self, backup: &Backup) -> Result<(), RecordsError> {
        let at = keys::backup(backup.team_id, backup.site_id, backup.id);
        let writes = vec![self.put_new(item(at.clone(), backup)?)?];
        if self.write_all(writes).await? == crate::transact::Written::Nothing {
            self.get(at).await?.ok_or(RecordsError::Contended)?;
        }
        Ok(())
    }

    /// One backup of a site.
    pub async fn backup(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
    ) -> Result<Backup, RecordsError> {
        let stored = self.get(keys::backup(team, site, id)).await?;
        record(stored.ok_or(RecordsError::NotFound("backup"))?)
    }

    /// A site's backups, newest first.
    pub async fn backups(&self, team: TeamId, site: SiteId) -> Result<Vec<Backup>, RecordsError> {
        let found = self.query(keys::backups(team, site), "").await?;
        found.into_iter().rev().map(record).collect()
    }

    /// What a restore does to the restore point it uses.
    pub async fn restore_point_set(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
        status: RestorePointStatus,
    ) -> Result<(), RecordsError> {
        let word: &'static str = status.into();
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(keys::backup(team, site, id))))
            .update_expression("SET restore_point = :status")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_values(":status", s(word))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }

    /// A backup is no more: its record goes first, so that nothing half deleted can be restored.
    pub async fn backup_delete(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
    ) -> Result<(), RecordsError> {
        self.client
            .delete_item()
            .table_name(&self.table)
            .set_key(Some(key(keys::backup(team, site, id))))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }
}
