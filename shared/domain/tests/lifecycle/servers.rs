//! A step on several servers: a row each, a quorum, and what it comes to.

use crate::*;
use domain::lifecycle::{Together, job_ended_on, server_ended, silent, together};
use domain::{Job, JobOrder, OnCommit, Phase, SERVER_UNREACHABLE, ServerId, StepServer};

fn server(n: u64) -> ServerId {
    ServerId::from_parts(n, 0)
}

fn rows(n: u64) -> Vec<StepServer> {
    (1..=n)
        .map(|n| StepServer::queued(server(n), format!("web{n}")))
        .collect()
}

fn with(output: &str) -> End {
    End::Completed {
        gives: BTreeMap::new(),
        output: output.to_string(),
    }
}

fn failed(kind: ErrorKind) -> End {
    End::Failed(Failure {
        kind,
        code: "no".to_string(),
        message: "It does not.".to_string(),
    })
}

/// Build, start and switch on three servers.
fn release() -> Snapshot {
    let mut snapshot = queued();
    snapshot.steps.insert(1, step("start", 2, StepKind::Step));
    snapshot.steps[2].sort_order = 3;
    snapshot.steps[3].sort_order = 4;
    snapshot.deployment.creates_target = false;
    for (at, step) in snapshot.steps.iter_mut().enumerate() {
        if step.kind == StepKind::Step {
            step.servers = rows(3);
            step.phase = Some([Phase::Building, Phase::Deploying, Phase::Network][at.min(2)]);
        }
    }
    snapshot.deployment.phase = Some(Phase::Pending);
    snapshot.deployment.on_commit = Some(OnCommit::MakeCurrent);
    snapshot
}

/// The step begins; and with which fence.
fn begins(snapshot: Snapshot, name: &str) -> (Snapshot, u64) {
    let snapshot = begun(&snapshot, name, false, &worker("w", 60), 1);
    let fence = snapshot.step(name).expect("a step").fence;
    (snapshot, fence)
}

fn ended(snapshot: Snapshot, name: &str, fence: u64, n: u64, quorum: usize, end: &End) -> Snapshot {
    let change = job_ended_on(&snapshot, name, fence, (server(n), quorum), end, at(2))
        .expect("may")
        .expect("is news");
    after(snapshot, &change)
}

#[test]
fn a_step_ends_with_its_last_server_and_one_word_too_many_changes_nothing() {
    let first = release().steps[0].name.clone();
    let (mut snapshot, fence) = begins(release(), &first);
    for n in 1..=3 {
        assert_eq!(
            snapshot.step(&first).expect("it").status,
            StepStatus::Running
        );
        snapshot = ended(snapshot, &first, fence, n, 3, &with("done"));
    }
    assert_eq!(
        snapshot.step(&first).expect("it").status,
        StepStatus::Completed
    );
    assert_eq!(snapshot.deployment.phase, Some(Phase::Built));
    let (snapshot, fence) = begins(release(), &first);
    let snapshot = ended(snapshot, &first, fence, 1, 3, &with("done"));
    let again = server_ended(
        &snapshot,
        &first,
        fence,
        server(1),
        &failed(ErrorKind::Broken),
        at(2),
    );
    assert!(again.expect("may").is_none());
}

#[test]
fn with_a_quorum_a_server_that_fails_stays_out_of_what_follows_and_without_one_all_fail() {
    let steps: Vec<_> = release()
        .steps
        .iter()
        .map(|step| step.name.clone())
        .collect();
    let (mut snapshot, fence) = begins(release(), &steps[0]);
    for n in 1..=3 {
        let end = if n == 2 {
            failed(ErrorKind::Refused)
        } else {
            with("done")
        };
        snapshot = ended(snapshot, &steps[0], fence, n, 2, &end);
    }
    let step = snapshot.step(&steps[0]).expect("it");
    assert_eq!(
        (step.status, step.output.as_deref()),
        (StepStatus::Completed, Some("2 of 3 servers: done"))
    );
    let (snapshot, _) = begins(snapshot, &steps[1]);
    let states: Vec<_> = snapshot
        .step(&steps[1])
        .expect("it")
        .servers
        .iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(
        states,
        [
            StepStatus::Running,
            StepStatus::Skipped,
            StepStatus::Running
        ]
    );

    let (mut snapshot, fence) = begins(release(), &steps[0]);
    for n in 1..=3 {
        let end = if n == 2 {
            failed(ErrorKind::Refused)
        } else {
            with("done")
        };
        snapshot = ended(snapshot, &steps[0], fence, n, 3, &end);
    }
    assert_eq!(snapshot.deployment.status, DeploymentStatus::Failed);
    assert_eq!(
        snapshot.deployment.error.expect("why").message,
        "web2: It does not."
    );
}

