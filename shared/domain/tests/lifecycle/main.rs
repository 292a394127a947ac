//! How a deployment moves, at the edges that whole pipelines seldom reach.

mod servers;

use domain::lifecycle::{
    Begin, Cancel, Change, End, Execution, LockEffect, Recovery, Snapshot, TargetEffect, Worker,
    acknowledge, begin, cancel, dispatched, finish, note, progress, recover, release, settle, stop,
    undo_again,
};
use domain::{
    Actor, ActorKind, Deployment, DeploymentId, DeploymentStatus, DeploymentStep, Dispatch,
    ErrorKind, Failure, LockKey, Progress, SCHEMA, Settlement, SiteId, StepError, StepKind,
    StepStatus, TargetKind, TargetRef, TeamId, Time, Trigger,
};
use std::collections::BTreeMap;

fn at(seconds: i64) -> Time {
    Time::from_timestamp(1_700_000_000 + seconds, 0).expect("a time")
}

fn worker(name: &str, deadline: i64) -> Worker {
    Worker {
        request_id: name.into(),
        deadline: at(deadline),
    }
}

fn step(name: &str, order: u32, kind: StepKind) -> DeploymentStep {
    DeploymentStep {
        schema: SCHEMA,
        name: name.into(),
        title: name.into(),
        function: name.into(),
        kind,
        status: StepStatus::Queued,
        sort_order: order,
        undo: (kind == StepKind::Step).then(|| format!("un{name}")),
        undo_of: None,
        output: None,
        error: None,
        warning: None,
        progress: None,
        gives: BTreeMap::new(),
        phase: None,
        started_at: None,
        finished_at: None,
        seq: 1,
        fence: 0,
        deadline: None,
        request_id: None,
        servers: Vec::new(),
    }
}

/// Three steps: make, commit, and a tidy one.
fn queued() -> Snapshot {
    let id = SiteId::from_parts(1, 1);
    let deployment = Deployment {
        schema: SCHEMA,
        id: DeploymentId::from_parts(1, 2),
        team_id: TeamId::from_parts(1, 3),
        actor: Actor {
            kind: ActorKind::Token,
            id: "t".into(),
            name: "Tess".into(),
            role: "owner".into(),
        },
        trigger: Trigger::Api,
        pipeline: "make_thing".into(),
        operation_name: "Make".into(),
        target: TargetRef {
            kind: TargetKind::Site,
            id: id.to_string(),
            name: "shop".into(),
        },
        status: DeploymentStatus::Queued,
        phase: None,
        outcome: None,
        settlement: Settlement::Active,
        dispatch: Dispatch::Ready,
        commit_step: "commit".into(),
        locks: vec![LockKey::site(id)],
        fence: 5,
        meta: BTreeMap::new(),
        on_commit: None,
        creates_target: true,
        claims: vec![],
        created_at: at(0),
        started_at: None,
        finished_at: None,
        settled_at: None,
        error: None,
        attention: None,
        retry_of: None,
        rollback_of: None,
        seq: 1,
        changed_steps: 0,
        slot: None,
        ready_at: None,
        undo_starts: 0,
        restarts: 0,
    };
    Snapshot {
        deployment,
        input: serde_json::json!({}),
        steps: vec![
            step("make", 1, StepKind::Step),
            step("commit", 2, StepKind::Step),
            step("tidy", 3, StepKind::Tidy),
        ],
        jobs: Vec::new(),
    }
}

/// The state after a change.
fn after(mut snapshot: Snapshot, change: &Change) -> Snapshot {
    assert_eq!(
        change.deployment.seq,
        snapshot.deployment.seq + 1,
        "each change is the next"
    );
    snapshot.deployment = change.deployment.clone();
    for step in &change.steps {
        match snapshot.steps.iter_mut().find(|old| old.name == step.name) {
            Some(old) => *old = step.clone(),
            None => snapshot.steps.push(step.clone()),
        }
    }
    snapshot
}

fn begun(snapshot: &Snapshot, name: &str, undo: bool, who: &Worker, now: i64) -> Snapshot {
    match begin(snapshot, name, undo, who, at(now)) {
        Ok(Begin::Go(change)) => {
            assert_eq!(
                change.locks,
                LockEffect::Fence,
                "a begin raises the lock's fence"
            );
            after(snapshot.clone(), &change)
        }
        other => panic!("{name} does not begin: {other:?}"),
    }
}

fn done() -> End {
    End::Completed {
        gives: BTreeMap::new(),
        output: String::new(),
    }
}

