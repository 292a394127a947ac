//! What the API does about backups.
//!
//! Promise: as of all operations: one method each, with the contract's types.

use crate::routes::YES;
use crate::{Client, Error};
use contract::{
    BackupConfigurationCreate, BackupConfigurationPlan, BackupConfigurationUpdate,
    BackupConfigurationView, BackupCreate, BackupRestore, BackupView, DeploymentCreated, Page,
    Plan, RestorePointView, RetentionPlan,
};
use domain::{BackupConfigurationId, BackupId, SiteId};

impl Client {
    /// Back up a site.
    pub async fn backup_create(
        &self,
        site: SiteId,
        new: &BackupCreate,
    ) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "sites", &site.to_string(), "backups"]);
        self.send(call.body(new)?.once()).await
    }
    /// What that would do.
    pub async fn backup_create_plan(
        &self,
        site: SiteId,
        new: &BackupCreate,
    ) -> Result<Plan, Error> {
        let call = self.post(&["v1", "sites", &site.to_string(), "backups"]);
        self.send(call.body(new)?.query("dry_run", YES)).await
    }
    /// A site's backups, newest first.
    pub async fn backups(&self, site: SiteId) -> Result<Page<BackupView>, Error> {
        self.send(self.get(&["v1", "sites", &site.to_string(), "backups"]))
            .await
    }
    /// One backup.
    pub async fn backup(&self, site: SiteId, id: BackupId) -> Result<BackupView, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        self.send(self.get(&["v1", "sites", &site, "backups", &id]))
            .await
    }
    /// Put a backup back.
    pub async fn backup_restore(
        &self,
        site: SiteId,
        id: BackupId,
        asked: &BackupRestore,
    ) -> Result<DeploymentCreated, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        let call = self.post(&["v1", "sites", &site, "backups", &id, "restore"]);
        self.send(call.body(asked)?.once()).await
    }
    /// What that would do.
    pub async fn backup_restore_plan(
        &self,
        site: SiteId,
        id: BackupId,
        asked: &BackupRestore,
    ) -> Result<Plan, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        let call = self.post(&["v1", "sites", &site, "backups", &id, "restore"]);
        self.send(call.body(asked)?.query("dry_run", YES)).await
    }
    /// Delete a backup.
    pub async fn backup_delete(&self, site: SiteId, id: BackupId) -> Result<(), Error> {
        let (site, id) = (site.to_string(), id.to_string());
        self.send(self.delete(&["v1", "sites", &site, "backups", &id]))
            .await
    }
    /// What a site can be restored to, newest first.
    pub async fn restore_points(&self, site: SiteId) -> Result<Page<RestorePointView>, Error> {
        let site = site.to_string();
        self.send(self.get(&["v1", "sites", &site, "restore-points"]))
            .await
    }

    /// Back up a site by a schedule. Names are unique, so a lost reply is not followed by a second try that is refused.
    pub async fn backup_configuration_create(
        &self,
        site: SiteId,
        new: &BackupConfigurationCreate,
    ) -> Result<BackupConfigurationView, Error> {
        let call = self.post(&["v1", "sites", &site.to_string(), "backup-configurations"]);
        self.send(call.body(new)?.telling()).await
    }
    /// What that would come to.
    pub async fn backup_configuration_create_plan(
        &self,
        site: SiteId,
        new: &BackupConfigurationCreate,
    ) -> Result<BackupConfigurationPlan, Error> {
        let call = self.post(&["v1", "sites", &site.to_string(), "backup-configurations"]);
        self.send(call.body(new)?.query("dry_run", YES)).await
    }
    /// A site's backup configurations, oldest first.
    pub async fn backup_configurations(
        &self,
        site: SiteId,
    ) -> Result<Page<BackupConfigurationView>, Error> {
        let site = site.to_string();
        self.send(self.get(&["v1", "sites", &site, "backup-configurations"]))
            .await
    }
    /// One of them.
    pub async fn backup_configuration(
        &self,
        site: SiteId,
        id: BackupConfigurationId,
    ) -> Result<BackupConfigurationView, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        self.send(self.get(&["v1", "sites", &site, "backup-configurations", &id]))
            .await
    }
    /// Change one.
    pub async fn backup_configuration_update(
        &self,
        site: SiteId,
        id: BackupConfigurationId,
        change: &BackupConfigurationUpdate,
    ) -> Result<BackupConfigurationView, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        let call = self.patch(&["v1", "sites", &site, "backup-configurations", &id]);
        self.send(call.body(change)?).await
    }
    /// What that would come to.
    pub async fn backup_configuration_update_plan(
        &self,
        site: SiteId,
        id: BackupConfigurationId,
        change: &BackupConfigurationUpdate,
    ) -> Result<BackupConfigurationPlan, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        let call = self.patch(&["v1", "sites", &site, "backup-configurations", &id]);
        self.send(call.body(change)?.query("dry_run", YES)).await
    }
    /// Delete one; its backups stay.
    pub async fn backup_configuration_delete(
        &self,
        site: SiteId,
        id: BackupConfigurationId,
    ) -> Result<(), Error> {
        let (site, id) = (site.to_string(), id.to_string());
        self.send(self.delete(&["v1", "sites", &site, "backup-configurations", &id]))
            .await
    }
    /// What its retention would do now.
    pub async fn backup_configuration_retention(
        &self,
        site: SiteId,
        id: BackupConfigurationId,
    ) -> Result<RetentionPlan, Error> {
        let (site, id) = (site.to_string(), id.to_string());
        let path = [
            "v1",
            "sites",
            &site,
            "backup-configurations",
            &id,
            "retention",
        ];
        self.send(self.get(&path)).await
    }
}
