//! Reading a deployment, and writing its changes.
//!
//! Promise: a change is written only over the very state it was made from; what it changes arrives together or not at all.

use crate::item::{item, key, record, s};
use crate::transact::{Write, Written};
use crate::{AuditEntry, Records, RecordsError, keys};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::lifecycle::{Change, Lock, LockEffect, Slot, Snapshot, TargetEffect, lock};
use domain::{
    Deployment, DeploymentId, DeploymentStep, Job, LockKey, Settlement, TargetKind, TeamId,
};

/// How often a write over a changing record is tried before others are let through.
const ATTEMPTS: u32 = 12;

/// What became of a change.
#[derive(Debug, PartialEq, Eq, Clone, Copy)]
pub enum Applied {
    /// Written.
    Yes,
    /// Something changed meanwhile, or the lock is not held any more: read again.
    No,
}

impl Records {
    /// A deployment alone.
    pub async fn deployment(
        &self,
        team: TeamId,
        id: DeploymentId,
    ) -> Result<Deployment, RecordsError> {
        let stored = self.get(keys::deployment(team, id)).await?;
        record(stored.ok_or(RecordsError::NotFound("deployment"))?)
    }

    /// A deployment with its input and steps, in one consistent read.
    pub async fn deployment_snapshot(
        &self,
        team: TeamId,
        id: DeploymentId,
    ) -> Result<Snapshot, RecordsError> {
        let mut deployment = None;
        let mut input = serde_json::Value::Null;
        let mut steps: Vec<DeploymentStep> = Vec::new();
        let mut jobs: Vec<Job> = Vec::new();
        for found in self.query(keys::deployment_partition(team, id), "").await? {
            match found
                .get("sk")
                .and_then(|sk| sk.as_s().ok())
                .map(String::as_str)
            {
                Some("DEPLOYMENT") => deployment = Some(record::<Deployment>(found)?),
                Some("INPUT") => input = read_input(found)?,
                Some(sk) if sk.starts_with("JOB#") => jobs.push(record(found)?),
                _ => steps.push(record(found)?),
            }
        }
        let deployment = deployment.ok_or(RecordsError::NotFound("deployment"))?;
        Ok(Snapshot {
            deployment,
            input,
            steps,
            jobs,
        })
    }

    /// Write a change over the state with the `seq` before it.
    pub async fn deployment_apply(&self, change: &Change) -> Result<Applied, RecordsError> {
        self.apply(change, None).await
    }

    async fn apply(
        &self,
        change: &Change,
        audit: Option<&AuditEntry>,
    ) -> Result<Applied, RecordsError> {
        let deployment = &change.deployment;
        let (team, id) = (deployment.team_id, deployment.id);
        let mut writes = self.changed(change)?;
        for lock in &deployment.locks {
            match change.locks {
                LockEffect::Keep => {}
                LockEffect::Fence => writes.push(self.update(
                    keys::lock(team, lock),
                    "SET fence = :fence",
                    "holder = :me AND fence < :fence",
                    vec![
                        (":me", s(id.to_string())),
                        (":fence", Self::number(deployment.fence)),
                    ],
                )?),
                LockEffect::Free => match self.pass_on(deployment, lock).await? {
                    Some(passed) => writes.extend(passed),
                    None => return Ok(Applied::No),
                },
                LockEffect::Leave => {
                    let read = self.lock(team, lock).await?;
                    if !read.slots.iter().any(|slot| slot.deployment_id == id) {
                        return Ok(Applied::No);
                    }
                    writes.push(self.set_slots(team, lock, &read, &read.left_by(id))?);
                }
            }
        }
        match self.target_writes(deployment, &change.target).await? {
            Some(target) => writes.extend(target),
            None => return Ok(Applied::No),
        }
        if let Some(audit) = audit {
            writes.push(self.put_new(audit.item(team)?)?);
        }
        Ok(match self.write_all(writes).await? {
            Written::All => Applied::Yes,
            Written::Nothing => Applied::No,
        })
    }

    /// The deployment and the steps of a change, over the state it was made from.
    pub(crate) fn changed(&self, change: &Change) -> Result<Vec<Write>, RecordsError> {
        let mut deployment = change.deployment.clone();
        let (team, id) = (deployment.team_id, deployment.id);
        deployment.changed_steps = u32::try_from(change.steps.len()).unwrap_or(u32::MAX);
        let seen = (
            "seq = :seq",
            vec![(":seq", Self::number(deployment.seq - 1))],
        );
        let mut writes = vec![self.put(deployment_item(&deployment)?, Some(seen))?];
        for step in &change.steps {
            let at = keys::step(team, id, step.kind, step.sort_order, &step.name);
            let mut step = step.clone();
            step.seq = deployment.seq;
            writes.push(self.put(item(at, &step)?, None)?);
        }
        Ok(writes)
    }