fn finished(snapshot: &Snapshot, name: &str, end: End) -> Snapshot {
    let fence = snapshot.step(name).expect("a step").fence;
    after(
        snapshot.clone(),
        &finish(snapshot, name, fence, end, at(9)).expect("its own worker may"),
    )
}

fn completed() -> Snapshot {
    let snapshot = finished(
        &begun(&queued(), "make", false, &worker("a", 60), 1),
        "make",
        done(),
    );
    finished(
        &begun(&snapshot, "commit", false, &worker("b", 60), 2),
        "commit",
        done(),
    )
}

fn kind<T: std::fmt::Debug>(answer: Result<T, StepError>) -> ErrorKind {
    answer.expect_err("is refused").kind
}

fn failure(code: &str) -> Failure {
    Failure {
        kind: ErrorKind::Broken,
        code: code.into(),
        message: "why".into(),
    }
}

#[test]
fn a_second_worker_waits_until_the_firsts_deadline_and_then_takes_over_with_a_higher_fence() {
    let snapshot = begun(&queued(), "make", false, &worker("a", 60), 1);
    assert_eq!(
        kind(begin(&snapshot, "make", false, &worker("b", 90), at(59))),
        ErrorKind::Busy
    );
    let taken = begun(&snapshot, "make", false, &worker("b", 120), 60);
    assert_eq!(
        (
            snapshot.step("make").expect("a step").fence,
            taken.step("make").expect("a step").fence
        ),
        (6, 7)
    );
    assert_eq!(
        kind(finish(&taken, "make", 6, done(), at(61))),
        ErrorKind::Stale,
        "the first one writes nothing any more"
    );
    assert_eq!(
        kind(progress(
            &taken,
            "make",
            6,
            Progress {
                done: 1,
                total: None,
                rate: None,
                unit: String::new(),
                message: String::new()
            }
        )),
        ErrorKind::Stale
    );
}

#[test]
fn a_worker_that_let_go_is_followed_at_once() {
    let snapshot = begun(&queued(), "make", false, &worker("a", 60), 1);
    let released = after(
        snapshot.clone(),
        &release(&snapshot, "make", 6, "away".into()).expect("may"),
    );
    let again = begun(&released, "make", false, &worker("b", 62), 2);
    assert_eq!(
        again.step("make").expect("a step").warning.as_deref(),
        Some("away")
    );
    assert_eq!(
        again.step("make").expect("a step").started_at,
        Some(at(1)),
        "it began when its first worker did"
    );
}

#[test]
fn the_commit_steps_end_is_the_verdict_and_then_it_is_too_late_to_cancel() {
    let snapshot = completed();
    assert_eq!(
        (snapshot.deployment.status, snapshot.deployment.finished_at),
        (DeploymentStatus::Completed, Some(at(9)))
    );
    assert!(matches!(
        cancel(&snapshot, "Tess", at(10)),
        Ok(Cancel::TooLate)
    ));
    assert_eq!(
        kind(begin(&snapshot, "make", true, &worker("c", 60), at(3))),
        ErrorKind::Stale,
        "nothing undoes after the commit"
    );
    assert!(matches!(
        stop(&snapshot, Some(failure("late")), at(10)),
        Ok((None, None))
    ));
    let change = settle(&snapshot, at(11)).expect("may").expect("a change");
    assert_eq!(
        (change.locks, change.target),
        (LockEffect::Free, TargetEffect::Activate)
    );
}

#[test]
fn a_tidy_step_begins_only_after_the_verdict_and_its_silence_is_noted() {
    assert_eq!(
        kind(begin(&queued(), "tidy", false, &worker("a", 60), at(1))),
        ErrorKind::Stale
    );
    let snapshot = begun(&completed(), "tidy", false, &worker("c", 60), 10);
    assert_eq!(
        kind(note(&snapshot, "tidy", failure("lost"), at(11))),
        ErrorKind::Busy,
        "silent is not gone"
    );
    let noted = after(
        snapshot.clone(),
        &note(&snapshot, "tidy", failure("lost"), at(60))
            .expect("may")
            .expect("a change"),
    );
    assert_eq!(
        (
            noted.deployment.status,
            noted.step("tidy").expect("a step").status
        ),
        (DeploymentStatus::Completed, StepStatus::Failed)
    );
    assert!(
        note(&noted, "make", failure("lost"), at(12))
            .expect("may")
            .is_none(),
        "only a tidy step is noted"
    );
}

