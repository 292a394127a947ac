//! What becomes of a deployment whose execution ended without settling it, or never began.
//!
//! Promise: no lock is freed while anything may be left on the target. The same machine is started again, to stop the
//! worker, undo and settle; when that does not help either, people are told.

use super::ending::{end, needs_attention};
use super::rules::fail;
use super::{Change, LockEffect, Snapshot, TargetEffect};
use crate::{DeploymentStatus, Dispatch, ErrorKind, Failure, Settlement, StepError, Time};
use std::time::Duration;

/// How often a machine is started again before people are told: with the sweeper's two minutes, ten minutes.
pub const RESTARTS_LIMIT: u32 = 5;

/// How long a deployment may wait for its machine to be started: what hinders it longer does not pass by itself.
pub const START_WITHIN: Duration = Duration::from_secs(600);

/// What is known of the execution of an unsettled deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Execution {
    /// It is at work.
    Running,
    /// It ended, in whatever way, or there is none of its name.
    Ended,
}

/// What is to be done about an unsettled deployment.
#[derive(Debug)]
pub enum Recovery {
    /// Nothing: it is being worked on, it waits for its turn, or people were told.
    Nothing,
    /// Its machine was not started yet: do that now.
    Start,
    /// Write this; the stream does the rest.
    Write(Box<Change>),
}

/// See the module.
pub fn recover(
    snapshot: &Snapshot,
    execution: Execution,
    now: Time,
) -> Result<Recovery, StepError> {
    let deployment = &snapshot.deployment;
    if matches!(
        deployment.settlement,
        Settlement::Settled | Settlement::NeedsAttention
    ) {
        return Ok(Recovery::Nothing);
    }
    match (deployment.dispatch, execution) {
        (Dispatch::Held, _) => Ok(Recovery::Nothing),
        (Dispatch::Started, Execution::Running) => Ok(Recovery::Nothing),
        (Dispatch::Started, Execution::Ended) => again(snapshot, now),
        // It was started, and only the word of it was lost: starting it once more says so, and starts nothing twice.
        (Dispatch::Ready, Execution::Running) => Ok(Recovery::Start),
        (Dispatch::Ready, Execution::Ended) => ready(snapshot, now),
    }
}

fn ready(snapshot: &Snapshot, now: Time) -> Result<Recovery, StepError> {
    let deployment = &snapshot.deployment;
    let never_began = deployment.status == DeploymentStatus::Queued;
    let waits = (now - deployment.ready_at.unwrap_or(deployment.created_at))
        .to_std()
        .unwrap_or_default();
    if waits < START_WITHIN {
        return Ok(Recovery::Start);
    }
    if !never_began {
        return give_up(snapshot, now);
    }
    // It holds the lock and touched nothing; an execution that comes to be after all finds the verdict and ends.
    let mut deployment = snapshot.changed();
    let steps = fail(snapshot, &mut deployment, not_started(), now)?;
    let mut change = end(deployment, now)?;
    change.steps = steps;
    Ok(Recovery::Write(Box::new(change)))
}

fn not_started() -> Failure {
    Failure {
        kind: ErrorKind::Broken,
        code: "not_started".to_string(),
        message: "Its state machine could not be started; nothing was touched.".to_string(),
    }
}

fn again(snapshot: &Snapshot, now: Time) -> Result<Recovery, StepError> {
    if snapshot.deployment.restarts >= RESTARTS_LIMIT {
        return give_up(snapshot, now);
    }
    let mut deployment = snapshot.changed();
    deployment.dispatch = Dispatch::Ready;
    deployment.ready_at = Some(now);
    deployment.restarts += 1;
    deployment.undo_starts += 1;
    Ok(Recovery::Write(Box::new(Change {
        deployment,
        steps: Vec::new(),
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })))
}

fn give_up(snapshot: &Snapshot, now: Time) -> Result<Recovery, StepError> {
    let mut deployment = snapshot.changed();
    let mut steps = Vec::new();
    if !deployment.status.is_finished() {
        let lost = Failure {
            kind: ErrorKind::Broken,
            code: "worker_lost".to_string(),
            message:
                "Its execution ended without a word, and again each time it was started to undo."
                    .to_string(),
        };
        steps = fail(snapshot, &mut deployment, lost, now)?;
    }
    let mut change = needs_attention(snapshot, deployment, now)?;
    change.steps.extend(steps);
    Ok(Recovery::Write(Box::new(change)))
}