#[test]
fn a_failure_that_may_mend_itself_is_tried_again_and_what_is_done_is_not() {
    let name = release().steps[0].name.clone();
    let (mut snapshot, fence) = begins(release(), &name);
    snapshot = ended(snapshot, &name, fence, 1, 2, &with("done"));
    snapshot = ended(snapshot, &name, fence, 2, 2, &with("done"));
    snapshot = ended(
        snapshot,
        &name,
        fence,
        3,
        2,
        &failed(ErrorKind::Unavailable),
    );
    let step = snapshot.step(&name).expect("it");
    assert_eq!((step.status, step.deadline), (StepStatus::Running, None));
    let (snapshot, _) = begins(snapshot, &name);
    let states: Vec<_> = snapshot
        .step(&name)
        .expect("it")
        .servers
        .iter()
        .map(|row| row.status)
        .collect();
    assert_eq!(
        states,
        [
            StepStatus::Completed,
            StepStatus::Completed,
            StepStatus::Running
        ]
    );
}

#[test]
fn no_servers_are_never_enough() {
    let Together::Failed(failure) = together(&[], 0) else {
        panic!("fails");
    };
    assert_eq!(failure.code, "no_servers");
}

#[test]
fn who_wants_none_gets_what_can_be_done_and_is_told_what_is_left() {
    let name = release().steps[0].name.clone();
    for (ends, told) in [
        (
            [false, false, false],
            "Left as it is: web1: It does not.; web2: It does not.; web3: It does not.",
        ),
        ([false, true, false], "1 of 3 servers: done"),
    ] {
        let (mut snapshot, fence) = begins(release(), &name);
        for (n, well) in (1..).zip(ends) {
            let end = if well {
                with("done")
            } else {
                failed(ErrorKind::Refused)
            };
            snapshot = ended(snapshot, &name, fence, n, 0, &end);
        }
        let step = snapshot.step(&name).expect("it");
        assert_eq!(
            (step.status, step.output.as_deref()),
            (StepStatus::Completed, Some(told))
        );
    }
}

#[test]
fn a_commit_makes_the_release_current_and_its_settling_makes_it_ready() {
    let mut snapshot = release();
    for name in release()
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::Step)
        .map(|step| &step.name)
    {
        let (next, fence) = begins(snapshot, name);
        snapshot = next;
        let is_commit = *name == snapshot.deployment.commit_step;
        for n in 1..=3 {
            let change = job_ended_on(&snapshot, name, fence, (server(n), 3), &with("done"), at(2))
                .expect("may")
                .expect("news");
            let commits = change.target == TargetEffect::Commit(OnCommit::MakeCurrent);
            assert_eq!(commits, is_commit && n == 3, "{name} {n}");
            snapshot = after(snapshot, &change);
        }
    }
    assert_eq!(snapshot.deployment.status, DeploymentStatus::Completed);
    let settled = settle(&snapshot, at(2)).expect("may").expect("news");
    assert_eq!(settled.deployment.phase, Some(Phase::Ready));
}

#[test]
fn a_release_that_fails_says_so_to_its_environment_when_it_is_settled() {
    let mut snapshot = release();
    for step in &mut snapshot.steps {
        step.undo = None;
    }
    let name = snapshot.steps[0].name.clone();
    let (mut snapshot, fence) = begins(snapshot, &name);
    for n in 1..=3 {
        snapshot = ended(snapshot, &name, fence, n, 3, &failed(ErrorKind::Refused));
        if snapshot.deployment.status.is_finished() {
            break;
        }
    }
    let settled = settle(&snapshot, at(2)).expect("may").expect("news");
    assert_eq!(settled.target, TargetEffect::ReleaseFailed);
}