#[test]
fn waiting_for_a_dead_worker_to_the_end_is_told_as_its_death() {
    let snapshot = begun(&queued(), "make", false, &worker("a", 60), 1);
    assert_eq!(
        kind(stop(&snapshot, Some(failure("step_busy")), at(50))),
        ErrorKind::Busy,
        "nothing is taken back beside a worker that may live"
    );
    let (change, first) = stop(&snapshot, Some(failure("step_busy")), at(61)).expect("may");
    assert_eq!(
        first.as_deref(),
        Some("make"),
        "what started is undone, finished or not"
    );
    assert_eq!(
        change
            .expect("a change")
            .deployment
            .error
            .expect("an error")
            .code,
        "worker_lost"
    );
}

#[test]
fn a_verdict_that_stands_wins_over_what_the_machine_caught() {
    let snapshot = begun(&queued(), "make", false, &worker("a", 60), 1);
    let failed = finished(&snapshot, "make", End::Failed(failure("first")));
    let (change, _) = stop(&failed, Some(failure("second")), at(10)).expect("may");
    let stopped = change.map_or(failed.clone(), |change| after(failed, &change));
    assert_eq!(
        stopped.deployment.error.as_ref().expect("an error").code,
        "first"
    );
    assert!(
        matches!(stop(&stopped, None, at(11)), Ok((None, Some(_)))),
        "stopping twice changes nothing"
    );
}

#[test]
fn an_undo_waits_for_a_verdict_and_is_given_up_only_by_settle() {
    let snapshot = begun(&queued(), "make", false, &worker("a", 60), 1);
    assert_eq!(
        kind(begin(&snapshot, "make", true, &worker("b", 60), at(2))),
        ErrorKind::Stale
    );
    let failed = finished(&snapshot, "make", End::Failed(failure("first")));
    assert!(
        matches!(
            begin(&failed, "commit", true, &worker("b", 60), at(3)),
            Ok(Begin::Nothing)
        ),
        "what never started has no undo"
    );
    let undoing = begun(&failed, "make", true, &worker("b", 60), 3);
    let stuck = after(
        undoing.clone(),
        &settle(&undoing, at(4)).expect("may").expect("a change"),
    );
    assert_eq!(
        (
            stuck.deployment.settlement,
            stuck.step("unmake").expect("an undo").status
        ),
        (Settlement::NeedsAttention, StepStatus::Failed)
    );
    let again = after(
        stuck.clone(),
        &undo_again(&stuck, at(9)).expect("may").expect("a change"),
    );
    assert_eq!(
        (again.deployment.dispatch, again.deployment.undo_starts),
        (Dispatch::Ready, 1)
    );
    let undone = finished(
        &begun(&again, "make", true, &worker("c", 60), 5),
        "unmake",
        done(),
    );
    let change = settle(&undone, at(6)).expect("may").expect("a change");
    assert_eq!(
        (change.locks, change.target, change.deployment.settlement),
        (LockEffect::Free, TargetEffect::Remove, Settlement::Settled)
    );
    assert!(
        acknowledge(&stuck, at(7))
            .expect("may")
            .is_some_and(|change| change.locks == LockEffect::Free)
    );
}

#[test]
fn what_is_settled_takes_no_change_from_anybody() {
    let snapshot = completed();
    let settled = after(
        snapshot.clone(),
        &settle(&snapshot, at(11)).expect("may").expect("a change"),
    );
    for (name, undo) in [("make", false), ("make", true), ("tidy", false)] {
        assert_eq!(
            kind(begin(&settled, name, undo, &worker("z", 99), at(20))),
            ErrorKind::Stale,
            "{name}"
        );
    }
    assert_eq!(kind(stop(&settled, None, at(20))), ErrorKind::Stale);
    assert!(matches!(
        cancel(&settled, "Tess", at(20)),
        Ok(Cancel::AlreadyFinished)
    ));
    assert!(settle(&settled, at(20)).expect("may").is_none());
    assert!(
        undo_again(&settled, at(9)).expect("may").is_none()
            && acknowledge(&settled, at(20)).expect("may").is_none()
    );
    assert!(dispatched(&settled).is_none());
}

#[test]
fn nothing_is_settled_without_a_verdict() {
    assert_eq!(kind(settle(&queued(), at(1))), ErrorKind::Broken);
}

fn recovered(snapshot: Snapshot, execution: Execution, now: i64) -> Snapshot {
    match recover(&snapshot, execution, at(now)).expect("may") {
        Recovery::Write(change) => after(snapshot, &change),
        other => panic!("{other:?}"),
    }
}

fn started() -> Snapshot {
    let change = dispatched(&queued()).expect("a change");
    after(queued(), &change)
}

