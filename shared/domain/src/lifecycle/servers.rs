//! A step that is done on several servers: a row each, and what they come to together.
//!
//! Promise: a step is done when as many servers as the environment wants are; one that fell out stays out of what
//! follows; a server whose failure may mend itself is tried again before the others' success counts.

use super::worker::mine;
use super::{Change, End, LockEffect, Snapshot, TargetEffect, finish, release};
use crate::deployment::StepServer;
use crate::{
    DeploymentStep, ErrorKind, Failure, Job, Progress, SERVER_UNREACHABLE, ServerId, StepError,
    StepKind, StepStatus, Time,
};

/// So often a server's failure that may mend itself is tried again while others wait.
const TRIES: u32 = 3;

/// What the rows of a step come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Together {
    /// Some are at work.
    Waiting,
    /// Enough are done: for people.
    Done(String),
    /// A repeat may mend it.
    Again(Failure),
    /// Too few can be done any more.
    Failed(Failure),
}

/// The rows of a step that begins: those that are done stay so, and those that fell out before are left out.
pub(super) fn begun(snapshot: &Snapshot, step: &mut DeploymentStep, now: Time) {
    let out = |id: ServerId| {
        snapshot
            .steps
            .iter()
            .filter(|earlier| {
                earlier.kind != StepKind::Undo && earlier.sort_order < step.sort_order
            })
            .find(|earlier| {
                earlier
                    .servers
                    .iter()
                    .any(|row| row.id == id && row.status == StepStatus::Failed)
            })
            .map(|earlier| earlier.title.clone())
    };
    let left_out: Vec<_> = step.servers.iter().map(|row| out(row.id)).collect();
    let undo = step.kind == StepKind::Undo;
    for (row, left_out) in step.servers.iter_mut().zip(left_out) {
        match (row.status, left_out) {
            (StepStatus::Completed | StepStatus::Skipped, _) => {}
            // What a server that fell out has begun is taken back like the others'.
            (_, Some(title)) if !undo => {
                row.status = StepStatus::Skipped;
                row.output = Some(format!("left out: it failed at \u{201c}{title}\u{201d}"));
            }
            _ => {
                // A worker before this one ended without a word, wherever it was.
                if row.status == StepStatus::Running {
                    row.is_untouched = false;
                }
                row.status = StepStatus::Running;
                row.tries += 1;
                row.started_at = row.started_at.or(Some(now));
                row.finished_at = None;
                row.error = None;
            }
        }
    }
}

/// How it ended on one server, before the others are looked at.
fn ended(step: &mut DeploymentStep, server: ServerId, end: &End, now: Time) -> bool {
    let Some(row) = step
        .servers
        .iter_mut()
        .find(|row| row.id == server && row.status == StepStatus::Running)
    else {
        return false;
    };
    row.finished_at = Some(now);
    row.progress = None;
    let never_reached = row.tries == 1 || row.is_untouched;
    row.is_untouched = false;
    match end {
        End::Completed { gives, output } => {
            row.status = StepStatus::Completed;
            row.output = Some(output.clone()).filter(|output| !output.is_empty());
            row.gives = gives.clone();
        }
        End::Skipped(reason) => {
            row.status = StepStatus::Skipped;
            row.output = Some(reason.clone());
        }
        End::Failed(failure) => {
            row.status = StepStatus::Failed;
            row.is_untouched = failure.code == SERVER_UNREACHABLE && never_reached;
            row.error = Some(failure.clone());
        }
    }
    true
}

/// What they come to together, when so many must be done: none, when whoever asked takes what he gets.
pub fn together(servers: &[StepServer], quorum: usize) -> Together {
    if servers.iter().any(|row| row.status == StepStatus::Running) {
        return Together::Waiting;
    }
    let failed = servers
        .iter()
        .filter_map(|row| Some((row, row.error.as_ref()?)));
    let named = |row: &StepServer, failure: &Failure| Failure {
        message: if servers.len() > 1 {
            format!("{}: {}", row.name, failure.message)
        } else {
            failure.message.clone()
        },
        ..failure.clone()
    };
    let again = failed
        .clone()
        .find(|(row, failure)| failure.kind.retryable() && row.tries < TRIES);
    if let Some((row, failure)) = again {
        return Together::Again(named(row, failure));
    }
    let done = servers
        .iter()
        .filter(|row| row.status == StepStatus::Completed);
    let (count, all) = (done.clone().count(), servers.len());
    if all > 0 && count >= quorum {
        let first = done.filter_map(|row| row.output.clone()).next();
        return Together::Done(match (count, first.unwrap_or_default()) {
            (0, _) => {
                let why: Vec<_> = failed.map(|(row, why)| named(row, why).message).collect();
                format!("Left as it is: {}", why.join("; "))
            }
            (_, first) if all > 1 => format!("{count} of {all} servers: {first}"),
            (_, first) => first,
        });
    }
    Together::Failed(failed.clone().next().map_or_else(
        || Failure {
            kind: ErrorKind::Refused,
            code: "no_servers".to_string(),
            message: "No server is left to do it on.".to_string(),
        },
        |(row, failure)| named(row, failure),
    ))
}

