//! How a deployment moves: begin, finish, stop, cancel, settle, as pure functions over what was read.
//!
//! Promise: each takes a snapshot and answers with the change to write, or why not. The store writes a change only if
//! nothing else changed meanwhile; otherwise the caller reads again and asks again. So what holds here holds in the table.

use crate::state::Transitions;
use crate::{
    Deployment, DeploymentStatus, DeploymentStep, Dispatch, ErrorKind, Failure, Outcome, Progress,
    SCHEMA, Settlement, StepError, StepKind, StepStatus, Time,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A deployment as it stood in one read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The deployment.
    pub deployment: Deployment,
    /// What was asked for, frozen.
    pub input: Value,
    /// Its steps in order, the undos behind them.
    pub steps: Vec<DeploymentStep>,
}

/// What is to be written, all or nothing.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it is to be; its `seq` is one above the one read.
    pub deployment: Deployment,
    /// The steps that changed.
    pub steps: Vec<DeploymentStep>,
    /// What happens to its locks.
    pub locks: LockEffect,
    /// What happens to the target it makes.
    pub target: TargetEffect,
}

/// What a change does to the locks; each demands that the deployment still holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockEffect {
    /// Nothing.
    Keep,
    /// The deployment's fence becomes the lock's.
    Fence,
    /// They are free for the next one.
    Free,
}

/// What a change does to the record of the target that the deployment makes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TargetEffect {
    /// Nothing.
    None,
    /// It is there for use.
    Activate,
    /// It goes, and its claims with it.
    Remove,
}

/// Who is at work on a step.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Of the Lambda's invocation.
    pub request_id: String,
    /// It is gone by then, whatever happens.
    pub deadline: Time,
}

/// What a worker that wants to begin should do.
#[derive(Debug)]
pub enum Begin {
    /// Write this, then work.
    Go(Box<Change>),
    /// It was done before: give these, work nothing.
    Done(BTreeMap<String, Value>),
    /// There is nothing to do.
    Nothing,
}

/// How a step ended.
#[derive(Debug, Clone)]
pub enum End {
    /// With its effect.
    Completed {
        /// Small values for later steps.
        gives: BTreeMap<String, Value>,
        /// For people.
        output: String,
    },
    /// It found that it does not apply.
    Skipped(String),
    /// Without it, and a repeat will not help.
    Failed(Failure),
}

/// What a person's cancel comes to.
#[derive(Debug)]
pub enum Cancel {
    /// Write this.
    Go(Box<Change>),
    /// It is over anyway.
    AlreadyFinished,
    /// It passed its commit and is tidying up.
    TooLate,
}

impl Snapshot {
    /// The step of this name, forward or undo.
    pub fn step(&self, name: &str) -> Option<&DeploymentStep> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Forward steps that started and whose undo has not completed, last first.
    pub fn left_to_undo(&self) -> Vec<&DeploymentStep> {
        let mut left: Vec<_> = self
            .steps
            .iter()
            .filter(|step| {
                step.kind == StepKind::Step
                    && step.started_at.is_some()
                    && step.status != StepStatus::Skipped
            })
            .filter(|step| match &step.undo {
                Some(undo) => self
                    .step(undo)
                    .is_none_or(|undo| undo.status != StepStatus::Completed),
                None => false,
            })
            .collect();
        left.sort_by_key(|step| std::cmp::Reverse(step.sort_order));
        left
    }

    fn changed(&self) -> Deployment {
        let mut deployment = self.deployment.clone();
        deployment.seq += 1;
        deployment
    }
}

/// Another worker has the step.
const STEP_BUSY: &str = "step_busy";

fn illegal<S: Transitions>(what: &str, from: S, to: S) -> StepError {
    StepError::broken(format!(
        "{what} must not go from {} to {}",
        from.as_str(),
        to.as_str()
    ))
}

