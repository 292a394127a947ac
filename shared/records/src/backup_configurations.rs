//! Backup configurations of sites, and which of them are due.
//!
//! Promise: names are unique in a site and a site never has more than the limit, because all of its configurations are
//! read together and written over one revision; an occurrence is begun by one write of `next_due_at`, once.

use crate::error::from_sdk;
use crate::item::{Item, item, record, s};
use crate::transact::{Write, Written};
use crate::{AuditEntry, Records, RecordsError, keys};
use domain::backup_configuration::CONFIGURATIONS_LIMIT;
use domain::{BackupConfiguration, BackupConfigurationId, SiteId, TeamId, Time, rfc3339};
use serde::{Deserialize, Serialize};

/// How often a write that met another one is tried before others are let through.
const ATTEMPTS: u32 = 8;

/// A time at which a configuration is due, and the one after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Occurrence {
    /// Of which site.
    pub site_id: SiteId,
    /// Of which configuration.
    pub configuration_id: BackupConfigurationId,
    /// When it was due.
    pub due_at: Time,
    /// When the next one is; None when there is none.
    pub next_due_at: Option<Time>,
}

#[derive(Default, Serialize, Deserialize)]
struct Revision {
    revision: u64,
}

fn stored(configuration: &BackupConfiguration) -> Result<Item, RecordsError> {
    let (team, site) = (configuration.team_id, configuration.site_id);
    let at = keys::backup_configuration(team, site, configuration.id);
    let mut stored = item(at, configuration)?;
    if configuration.next_due_at.is_some() {
        stored.insert("due_key".to_string(), s(keys::DUE));
    }
    Ok(stored)
}

/// May it stand beside these?
fn fits(all: &[BackupConfiguration], new: &BackupConfiguration) -> Result<(), RecordsError> {
    let mut others = all.iter().filter(|other| other.id != new.id);
    if others.clone().count() >= CONFIGURATIONS_LIMIT {
        return Err(RecordsError::LimitReached {
            of: "site",
            what: "backup configurations",
            limit: CONFIGURATIONS_LIMIT as u64,
        });
    }
    if others.any(|other| other.name == new.name) {
        return Err(RecordsError::Taken(format!(
            "The name {} of a backup configuration",
            new.name
        )));
    }
    Ok(())
}

impl Records {
    /// A site's configurations, oldest first.
    pub async fn backup_configurations(
        &self,
        team: TeamId,
        site: SiteId,
    ) -> Result<Vec<BackupConfiguration>, RecordsError> {
        let partition = keys::backup_configurations(team, site);
        let found = self.query(partition, "CONFIGURATION#").await?;
        found.into_iter().map(record).collect()
    }

    /// One of them.
    pub async fn backup_configuration(
        &self,
        team: TeamId,
        site: SiteId,
        id: BackupConfigurationId,
    ) -> Result<BackupConfiguration, RecordsError> {
        let found = self.get(keys::backup_configuration(team, site, id)).await?;
        record(found.ok_or(RecordsError::NotFound("backup configuration"))?)
    }

    async fn revision(&self, team: TeamId, site: SiteId) -> Result<u64, RecordsError> {
        let found = self
            .get(keys::backup_configurations_revision(team, site))
            .await?;
        let revision: Option<Revision> = found.map(record).transpose()?;
        Ok(revision.unwrap_or_default().revision)
    }

    /// Nobody wrote to the site's configurations since this revision was read.
    fn revised(&self, team: TeamId, site: SiteId, read: u64) -> Result<Write, RecordsError> {
        self.update(
            keys::backup_configurations_revision(team, site),
            "SET revision = :next",
            "attribute_not_exists(revision) OR revision = :read",
            vec![
                (":next", Self::number(read + 1)),
                (":read", Self::number(read)),
            ],
        )
    }

