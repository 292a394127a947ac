//! One transaction creates a deployment: its locks, itself, its input and steps, the target it makes, its claims, the
//! idempotency key and the audit entry.
//!
//! Promise: all of it or nothing. When it is refused, the caller's own idempotency key decides first, then the locks, then the claims.
//! An automatic one that finds its target busy waits in a slot of the lock, and may replace an older one there.

use crate::deployments::{deployment_item, input_item};
use crate::item::{Item, item, record, s};
use crate::transact::Written;
use crate::{AuditEntry, Occurrence, Records, RecordsError, keys};
use domain::lifecycle::{Arrival, Change, Lock, Slot, lock};
use domain::{
    BackupConfiguration, Deployment, DeploymentId, DeploymentStep, Dispatch, Environment, LockKey,
    Server, ServerId, Site, TargetKind, TeamId, Time,
};
use serde::{Deserialize, Serialize};

/// A repeat of a call within this time answers as the first did.
const IDEMPOTENCY_DAYS: i64 = 1;

/// How often a creation that met another one reads and tries again: fifty at once on one target get through.
const ATTEMPTS: u32 = 20;

/// Everything that comes to be together.
#[derive(Debug, Clone)]
pub struct NewDeployment {
    /// The deployment; its fence is set here.
    pub deployment: Deployment,
    /// What was asked for, frozen.
    pub input: serde_json::Value,
    /// Its steps.
    pub steps: Vec<DeploymentStep>,
    /// The target it makes.
    pub target: Option<TargetRecord>,
    /// Names and domains it takes.
    pub claims: Vec<Claim>,
    /// The caller's key.
    pub idempotency: Option<Idempotency>,
    /// Who asked, from where.
    pub audit: AuditEntry,
}

/// The record of a target.
#[derive(Debug, Clone)]
pub enum TargetRecord {
    /// A server.
    Server(Box<Server>),
    /// A site.
    Site(Box<Site>),
    /// An environment that is released to at once.
    Environment(Box<Environment>),
}

impl TargetRecord {
    pub(crate) fn key(&self) -> keys::Key {
        match self {
            Self::Server(server) => keys::server(server.team_id, server.id),
            Self::Site(site) => keys::site(site.team_id, site.id),
            Self::Environment(one) => keys::environment(one.team_id, one.id),
        }
    }
    fn item(&self) -> Result<Item, RecordsError> {
        match self {
            Self::Server(server) => item(self.key(), server),
            Self::Site(site) => item(self.key(), site),
            Self::Environment(one) => item(self.key(), one),
        }
    }
    /// What it is one of the children of, and what that is called.
    fn parent(&self) -> Option<(keys::Key, &'static str)> {
        match self {
            Self::Server(_) | Self::Site(_) => None,
            Self::Environment(one) => Some((keys::service(one.team_id, one.service_id), "service")),
        }
    }
}

/// Something that only one target of a team may have.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Claim {
    /// `domain:01J…:shop.example.com`
    pub name: String,
    /// For people: "the domain shop.example.com on this server".
    pub what: String,
    /// Whose it is.
    pub target: String,
}

/// The caller's key, and what it stood for.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Idempotency {
    /// The key, with the caller in it.
    pub key: String,
    /// Of the route and body.
    pub body_hash: String,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoredKey {
    body_hash: String,
    /// The id of what was made.
    #[serde(rename = "deployment_id")]
    made: String,
    /// Seconds since 1970: DynamoDB removes it some time after.
    expires_at: i64,
}

impl StoredKey {
    /// What the same call made before, if it did. An expired key is none.
    pub(crate) fn repeated(
        self,
        mine: &Idempotency,
        now: Time,
    ) -> Result<Option<String>, CreateRefused> {
        match self {
            stored if stored.expires_at <= now.timestamp() => Ok(None),
            stored if stored.body_hash == mine.body_hash => Ok(Some(stored.made)),
            _ => Err(CreateRefused::KeyReused),
        }
    }
}

/// How it is to be written, by what was read.
enum Decided {
    Repeat(DeploymentId),
    /// With the environment that it is about, when that is there already.
    New(Locking, Option<Box<Environment>>),
}

/// What it does to its locks.
enum Locking {
    /// It becomes the holder of all of them.
    Take,
    /// It waits in a slot of its only one.
    Wait {
        key: LockKey,
        read: Box<Lock>,
        slots: Vec<Slot>,
        replaced: Option<Box<Change>>,
    },
    /// It is recorded as one that never runs.
    Skip(lock::Skip),
}

