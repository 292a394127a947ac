//! What a step's worker does to the records: begin, say how far it is, finish, or let go for another try.

use super::rules::{STEP_BUSY, fail, set_settlement, set_status, set_step};
use super::servers;
use super::{Begin, Change, End, LockEffect, Snapshot, TargetEffect, Worker};
use crate::{
    Deployment, DeploymentStatus, DeploymentStep, ErrorKind, Outcome, Phase, Progress, SCHEMA,
    Settlement, StepError, StepKind, StepServer, StepStatus, Time,
};
use std::collections::BTreeMap;

/// The worker of `name` wants to begin: forward, tidy, or (with `undo`) taking the step back.
pub fn begin(
    snapshot: &Snapshot,
    name: &str,
    undo: bool,
    worker: &Worker,
    now: Time,
) -> Result<Begin, StepError> {
    let deployment = &snapshot.deployment;
    let step = snapshot.step(name).ok_or_else(|| {
        StepError::broken(format!("deployment {} has no step {name}", deployment.id))
    })?;
    if deployment.settlement == Settlement::Settled {
        return Err(StepError::stale("this deployment is settled"));
    }
    if undo {
        begin_undo(snapshot, step, worker, now)
    } else {
        begin_forward(snapshot, step, worker, now)
    }
}

fn begin_forward(
    snapshot: &Snapshot,
    step: &DeploymentStep,
    worker: &Worker,
    now: Time,
) -> Result<Begin, StepError> {
    match step.status {
        StepStatus::Completed => return Ok(Begin::Done(step.gives.clone())),
        StepStatus::Skipped => return Ok(Begin::Nothing),
        StepStatus::Queued | StepStatus::Running | StepStatus::Failed => {}
    }
    use DeploymentStatus::*;
    match (step.kind, snapshot.deployment.status) {
        (StepKind::Step, Queued | Running) | (StepKind::Tidy, Completed) => {}
        (_, Cancelled) => return Err(cancelled(&snapshot.deployment)),
        (_, status) => return Err(StepError::stale(format!("this deployment is {status}"))),
    }
    let mut deployment = snapshot.changed();
    if deployment.status == Queued {
        set_status(&mut deployment, Running)?;
        deployment.started_at = Some(now);
    }
    if let Some(phase) = step.phase {
        deployment.phase = Some(phase);
    }
    go(snapshot, deployment, step.clone(), worker, now)
}

fn begin_undo(
    snapshot: &Snapshot,
    step: &DeploymentStep,
    worker: &Worker,
    now: Time,
) -> Result<Begin, StepError> {
    if !matches!(
        snapshot.deployment.status,
        DeploymentStatus::Failed | DeploymentStatus::Cancelled
    ) {
        return Err(StepError::stale(format!(
            "this deployment is {}",
            snapshot.deployment.status
        )));
    }
    let Some(undo_name) = &step.undo else {
        return Ok(Begin::Nothing);
    };
    if !step.has_begun() {
        return Ok(Begin::Nothing);
    }
    let undo = match snapshot.step(undo_name) {
        Some(undo) if undo.status == StepStatus::Completed => {
            return Ok(Begin::Done(undo.gives.clone()));
        }
        Some(undo) => undo.clone(),
        None => undo_of(step, undo_name),
    };
    let mut deployment = snapshot.changed();
    set_settlement(&mut deployment, Settlement::Undoing)?;
    go(snapshot, deployment, undo, worker, now)
}

fn undo_of(step: &DeploymentStep, name: &str) -> DeploymentStep {
    DeploymentStep {
        schema: SCHEMA,
        name: name.to_string(),
        title: format!("Undo: {}", step.title),
        function: step.function.clone(),
        kind: StepKind::Undo,
        status: StepStatus::Queued,
        // Undos run in reverse; places count up all the same.
        sort_order: 999 - step.sort_order,
        undo: None,
        undo_of: Some(step.name.clone()),
        output: None,
        error: None,
        warning: None,
        progress: None,
        gives: BTreeMap::new(),
        phase: None,
        started_at: None,
        finished_at: None,
        seq: 0,
        fence: 0,
        deadline: None,
        request_id: None,
        servers: step
            .servers
            .iter()
            .filter(|row| row.has_begun())
            .map(|row| StepServer::queued(row.id, &row.name))
            .collect(),
    }
}