    /// The holder is done with its lock: it goes to the next one that waits, or is free. None when what waits changed
    /// between two reads.
    async fn pass_on(
        &self,
        holder: &Deployment,
        key: &LockKey,
    ) -> Result<Option<Vec<Write>>, RecordsError> {
        let team = holder.team_id;
        let lock = self.lock(team, key).await?;
        let me = (":me", s(holder.id.to_string()));
        let settled_at = holder.settled_at.unwrap_or(holder.created_at);
        let mut writes = Vec::new();
        let mut next = None;
        let mut left = lock.slots.clone();
        for slot in &lock.slots {
            let held = self.deployment(team, slot.deployment_id).await?;
            left.retain(|one| one.deployment_id != held.id);
            let change = match self.no_turn(&held).await? {
                None => {
                    let promoted = lock::promoted(&held, holder.fence, settled_at);
                    next = Some(held);
                    promoted.map(|deployment| Change {
                        deployment,
                        steps: Vec::new(),
                        locks: LockEffect::Keep,
                        target: TargetEffect::None,
                    })
                }
                Some(why) => lock::skipped(&held, why, settled_at).ok(),
            };
            // A slot and what waits in it change together: one that does not wait is a slot read too late.
            let Some(change) = change else {
                return Ok(None);
            };
            writes.extend(self.changed(&change)?);
            if next.is_some() {
                break;
            }
        }
        let mut values = vec![me];
        let seen = if lock.slots.is_empty() {
            values.push((":none", Self::number(0)));
            // An empty list is what a slot that was left leaves behind.
            "holder = :me AND (attribute_not_exists(slots) OR size(slots) = :none)"
        } else {
            values.push((":seen", slots_value(&lock.slots)?));
            "holder = :me AND slots = :seen"
        };
        let expression = match next {
            None => "REMOVE holder, since, operation_name, slots",
            Some(next) => {
                values.push((":next", s(next.id.to_string())));
                values.push((":since", s(domain::rfc3339(settled_at))));
                values.push((":operation", s(next.operation_name)));
                values.push((":slots", slots_value(&left)?));
                "SET holder = :next, since = :since, operation_name = :operation, slots = :slots"
            }
        };
        writes.push(self.update(keys::lock(team, key), expression, seen, values)?);
        Ok(Some(writes))
    }

    /// Why a held deployment does not run though it is its turn: its environment is no more, or pushes to it are paused.
    async fn no_turn(&self, held: &Deployment) -> Result<Option<lock::Skip>, RecordsError> {
        if held.target.kind != TargetKind::Environment {
            return Ok(None);
        }
        let Ok(id) = held.target.id.parse() else {
            return Ok(None);
        };
        let skip = |code, reason| Ok(Some(lock::Skip { code, reason }));
        match self.environment(held.team_id, id).await {
            Ok(environment) => match environment.auto_deploys_paused_by {
                Some(by) if held.trigger.is_automatic() => skip(
                    "auto_deploys_paused",
                    format!("deploys by pushes are paused since the rollback {by}"),
                ),
                _ => Ok(None),
            },
            Err(RecordsError::NotFound(_)) => skip(
                "environment_removed",
                "the environment is no more".to_string(),
            ),
            Err(error) => Err(error),
        }
    }

    /// Change who waits for a lock that is held, over the slots as they were read.
    pub(crate) fn set_slots(
        &self,
        team: TeamId,
        key: &LockKey,
        read: &Lock,
        slots: &[Slot],
    ) -> Result<Write, RecordsError> {
        let holder = read.holder.ok_or(RecordsError::Contended)?;
        let mut values = vec![
            (":holder", s(holder.to_string())),
            (":slots", slots_value(slots)?),
        ];
        let seen = if read.slots.is_empty() {
            values.push((":none", Self::number(0)));
            "(attribute_not_exists(slots) OR size(slots) = :none)"
        } else {
            values.push((":seen", slots_value(&read.slots)?));
            "slots = :seen"
        };
        self.update(
            keys::lock(team, key),
            "SET slots = :slots",
            &format!("holder = :holder AND {seen}"),
            values,
        )
    }

    /// Read, decide, write; again when something changed meanwhile. `decide` answers None for nothing to write.
    pub async fn deployment_change<E, T>(
        &self,
        team: TeamId,
        id: DeploymentId,
        decide: impl FnMut(&Snapshot) -> Result<(Option<Change>, T), E>,
    ) -> Result<(Snapshot, T), E>
    where
        E: From<RecordsError>,
    {
        self.change(team, id, None, decide).await
    }

