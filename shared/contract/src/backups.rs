//! Backups of sites, as they are asked for and shown.

use chrono::{DateTime, Utc};
use domain::{
    Backup, BackupConfigurationId, BackupId, BackupReason, BackupScope, DatabaseContents,
    DeploymentId, FilesContents, RestorePointStatus, SiteId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Back up a site.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupCreate {
    /// What it is to hold; absent for the whole site, or for what the configuration says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BackupScope>,
    /// Archive every file, rather than what changed since the newest backup with files.
    #[serde(default)]
    #[schema(default = false)]
    pub full: bool,
    /// Paths of the web root that are left out: `wp-content/cache`, or patterns with `*`, `?` and `**`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub exclude: Vec<String>,
    /// A backup configuration of the site: the backup holds what it says, and counts for its retention.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub configuration_id: Option<BackupConfigurationId>,
}

/// Put a backup back.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRestore {
    /// What of it; absent for all that it holds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BackupScope>,
}

/// A backup.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// Its id.
    pub id: BackupId,
    /// Of which site.
    pub site_id: SiteId,
    /// What it holds.
    pub scope: BackupScope,
    /// Why it was made.
    pub reason: BackupReason,
    /// The configuration whose retention decides how long it is kept; absent for one that stays until it is deleted.
    pub configuration_id: Option<BackupConfigurationId>,
    /// The deployment that made it.
    pub deployment_id: DeploymentId,
    /// The backup whose files it goes on from; absent for a full one.
    pub parent: Option<BackupId>,
    /// Of the database.
    pub database: Option<DatabaseContents>,
    /// Of the files.
    pub files: Option<FilesContents>,
    /// Bytes in the store.
    pub size_bytes: u64,
    /// What people should know of it.
    pub notes: Vec<String>,
    /// Can it be restored?
    pub restore_point: RestorePointStatus,
    /// When it was last restored.
    pub restored_at: Option<DateTime<Utc>>,
    /// When it was complete.
    pub created_at: DateTime<Utc>,
}

impl From<Backup> for BackupView {
    fn from(backup: Backup) -> Self {
        Self {
            id: backup.id,
            site_id: backup.site_id,
            scope: backup.scope,
            reason: backup.reason,
            configuration_id: backup.configuration_id,
            deployment_id: backup.deployment_id,
            parent: backup.parent,
            database: backup.database,
            files: backup.files,
            size_bytes: backup.size_bytes,
            notes: backup.notes,
            restore_point: backup.restore_point,
            restored_at: backup.restored_at,
            created_at: backup.created_at,
        }
    }
}
