//! Environments as people make, change and delete them; what deployments make of them stands in [`crate::environments`].
//!
//! Promise: a name is unique in its service, and a host is routed by one environment on each server; settings are written
//! over the revision that was read, and never the whole item, because commits write to it too.

use crate::item::item;
use crate::making::{ATTEMPTS, Made, Making};
use crate::services::attribute;
use crate::transact::{Write, Written};
use crate::{AuditEntry, Claim, CreateRefused, Idempotency, Records, RecordsError, keys};
use domain::release::EnvironmentSettings;
use domain::{Environment, EnvironmentId, LockKey, TeamId};
use std::collections::BTreeMap;

/// What an environment with these settings takes: its name, and its hosts on each of its servers.
pub fn environment_claims(environment: &Environment, settings: &EnvironmentSettings) -> Vec<Claim> {
    let target = environment.id.to_string();
    let name = &environment.name;
    let mut claims = vec![Claim {
        name: format!("environment-name:{}:{name}", environment.service_id),
        what: format!("The environment name {name} in this service"),
        target: target.clone(),
    }];
    let mut routes = BTreeMap::new();
    for server in &settings.server_ids {
        for route in &settings.routes {
            let what = format!("The host {} on this server", route.host);
            routes.insert(format!("route:{server}:{}", route.host), what);
        }
    }
    claims.extend(routes.into_iter().map(|(name, what)| Claim {
        name,
        what,
        target: target.clone(),
    }));
    claims
}

impl Records {
    /// Store a new one, if its name and hosts are free.
    pub async fn environment_create(
        &self,
        environment: &Environment,
        idempotency: Option<&Idempotency>,
        audit: &AuditEntry,
    ) -> Result<Made, CreateRefused> {
        let team = environment.team_id;
        let making = Making {
            team,
            id: environment.id.to_string(),
            claims: &environment_claims(environment, &environment.settings),
            parent: Some((keys::service(team, environment.service_id), "service")),
            idempotency,
            audit,
            now: environment.created_at,
        };
        let at = keys::environment(team, environment.id);
        self.make(making, || {
            Ok(vec![self.put_new(item(at.clone(), environment)?)?])
        })
        .await
    }

    /// Change its settings; as it is then. `change` may be called again with a newer one.
    pub async fn environment_update<E: From<RecordsError> + From<CreateRefused>>(
        &self,
        (team, id): (TeamId, EnvironmentId),
        audit: &AuditEntry,
        mut change: impl FnMut(&Environment) -> Result<EnvironmentSettings, E>,
    ) -> Result<Environment, E> {
        for attempt in 0..ATTEMPTS {
            let mut environment = self.environment(team, id).await?;
            let settings = change(&environment)?;
            let before = environment_claims(&environment, &environment.settings);
            let after = environment_claims(&environment, &settings);
            let new: Vec<Claim> = after
                .iter()
                .filter(|claim| !before.contains(claim))
                .cloned()
                .collect();
            self.unclaimed(team, &new, &id.to_string()).await?;
            let mut writes = vec![self.update(
                keys::environment(team, id),
                "SET settings = :settings ADD revision :one",
                "revision = :read",
                vec![
                    (":settings", attribute(&settings)?),
                    (":one", Self::number(1)),
                    (":read", Self::number(environment.revision)),
                ],
            )?];
            for claim in &new {
                writes.push(self.put_new(item(keys::claim(team, &claim.name), claim)?)?);
            }
            for claim in before.iter().filter(|claim| !after.contains(claim)) {
                writes.push(self.unclaim(team, &claim.name, &id.to_string())?);
            }
            writes.push(self.put_new(audit.item(team)?)?);
            if self.write_all(writes).await? == Written::All {
                environment.settings = settings;
                environment.revision += 1;
                return Ok(environment);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    /// Pushes deploy by themselves again. Said twice, it changes nothing more.
    pub async fn environment_resume(
        &self,
        team: TeamId,
        id: EnvironmentId,
        audit: &AuditEntry,
    ) -> Result<Environment, RecordsError> {
        for attempt in 0..ATTEMPTS {
            let mut environment = self.environment(team, id).await?;
            if environment.auto_deploys_paused_by.is_none() {
                return Ok(environment);
            }
            let writes = vec![
                self.update(
                    keys::environment(team, id),
                    "REMOVE auto_deploys_paused_by ADD revision :one",
                    "revision = :read",
                    vec![
                        (":one", Self::number(1)),
                        (":read", Self::number(environment.revision)),
                    ],
                )?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                environment.auto_deploys_paused_by = None;
                environment.revision += 1;
                return Ok(environment);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// Delete one that runs nothing and that nothing is at work on; then its values and what was seen of it.
    pub async fn environment_delete(
        &self,
        team: TeamId,
        id: EnvironmentId,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        for attempt in 0..ATTEMPTS {
            let environment = self.environment(team, id).await?;
            let name = &environment.name;
            let in_use = |why: String| RecordsError::InUse {
                code: "environment_in_use",
                why,
            };
            if let Some(current) = environment.current {
                return Err(in_use(format!(
                    "The environment {name} runs the release {current}, and its containers would be left behind."
                )));
            }
            if !environment.placed_on.is_empty() {
                return Err(in_use(format!(
                    "The environment {name} was released to servers, and what is there would be left behind."
                )));
            }
            let lock = LockKey::environment(id);
            if let Some(holder) = self.lock_holder(team, &lock).await? {
                return Err(in_use(format!(
                    "{holder} is at work on the environment {name}; try again when it has ended."
                )));
            }
            let mut writes = self.environment_gone(&environment)?;
            writes.push(self.check(
                keys::lock(team, &lock),
                "attribute_not_exists(holder)",
                Vec::new(),
            )?);
            writes.push(self.put_new(audit.item(team)?)?);
            if self.write_all(writes).await? == Written::All {
                return self.environment_forget(team, id).await;
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }

    /// Its record goes, as it was read, with its place in the service and with its name and hosts.
    pub(crate) fn environment_gone(
        &self,
        environment: &Environment,
    ) -> Result<Vec<Write>, RecordsError> {
        let (team, id) = (environment.team_id, environment.id);
        let mut writes = vec![
            self.delete_if(
                keys::environment(team, id),
                "revision = :read",
                vec![(":read", Self::number(environment.revision))],
            )?,
            self.child_removed(keys::service(team, environment.service_id))?,
        ];
        for claim in environment_claims(environment, &environment.settings) {
            writes.push(self.unclaim(team, &claim.name, &id.to_string())?);
        }
        Ok(writes)
    }

    /// What only it had goes too. A value that nothing names any more opens for nobody. Safe to repeat.
    pub async fn environment_forget(
        &self,
        team: TeamId,
        id: EnvironmentId,
    ) -> Result<(), RecordsError> {
        for version in self.values_versions(team, id).await? {
            let at = keys::values_version(team, id, version.version);
            let writes = vec![
                self.delete_secret(keys::secret(team, version.secret))?,
                self.delete(at)?,
            ];
            self.write_all(writes).await?;
        }
        for seen in self.observed(team, id).await? {
            let at = (
                keys::observed(team, id),
                format!("SERVER#{}", seen.server_id),
            );
            self.write_all(vec![self.delete(at)?]).await?;
        }
        Ok(())
    }
}