    /// The same on a person's word: the audit entry is written with the change, and not without it.
    pub async fn deployment_change_audited<E, T>(
        &self,
        team: TeamId,
        id: DeploymentId,
        audit: &AuditEntry,
        decide: impl FnMut(&Snapshot) -> Result<(Option<Change>, T), E>,
    ) -> Result<(Snapshot, T), E>
    where
        E: From<RecordsError>,
    {
        self.change(team, id, Some(audit), decide).await
    }

    async fn change<E, T>(
        &self,
        team: TeamId,
        id: DeploymentId,
        audit: Option<&AuditEntry>,
        mut decide: impl FnMut(&Snapshot) -> Result<(Option<Change>, T), E>,
    ) -> Result<(Snapshot, T), E>
    where
        E: From<RecordsError>,
    {
        for attempt in 0..ATTEMPTS {
            let snapshot = self.deployment_snapshot(team, id).await?;
            let (change, told) = decide(&snapshot)?;
            let Some(change) = change else {
                return Ok((snapshot, told));
            };
            if self.apply(&change, audit).await? == Applied::Yes {
                return Ok((merged(snapshot, change), told));
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    /// None when what was read of the target changed meanwhile.
    async fn target_writes(
        &self,
        deployment: &Deployment,
        effect: &TargetEffect,
    ) -> Result<Option<Vec<Write>>, RecordsError> {
        let team = deployment.team_id;
        let id = &deployment.target.id;
        let at = match deployment.target.kind {
            TargetKind::Server => id.parse().ok().map(|id| keys::server(team, id)),
            TargetKind::Site => id.parse().ok().map(|id| keys::site(team, id)),
            TargetKind::Environment => id.parse().ok().map(|id| keys::environment(team, id)),
        };
        let Some(at) = at else {
            return Ok(Some(Vec::new()));
        };
        match effect {
            TargetEffect::None => Ok(Some(Vec::new())),
            TargetEffect::Activate => Ok(Some(vec![self.update(
                at,
                "SET #status = :active",
                "attribute_exists(pk)",
                vec![(":active", s("active"))],
            )?])),
            TargetEffect::Remove => {
                let mut writes = vec![self.delete(at)?];
                for claim in &deployment.claims {
                    writes.push(self.delete(keys::claim(team, claim))?);
                }
                Ok(Some(writes))
            }
            TargetEffect::Commit(what) => self.commit_writes(deployment, *what).await,
            TargetEffect::ReleaseFailed => Ok(Some(vec![self.release_failed(deployment)?])),
            TargetEffect::Cleared(servers) => self.cleared(deployment, servers).await,
        }
    }
}

fn slots_value(slots: &[Slot]) -> Result<AttributeValue, RecordsError> {
    serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(slots)
        .map_err(|error| RecordsError::Malformed("slots".to_string(), Some(Box::new(error))))
}

/// The state after a change was written over a snapshot.
pub fn merged(mut snapshot: Snapshot, change: Change) -> Snapshot {
    snapshot.deployment = change.deployment;
    for step in change.steps {
        match snapshot.steps.iter_mut().find(|old| old.name == step.name) {
            Some(old) => *old = step,
            None => snapshot.steps.push(step),
        }
    }
    snapshot
        .steps
        .sort_by_key(|step| (step.kind == domain::StepKind::Undo, step.sort_order));
    snapshot
}

/// With the attributes its indexes want: in `open` only until it is settled.
pub(crate) fn deployment_item(deployment: &Deployment) -> Result<crate::item::Item, RecordsError> {
    let team = deployment.team_id;
    let mut stored = item(keys::deployment(team, deployment.id), deployment)?;
    stored.insert("team_key".to_string(), s(keys::team(team)));
    stored.insert(
        "target_key".to_string(),
        s(format!(
            "TEAM#{team}#{}:{}",
            deployment.target.kind.as_str(),
            deployment.target.id
        )),
    );
    if deployment.settlement != Settlement::Settled {
        stored.insert("open_key".to_string(), s(keys::OPEN));
    }
    Ok(stored)
}

/// As text, because it is replayed to the letter, not searched.
pub(crate) fn input_item(
    team: TeamId,
    id: DeploymentId,
    input: &serde_json::Value,
) -> crate::item::Item {
    let mut stored = key(keys::input(team, id));
    stored.insert("input".to_string(), s(input.to_string()));
    stored
}

fn read_input(item: crate::item::Item) -> Result<serde_json::Value, RecordsError> {
    let text = item
        .get("input")
        .and_then(|value: &AttributeValue| value.as_s().ok())
        .ok_or_else(|| RecordsError::Malformed("input".to_string(), None))?;
    serde_json::from_str(text)
        .map_err(|error| RecordsError::Malformed("input".to_string(), Some(Box::new(error))))
}
