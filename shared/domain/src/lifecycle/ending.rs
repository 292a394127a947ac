//! How deployments end: stop, note, settle, and what people say: cancel, undo again, acknowledge.

use super::rules::{STEP_BUSY, WORKER_ALIVE, fail, set_settlement, set_status, set_step};
use super::{Cancel, Change, LockEffect, Snapshot, TargetEffect};
use crate::{
    Deployment, DeploymentStatus, DeploymentStep, Dispatch, ErrorKind, Failure, OnCommit, Outcome,
    Phase, Settlement, StepError, StepKind, StepStatus, Time,
};

/// The machine left its forward way: make sure of the verdict, end the running step, and say where undoing begins.
///
/// `error` is what the machine caught; a verdict that stands already wins over it.
pub fn stop(
    snapshot: &Snapshot,
    error: Option<Failure>,
    now: Time,
) -> Result<(Option<Change>, Option<String>), StepError> {
    let mut deployment = snapshot.changed();
    match deployment.settlement {
        Settlement::Settled => return Err(StepError::stale("this deployment is settled")),
        _ if deployment.status == DeploymentStatus::Completed => return Ok((None, None)),
        _ => {}
    }
    // An execution may be stopped while its worker is at work: nothing is taken back beside it.
    nobody_at_work(snapshot, now)?;
    let mut steps = Vec::new();
    if !deployment.status.is_finished() {
        // Busy to the end means that the worker it waited for never came back.
        let failure = error
            .filter(|failure| failure.code != STEP_BUSY)
            .unwrap_or_else(worker_lost);
        steps.extend(fail(snapshot, &mut deployment, failure, now)?);
    }
    steps.extend(lost(snapshot, deployment.error.as_ref(), now)?);
    let first = snapshot
        .left_to_undo()
        .first()
        .map(|step| step.name.clone());
    if first.is_some() {
        set_settlement(&mut deployment, Settlement::Undoing)?;
    }
    let unchanged = steps.is_empty() && deployment.settlement == snapshot.deployment.settlement;
    let change = Change {
        deployment,
        steps,
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    };
    Ok(((!unchanged).then_some(change), first))
}

fn worker_lost() -> Failure {
    Failure {
        kind: ErrorKind::Broken,
        code: "worker_lost".to_string(),
        message: "The step's worker ended without a word.".to_string(),
    }
}

/// The forward and tidy steps that are said to be at work.
fn running(snapshot: &Snapshot) -> impl Iterator<Item = &DeploymentStep> {
    snapshot
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Running && step.kind != StepKind::Undo)
}

/// Busy while the worker of one of them is not known to be gone.
fn nobody_at_work(snapshot: &Snapshot, now: Time) -> Result<(), StepError> {
    let alive = |step: &&DeploymentStep| step.deadline.is_some_and(|deadline| deadline > now);
    match running(snapshot).find(alive) {
        None => Ok(()),
        Some(step) => Err(StepError::busy(
            WORKER_ALIVE,
            format!("the worker of {} may be at work still", step.name),
        )),
    }
}

/// They failed: nobody will say how they ended.
fn lost(
    snapshot: &Snapshot,
    error: Option<&Failure>,
    now: Time,
) -> Result<Vec<DeploymentStep>, StepError> {
    let mut steps: Vec<_> = running(snapshot).cloned().collect();
    for step in &mut steps {
        set_step(step, StepStatus::Failed)?;
        let why = error.cloned().unwrap_or_else(worker_lost);
        for row in &mut step.servers {
            if row.status == StepStatus::Running {
                row.status = StepStatus::Failed;
                row.is_untouched = false;
                row.error = Some(why.clone());
                row.finished_at = Some(now);
                row.progress = None;
            }
        }
        step.error = Some(why);
        step.finished_at = Some(now);
        step.deadline = None;
        step.progress = None;
    }
    Ok(steps)
}

