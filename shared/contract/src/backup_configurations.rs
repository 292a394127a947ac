//! Backup configurations and restore points, as they are asked for and shown.

use chrono::{DateTime, Utc};
use domain::retention::{Decision, whole};
use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupReason, BackupScope,
    RestorePointStatus, Retention, SiteId, backup,
};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

/// Back up a site by a schedule.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupConfigurationCreate {
    /// Unique in the site: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
    /// What is backed up.
    #[serde(default = "everything")]
    #[schema(default = "site")]
    pub scope: BackupScope,
    /// Paths of the web root that are left out: `wp-content/cache`, or patterns with `*`, `?` and `**`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 50)]
    pub exclude: Vec<String>,
    /// A cron expression of five fields whose first is 0, because schedules are looked at on the full hour; or `@hourly`,
    /// `@daily`, `@weekly`, `@monthly`.
    #[schema(examples("0 3 * * *"), max_length = 300)]
    pub schedule: String,
    /// An IANA time zone for the schedule, and for the days and weeks of the retention.
    #[serde(default = "utc")]
    #[schema(default = "UTC", examples("Europe/Berlin"))]
    pub time_zone: String,
    /// Every so many backups with files one archives every file; those between, what changed.
    #[serde(default = "weekly", deserialize_with = "whole")]
    #[schema(default = 7, minimum = 1, maximum = 14)]
    pub full_every: u32,
    /// How many are kept; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retention: Option<Retention>,
    /// Does its schedule count?
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub enabled: bool,
}

fn everything() -> BackupScope {
    BackupScope::Site
}
fn utc() -> String {
    domain::schedule::UTC.to_string()
}
fn weekly() -> u32 {
    7
}
fn yes() -> bool {
    true
}

/// Change a backup configuration: what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupConfigurationUpdate {
    /// Its name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: Option<String>,
    /// What is backed up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<BackupScope>,
    /// Paths of the web root that are left out, all of them anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 50)]
    pub exclude: Option<Vec<String>>,
    /// When.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(examples("0 3 * * *"), max_length = 300)]
    pub schedule: Option<String>,
    /// In which time zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(examples("Europe/Berlin"))]
    pub time_zone: Option<String>,
    /// Every so many backups with files one archives every file.
    #[serde(
        default,
        deserialize_with = "maybe_whole",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(minimum = 1, maximum = 14)]
    pub full_every: Option<u32>,
    /// How many are kept, all numbers anew; null for all.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<Retention>)]
    pub retention: Option<Option<Retention>>,
    /// Does its schedule count?
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
}

fn maybe_whole<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u32>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] u32);
    Ok(Option::<Whole>::deserialize(from)?.map(|Whole(number)| number))
}

/// A null is a value, and not the same as nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<Retention>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// A backup configuration.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupConfigurationView {
    /// Its id.
    pub id: BackupConfigurationId,
    /// Of which site.
    pub site_id: SiteId,
    /// Its name.
    pub name: String,
    /// What is backed up.
    pub scope: BackupScope,
    /// Paths of the web root that are left out.
    pub exclude: Vec<String>,
    /// When.
    pub schedule: String,
    /// In which time zone.
    pub time_zone: String,
    /// Every so many backups with files one archives every file.
    pub full_every: u32,
    /// How many are kept; absent for all.
    pub retention: Option<Retention>,
    /// Does its schedule count?
    pub enabled: bool,
    /// When it is due next; begun within the hour after.
    pub next_due_at: Option<DateTime<Utc>>,
    /// Its newest backup that can be restored.
    pub last_backup: Option<LastBackup>,
    /// When it was made.
    pub created_at: DateTime<Utc>,
}

/// A configuration's newest backup.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
pub struct LastBackup {
    /// Its id.
    pub id: BackupId,
    /// When it was complete.
    pub created_at: DateTime<Utc>,
}

impl From<&Backup> for LastBackup {
    fn from(backup: &Backup) -> Self {
        Self {
            id: backup.id,
            created_at: backup.created_at,
        }
    }
}