fn set_status(deployment: &mut Deployment, to: DeploymentStatus) -> Result<(), StepError> {
    if !deployment.status.may_become(to) {
        return Err(illegal("a deployment", deployment.status, to));
    }
    deployment.status = to;
    Ok(())
}

fn set_settlement(deployment: &mut Deployment, to: Settlement) -> Result<(), StepError> {
    if deployment.settlement == to {
        return Ok(());
    }
    if !deployment.settlement.may_become(to) {
        return Err(illegal("a settlement", deployment.settlement, to));
    }
    deployment.settlement = to;
    Ok(())
}

fn set_step(step: &mut DeploymentStep, to: StepStatus) -> Result<(), StepError> {
    if !step.status.may_become(to) {
        return Err(illegal("a step", step.status, to));
    }
    step.status = to;
    Ok(())
}

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
    go(deployment, step.clone(), worker, now)
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
    if step.started_at.is_none() || step.status == StepStatus::Skipped {
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
    go(deployment, undo, worker, now)
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
        fence: 0,
        deadline: None,
        request_id: None,
    }
}

fn go(
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

fn mine<'a>(
    snapshot: &'a Snapshot,
    name: &str,
    fence: u64,
) -> Result<&'a DeploymentStep, StepError> {
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
    step.finished_at = Some(now);
    step.deadline = None;
    step.progress = None;
    let forward = step.kind == StepKind::Step;
    if forward && deployment.status == DeploymentStatus::Cancelled {
        set_step(&mut step, StepStatus::Failed)?;
        step.error = deployment.error.clone();
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
            if forward && step.name == deployment.commit_step {
                set_status(&mut deployment, DeploymentStatus::Completed)?;
                deployment.outcome = Some(Outcome::Succeeded);
                deployment.finished_at = Some(now);
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
        target: TargetEffect::None,
    })
}

/// The verdict "failed"; steps never reached are stored as skipped.
fn fail(
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
    let mut steps = Vec::new();
    if !deployment.status.is_finished() {
        // Busy to the end means that the worker it waited for never came back.
        let failure = error
            .filter(|failure| failure.code != STEP_BUSY)
            .unwrap_or_else(|| Failure {
                kind: ErrorKind::Broken,
                code: "worker_lost".to_string(),
                message: "The step's worker ended without a word.".to_string(),
            });
        steps.extend(fail(snapshot, &mut deployment, failure, now)?);
    }
    for running in snapshot
        .steps
        .iter()
        .filter(|step| step.status == StepStatus::Running && step.kind == StepKind::Step)
    {
        let mut step = running.clone();
        set_step(&mut step, StepStatus::Failed)?;
        step.error = deployment.error.clone();
        step.finished_at = Some(now);
        step.deadline = None;
        step.progress = None;
        steps.push(step);
    }
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

/// A tidy step's machine state failed without a word of its worker: a warning on a completed deployment.
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
    let mut deployment = snapshot.changed();
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
        return end(deployment, now).map(Some);
    }
    set_settlement(&mut deployment, Settlement::NeedsAttention)?;
    let given_up = given_up(snapshot, now)?;
    deployment.attention = Some(what_is_left(snapshot, &left, &given_up));
    Ok(Some(Change {
        deployment,
        steps: given_up,
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    }))
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

fn end(mut deployment: Deployment, now: Time) -> Result<Change, StepError> {
    set_settlement(&mut deployment, Settlement::Settled)?;
    deployment.settled_at = Some(now);
    let target = match (deployment.creates_target, deployment.status) {
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
        end(deployment, now)?
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
pub fn undo_again(snapshot: &Snapshot) -> Result<Option<Change>, StepError> {
    if snapshot.deployment.settlement != Settlement::NeedsAttention {
        return Ok(None);
    }
    let mut deployment = snapshot.changed();
    set_settlement(&mut deployment, Settlement::Undoing)?;
    deployment.dispatch = Dispatch::Ready;
    deployment.undo_starts += 1;
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