/// What became of a creation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It is new.
    New(DeploymentId),
    /// The same call made it before.
    Repeat(DeploymentId),
}

/// Why a creation was refused.
#[derive(Debug, thiserror::Error)]
pub enum CreateRefused {
    /// The idempotency key stood for another call.
    #[error("the idempotency key was used for another request")]
    KeyReused,
    /// Another deployment holds the target.
    #[error("the target is held by {deployment_id}")]
    Held {
        /// Which.
        deployment_id: DeploymentId,
        /// What it does.
        operation_name: String,
        /// Since when.
        since: Option<Time>,
    },
    /// Another target has the name or domain.
    #[error("{} is taken", .0.what)]
    Taken(Claim),
    /// The occurrence that it is made for was begun already.
    #[error("the occurrence was begun already")]
    NotDue,
    /// The target is there already.
    #[error("the target exists")]
    TargetExists,
    /// The store did not answer.
    #[error(transparent)]
    Records(#[from] RecordsError),
}

/// The environment that a deployment is about.
fn environment(deployment: &Deployment) -> Option<keys::Key> {
    let target = Some(&deployment.target).filter(|one| one.kind == TargetKind::Environment)?;
    let id = target.id.parse().ok()?;
    Some(keys::environment(deployment.team_id, id))
}

/// Where it is to be done.
fn servers(input: &serde_json::Value) -> Vec<ServerId> {
    let listed = input["servers"].as_array().into_iter().flatten();
    listed
        .filter_map(|server| server["id"].as_str()?.parse().ok())
        .collect()
}

impl Records {
    /// See the module.
    pub async fn deployment_create(&self, new: NewDeployment) -> Result<Created, CreateRefused> {
        self.create(new, None).await
    }

    /// The same for an occurrence of a schedule: it passes in the same transaction, so it is begun once or not at all.
    pub async fn deployment_create_due(
        &self,
        new: NewDeployment,
        occurrence: &Occurrence,
    ) -> Result<Created, CreateRefused> {
        self.create(new, Some(occurrence)).await
    }