#[test]
fn whoever_speaks_finds_those_that_are_silent_while_their_servers_are_at_work() {
    let name = release().steps[0].name.clone();
    let (mut snapshot, fence) = begins(release(), &name);
    let mut jobs: Vec<Job> = (1..=3)
        .map(|n| {
            let secret = "h".to_string();
            let order = JobOrder::default();
            Job::begun(&name, Some(server(n)), fence, "t", secret, order, None)
        })
        .collect();
    for (job, heard) in jobs.iter_mut().zip([100, 10, 9]) {
        job.heard_at = Some(at(heard));
    }
    snapshot.jobs = jobs.clone();
    let lost = |snapshot: &Snapshot, now: i64| -> Vec<Option<ServerId>> {
        let lost = silent(snapshot, &jobs[0], at(now));
        lost.iter().map(|job| job.server).collect()
    };
    assert_eq!(lost(&snapshot, 99), []);
    assert_eq!(lost(&snapshot, 100), [Some(server(3))]);
    assert_eq!(lost(&snapshot, 101), [Some(server(2)), Some(server(3))]);
    let ended = ended(snapshot, &name, fence, 2, 1, &with("done"));
    assert_eq!(
        lost(&ended, 101),
        [Some(server(3))],
        "one that is done may be silent"
    );
}

fn unreachable() -> End {
    End::Failed(Failure {
        kind: ErrorKind::Unavailable,
        code: SERVER_UNREACHABLE.to_string(),
        message: "It does not answer.".to_string(),
    })
}

/// The step begins on all servers, none of which can be reached, and is free for another try.
fn not_reached(snapshot: Snapshot, name: &str) -> Snapshot {
    let (mut snapshot, fence) = begins(snapshot, name);
    for n in 1..=3 {
        let change = server_ended(&snapshot, name, fence, server(n), &unreachable(), at(2));
        let change = change.expect("may").expect("news");
        snapshot = after(snapshot, &change);
    }
    let released = domain::lifecycle::release(&snapshot, name, fence, "away".to_string());
    after(snapshot.clone(), &released.expect("may"))
}

#[test]
fn what_was_reached_at_a_later_try_is_taken_back_however_that_one_ended() {
    let name = release().steps[0].name.clone();
    let (snapshot, fence) = begins(not_reached(release(), &name), &name);
    let rows = |snapshot: &Snapshot| snapshot.step(&name).expect("it").servers.clone();
    assert!(
        rows(&snapshot)[2].has_begun(),
        "it is at work, and may have come far"
    );
    let snapshot = ended(snapshot, &name, fence, 1, 2, &with("done"));
    let snapshot = ended(snapshot, &name, fence, 2, 2, &failed(ErrorKind::Refused));
    let begun: Vec<bool> = rows(&snapshot).iter().map(StepServer::has_begun).collect();
    assert_eq!(begun, [true, true, true]);
    let (change, _) = stop(&snapshot, None, at(100)).expect("may");
    let stopped = after(snapshot, &change.expect("news"));
    assert!(rows(&stopped)[2].has_begun(), "nobody knows how it ended");
}

#[test]
fn where_a_server_was_never_reached_there_is_nothing_to_take_back() {
    let name = release().steps[0].name.clone();
    let mut snapshot = release();
    for _ in 0..3 {
        snapshot = not_reached(snapshot, &name);
    }
    let step = snapshot.step(&name).expect("it");
    assert!(!step.has_begun(), "{step:#?}");
    // Another time it was reached, and lost on the way.
    let (snapshot, fence) = begins(snapshot, &name);
    let change = server_ended(
        &snapshot,
        &name,
        fence,
        server(1),
        &failed(ErrorKind::Broken),
        at(2),
    );
    let snapshot = after(snapshot.clone(), &change.expect("may").expect("news"));
    let rows = &snapshot.step(&name).expect("it").servers;
    assert!(rows[0].has_begun(), "{rows:#?}");
}

#[test]
fn servers_that_a_release_left_and_cleared_are_the_environments_no_more() {
    let mut snapshot = release();
    let mut tidy = step("clear", 5, StepKind::Tidy);
    tidy.servers = vec![
        StepServer::queued(server(1), "web1"),
        StepServer::queued(server(8), "old1"),
        StepServer::queued(server(9), "old2"),
    ];
    tidy.servers[0].status = StepStatus::Completed;
    tidy.servers[1].status = StepStatus::Completed;
    tidy.servers[2].status = StepStatus::Failed;
    snapshot.steps.push(tidy);
    snapshot.deployment.status = DeploymentStatus::Completed;
    let settled = settle(&snapshot, at(9)).expect("may").expect("news");
    assert_eq!(
        settled.target,
        TargetEffect::Cleared(vec![server(8)]),
        "not one that it is live on, and not one that did not do it"
    );
}