/// A tidy step's machine state failed without a word of its worker: a warning on a completed deployment, once that worker
/// is known to be gone.
pub fn note(
    snapshot: &Snapshot,
    name: &str,
    failure: Failure,
    now: Time,
) -> Result<Option<Change>, StepError> {
    let Some(step) = snapshot
        .step(name)
        .filter(|step| step.kind == StepKind::Tidy && !step.status.is_finished())
    else {
        return Ok(None);
    };
    nobody_at_work(snapshot, now)?;
    let mut step = step.clone();
    set_step(&mut step, StepStatus::Failed)?;
    step.error = Some(failure);
    step.finished_at = Some(now);
    step.deadline = None;
    Ok(Some(Change {
        deployment: snapshot.changed(),
        steps: vec![step],
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    }))
}

/// Nothing more will happen: free the locks, or say that people must look.
pub fn settle(snapshot: &Snapshot, now: Time) -> Result<Option<Change>, StepError> {
    let deployment = snapshot.changed();
    if deployment.settlement == Settlement::Settled {
        return Ok(None);
    }
    if !deployment.status.is_finished() {
        return Err(StepError::broken(format!(
            "deployment {} has no verdict and cannot be settled",
            deployment.id
        )));
    }
    let left = snapshot.left_to_undo();
    if deployment.status == DeploymentStatus::Completed || left.is_empty() {
        // The next one begins at once: nobody may be at work beside it.
        nobody_at_work(snapshot, now)?;
        let steps = lost(snapshot, deployment.error.as_ref(), now)?;
        let mut change = end(deployment, now)?;
        change.steps = steps;
        let cleared = super::servers::cleared(snapshot);
        if change.target == TargetEffect::None && !cleared.is_empty() {
            change.target = TargetEffect::Cleared(cleared);
        }
        return Ok(Some(change));
    }
    needs_attention(snapshot, deployment, now).map(Some)
}

