//! A deployment before it is stored: its record and steps, made from the pipeline and the frozen input.
//!
//! Promise: the plan of a dry run and the records of a real one come from the same lines.

use crate::Cloud;
use domain::release::ReleaseServer;
use domain::{
    Actor, Deployment, DeploymentId, DeploymentStatus, DeploymentStep, Dispatch, LockKey, Phase,
    SCHEMA, Settlement, StepError, StepKind, StepServer, StepStatus, TargetRef, TeamId, Time,
    Trigger,
};
use pipelines::{Pipeline, Servers};
use serde_json::Value;
use std::collections::BTreeMap;

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Asked {
    /// Whose.
    pub team_id: TeamId,
    /// By whom.
    pub actor: Actor,
    /// By what.
    pub trigger: Trigger,
    /// For an automatic trigger: the branch or schedule.
    pub slot: Option<String>,
    /// On what.
    pub target: TargetRef,
    /// What is locked meanwhile.
    pub locks: Vec<LockKey>,
    /// The frozen input.
    pub input: Value,
    /// What the first steps need.
    pub meta: BTreeMap<String, Value>,
    /// Names and domains that go with the target.
    pub claims: Vec<String>,
}

/// The deployment and its steps.
pub fn deployment(
    cloud: &Cloud,
    pipeline: &Pipeline,
    asked: Asked,
) -> Result<(Deployment, Vec<DeploymentStep>), StepError> {
    at(cloud.id_parts(), cloud.clock.now(), pipeline, asked)
}

/// The same with the parts of its id and the moment of its creation.
pub fn at(
    (time, random): (u64, u128),
    now: Time,
    pipeline: &Pipeline,
    asked: Asked,
) -> Result<(Deployment, Vec<DeploymentStep>), StepError> {
    let commit = pipeline.commit_step(&asked.input).ok_or_else(|| {
        StepError::refused(
            "nothing_to_do",
            "Nothing was chosen, so there is nothing to do.",
        )
    })?;
    let is_release = pipeline.steps.iter().any(|step| step.phase.is_some());
    let slot = asked.trigger.is_automatic().then(|| {
        let of = asked.slot.as_deref().unwrap_or_default();
        format!("{}:{of}", pipeline.name)
    });
    let mut locks = asked.locks;
    locks.sort();
    locks.dedup();
    let deployment = Deployment {
        schema: SCHEMA,
        id: DeploymentId::from_parts(time, random),
        team_id: asked.team_id,
        actor: asked.actor,
        trigger: asked.trigger,
        pipeline: pipeline.name.to_string(),
        operation_name: pipeline.title.to_string(),
        target: asked.target,
        status: DeploymentStatus::Queued,
        phase: is_release.then_some(Phase::Pending),
        outcome: None,
        settlement: Settlement::Active,
        dispatch: Dispatch::Ready,
        commit_step: commit.definition.name.to_string(),
        locks,
        fence: 0,
        meta: asked.meta,
        on_commit: pipeline.on_commit,
        creates_target: pipeline.creates_target(),
        claims: asked.claims,
        created_at: now,
        started_at: None,
        finished_at: None,
        settled_at: None,
        error: None,
        attention: None,
        retry_of: None,
        rollback_of: None,
        seq: 1,
        changed_steps: 0,
        slot,
        ready_at: None,
        undo_starts: 0,
        restarts: 0,
    };
    Ok((deployment, steps(pipeline, &asked.input)))
}

/// The steps' records; those the input rules out are skipped from the start.
pub fn steps(pipeline: &Pipeline, input: &Value) -> Vec<DeploymentStep> {
    let numbered = pipeline.steps.iter().zip(1_u32..);
    numbered
        .map(|(step, sort_order)| {
            let skipped = step.skip_reason(input);
            DeploymentStep {
                schema: SCHEMA,
                name: step.definition.name.to_string(),
                title: step.title().to_string(),
                function: step.definition.name.to_string(),
                kind: if step.kind == StepKind::Tidy {
                    StepKind::Tidy
                } else {
                    StepKind::Step
                },
                status: if skipped.is_some() {
                    StepStatus::Skipped
                } else {
                    StepStatus::Queued
                },
                sort_order,
                undo: step.undo_name().map(str::to_string),
                undo_of: None,
                output: skipped.map(str::to_string),
                error: None,
                warning: None,
                progress: None,
                gives: BTreeMap::new(),
                phase: step.phase,
                started_at: None,
                finished_at: None,
                seq: 1,
                fence: 0,
                deadline: None,
                request_id: None,
                servers: step
                    .servers
                    .map_or(Vec::new(), |which| servers(input, which)),
            }
        })
        .collect()
}

/// As they were frozen.
fn servers(input: &Value, which: Servers) -> Vec<StepServer> {
    let listed: Vec<ReleaseServer> =
        serde_json::from_value(input[which.field()].clone()).unwrap_or_default();
    listed
        .into_iter()
        .map(|server| StepServer::queued(server.id, server.name))
        .collect()
}