    /// Store a new one, if the site has room for it and its name is free.
    pub async fn backup_configuration_create(
        &self,
        new: &BackupConfiguration,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let (team, site) = (new.team_id, new.site_id);
        for attempt in 0..ATTEMPTS {
            let revision = self.revision(team, site).await?;
            fits(&self.backup_configurations(team, site).await?, new)?;
            let writes = vec![
                self.revised(team, site, revision)?,
                self.put_new(stored(new)?)?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// May it be stored as it is, beside its site's others?
    pub async fn backup_configuration_fits(
        &self,
        new: &BackupConfiguration,
    ) -> Result<(), RecordsError> {
        let all = self.backup_configurations(new.team_id, new.site_id).await?;
        fits(&all, new)
    }

    /// Change one, over the state that was read; as it is then.
    pub async fn backup_configuration_update<E: From<RecordsError>>(
        &self,
        (team, site, id): (TeamId, SiteId, BackupConfigurationId),
        audit: &AuditEntry,
        mut change: impl FnMut(&mut BackupConfiguration) -> Result<(), E>,
    ) -> Result<BackupConfiguration, E> {
        for attempt in 0..ATTEMPTS {
            let revision = self.revision(team, site).await?;
            let all = self.backup_configurations(team, site).await?;
            let found = all.iter().find(|configuration| configuration.id == id);
            let mut changed = found
                .ok_or(RecordsError::NotFound("backup configuration"))?
                .clone();
            let read = changed.next_due_at;
            change(&mut changed)?;
            fits(&all, &changed)?;
            // The scheduler writes beside: what it began meanwhile is not to be due again.
            let unchanged = match read {
                Some(due) => ("next_due_at = :due", vec![(":due", s(rfc3339(due)))]),
                None => (
                    "attribute_exists(pk) AND attribute_not_exists(next_due_at)",
                    Vec::new(),
                ),
            };
            let writes = vec![
                self.revised(team, site, revision)?,
                self.put(stored(&changed)?, Some(unchanged))?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(changed);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    /// Delete one; its backups stay.
    pub async fn backup_configuration_delete(
        &self,
        (team, site, id): (TeamId, SiteId, BackupConfigurationId),
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        for attempt in 0..ATTEMPTS {
            let revision = self.revision(team, site).await?;
            self.backup_configuration(team, site, id).await?;
            let at = keys::backup_configuration(team, site, id);
            let writes = vec![
                self.revised(team, site, revision)?,
                self.delete_if(at, "attribute_exists(pk)", Vec::new())?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// Those of every team that are due, the longest due first: for the scheduler alone. The index may be behind.
    pub async fn due_backup_configurations(
        &self,
        now: Time,
    ) -> Result<Vec<(TeamId, SiteId, BackupConfigurationId)>, RecordsError> {
        let mut found = Vec::new();
        let mut from = None;
        loop {
            let reply = self
                .client
                .query()
                .table_name(&self.table)
                .index_name("due")
                .key_condition_expression("due_key = :due AND next_due_at <= :now")
                .expression_attribute_values(":due", s(keys::DUE))
                .expression_attribute_values(":now", s(rfc3339(now)))
                .set_exclusive_start_key(from)
                .send()
                .await
                .map_err(from_sdk)?;
            found.extend(reply.items.iter().flatten().filter_map(ids));
            from = reply.last_evaluated_key;
            if from.is_none() {
                return Ok(found);
            }
        }
    }

    /// An occurrence is begun, or let pass: the next one counts. False when somebody was quicker.
    pub async fn occurrence_passed(
        &self,
        team: TeamId,
        occurrence: &Occurrence,
    ) -> Result<bool, RecordsError> {
        let writes = vec![self.passed(team, occurrence)?];
        Ok(self.write_all(writes).await? == Written::All)
    }

    pub(crate) fn passed(
        &self,
        team: TeamId,
        occurrence: &Occurrence,
    ) -> Result<Write, RecordsError> {
        let at = keys::backup_configuration(team, occurrence.site_id, occurrence.configuration_id);
        let mut values = vec![(":due", s(rfc3339(occurrence.due_at)))];
        let expression = match occurrence.next_due_at {
            Some(next) => {
                values.push((":next", s(rfc3339(next))));
                "SET next_due_at = :next"
            }
            None => "REMOVE next_due_at, due_key",
        };
        self.update(at, expression, "next_due_at = :due", values)
    }
}

fn ids(item: &Item) -> Option<(TeamId, SiteId, BackupConfigurationId)> {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let mut parts = text("pk")?.split('#');
    let (team, site) = (parts.nth(1)?, parts.nth(1)?);
    let id = text("sk")?.strip_prefix("CONFIGURATION#")?;
    Some((team.parse().ok()?, site.parse().ok()?, id.parse().ok()?))
}
