//! Backup configurations: what of a site is backed up when, and how long it is kept.
//!
//! Promise: one that is enabled is due at some time; one that is not never is.

use crate::backup::CHAIN_LIMIT;
use crate::{
    Backup, BackupConfigurationId, BackupScope, RestorePointStatus, Retention, Schedule, SiteId,
    TeamId, Time, time_text,
};
use serde::{Deserialize, Serialize};

/// More of a site than this would back it up all day.
pub const CONFIGURATIONS_LIMIT: usize = 10;

/// The meta that says which configuration a deployment is made for.
pub const META: &str = "configuration_id";

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackupConfiguration {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: BackupConfigurationId,
    /// Its owner.
    pub team_id: TeamId,
    /// Of which site.
    pub site_id: SiteId,
    /// Unique in its site.
    pub name: String,
    /// What is backed up.
    pub scope: BackupScope,
    /// Paths of the web root that are left out.
    pub exclude: Vec<String>,
    /// When.
    pub schedule: Schedule,
    /// Every so many backups with files one is full: no chain of it is longer.
    pub full_every: u32,
    /// How many are kept; absent for all.
    #[serde(default)]
    pub retention: Option<Retention>,
    /// Does its schedule count?
    pub enabled: bool,
    /// The occurrence that comes next, or came and was not begun yet; absent while it is not enabled.
    #[serde(
        default,
        with = "time_text::option",
        skip_serializing_if = "Option::is_none"
    )]
    pub next_due_at: Option<Time>,
    /// Since when its schedule counts as it stands: what should have been made before is not missed.
    #[serde(with = "time_text")]
    pub due_since: Time,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

impl BackupConfiguration {
    /// Its schedule counts from now on, or not at all.
    pub fn scheduled(&mut self, now: Time) {
        self.due_since = now;
        self.next_due_at = self.schedule.next_after(now).filter(|_| self.enabled);
    }

    /// Its next so many occurrences.
    pub fn occurrences(&self, now: Time, count: usize) -> Vec<Time> {
        let first = self.next_due_at.filter(|_| self.enabled);
        let next = |time: &Time| self.schedule.next_after((*time).max(now));
        std::iter::successors(first, next).take(count).collect()
    }

    /// The newest backup of it that can be restored.
    pub fn last_backup<'a>(&self, backups: &'a [Backup]) -> Option<&'a Backup> {
        backups
            .iter()
            .filter(|backup| {
                backup.configuration_id == Some(self.id)
                    && backup.restore_point != RestorePointStatus::Expired
            })
            .max_by_key(|backup| (backup.created_at, backup.id))
    }

    /// The occurrence of a period ago, when there is no backup since.
    pub fn missing(&self, backups: &[Backup], now: Time) -> Option<Time> {
        let occurrence = self.schedule.a_period_ago(now)?;
        let counts = self.enabled && occurrence >= self.due_since;
        let since = |backup: &Backup| {
            backup.configuration_id == Some(self.id) && backup.created_at >= occurrence
        };
        (counts && !backups.iter().any(since)).then_some(occurrence)
    }

    /// The longest chain of its own that it may make.
    pub fn chain_limit(&self) -> usize {
        (self.full_every as usize).clamp(1, CHAIN_LIMIT)
    }
}