#[test]
fn what_is_worked_on_waits_or_was_told_to_people_is_left_alone() {
    let alone = |snapshot: &Snapshot, execution| {
        let answer = recover(snapshot, execution, at(5000)).expect("may");
        assert!(matches!(answer, Recovery::Nothing), "{answer:?}");
    };
    alone(&started(), Execution::Running);
    let mut held = queued();
    held.deployment.dispatch = Dispatch::Held;
    alone(&held, Execution::Ended);
    for settlement in [Settlement::NeedsAttention, Settlement::Settled] {
        let mut snapshot = started();
        snapshot.deployment.settlement = settlement;
        alone(&snapshot, Execution::Ended);
    }
}

#[test]
fn an_execution_that_ended_is_followed_by_one_that_undoes_and_the_lock_is_kept() {
    let begun = begun(&started(), "make", false, &worker("a", 60), 1);
    let again = recovered(begun, Execution::Ended, 2);
    let deployment = &again.deployment;
    assert_eq!(
        (deployment.dispatch, deployment.undo_starts),
        (Dispatch::Ready, 1)
    );
    assert!(
        !deployment.status.is_finished(),
        "the verdict is the machine's, once its worker is gone"
    );
}

#[test]
fn restarts_that_do_not_help_end_with_people_told() {
    let mut snapshot = begun(&started(), "make", false, &worker("a", 60), 1);
    let mut restarts = 0;
    while snapshot.deployment.settlement != Settlement::NeedsAttention {
        snapshot = recovered(snapshot, Execution::Ended, 100);
        if let Some(change) = dispatched(&snapshot) {
            snapshot = after(snapshot, &change);
            restarts += 1;
        }
        assert!(restarts <= 5, "it gives up");
    }
    assert_eq!(snapshot.deployment.status, DeploymentStatus::Failed);
    let left = snapshot.deployment.attention.expect("what is left");
    assert!(left.contains("make"), "{left}");
}

#[test]
fn one_that_could_not_be_started_is_started_again_and_after_ten_minutes_fails_untouched() {
    let answer = recover(&queued(), Execution::Ended, at(300)).expect("may");
    assert!(matches!(answer, Recovery::Start), "{answer:?}");
    let Recovery::Write(change) = recover(&queued(), Execution::Ended, at(700)).expect("may")
    else {
        panic!("it gives up")
    };
    assert_eq!(change.locks, LockEffect::Free);
    let failed = after(queued(), &change);
    assert_eq!(
        (
            failed.deployment.status,
            failed.deployment.settlement,
            failed.deployment.error.expect("why").code.as_str()
        ),
        (DeploymentStatus::Failed, Settlement::Settled, "not_started")
    );
}

#[test]
fn a_worker_that_outlives_an_acceptance_writes_nothing() {
    let undoing = begun(
        &finished(
            &begun(&queued(), "make", false, &worker("a", 60), 1),
            "make",
            End::Failed(failure("first")),
        ),
        "make",
        true,
        &worker("b", 60),
        3,
    );
    // Its undo is given up, and a forward step of it may be told to be at work still.
    let mut left = after(
        undoing.clone(),
        &settle(&undoing, at(4)).expect("may").expect("a change"),
    );
    let make = left.steps.iter_mut().find(|step| step.name == "make");
    make.expect("a step").status = StepStatus::Running;
    let accepted = after(
        left.clone(),
        &acknowledge(&left, at(5)).expect("may").expect("a change"),
    );
    let fence = accepted.step("make").expect("a step").fence;
    assert_eq!(
        kind(finish(&accepted, "make", fence, done(), at(6))),
        ErrorKind::Stale
    );
    assert_eq!(
        kind(release(&accepted, "make", fence, "away".into())),
        ErrorKind::Stale
    );
}

#[test]
fn a_machine_that_is_at_work_unsaid_is_not_given_up() {
    let begun = begun(&queued(), "make", false, &worker("a", 60), 1);
    for snapshot in [queued(), begun] {
        let answer = recover(&snapshot, Execution::Running, at(700)).expect("may");
        assert!(
            matches!(answer, Recovery::Start),
            "starting it once more says that it was started: {answer:?}"
        );
    }
}

#[test]
fn the_lock_is_not_freed_beside_a_tidy_worker_that_may_be_at_work() {
    let snapshot = begun(&completed(), "tidy", false, &worker("c", 60), 10);
    assert_eq!(kind(settle(&snapshot, at(59))), ErrorKind::Busy);
    let settled = after(
        snapshot.clone(),
        &settle(&snapshot, at(60)).expect("may").expect("a change"),
    );
    let tidy = settled.step("tidy").expect("a step");
    assert_eq!(
        (settled.deployment.settlement, tidy.status),
        (Settlement::Settled, StepStatus::Failed),
        "nothing of a settled deployment is said to be at work"
    );
    assert_eq!(tidy.error.as_ref().expect("why").code, "worker_lost");
}
