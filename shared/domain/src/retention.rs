//! Which backups of a configuration are kept, and which expire.
//!
//! Promise: what a kept backup goes on from is kept, whoever made either of them; the newest backup is kept; only the
//! configuration's own backups expire. A second look, after the first one was acted on, comes to the same.

use crate::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupScope, RestorePointStatus,
};
use chrono::{DateTime, Datelike};
use chrono_tz::Tz;
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// More than this are kept by keeping all.
pub const KEEP_LIMIT: u32 = 1000;

/// How many are kept, as restic counts: of so many hours, days, weeks that have a backup the newest one each. What one
/// rule keeps is kept. Backups that hold something else (files, database) are counted by themselves.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Retention {
    /// The newest so many.
    #[serde(default, deserialize_with = "whole")]
    #[schema(default = 0, minimum = 0, maximum = 1000)]
    pub keep_last: u32,
    /// The newest of each of so many days.
    #[serde(default, deserialize_with = "whole")]
    #[schema(default = 0, minimum = 0, maximum = 1000)]
    pub keep_daily: u32,
    /// The newest of each of so many weeks, which begin on Monday.
    #[serde(default, deserialize_with = "whole")]
    #[schema(default = 0, minimum = 0, maximum = 1000)]
    pub keep_weekly: u32,
    /// The newest of each of so many months.
    #[serde(default, deserialize_with = "whole")]
    #[schema(default = 0, minimum = 0, maximum = 1000)]
    pub keep_monthly: u32,
    /// The newest of each of so many years.
    #[serde(default, deserialize_with = "whole")]
    #[schema(default = 0, minimum = 0, maximum = 1000)]
    pub keep_yearly: u32,
}

/// JSON has one kind of number: 7.0 is 7.
pub fn whole<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    let number = f64::deserialize(from)?;
    if number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number) {
        Ok(number as u32)
    } else {
        Err(serde::de::Error::custom("a whole number is expected"))
    }
}

impl Retention {
    fn numbers(&self) -> [u32; 5] {
        [
            self.keep_last,
            self.keep_daily,
            self.keep_weekly,
            self.keep_monthly,
            self.keep_yearly,
        ]
    }
    /// Would it keep nothing?
    pub fn keeps_nothing(&self) -> bool {
        self.numbers() == [0; 5]
    }
    /// Does it count further than is worth it?
    pub fn is_too_much(&self) -> bool {
        self.numbers().iter().any(|number| *number > KEEP_LIMIT)
    }
}

/// What becomes of a backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// Which.
    pub id: BackupId,
    /// Why it is kept: `last 3`, `daily 2026-11-20`, `needed by 01J…`; nothing when it expires.
    pub keep: Vec<String>,
}

impl Decision {
    /// Is it to go?
    pub fn expires(&self) -> bool {
        self.keep.is_empty()
    }
}

type Periods = fn(&DateTime<Tz>) -> String;

fn day(at: &DateTime<Tz>) -> String {
    at.format("%Y-%m-%d").to_string()
}
fn week(at: &DateTime<Tz>) -> String {
    let week = at.iso_week();
    format!("{}-W{:02}", week.year(), week.week())
}
fn month(at: &DateTime<Tz>) -> String {
    at.format("%Y-%m").to_string()
}
fn year(at: &DateTime<Tz>) -> String {
    at.format("%Y").to_string()
}

/// What becomes of each backup that this configuration made and that is there still, newest first. `backups` are all of
/// the site's, in any order.
pub fn plan(configuration: &BackupConfiguration, backups: &[Backup]) -> Vec<Decision> {
    let mut there: Vec<&Backup> = backups
        .iter()
        .filter(|backup| backup.restore_point != RestorePointStatus::Expired)
        .collect();
    there.sort_by_key(|backup| std::cmp::Reverse((backup.created_at, backup.id)));
    let is_ours = |backup: &&&Backup| is_of(backup, configuration.id);
    let mut kept: BTreeMap<BackupId, Vec<String>> = BTreeMap::new();
    for scope in [BackupScope::Site, BackupScope::Files, BackupScope::Database] {
        let ours = there.iter().filter(is_ours).copied();
        let same: Vec<&Backup> = ours.filter(|backup| backup.scope == scope).collect();
        by_policy(configuration, &same, &mut kept);
    }
    if let Some(newest) = there.iter().find(is_ours) {
        let why = kept.entry(newest.id).or_default();
        if why.is_empty() {
            why.push("newest".to_string());
        }
    }
    for backup in &there {
        if !is_of(backup, configuration.id) {
            kept.entry(backup.id).or_default();
        } else if backup.restore_point == RestorePointStatus::Restoring {
            let why = kept.entry(backup.id).or_default();
            why.push("being restored".to_string());
        }
    }
    needed(&there, &mut kept);
    there
        .iter()
        .filter(is_ours)
        .map(|backup| Decision {
            id: backup.id,
            keep: kept.remove(&backup.id).unwrap_or_default(),
        })
        .collect()
}

fn is_of(backup: &Backup, configuration: BackupConfigurationId) -> bool {
    backup.configuration_id == Some(configuration)
}

/// `newest_first` hold the same kind of things.
fn by_policy(
    configuration: &BackupConfiguration,
    newest_first: &[&Backup],
    kept: &mut BTreeMap<BackupId, Vec<String>>,
) {
    let Some(policy) = configuration.retention else {
        for backup in newest_first {
            let why = kept.entry(backup.id).or_default();
            why.push("all are kept".to_string());
        }
        return;
    };
    for (number, backup) in (1..=policy.keep_last).zip(newest_first) {
        let why = kept.entry(backup.id).or_default();
        why.push(format!("last {number}"));
    }
    let zone = configuration.schedule.zone();
    let rules: [(&str, u32, Periods); 4] = [
        ("daily", policy.keep_daily, day),
        ("weekly", policy.keep_weekly, week),
        ("monthly", policy.keep_monthly, month),
        ("yearly", policy.keep_yearly, year),
    ];
    for (name, count, period) in rules {
        let mut seen = BTreeSet::new();
        for backup in newest_first {
            let period = period(&backup.created_at.with_timezone(&zone));
            if seen.len() < count as usize && seen.insert(period.clone()) {
                let why = kept.entry(backup.id).or_default();
                why.push(format!("{name} {period}"));
            }
        }
    }
}

/// What kept ones go on from is kept too, all the way down.
fn needed(there: &[&Backup], kept: &mut BTreeMap<BackupId, Vec<String>>) {
    let mut look: Vec<BackupId> = kept.keys().copied().collect();
    let mut seen: BTreeSet<BackupId> = look.iter().copied().collect();
    while let Some(id) = look.pop() {
        let parent = there
            .iter()
            .find(|backup| backup.id == id)
            .and_then(|backup| backup.parent);
        let Some(parent) = parent else {
            continue;
        };
        let why = kept.entry(parent).or_default();
        why.push(format!("needed by {id}"));
        if seen.insert(parent) {
            look.push(parent);
        }
    }
}
