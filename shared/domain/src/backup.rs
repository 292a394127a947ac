//! Backups of sites: what is in the store, and what it can be restored with.
//!
//! Promise: a record is written when its backup is complete and was read back; what has no record is no backup.

use crate::{BackupConfigurationId, BackupId, DeploymentId, SiteId, TeamId, Time, time_text};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr};

/// What a backup holds.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BackupScope {
    /// Files and database.
    Site,
    /// Files alone.
    Files,
    /// The database alone.
    Database,
}

impl BackupScope {
    /// Are the files in it?
    pub fn has_files(self) -> bool {
        self != Self::Database
    }
    /// Is the database in it?
    pub fn has_database(self) -> bool {
        self != Self::Files
    }
    /// The word in records and commands.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a backup was made.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum BackupReason {
    /// Somebody asked for it.
    Manual,
    /// Its time had come.
    Schedule,
    /// A restore was about to replace the site.
    BeforeRestore,
}

/// A backup that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupPlan {
    /// Its id: also the last folder of its key.
    pub id: BackupId,
    /// What it holds.
    pub scope: BackupScope,
    /// Why it is made.
    pub reason: BackupReason,
    /// Where its objects are: `backups/<team>/<site>/<id>`.
    pub prefix: String,
    /// Paths of the web root that are left out.
    pub exclude: Vec<String>,
    /// The backup whose files it goes on from; absent for a full one.
    pub parent: Option<BackupParent>,
    /// The configuration that it is made for, and counts for; absent when it is made for none.
    #[serde(default)]
    pub configuration_id: Option<BackupConfigurationId>,
}

impl BackupPlan {
    /// The key of one of its objects.
    pub fn key(&self, object: &str) -> String {
        format!("{}/{}", self.prefix, file_name(object))
    }
}

/// Where a team's backup of a site is.
pub fn backup_prefix(team: TeamId, site: SiteId, id: BackupId) -> String {
    format!("backups/{team}/{site}/{id}")
}

/// What an object is called in the store, so that people know what opens it.
pub fn file_name(object: &str) -> &str {
    match object {
        "database" => "database.sql.zst",
        "files" => "files.tar.zst",
        "manifest" => "manifest.jsonl.zst",
        other => other,
    }
}

/// The object that is written last, and makes the others a backup.
pub const MARK: &str = "backup.json";

/// A backup that another one goes on from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupParent {
    /// Its id.
    pub id: BackupId,
    /// Its manifest's key.
    pub manifest_key: String,
    /// Its manifest, as it was complete.
    pub manifest: SealedObject,
}

/// An object as it was when it was complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct SealedObject {
    /// Its length.
    pub size_bytes: u64,
    /// Hex SHA-256 of all of it.
    pub sha256: String,
}

/// A backup that is complete.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: BackupId,
    /// Its owner.
    pub team_id: TeamId,
    /// Of which site.
    pub site_id: SiteId,
    /// What it holds.
    pub scope: BackupScope,
    /// Why it was made.
    pub reason: BackupReason,
    /// Where its objects are.
    pub prefix: String,
    /// The deployment that made it.
    pub deployment_id: DeploymentId,
    /// The backup whose files it goes on from.
    pub parent: Option<BackupId>,
    /// Of the database.
    pub database: Option<DatabaseContents>,
    /// Of the files.
    pub files: Option<FilesContents>,
    /// Bytes of all its objects.
    pub size_bytes: u64,
    /// What people should know of it.
    #[serde(default)]
    pub notes: Vec<String>,
    /// Its restore point.
    pub restore_point: RestorePointStatus,
    /// When it was complete.
    #[serde(with = "time_text")]
    pub created_at: Time,
    /// The configuration that made it: its retention decides how long it is kept.
    #[serde(default)]
    pub configuration_id: Option<BackupConfigurationId>,
    /// When it was last restored.
    #[serde(default, with = "time_text::option")]
    pub restored_at: Option<Time>,
    /// Set when its objects are gone: DynamoDB removes the record some time after, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
}

impl Backup {
    /// The key of one of its objects.
    pub fn key(&self, object: &str) -> String {
        format!("{}/{}", self.prefix, file_name(object))
    }

    /// The keys of all of its objects: first the one without which the others are no backup.
    pub fn keys(&self) -> Vec<String> {
        let mut objects = vec![MARK];
        objects.extend(self.database.iter().map(|_| "database"));
        objects.extend(self.files.iter().flat_map(|_| ["files", "manifest"]));
        objects.iter().map(|object| self.key(object)).collect()
    }
}

/// A longer chain takes longer to restore than a full backup saves.
pub const CHAIN_LIMIT: usize = 14;

/// Why a backup's files cannot be put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BrokenChain {
    /// One of the chain is not there, or has no files.
    #[error("a backup that it goes on from is missing")]
    Missing,
    /// One of the chain was pruned.
    #[error("a backup that it goes on from was pruned")]
    Expired,
    /// There is no end to it.
    #[error("its chain is too long")]
    TooLong,
}

/// A backup with those it goes on from, the full one first. `backups` are the site's.
pub fn chain(backups: &[Backup], last: BackupId) -> Result<Vec<&Backup>, BrokenChain> {
    let mut chain = Vec::new();
    let mut next = Some(last);
    while let Some(id) = next {
        let backup = backups.iter().find(|backup| backup.id == id);
        let backup = backup.ok_or(BrokenChain::Missing)?;
        if backup.restore_point == RestorePointStatus::Expired {
            return Err(BrokenChain::Expired);
        }
        backup.files.as_ref().ok_or(BrokenChain::Missing)?;
        if chain.len() > CHAIN_LIMIT {
            return Err(BrokenChain::TooLong);
        }
        chain.push(backup);
        next = backup.parent;
    }
    chain.reverse();
    Ok(chain)
}

/// What the next backup of a chain may go on from: the newest with files. A configuration goes on from its own, so that
/// its retention need not keep what others made; `limit` is the longest chain.
pub fn parent(
    backups: &[Backup],
    configuration: Option<BackupConfigurationId>,
    limit: usize,
) -> Option<&Backup> {
    let may_be = |backup: &&Backup| {
        backup.files.is_some()
            && backup.restore_point != RestorePointStatus::Expired
            && (configuration.is_none() || backup.configuration_id == configuration)
    };
    let newest = backups
        .iter()
        .filter(may_be)
        .max_by_key(|backup| backup.id)?;
    let chain = chain(backups, newest.id).ok()?;
    (chain.len() < limit).then_some(newest)
}

/// A backup's dump.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct DatabaseContents {
    /// The object.
    pub object: SealedObject,
    /// The dump unpacked.
    pub dump_bytes: u64,
    /// How many tables.
    pub tables: u64,
    /// The server it came from.
    pub server: String,
}

/// A backup's files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct FilesContents {
    /// The archive.
    pub object: SealedObject,
    /// Its manifest.
    pub manifest: SealedObject,
    /// Entries of the whole tree.
    pub entries: u64,
    /// Bytes of the whole tree.
    pub tree_bytes: u64,
    /// Entries that are in this archive.
    pub changed: u64,
    /// Entries gone since the parent.
    pub deleted: u64,
}

/// Can a backup be restored now?
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum RestorePointStatus {
    /// Yes.
    Available,
    /// It is being restored.
    Restoring,
    /// Yes, and it was before.
    Restored,
    /// Its backup was pruned.
    Expired,
}