/// People must look: the lock stays, and the record says what is left.
pub(super) fn needs_attention(
    snapshot: &Snapshot,
    mut deployment: Deployment,
    now: Time,
) -> Result<Change, StepError> {
    set_settlement(&mut deployment, Settlement::NeedsAttention)?;
    let given_up = given_up(snapshot, now)?;
    deployment.attention = Some(what_is_left(snapshot, &snapshot.left_to_undo(), &given_up));
    Ok(Change {
        deployment,
        steps: given_up,
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}

/// Undos that still wait for another try have had their last one.
fn given_up(snapshot: &Snapshot, now: Time) -> Result<Vec<DeploymentStep>, StepError> {
    let waiting =
        |step: &&DeploymentStep| step.kind == StepKind::Undo && step.status == StepStatus::Running;
    let mut undos: Vec<_> = snapshot.steps.iter().filter(waiting).cloned().collect();
    for undo in &mut undos {
        set_step(undo, StepStatus::Failed)?;
        undo.finished_at = Some(now);
        undo.deadline = None;
        undo.progress = None;
        undo.error = Some(Failure {
            kind: ErrorKind::Unavailable,
            code: "undo_failed".to_string(),
            message: undo
                .warning
                .take()
                .unwrap_or_else(|| "The undo's worker ended without a word.".to_string()),
        });
    }
    Ok(undos)
}

fn what_is_left(
    snapshot: &Snapshot,
    left: &[&DeploymentStep],
    given_up: &[DeploymentStep],
) -> String {
    if left.is_empty() {
        return "Nothing is left to take back, but the deployment could not be settled."
            .to_string();
    }
    let titles: Vec<_> = left
        .iter()
        .map(|step| format!("\u{201c}{}\u{201d}", step.title))
        .collect();
    let error_of = |name: &str| {
        given_up
            .iter()
            .find(|undo| undo.name == name)
            .or(snapshot.step(name))?
            .error
            .as_ref()
    };
    let why = left.iter().find_map(|step| error_of(step.undo.as_deref()?));
    let why = why.map_or(String::new(), |error| {
        format!(" Undoing stopped: {}", error.message)
    });
    format!("Not taken back: {}.{why}", titles.join(", "))
}

pub(super) fn end(mut deployment: Deployment, now: Time) -> Result<Change, StepError> {
    set_settlement(&mut deployment, Settlement::Settled)?;
    deployment.settled_at = Some(now);
    let completed = deployment.status == DeploymentStatus::Completed;
    if completed && deployment.phase.is_some() {
        deployment.phase = Some(Phase::Ready);
    }
    let is_release = matches!(
        deployment.on_commit,
        Some(OnCommit::MakeCurrent | OnCommit::GoBack)
    );
    let target = match (deployment.creates_target, deployment.status) {
        (false, DeploymentStatus::Failed) if is_release => TargetEffect::ReleaseFailed,
        (false, _) => TargetEffect::None,
        (true, DeploymentStatus::Completed) => TargetEffect::Activate,
        (true, _) => TargetEffect::Remove,
    };
    Ok(Change {
        deployment,
        steps: Vec::new(),
        locks: LockEffect::Free,
        target,
    })
}

/// A person stops it. Queued: over in one write. Running: the verdict now, the rest by its machine.
pub fn cancel(snapshot: &Snapshot, by: &str, now: Time) -> Result<Cancel, StepError> {
    let mut deployment = snapshot.changed();
    match (deployment.status, deployment.settlement) {
        (DeploymentStatus::Completed, Settlement::Active) => return Ok(Cancel::TooLate),
        (status, _) if status.is_finished() => return Ok(Cancel::AlreadyFinished),
        _ => {}
    }
    let never_began = deployment.status == DeploymentStatus::Queued;
    set_status(&mut deployment, DeploymentStatus::Cancelled)?;
    deployment.outcome = Some(Outcome::Canceled);
    deployment.error = Some(Failure {
        kind: ErrorKind::Cancelled,
        code: "cancelled".to_string(),
        message: format!("Cancelled by {by}"),
    });
    deployment.finished_at = Some(now);
    let change = if never_began {
        let held = deployment.dispatch == Dispatch::Held;
        let mut change = end(deployment, now)?;
        if held {
            change.locks = LockEffect::Leave;
        }
        change
    } else {
        set_settlement(&mut deployment, Settlement::Stopping)?;
        Change {
            deployment,
            steps: Vec::new(),
            locks: LockEffect::Keep,
            target: TargetEffect::None,
        }
    };
    Ok(Cancel::Go(Box::new(change)))
}

/// Try the undos again, after a person mended what stopped them. None when it does not need attention.
pub fn undo_again(snapshot: &Snapshot, now: Time) -> Result<Option<Change>, StepError> {
    if snapshot.deployment.settlement != Settlement::NeedsAttention {
        return Ok(None);
    }
    let mut deployment = snapshot.changed();
    set_settlement(&mut deployment, Settlement::Undoing)?;
    deployment.dispatch = Dispatch::Ready;
    deployment.ready_at = Some(now);
    deployment.undo_starts += 1;
    deployment.restarts = 0;
    deployment.attention = None;
    Ok(Some(Change {
        deployment,
        steps: Vec::new(),
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    }))
}

/// Accept what is left and free the target. None when it does not need attention.
pub fn acknowledge(snapshot: &Snapshot, now: Time) -> Result<Option<Change>, StepError> {
    if snapshot.deployment.settlement != Settlement::NeedsAttention {
        return Ok(None);
    }
    end(snapshot.changed(), now).map(Some)
}

/// Its machine has been started. None when it was said already.
pub fn dispatched(snapshot: &Snapshot) -> Option<Change> {
    if snapshot.deployment.dispatch != Dispatch::Ready
        || snapshot.deployment.settlement == Settlement::Settled
    {
        return None;
    }
    let mut deployment = snapshot.changed();
    deployment.dispatch = Dispatch::Started;
    Some(Change {
        deployment,
        steps: Vec::new(),
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}
