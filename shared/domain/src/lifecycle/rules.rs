//! The only places where states are set: each asks its transition table.

use super::Snapshot;
use crate::state::Transitions;
use crate::{
    Deployment, DeploymentStatus, DeploymentStep, Failure, Outcome, Settlement, StepError,
    StepKind, StepStatus, Time,
};

/// Another worker has the step.
pub(super) const STEP_BUSY: &str = "step_busy";
/// Nothing is taken back while a step's worker may be at work.
pub(super) const WORKER_ALIVE: &str = "worker_alive";

pub(super) fn illegal<S: Transitions>(what: &str, from: S, to: S) -> StepError {
    StepError::broken(format!(
        "{what} must not go from {} to {}",
        from.as_str(),
        to.as_str()
    ))
}

pub(super) fn set_status(
    deployment: &mut Deployment,
    to: DeploymentStatus,
) -> Result<(), StepError> {
    if !deployment.status.may_become(to) {
        return Err(illegal("a deployment", deployment.status, to));
    }
    deployment.status = to;
    Ok(())
}

pub(super) fn set_settlement(deployment: &mut Deployment, to: Settlement) -> Result<(), StepError> {
    if deployment.settlement == to {
        return Ok(());
    }
    if !deployment.settlement.may_become(to) {
        return Err(illegal("a settlement", deployment.settlement, to));
    }
    deployment.settlement = to;
    Ok(())
}

pub(super) fn set_step(step: &mut DeploymentStep, to: StepStatus) -> Result<(), StepError> {
    if !step.status.may_become(to) {
        return Err(illegal("a step", step.status, to));
    }
    step.status = to;
    Ok(())
}

/// The verdict "failed"; steps never reached are stored as skipped.
pub(super) fn fail(
    snapshot: &Snapshot,
    deployment: &mut Deployment,
    failure: Failure,
    now: Time,
) -> Result<Vec<DeploymentStep>, StepError> {
    set_status(deployment, DeploymentStatus::Failed)?;
    set_settlement(deployment, Settlement::Stopping)?;
    deployment.outcome = Some(Outcome::Failed);
    deployment.error = Some(failure);
    deployment.finished_at = Some(now);
    let mut never_reached: Vec<_> = snapshot
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Queued && step.kind != StepKind::Undo)
        .cloned()
        .collect();
    for step in &mut never_reached {
        set_step(step, StepStatus::Skipped)?;
        step.output = Some("not reached".to_string());
    }
    Ok(never_reached)
}
