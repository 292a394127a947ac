//! A deployment as the model keeps it: what the transitions look at, small enough to be told apart a million times.
//!
//! Promise: `packed(unpacked(x)) == x`, so every transition is production's own, over a whole snapshot, and nothing it
//! decides by is lost on the way back. Time stands still at [`NOW`]: what has passed is before it, what has not is after.

use domain::lifecycle::recovery::RESTARTS_LIMIT;
use domain::lifecycle::{Change, Snapshot};
use domain::{
    Actor, ActorKind, Deployment, DeploymentId, DeploymentStatus, DeploymentStep, Dispatch,
    LockKey, Outcome, SCHEMA, Settlement, SiteId, StepKind, StepStatus, TargetKind, TargetRef,
    TeamId, Time, Trigger,
};
use std::collections::BTreeMap;

/// Seconds, and the only moment there is.
const NOW: i64 = 1_700_000_000;
/// Behind this long ago lies everything that has passed: more than any limit of the protocol.
const LONG_AGO: i64 = NOW - 100_000;

/// The steps of every pipeline of the model, and where they are in [`Record::steps`].
pub const STEPS: [&str; 5] = ["make", "commit", "tidy", "unmake", "uncommit"];
pub const MAKE: usize = 0;
pub const COMMIT: usize = 1;
pub const TIDY: usize = 2;
pub const UNMAKE: usize = 3;
pub const UNCOMMIT: usize = 4;

/// The step that an undo takes back, or the place itself.
pub fn forward_of(step: usize) -> usize {
    match step {
        UNMAKE => MAKE,
        UNCOMMIT => COMMIT,
        forward => forward,
    }
}

pub fn now() -> Time {
    moment(NOW)
}

/// When a worker that begins now will be gone.
pub fn deadline() -> Time {
    moment(NOW + 60)
}

fn moment(seconds: i64) -> Time {
    Time::from_timestamp(seconds, 0).expect("a time")
}

fn long_ago(passed: bool) -> Time {
    moment(if passed { LONG_AGO } else { NOW })
}

/// A step, or the undo of one once it was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Step {
    pub status: StepStatus,
    pub started: bool,
    pub fence: u16,
    /// Of its newest worker: none, in the future, or passed.
    pub deadline: Option<Deadline>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Deadline {
    Ahead,
    Passed,
}

/// A deployment with its steps.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Record {
    pub status: DeploymentStatus,
    pub outcome: Option<Outcome>,
    pub settlement: Settlement,
    pub dispatch: Dispatch,
    pub fence: u16,
    pub seq: u16,
    pub undo_starts: u8,
    pub restarts: u8,
    /// Its machine may be started for longer than the protocol waits.
    pub overdue: bool,
    /// None: not there (a tidy step that this pipeline does not have, an undo that was not tried).
    pub steps: [Option<Step>; 5],
}

/// What does not change in a deployment's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kind {
    pub trigger: Trigger,
    pub slot: Option<&'static str>,
}

pub fn id(who: usize) -> DeploymentId {
    DeploymentId::from_parts(1, who as u128)
}

pub fn index(id: DeploymentId, of: usize) -> usize {
    (0..of)
        .find(|who| self::id(*who) == id)
        .expect("one of the model's deployments")
}

/// A new deployment, before it comes to its lock. It has been started again nearly as often as the protocol allows, so
/// that giving up is within reach.
pub fn new(tidy: bool) -> Record {
    let queued = Step {
        status: StepStatus::Queued,
        started: false,
        fence: 0,
        deadline: None,
    };
    Record {
        status: DeploymentStatus::Queued,
        outcome: None,
        settlement: Settlement::Active,
        dispatch: Dispatch::Ready,
        fence: 0,
        seq: 1,
        undo_starts: 0,
        restarts: u8::try_from(RESTARTS_LIMIT - 1).expect("a small number"),
        overdue: false,
        steps: [
            Some(queued),
            Some(queued),
            tidy.then_some(queued),
            None,
            None,
        ],
    }
}