impl BackupConfigurationView {
    /// Of this one; `backups` are its site's.
    pub fn of(configuration: BackupConfiguration, backups: &[Backup]) -> Self {
        Self {
            last_backup: configuration.last_backup(backups).map(LastBackup::from),
            id: configuration.id,
            site_id: configuration.site_id,
            name: configuration.name,
            scope: configuration.scope,
            exclude: configuration.exclude,
            schedule: configuration.schedule.cron,
            time_zone: configuration.schedule.time_zone,
            full_every: configuration.full_every,
            retention: configuration.retention,
            enabled: configuration.enabled,
            next_due_at: configuration.next_due_at,
            created_at: configuration.created_at,
        }
    }
}

/// What a create or a change would come to: the answer to `dry_run=true`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct BackupConfigurationPlan {
    /// As it would be.
    pub configuration: BackupConfigurationView,
    /// When it would be due.
    pub next_due: Vec<DateTime<Utc>>,
    /// What its retention would do now.
    pub retention: RetentionPlan,
}

/// What a retention does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetentionPlan {
    /// The configuration's backups that are there, newest first.
    pub backups: Vec<RetentionDecision>,
    /// Bytes in the store of those that would go.
    pub expires_bytes: u64,
}

/// What becomes of a backup.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RetentionDecision {
    /// Which.
    pub backup_id: BackupId,
    /// When it was complete.
    pub created_at: DateTime<Utc>,
    /// What it holds.
    pub scope: BackupScope,
    /// Bytes in the store.
    pub size_bytes: u64,
    /// Does it stay?
    pub keep: bool,
    /// Why: `last 3`, `daily 2026-11-20`, `needed by 01J…`.
    pub reasons: Vec<String>,
}

impl RetentionPlan {
    /// Of these decisions on these backups.
    pub fn of(decisions: Vec<Decision>, backups: &[Backup]) -> Self {
        let found = decisions.into_iter().filter_map(|decision| {
            let backup = backups.iter().find(|backup| backup.id == decision.id)?;
            Some(RetentionDecision {
                backup_id: decision.id,
                created_at: backup.created_at,
                scope: backup.scope,
                size_bytes: backup.size_bytes,
                keep: !decision.expires(),
                reasons: decision.keep,
            })
        });
        let backups: Vec<_> = found.collect();
        let goes = backups.iter().filter(|decision| !decision.keep);
        Self {
            expires_bytes: goes.map(|decision| decision.size_bytes).sum(),
            backups,
        }
    }
}

/// A backup, as far as it can be restored.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RestorePointView {
    /// The backup.
    pub backup_id: BackupId,
    /// When it was complete.
    pub created_at: DateTime<Utc>,
    /// What it holds.
    pub scope: BackupScope,
    /// Why it was made.
    pub reason: BackupReason,
    /// The configuration that it counts for.
    pub configuration_id: Option<BackupConfigurationId>,
    /// How it stands.
    pub status: RestorePointStatus,
    /// The backups whose files are put together, the full one first; empty when it holds none.
    pub chain: Vec<BackupId>,
    /// What a server fetches to restore all of it.
    pub download_bytes: u64,
    /// Why it cannot be restored; absent when it can.
    pub not_restorable: Option<String>,
}

impl RestorePointView {
    /// Of one of these backups, which are the site's.
    pub fn of(one: &Backup, backups: &[Backup]) -> Self {
        let chain = match &one.files {
            Some(_) => backup::chain(backups, one.id),
            None => Ok(Vec::new()),
        };
        let not_restorable = match (&chain, one.restore_point) {
            (_, RestorePointStatus::Expired) => Some("it was pruned".to_string()),
            (Err(why), _) => Some(why.to_string()),
            (Ok(_), _) => None,
        };
        let chain = chain.unwrap_or_default();
        let files = chain.iter().filter_map(|backup| backup.files.as_ref());
        let files: u64 = files
            .map(|files| files.object.size_bytes + files.manifest.size_bytes)
            .sum();
        let database = one.database.as_ref();
        let database = database.map_or(0, |database| database.object.size_bytes);
        Self {
            backup_id: one.id,
            created_at: one.created_at,
            scope: one.scope,
            reason: one.reason,
            configuration_id: one.configuration_id,
            status: one.restore_point,
            download_bytes: match not_restorable {
                Some(_) => 0,
                None => files + database,
            },
            chain: chain.iter().map(|backup| backup.id).collect(),
            not_restorable,
        }
    }
}