fn go(
    snapshot: &Snapshot,
    mut deployment: Deployment,
    mut step: DeploymentStep,
    worker: &Worker,
    now: Time,
) -> Result<Begin, StepError> {
    if step.status == StepStatus::Running
        && let Some(deadline) = step.deadline
        && deadline > now
        && step.request_id.as_ref() != Some(&worker.request_id)
    {
        return Err(StepError::busy(
            STEP_BUSY,
            format!(
                "another worker has {} until {}",
                step.name,
                crate::rfc3339(deadline)
            ),
        ));
    }
    set_step(&mut step, StepStatus::Running)?;
    deployment.fence += 1;
    step.fence = deployment.fence;
    step.deadline = Some(worker.deadline);
    step.request_id = Some(worker.request_id.clone());
    step.started_at = step.started_at.or(Some(now));
    step.finished_at = None;
    step.error = None;
    servers::begun(snapshot, &mut step, now);
    Ok(Begin::Go(Box::new(Change {
        deployment,
        steps: vec![step],
        locks: LockEffect::Fence,
        target: TargetEffect::None,
    })))
}

fn cancelled(deployment: &Deployment) -> StepError {
    let public = deployment
        .error
        .as_ref()
        .map_or("Cancelled", |error| error.message.as_str());
    StepError::new(ErrorKind::Cancelled, "cancelled", public)
}

pub(super) fn mine<'a>(
    snapshot: &'a Snapshot,
    name: &str,
    fence: u64,
) -> Result<&'a DeploymentStep, StepError> {
    // People may have accepted what is left while it was at work.
    if snapshot.deployment.settlement == Settlement::Settled {
        return Err(StepError::stale("this deployment is settled"));
    }
    match snapshot.step(name) {
        Some(step) if step.status == StepStatus::Running && step.fence == fence => Ok(step),
        _ => Err(StepError::stale(format!("{name} is another worker's now"))),
    }
}

/// The worker that began with this fence is done. A cancel that came first makes it a failed step.
pub fn finish(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    end: End,
    now: Time,
) -> Result<Change, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    let mut deployment = snapshot.changed();
    let mut steps = Vec::new();
    let mut target = TargetEffect::None;
    step.finished_at = Some(now);
    step.deadline = None;
    step.progress = None;
    let forward = step.kind == StepKind::Step;
    if forward && deployment.status == DeploymentStatus::Cancelled {
        set_step(&mut step, StepStatus::Failed)?;
        step.error = deployment.error.clone();
        for row in &mut step.servers {
            if row.status == StepStatus::Failed {
                row.error = deployment.error.clone();
            }
        }
        return Ok(Change {
            deployment,
            steps: vec![step],
            locks: LockEffect::Keep,
            target: TargetEffect::None,
        });
    }
    match end {
        End::Completed { gives, output } => {
            set_step(&mut step, StepStatus::Completed)?;
            step.output = Some(output).filter(|output| !output.is_empty());
            deployment.meta.extend(gives.clone());
            step.gives = gives;
            if forward && step.phase == Some(Phase::Building) && !more_is_built(snapshot, &step) {
                deployment.phase = Some(Phase::Built);
            }
            if forward && step.name == deployment.commit_step {
                set_status(&mut deployment, DeploymentStatus::Completed)?;
                deployment.outcome = Some(Outcome::Succeeded);
                deployment.finished_at = Some(now);
                target = deployment
                    .on_commit
                    .map_or(TargetEffect::None, TargetEffect::Commit);
            }
        }
        End::Skipped(reason) => {
            set_step(&mut step, StepStatus::Skipped)?;
            step.output = Some(reason);
        }
        End::Failed(failure) => {
            set_step(&mut step, StepStatus::Failed)?;
            step.error = Some(failure.clone());
            if forward {
                steps.extend(fail(snapshot, &mut deployment, failure, now)?);
            }
        }
    }
    steps.push(step);
    Ok(Change {
        deployment,
        steps,
        locks: LockEffect::Keep,
        target,
    })
}

/// Does another step of the same phase follow?
fn more_is_built(snapshot: &Snapshot, step: &DeploymentStep) -> bool {
    snapshot.steps.iter().any(|other| {
        other.phase == Some(Phase::Building)
            && other.sort_order > step.sort_order
            && other.status == StepStatus::Queued
    })
}

/// The worker failed in a way that a repeat may mend: the step stays running, free for the next try.
pub fn release(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    warning: String,
) -> Result<Change, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    step.deadline = None;
    step.warning = Some(warning);
    Ok(Change {
        deployment: snapshot.changed(),
        steps: vec![step],
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}

/// How far the worker is.
pub fn progress(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    progress: Progress,
) -> Result<Change, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    step.progress = Some(progress);
    Ok(Change {
        deployment: snapshot.changed(),
        steps: vec![step],
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}