fn with_step(snapshot: &Snapshot, step: DeploymentStep) -> Snapshot {
    let mut snapshot = snapshot.clone();
    if let Some(old) = snapshot.steps.iter_mut().find(|old| old.name == step.name) {
        *old = step;
    }
    snapshot
}

/// A worker of the step says how it ended on one server; the step goes on. None when that was said before.
pub fn server_ended(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    server: ServerId,
    end: &End,
    now: Time,
) -> Result<Option<Change>, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    if !ended(&mut step, server, end, now) {
        return Ok(None);
    }
    Ok(Some(Change {
        deployment: snapshot.changed(),
        steps: vec![step],
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    }))
}

/// The same for a job: with the last server's word the step ends, or is free for another try.
pub fn job_ended_on(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    (server, quorum): (ServerId, usize),
    end: &End,
    now: Time,
) -> Result<Option<Change>, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    if !ended(&mut step, server, end, now) {
        return Ok(None);
    }
    let verdict = together(&step.servers, quorum);
    let over = with_step(snapshot, step.clone());
    Ok(Some(match verdict {
        Together::Waiting => Change {
            deployment: snapshot.changed(),
            steps: vec![step],
            locks: LockEffect::Keep,
            target: TargetEffect::None,
        },
        Together::Done(output) => {
            let gives = gives(&step.servers);
            finish(&over, name, fence, End::Completed { gives, output }, now)?
        }
        Together::Again(failure) => release(&over, name, fence, failure.message)?,
        Together::Failed(failure) => finish(&over, name, fence, End::Failed(failure), now)?,
    }))
}

/// What the step gives: by its names, for each server what it gave.
pub fn gives(servers: &[StepServer]) -> std::collections::BTreeMap<String, serde_json::Value> {
    let mut all = std::collections::BTreeMap::new();
    for row in servers {
        for (name, value) in &row.gives {
            let of = all
                .entry(name.clone())
                .or_insert_with(|| serde_json::json!({}));
            of[row.id.to_string()] = value.clone();
        }
    }
    all
}

/// The servers that a release has left and cleared: what it tidied where it does not run.
pub(super) fn cleared(snapshot: &Snapshot) -> Vec<ServerId> {
    let commit = snapshot.step(&snapshot.deployment.commit_step);
    let runs_on = commit.map_or(&[][..], |step| &step.servers);
    let tidied = snapshot
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::Tidy)
        .flat_map(|step| &step.servers)
        .filter(|row| row.status == StepStatus::Completed);
    tidied
        .map(|row| row.id)
        .filter(|id| !runs_on.iter().any(|row| row.id == *id))
        .collect()
}

/// The jobs beside this one that have not said a word for too long, though their servers are at work.
pub fn silent<'a>(snapshot: &'a Snapshot, beside: &Job, now: Time) -> Vec<&'a Job> {
    let Some(step) = snapshot.step(&beside.step) else {
        return Vec::new();
    };
    let at_work = |job: &&Job| {
        let row = step.servers.iter().find(|row| Some(row.id) == job.server);
        row.is_some_and(|row| row.status == StepStatus::Running)
    };
    snapshot
        .jobs
        .iter()
        .filter(|job| job.step == beside.step && job.server != beside.server)
        .filter(|job| job.fence == step.fence && job.is_silent(now))
        .filter(at_work)
        .collect()
}

/// How far one server is.
pub fn server_progress(
    snapshot: &Snapshot,
    name: &str,
    fence: u64,
    server: ServerId,
    progress: Progress,
) -> Result<Change, StepError> {
    let mut step = mine(snapshot, name, fence)?.clone();
    if let Some(row) = step.servers.iter_mut().find(|row| row.id == server) {
        row.progress = Some(progress.clone());
    }
    // With one server its progress is the step's.
    if step.servers.len() == 1 {
        step.progress = Some(progress);
    }
    Ok(Change {
        deployment: snapshot.changed(),
        steps: vec![step],
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}