/// The snapshot that production would read.
pub fn unpacked(record: &Record, who: usize, kind: Kind) -> Snapshot {
    let target = SiteId::from_parts(1, 1);
    let finished = record.status.is_finished().then(now);
    let deployment = Deployment {
        schema: SCHEMA,
        id: id(who),
        team_id: TeamId::from_parts(1, 1),
        actor: Actor {
            kind: ActorKind::System,
            id: String::new(),
            name: String::new(),
            role: String::new(),
        },
        trigger: kind.trigger,
        pipeline: String::new(),
        operation_name: String::new(),
        target: TargetRef {
            kind: TargetKind::Site,
            id: String::new(),
            name: String::new(),
        },
        status: record.status,
        phase: None,
        outcome: record.outcome,
        settlement: record.settlement,
        dispatch: record.dispatch,
        commit_step: STEPS[COMMIT].to_string(),
        locks: vec![LockKey::site(target)],
        fence: record.fence.into(),
        meta: BTreeMap::new(),
        on_commit: None,
        creates_target: false,
        claims: Vec::new(),
        created_at: now(),
        started_at: None,
        finished_at: finished,
        settled_at: finished.filter(|_| record.settlement == Settlement::Settled),
        error: None,
        attention: None,
        retry_of: None,
        rollback_of: None,
        seq: record.seq.into(),
        changed_steps: 0,
        slot: kind.slot.map(str::to_string),
        ready_at: Some(long_ago(record.overdue)),
        undo_starts: record.undo_starts.into(),
        restarts: record.restarts.into(),
    };
    let steps = record.steps.iter().enumerate();
    Snapshot {
        deployment,
        input: serde_json::Value::Null,
        steps: steps
            .filter_map(|(at, step)| step.as_ref().map(|step| unpacked_step(at, step)))
            .collect(),
        jobs: Vec::new(),
    }
}

fn unpacked_step(at: usize, step: &Step) -> DeploymentStep {
    let undo = match at {
        MAKE => Some(STEPS[UNMAKE]),
        COMMIT => Some(STEPS[UNCOMMIT]),
        _ => None,
    };
    let (kind, undo_of) = match at {
        MAKE | COMMIT => (StepKind::Step, None),
        TIDY => (StepKind::Tidy, None),
        _ => (StepKind::Undo, Some(STEPS[forward_of(at)].to_string())),
    };
    DeploymentStep {
        schema: SCHEMA,
        name: STEPS[at].to_string(),
        title: String::new(),
        function: String::new(),
        kind,
        status: step.status,
        sort_order: u32::try_from(at).expect("a small number"),
        undo: undo.map(str::to_string),
        undo_of,
        output: None,
        error: None,
        warning: None,
        progress: None,
        gives: BTreeMap::new(),
        phase: None,
        started_at: step.started.then(now),
        finished_at: None,
        seq: 0,
        fence: step.fence.into(),
        deadline: step.deadline.map(|deadline| match deadline {
            Deadline::Ahead => self::deadline(),
            Deadline::Passed => moment(LONG_AGO),
        }),
        request_id: Some("an older worker".to_string()),
        servers: Vec::new(),
    }
}

/// What the model keeps of a change over the record it was made from.
pub fn changed(before: &Record, change: &Change) -> Record {
    let mut record = packed(before, &change.deployment);
    for step in &change.steps {
        let at = STEPS.iter().position(|name| *name == step.name);
        record.steps[at.expect("a step of the model")] = Some(packed_step(step));
    }
    record
}

fn packed(before: &Record, deployment: &Deployment) -> Record {
    let small = |number: u32| u8::try_from(number).expect("a small number");
    let fence = |fence: u64| u16::try_from(fence).expect("a small fence");
    Record {
        status: deployment.status,
        outcome: deployment.outcome,
        settlement: deployment.settlement,
        dispatch: deployment.dispatch,
        fence: fence(deployment.fence),
        seq: fence(deployment.seq),
        undo_starts: small(deployment.undo_starts),
        restarts: small(deployment.restarts),
        overdue: deployment.ready_at.is_some_and(|at| at < now()),
        steps: before.steps,
    }
}

fn packed_step(step: &DeploymentStep) -> Step {
    Step {
        status: step.status,
        started: step.started_at.is_some(),
        fence: u16::try_from(step.fence).expect("a small fence"),
        deadline: step.deadline.map(|deadline| {
            if deadline > now() {
                Deadline::Ahead
            } else {
                Deadline::Passed
            }
        }),
    }
}

/// The deployment alone, as a promotion changes it.
pub fn promoted(before: &Record, deployment: &Deployment) -> Record {
    packed(before, deployment)
}

#[test]
fn what_is_packed_is_all_that_the_transitions_decide_by() {
    use domain::lifecycle::{LockEffect, TargetEffect};
    let kind = Kind {
        trigger: Trigger::Api,
        slot: None,
    };
    let mut records = vec![new(false), new(true)];
    for (at, deadline) in [None, Some(Deadline::Ahead), Some(Deadline::Passed)]
        .into_iter()
        .enumerate()
    {
        let mut record = new(true);
        record.overdue = at % 2 == 0;
        record.undo_starts = 2;
        record.steps = [MAKE, COMMIT, TIDY, UNMAKE, UNCOMMIT].map(|_| {
            Some(Step {
                status: StepStatus::Running,
                started: at > 0,
                fence: 3,
                deadline,
            })
        });
        records.push(record);
    }
    for record in records {
        let Snapshot {
            deployment, steps, ..
        } = unpacked(&record, 1, kind);
        let whole = Change {
            deployment,
            steps,
            locks: LockEffect::Keep,
            target: TargetEffect::None,
        };
        assert_eq!(changed(&record, &whole), record);
    }
}
