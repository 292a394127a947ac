//! Reading a deployment, and writing its changes.
//!
//! Promise: a change is written only over the very state it was made from; what it changes arrives together or not at all.

use crate::item::{item, key, record, s};
use crate::transact::{Write, Written};
use crate::{AuditEntry, Records, RecordsError, keys};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::lifecycle::{Change, LockEffect, Snapshot, TargetEffect};
use domain::{Deployment, DeploymentId, DeploymentStep, Settlement, TargetKind, TeamId};

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
    /// A deployment with its input and steps, in one consistent read.
    pub async fn deployment_snapshot(
        &self,
        team: TeamId,
        id: DeploymentId,
    ) -> Result<Snapshot, RecordsError> {
        let mut deployment = None;
        let mut input = serde_json::Value::Null;
        let mut steps: Vec<DeploymentStep> = Vec::new();
        for found in self.query(keys::deployment_partition(team, id), "").await? {
            match found
                .get("sk")
                .and_then(|sk| sk.as_s().ok())
                .map(String::as_str)
            {
                Some("DEPLOYMENT") => deployment = Some(record::<Deployment>(found)?),
                Some("INPUT") => input = read_input(found)?,
                _ => steps.push(record(found)?),
            }
        }
        let deployment = deployment.ok_or(RecordsError::NotFound("deployment"))?;
        Ok(Snapshot {
            deployment,
            input,
            steps,
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
        let seen = (
            "seq = :seq",
            vec![(":seq", Self::number(deployment.seq - 1))],
        );
        let mut writes = vec![self.put(deployment_item(deployment)?, Some(seen))?];
        for step in &change.steps {
            let at = keys::step(team, id, step.kind, step.sort_order, &step.name);
            writes.push(self.put(item(at, step)?, None)?);
        }
        for lock in &deployment.locks {
            let at = keys::lock(team, lock);
            let me = (":me", s(id.to_string()));
            match change.locks {
                LockEffect::Keep => {}
                LockEffect::Fence => writes.push(self.update(
                    at,
                    "SET fence = :fence",
                    "holder = :me AND fence < :fence",
                    vec![me, (":fence", Self::number(deployment.fence))],
                )?),
                LockEffect::Free => writes.push(self.update(
                    at,
                    "REMOVE holder, since, operation_name",
                    "holder = :me",
                    vec![me],
                )?),
            }
        }
        writes.extend(self.target_writes(deployment, change.target)?);
        if let Some(audit) = audit {
            writes.push(self.put_new(audit.item(team)?)?);
        }
        Ok(match self.write_all(writes).await? {
            Written::All => Applied::Yes,
            Written::Nothing => Applied::No,
        })
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

    fn target_writes(
        &self,
        deployment: &Deployment,
        effect: TargetEffect,
    ) -> Result<Vec<Write>, RecordsError> {
        let team = deployment.team_id;
        let at = match deployment.target.kind {
            TargetKind::Server => deployment
                .target
                .id
                .parse()
                .ok()
                .map(|id| keys::server(team, id)),
            TargetKind::Site => deployment
                .target
                .id
                .parse()
                .ok()
                .map(|id| keys::site(team, id)),
            TargetKind::Environment => None,
        };
        let Some(at) = at else { return Ok(Vec::new()) };
        match effect {
            TargetEffect::None => Ok(Vec::new()),
            TargetEffect::Activate => Ok(vec![self.update(
                at,
                "SET #status = :active",
                "attribute_exists(pk)",
                vec![(":active", s("active"))],
            )?]),
            TargetEffect::Remove => {
                let mut writes = vec![self.delete(at)?];
                for claim in &deployment.claims {
                    writes.push(self.delete(keys::claim(team, claim))?);
                }
                Ok(writes)
            }
        }
    }
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
