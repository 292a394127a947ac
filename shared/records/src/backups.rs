//! Backups of sites.
//!
//! Promise: a backup is in the list when it is complete, and not before; it is stored once, and only while what it goes
//! on from can be restored. One that is being restored does not expire.

use crate::item::{item, record, s};
use crate::transact::{Write, Written};
use crate::{Records, RecordsError, keys};
use domain::{
    Backup, BackupId, DeploymentId, LockKey, RestorePointStatus, SiteId, TeamId, Time, rfc3339,
};

/// How often a write that met another one is tried before others are let through.
const ATTEMPTS: u32 = 8;

/// How long people see that a backup was pruned.
const PRUNED_SHOWN_SECONDS: i64 = 90 * 24 * 60 * 60;

/// What became of a backup that was to be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// It is stored, now or before.
    Stored,
    /// What it goes on from was deleted or pruned meanwhile: without it, it is of no use.
    ParentGone,
}

fn word(status: RestorePointStatus) -> aws_sdk_dynamodb::types::AttributeValue {
    let word: &'static str = status.into();
    s(word)
}

impl Records {
    /// A backup is complete. A repeat finds it there.
    pub async fn backup_put(&self, backup: &Backup) -> Result<Put, RecordsError> {
        let (team, site) = (backup.team_id, backup.site_id);
        let at = keys::backup(team, site, backup.id);
        for attempt in 0..ATTEMPTS {
            let mut writes = vec![self.put_new(item(at.clone(), backup)?)?];
            if let Some(parent) = backup.parent {
                writes.push(self.check(
                    keys::backup(team, site, parent),
                    "attribute_exists(pk) AND restore_point <> :expired",
                    vec![(":expired", word(RestorePointStatus::Expired))],
                )?);
            }
            if self.write_all(writes).await? == Written::All
                || self.get(at.clone()).await?.is_some()
            {
                return Ok(Put::Stored);
            }
            if !self.may_be_gone_on_from(backup).await? {
                return Ok(Put::ParentGone);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// Is what it goes on from there, and can it be restored?
    pub async fn may_be_gone_on_from(&self, backup: &Backup) -> Result<bool, RecordsError> {
        let Some(parent) = backup.parent else {
            return Ok(true);
        };
        match self.backup(backup.team_id, backup.site_id, parent).await {
            Ok(parent) => Ok(parent.restore_point != RestorePointStatus::Expired),
            Err(RecordsError::NotFound(_)) => Ok(false),
            Err(error) => Err(error),
        }
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

    /// Write it alone, if its condition holds.
    async fn written(
        &self,
        write: impl Fn() -> Result<Write, RecordsError>,
    ) -> Result<bool, RecordsError> {
        // Another transaction at the same item looks like a condition that does not hold: once more tells them apart.
        for attempt in 0..2 {
            if self.write_all(vec![write()?]).await? == Written::All {
                return Ok(true);
            }
            Self::jitter(attempt).await;
        }
        Ok(false)
    }

    /// A deployment that holds the site is about to restore it: what an earlier one left standing is over. False when it
    /// is not there or expired.
    pub async fn restore_begun(
        &self,
        (team, site, id): (TeamId, SiteId, BackupId),
        by: DeploymentId,
    ) -> Result<bool, RecordsError> {
        self.written(|| {
            self.update(
                keys::backup(team, site, id),
                "SET restore_point = :restoring, restoring_by = :by",
                "attribute_exists(pk) AND restore_point <> :expired",
                vec![
                    (":restoring", word(RestorePointStatus::Restoring)),
                    (":expired", word(RestorePointStatus::Expired)),
                    (":by", s(by.to_string())),
                ],
            )
        })
        .await
    }

    /// That deployment restored it. Nothing when it was not restoring it.
    pub async fn restore_done(
        &self,
        (team, site, id): (TeamId, SiteId, BackupId),
        by: DeploymentId,
        now: Time,
    ) -> Result<(), RecordsError> {
        self.written(|| {
            self.update(
                keys::backup(team, site, id),
                "SET restore_point = :restored, restored_at = :now REMOVE restoring_by",
                "restore_point = :restoring AND restoring_by = :by",
                vec![
                    (":restored", word(RestorePointStatus::Restored)),
                    (":now", s(rfc3339(now))),
                    (":restoring", word(RestorePointStatus::Restoring)),
                    (":by", s(by.to_string())),
                ],
            )
        })
        .await
        .map(|_| ())
    }

    /// That deployment took its restore back: the restore point is as it was before.
    pub async fn restore_undone(
        &self,
        (team, site, id): (TeamId, SiteId, BackupId),
        by: DeploymentId,
    ) -> Result<bool, RecordsError> {
        let before = match self.backup(team, site, id).await {
            Ok(backup) if backup.restored_at.is_some() => RestorePointStatus::Restored,
            Ok(_) => RestorePointStatus::Available,
            Err(RecordsError::NotFound(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        self.written(|| {
            self.update(
                keys::backup(team, site, id),
                "SET restore_point = :before REMOVE restoring_by",
                "restore_point = :restoring AND restoring_by = :by",
                vec![
                    (":before", word(before)),
                    (":restoring", word(RestorePointStatus::Restoring)),
                    (":by", s(by.to_string())),
                ],
            )
        })
        .await
    }

    /// It can be restored no more; its objects go next. False when it is not there or being restored. A repeat is true.
    pub async fn backup_expire(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
    ) -> Result<bool, RecordsError> {
        self.written(|| {
            self.expired(
                (team, site, id),
                "attribute_exists(pk) AND restore_point <> :restoring",
                vec![(":restoring", word(RestorePointStatus::Restoring))],
            )
        })
        .await
    }

    /// The same on a person's word, while nothing is at work on the site: not then, when it is false.
    pub async fn backup_expire_idle(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
    ) -> Result<bool, RecordsError> {
        let lock = keys::lock(team, &LockKey::site(site));
        for attempt in 0..ATTEMPTS {
            let writes = vec![
                self.check(lock.clone(), "attribute_not_exists(holder)", Vec::new())?,
                // Nobody holds the site, so nobody is restoring, whatever stands there.
                self.expired((team, site, id), "attribute_exists(pk)", Vec::new())?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(true);
            }
            if self
                .lock(team, &LockKey::site(site))
                .await?
                .holder
                .is_some()
            {
                return Ok(false);
            }
            self.backup(team, site, id).await?;
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    fn expired(
        &self,
        (team, site, id): (TeamId, SiteId, BackupId),
        condition: &str,
        mut values: Vec<(&str, aws_sdk_dynamodb::types::AttributeValue)>,
    ) -> Result<Write, RecordsError> {
        values.push((":expired", word(RestorePointStatus::Expired)));
        let at = keys::backup(team, site, id);
        self.update(at, "SET restore_point = :expired", condition, values)
    }

    /// The objects of an expired backup are gone: its record says so for a while, and goes too.
    pub async fn backup_pruned(
        &self,
        (team, site, id): (TeamId, SiteId, BackupId),
        now: Time,
    ) -> Result<(), RecordsError> {
        let expires_at = now.timestamp() + PRUNED_SHOWN_SECONDS;
        self.written(|| {
            self.update(
                keys::backup(team, site, id),
                "SET expires_at = :at",
                "restore_point = :expired AND attribute_not_exists(expires_at)",
                vec![
                    (":at", Self::number(expires_at.max(0).cast_unsigned())),
                    (":expired", word(RestorePointStatus::Expired)),
                ],
            )
        })
        .await
        .map(|_| ())
    }

    /// A backup is no more.
    pub async fn backup_delete(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupId,
    ) -> Result<(), RecordsError> {
        let writes = vec![self.delete(keys::backup(team, site, id))?];
        self.write_all(writes).await.map(|_| ())
    }
}