    async fn create(
        &self,
        mut new: NewDeployment,
        occurrence: Option<&Occurrence>,
    ) -> Result<Created, CreateRefused> {
        for attempt in 0..ATTEMPTS {
            if let Some(occurrence) = occurrence {
                self.still_due(new.deployment.team_id, occurrence).await?;
            }
            let (locking, environment) = match self.decide(&mut new).await {
                Ok(Decided::Repeat(repeat)) => return Ok(Created::Repeat(repeat)),
                Ok(Decided::New(locking, environment)) => (locking, environment),
                Err(CreateRefused::Records(RecordsError::Contended)) => {
                    Self::jitter(attempt).await;
                    continue;
                }
                Err(refused) => return Err(refused),
            };
            let mut writes = self.creation_writes(&new, &locking)?;
            if let Some(environment) = environment {
                writes.push(self.placed(&environment, &servers(&new.input))?);
            }
            if let Some(occurrence) = occurrence {
                writes.push(self.passed(new.deployment.team_id, occurrence)?);
            }
            if self.write_all(writes).await? == Written::All {
                return Ok(Created::New(new.deployment.id));
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    async fn still_due(&self, team: TeamId, occurrence: &Occurrence) -> Result<(), CreateRefused> {
        let (site, id) = (occurrence.site_id, occurrence.configuration_id);
        let stored = self.get(keys::backup_configuration(team, site, id)).await?;
        let stored: Option<BackupConfiguration> = stored.map(record).transpose()?;
        let due = stored.and_then(|configuration| configuration.next_due_at);
        if due == Some(occurrence.due_at) {
            Ok(())
        } else {
            Err(CreateRefused::NotDue)
        }
    }

    /// Read what could be in the way, in the order that decides; raise the fence above every lock's.
    async fn decide(&self, new: &mut NewDeployment) -> Result<Decided, CreateRefused> {
        let deployment = &mut new.deployment;
        let team = deployment.team_id;
        let idempotency_key = new
            .idempotency
            .as_ref()
            .map(|key| keys::idempotency(team, &key.key));
        let mut wanted: Vec<keys::Key> = deployment
            .locks
            .iter()
            .map(|lock| keys::lock(team, lock))
            .collect();
        wanted.extend(idempotency_key.clone());
        wanted.extend(
            new.claims
                .iter()
                .map(|claim| keys::claim(team, &claim.name)),
        );
        wanted.extend(new.target.as_ref().map(TargetRecord::key));
        let parent = new.target.as_ref().and_then(TargetRecord::parent);
        wanted.extend(parent.clone().map(|(key, _)| key));
        let environment = environment(deployment).filter(|_| new.target.is_none());
        wanted.extend(environment.clone());
        let found = self.get_all(wanted).await?;
        let at = |wanted: &keys::Key| {
            found
                .iter()
                .find(|item| {
                    item.get("pk") == Some(&s(wanted.0.clone()))
                        && item.get("sk") == Some(&s(wanted.1.clone()))
                })
                .cloned()
        };
        if let (Some(mine), Some(stored)) =
            (&new.idempotency, idempotency_key.as_ref().and_then(at))
        {
            let stored: StoredKey = record(stored)?;
            if let Some(made) = stored.repeated(mine, deployment.created_at)? {
                let made = made.parse();
                return made.map(Decided::Repeat).map_err(|_| {
                    RecordsError::Malformed("idempotency key".to_string(), None).into()
                });
            }
        }
        let locks: Vec<(LockKey, Lock)> = deployment
            .locks
            .iter()
            .map(|key| {
                let stored = at(&keys::lock(team, key)).map(record).transpose()?;
                Ok((key.clone(), stored.unwrap_or_default()))
            })
            .collect::<Result<_, RecordsError>>()?;
        let busy = locks.iter().find(|(_, lock)| lock.holder.is_some());
        let locking = match busy {
            None => {
                let fences = locks.iter().map(|(_, lock)| lock.fence);
                deployment.fence = fences.max().unwrap_or_default();
                Locking::Take
            }
            Some((key, lock)) => self.wait(deployment, key, lock).await?,
        };
        deployment.dispatch = match locking {
            Locking::Take => Dispatch::Ready,
            Locking::Wait { .. } | Locking::Skip(_) => Dispatch::Held,
        };
        for claim in &new.claims {
            if at(&keys::claim(team, &claim.name)).is_some() {
                return Err(CreateRefused::Taken(claim.clone()));
            }
        }
        if new
            .target
            .as_ref()
            .map(TargetRecord::key)
            .as_ref()
            .and_then(at)
            .is_some()
        {
            return Err(CreateRefused::TargetExists);
        }
        if let Some((key, what)) = parent
            && at(&key).is_none()
        {
            return Err(RecordsError::NotFound(what).into());
        }
        let environment = match environment.map(|key| at(&key)) {
            None => None,
            Some(None) => return Err(RecordsError::NotFound("environment").into()),
            Some(Some(stored)) => Some(Box::new(record(stored)?)),
        };
        Ok(Decided::New(locking, environment))
    }

    /// What becomes of one that finds this lock held.
    async fn wait(
        &self,
        deployment: &Deployment,
        key: &LockKey,
        lock: &Lock,
    ) -> Result<Locking, CreateRefused> {
        let refused = || match lock.holder {
            Some(deployment_id) => CreateRefused::Held {
                deployment_id,
                operation_name: lock.operation_name.clone().unwrap_or_default(),
                since: lock.since,
            },
            None => CreateRefused::Records(RecordsError::Contended),
        };
        match lock.arrive(deployment) {
            Arrival::Takes | Arrival::Refused => Err(refused()),
            // With several locks it would have to wait for all of them at once: such an operation is a person's.
            Arrival::Waits { .. } if deployment.locks.len() > 1 => Err(refused()),
            Arrival::Skipped(reason) => Ok(Locking::Skip(reason)),
            Arrival::Waits { slots, replaced } => {
                let replaced = match replaced {
                    None => None,
                    Some(id) => {
                        let old = self.deployment(deployment.team_id, id).await?;
                        let reason = format!("replaced by {}", deployment.id);
                        let change = lock::skipped(&old, reason, deployment.created_at);
                        // A slot and what waits in it change together: one that does not wait is a slot read too late.
                        Some(Box::new(change.map_err(|_| RecordsError::Contended)?))
                    }
                };
                Ok(Locking::Wait {
                    key: key.clone(),
                    read: Box::new(lock.clone()),
                    slots,
                    replaced,
                })
            }
        }
    }

    fn creation_writes(
        &self,
        new: &NewDeployment,
        locking: &Locking,
    ) -> Result<Vec<crate::transact::Write>, RecordsError> {
        let mut deployment = new.deployment.clone();
        let (team, id) = (deployment.team_id, deployment.id);
        deployment.changed_steps = u32::try_from(new.steps.len()).unwrap_or(u32::MAX);
        let mut writes = Vec::new();
        match locking {
            Locking::Take => {
                for lock in &deployment.locks {
                    writes.push(self.take_lock(team, lock, &deployment)?);
                }
            }
            Locking::Wait {
                key,
                read,
                slots,
                replaced,
            } => {
                writes.push(self.set_slots(team, key, read, slots)?);
                if let Some(change) = replaced {
                    writes.extend(self.changed(change)?);
                }
            }
            Locking::Skip(reason) => {
                let skipped = lock::skipped(&deployment, reason.clone(), deployment.created_at);
                deployment = skipped
                    .map_err(|error| RecordsError::Malformed(error.chain(), None))?
                    .deployment;
                deployment.seq = 1;
            }
        }
        let deployment = &deployment;
        writes.push(self.put_new(deployment_item(deployment)?)?);
        writes.push(self.put_new(input_item(team, id, &new.input))?);
        for step in &new.steps {
            writes.push(self.put_new(item(
                keys::step(team, id, step.kind, step.sort_order, &step.name),
                step,
            )?)?);
        }
        if let Some(target) = &new.target {
            writes.push(self.put_new(target.item()?)?);
            if let Some((parent, _)) = target.parent() {
                writes.push(self.child_added(parent)?);
            }
        }
        for claim in &new.claims {
            writes.push(self.put_new(item(keys::claim(team, &claim.name), claim)?)?);
        }
        if let Some(idempotency) = &new.idempotency {
            let now = deployment.created_at;
            writes.push(self.key_used(team, idempotency, id.to_string(), now)?);
        }
        writes.push(self.put_new(new.audit.item(team)?)?);
        Ok(writes)
    }

    /// The key stands for what was made, for a day.
    pub(crate) fn key_used(
        &self,
        team: TeamId,
        idempotency: &Idempotency,
        made: String,
        now: Time,
    ) -> Result<crate::transact::Write, RecordsError> {
        let stored = StoredKey {
            body_hash: idempotency.body_hash.clone(),
            made,
            expires_at: now.timestamp() + IDEMPOTENCY_DAYS * 86_400,
        };
        let now = Self::number(now.timestamp().max(0).cast_unsigned());
        self.put(
            item(keys::idempotency(team, &idempotency.key), &stored)?,
            Some((
                "attribute_not_exists(pk) OR expires_at <= :now",
                vec![(":now", now)],
            )),
        )
    }

    /// Only a free lock, with no higher fence than the one read, is taken.
    fn take_lock(
        &self,
        team: TeamId,
        lock: &LockKey,
        deployment: &Deployment,
    ) -> Result<crate::transact::Write, RecordsError> {
        self.update(
            keys::lock(team, lock),
            "SET holder = :me, since = :since, operation_name = :operation, fence = :fence",
            "attribute_not_exists(holder) AND (attribute_not_exists(fence) OR fence <= :fence)",
            vec![
                (":me", s(deployment.id.to_string())),
                (":since", s(domain::rfc3339(deployment.created_at))),
                (":operation", s(deployment.operation_name.clone())),
                (":fence", Self::number(deployment.fence)),
            ],
        )
    }

    /// Several locks as they stand, in this order.
    pub async fn locks(&self, team: TeamId, of: &[LockKey]) -> Result<Vec<Lock>, RecordsError> {
        let mut found = Vec::new();
        // Two of the same in one read are a mistake to DynamoDB.
        let keys: std::collections::BTreeSet<_> =
            of.iter().map(|lock| keys::lock(team, lock)).collect();
        for stored in self.get_all(keys).await? {
            let at = stored.get("pk").cloned();
            found.push((at, record::<Lock>(stored)?));
        }
        let lock = |key: &LockKey| {
            let at = Some(s(keys::lock(team, key).0));
            let stored = found.iter().find(|(pk, _)| *pk == at);
            stored.map(|(_, lock)| lock.clone()).unwrap_or_default()
        };
        Ok(of.iter().map(lock).collect())
    }

    /// A lock as it stands.
    pub async fn lock(&self, team: TeamId, lock: &LockKey) -> Result<Lock, RecordsError> {
        let stored = self.get(keys::lock(team, lock)).await?;
        Ok(stored.map(record).transpose()?.unwrap_or_default())
    }

    /// Which deployment holds a lock.
    pub async fn lock_holder(
        &self,
        team: TeamId,
        lock: &LockKey,
    ) -> Result<Option<DeploymentId>, RecordsError> {
        Ok(self.lock(team, lock).await?.holder)
    }

    /// Whose a claim is.
    pub async fn claim_owner(
        &self,
        team: TeamId,
        claim: &str,
    ) -> Result<Option<Claim>, RecordsError> {
        self.get(keys::claim(team, claim))
            .await?
            .map(record)
            .transpose()
    }
}
