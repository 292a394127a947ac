//! Every pipeline of the catalogue, and every planned one, under everything that can happen to a step.
//!
//! The rule held: a deployment ends with what was asked for or with nothing left, its lock free, one verdict; or it needs
//! attention, with its lock kept, and says what is left. A new pipeline is covered with no new test.

use domain::{DeploymentId, DeploymentStatus, ErrorKind, Settlement, StepKind, StepStatus};
use pipelines::Pipeline;
use serde_json::{Value, json};
use testkit::{Bench, End, Fault};

/// Chooses every step, so that none is skipped.
fn input() -> Value {
    json!({"domain": "shop.example.com", "source": "git", "database": {}, "chain": [{}],
        "backup": {"configuration_id": "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB"}})
}

fn catalogue() -> Vec<Pipeline> {
    pipelines::all()
}

fn everything() -> Vec<Pipeline> {
    pipelines::all()
        .into_iter()
        .chain(pipelines::sketches::all())
        .collect()
}

/// The steps that this input does not skip, with their kinds and undos.
fn steps(pipeline: &Pipeline) -> Vec<(String, StepKind, Option<String>)> {
    let applies = pipeline
        .steps
        .iter()
        .filter(|step| step.skip_reason(&input()).is_none());
    applies
        .map(|step| {
            (
                step.definition.name.to_string(),
                step.kind,
                step.undo_name().map(str::to_string),
            )
        })
        .collect()
}

fn forward(pipeline: &Pipeline) -> Vec<String> {
    steps(pipeline)
        .into_iter()
        .filter(|(_, kind, _)| *kind == StepKind::Step)
        .map(|(name, _, _)| name)
        .collect()
}

async fn deploy(pipeline: &Pipeline, name: &str, faults: &[Fault]) -> (Bench, DeploymentId) {
    let bench = Bench::new(pipeline).await;
    bench.world.plan(name, faults.iter().copied());
    let id = bench.create(input()).await;
    bench.run(id, "run").await;
    (bench, id)
}

async fn completed(bench: &Bench, id: DeploymentId, about: &str) {
    let snapshot = bench.snapshot(id).await;
    assert_eq!(
        (snapshot.deployment.status, snapshot.deployment.settlement),
        (DeploymentStatus::Completed, Settlement::Settled),
        "{about}"
    );
    let made = snapshot
        .steps
        .iter()
        .filter(|step| step.undo.is_some() && step.status == StepStatus::Completed)
        .count();
    assert_eq!(
        bench.world.marks().len(),
        made,
        "{about}: what was made stands"
    );
    assert!(
        snapshot
            .steps
            .iter()
            .all(|step| step.kind != StepKind::Undo),
        "{about}: nothing was undone"
    );
    assert_eq!(bench.lock_holder(id).await, None, "{about}");
}

async fn undone(bench: &Bench, id: DeploymentId, status: DeploymentStatus, about: &str) {
    let snapshot = bench.snapshot(id).await;
    assert_eq!(
        (snapshot.deployment.status, snapshot.deployment.settlement),
        (status, Settlement::Settled),
        "{about}"
    );
    assert_eq!(
        bench.world.marks(),
        Vec::<String>::new(),
        "{about}: nothing is left"
    );
    assert_eq!(bench.lock_holder(id).await, None, "{about}");
    assert!(
        snapshot.deployment.error.is_some()
            && snapshot.deployment.finished_at.is_some()
            && snapshot.deployment.settled_at.is_some(),
        "{about}"
    );
    let left = if status == DeploymentStatus::Failed {
        StepStatus::Queued
    } else {
        StepStatus::Running
    };
    assert!(
        snapshot
            .steps
            .iter()
            .all(|step| step.status != left && step.status != StepStatus::Running),
        "{about}: {:?}",
        snapshot.steps
    );
}

#[tokio::test]
async fn every_pipeline_completes_and_a_second_execution_touches_nothing() {
    for pipeline in everything() {
        let (bench, id) = deploy(&pipeline, "", &[]).await;
        completed(&bench, id, pipeline.name).await;
        let (before, effects) = (bench.snapshot(id).await, bench.world.effects());
        assert_eq!(
            bench.run(id, "run").await,
            End::Succeeded("ended".into()),
            "{}",
            pipeline.name
        );
        assert_eq!(
            bench.run(id, "undo").await,
            End::Succeeded("ended".into()),
            "{}",
            pipeline.name
        );
        assert_eq!(
            (
                bench.snapshot(id).await.deployment.seq,
                bench.world.effects()
            ),
            (before.deployment.seq, effects),
            "{}",
            pipeline.name
        );
    }
}

#[tokio::test]
async fn a_failure_at_each_step_leaves_nothing() {
    for pipeline in everything() {
        for step in forward(&pipeline) {
            for fault in [
                Fault::Before(ErrorKind::Refused),
                Fault::After(ErrorKind::Broken),
            ] {
                let about = format!("{} {step} {fault:?}", pipeline.name);
                let (bench, id) = deploy(&pipeline, &step, &[fault]).await;
                undone(&bench, id, DeploymentStatus::Failed, &about).await;
                let snapshot = bench.snapshot(id).await;
                let failed = snapshot.step(&step).expect("a step");
                assert_eq!(failed.status, StepStatus::Failed, "{about}");
                assert_eq!(
                    failed.error, snapshot.deployment.error,
                    "{about}: one error, in both places"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_panic_at_each_step_is_a_failure_like_others() {
    for pipeline in catalogue() {
        for step in forward(&pipeline) {
            let (bench, id) = deploy(&pipeline, &step, &[Fault::Panic]).await;
            undone(
                &bench,
                id,
                DeploymentStatus::Failed,
                &format!("{} {step}", pipeline.name),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn what_is_away_once_everywhere_is_tried_again_and_completes() {
    for pipeline in everything() {
        let bench = Bench::new(&pipeline).await;
        for (name, _, _) in steps(&pipeline) {
            bench.world.plan(
                &name,
                [
                    Fault::Before(ErrorKind::Unavailable),
                    Fault::After(ErrorKind::Busy),
                ],
            );
        }
        let id = bench.create(input()).await;
        bench.run(id, "run").await;
        completed(&bench, id, pipeline.name).await;
        assert!(
            bench
                .snapshot(id)
                .await
                .steps
                .iter()
                .filter(|step| step.status == StepStatus::Completed)
                .all(|step| step.warning.is_some())
        );
    }
}

#[tokio::test]
async fn what_stays_away_fails_after_its_tries_and_leaves_nothing() {
    for pipeline in catalogue() {
        for step in forward(&pipeline) {
            let (bench, id) = deploy(
                &pipeline,
                &step,
                &[Fault::After(ErrorKind::Unavailable); 40],
            )
            .await;
            undone(
                &bench,
                id,
                DeploymentStatus::Failed,
                &format!("{} {step}", pipeline.name),
            )
            .await;
        }
    }
}

#[tokio::test]
async fn a_lambda_that_dies_once_is_begun_again_after_its_deadline() {
    for pipeline in catalogue() {
        for step in forward(&pipeline) {
            for fault in [Fault::DieBefore, Fault::DieAfter] {
                let (bench, id) = deploy(&pipeline, &step, &[fault]).await;
                completed(&bench, id, &format!("{} {step} {fault:?}", pipeline.name)).await;
            }
        }
    }
}

#[tokio::test]
async fn a_lambda_that_always_dies_fails_its_step_in_plain_words_and_leaves_nothing() {
    for pipeline in catalogue() {
        for step in forward(&pipeline) {
            let (bench, id) = deploy(&pipeline, &step, &[Fault::DieAfter; 60]).await;
            undone(
                &bench,
                id,
                DeploymentStatus::Failed,
                &format!("{} {step}", pipeline.name),
            )
            .await;
            assert_eq!(
                bench
                    .snapshot(id)
                    .await
                    .deployment
                    .error
                    .expect("an error")
                    .code,
                "worker_lost"
            );
        }
    }
}

#[tokio::test]
async fn each_step_and_each_undo_twice_come_to_the_same_end() {
    for pipeline in everything() {
        let mut bench = Bench::new(&pipeline).await;
        bench.twice = true;
        let id = bench.create(input()).await;
        bench.run(id, "run").await;
        completed(&bench, id, pipeline.name).await;
        assert_eq!(
            usize::try_from(bench.world.effects()).expect("a few"),
            bench.world.marks().len(),
            "{}: nothing was made twice",
            pipeline.name
        );
        let Some(last) = forward(&pipeline).pop() else {
            continue;
        };
        let mut bench = Bench::new(&pipeline).await;
        bench.world.plan(&last, [Fault::After(ErrorKind::Refused)]);
        bench.twice = true;
        let id = bench.create(input()).await;
        bench.run(id, "run").await;
        undone(&bench, id, DeploymentStatus::Failed, pipeline.name).await;
    }
}

#[tokio::test]
async fn an_undo_that_fails_needs_attention_keeps_the_lock_and_can_be_tried_again() {
    for pipeline in catalogue() {
        let Some(last) = forward(&pipeline).pop() else {
            continue;
        };
        for (name, _, undo) in steps(&pipeline) {
            let Some(undo) = undo else { continue };
            let bench = Bench::new(&pipeline).await;
            bench.world.plan(&last, [Fault::After(ErrorKind::Refused)]);
            bench
                .world
                .plan(&undo, [Fault::Before(ErrorKind::Unavailable); 40]);
            let id = bench.create(input()).await;
            bench.run(id, "run").await;
            let about = format!("{} {undo}", pipeline.name);
            assert_eq!(
                bench.standing(id).await,
                (DeploymentStatus::Failed, Settlement::NeedsAttention),
                "{about}"
            );
            assert_eq!(
                bench.lock_holder(id).await,
                Some(id),
                "{about}: the lock is kept"
            );
            let snapshot = bench.snapshot(id).await;
            let title = &snapshot.step(&name).expect("a step").title;
            assert!(
                snapshot
                    .deployment
                    .attention
                    .as_ref()
                    .is_some_and(|text| text.contains(title)),
                "{about}: {:?}",
                snapshot.deployment.attention
            );
            assert_eq!(
                snapshot.step(&undo).expect("an undo").status,
                StepStatus::Failed,
                "{about}"
            );
            bench.world.heal();
            bench.undo_again(id).await;
            undone(&bench, id, DeploymentStatus::Failed, &about).await;
        }
    }
}

#[tokio::test]
async fn a_cancel_at_each_step_takes_back_what_was_done_and_leaves_the_rest_queued() {
    for pipeline in everything() {
        for step in forward(&pipeline) {
            for fault in [Fault::CancelBefore, Fault::CancelAfter] {
                let about = format!("{} {step} {fault:?}", pipeline.name);
                let (bench, id) = deploy(&pipeline, &step, &[fault]).await;
                undone(&bench, id, DeploymentStatus::Cancelled, &about).await;
                let snapshot = bench.snapshot(id).await;
                let stopped = snapshot.step(&step).expect("a step");
                assert_eq!(
                    (
                        stopped.status,
                        stopped.error.as_ref().map(|error| error.message.as_str())
                    ),
                    (StepStatus::Failed, Some("Cancelled by Tess")),
                    "{about}"
                );
                let behind = snapshot.steps.iter().filter(|later| {
                    later.kind != StepKind::Undo && later.sort_order > stopped.sort_order
                });
                assert!(
                    behind.clone().all(|later| matches!(
                        later.status,
                        StepStatus::Queued | StepStatus::Skipped
                    )),
                    "{about}"
                );
            }
        }
    }
}

#[tokio::test]
async fn a_cancel_of_what_has_not_begun_is_over_at_once_and_its_execution_touches_nothing() {
    for pipeline in everything() {
        let bench = Bench::new(&pipeline).await;
        let id = bench.create(input()).await;
        bench.cancel(id).await;
        assert_eq!(
            bench.standing(id).await,
            (DeploymentStatus::Cancelled, Settlement::Settled),
            "{}",
            pipeline.name
        );
        assert_eq!(bench.lock_holder(id).await, None);
        assert_eq!(bench.run(id, "run").await, End::Succeeded("ended".into()));
        assert_eq!(bench.world.effects(), 0);
    }
}

#[tokio::test]
async fn a_tidy_step_that_fails_is_a_warning_on_a_completed_deployment() {
    let tidy = |pipeline: &Pipeline| {
        steps(pipeline)
            .into_iter()
            .filter(|(_, kind, _)| *kind == StepKind::Tidy)
            .map(|(name, _, _)| name)
            .collect::<Vec<_>>()
    };
    let mut seen = 0;
    for pipeline in everything() {
        for step in tidy(&pipeline) {
            for fault in [
                vec![Fault::Before(ErrorKind::Broken)],
                vec![Fault::DieBefore; 60],
            ] {
                let (bench, id) = deploy(&pipeline, &step, &fault).await;
                completed(&bench, id, &format!("{} {step}", pipeline.name)).await;
                assert_eq!(
                    bench.snapshot(id).await.step(&step).expect("a step").status,
                    StepStatus::Failed
                );
                seen += 1;
            }
        }
    }
    assert!(seen > 0, "some pipeline has a tidy step");
}

#[tokio::test]
async fn skipped_steps_are_stored_as_skipped_and_the_rest_completes() {
    let bench = Bench::new(&pipelines::find("create_site").expect("a pipeline")).await;
    let id = bench.create(json!({})).await;
    bench.run(id, "run").await;
    completed(&bench, id, "create_site").await;
    let snapshot = bench.snapshot(id).await;
    let step = snapshot.step("attach_domain").expect("a step");
    assert_eq!(
        (step.status, step.output.as_deref()),
        (StepStatus::Skipped, Some("no custom domain"))
    );
}

#[tokio::test]
async fn an_execution_that_is_stopped_anywhere_is_recovered_to_one_of_the_two_ends() {
    for pipeline in everything() {
        let tasks = u32::try_from(steps(&pipeline).len()).expect("a few");
        // Each of the catalogue's tasks; of a planned pipeline the first, a middle and the last one.
        let planned = catalogue().iter().all(|known| known.name != pipeline.name);
        let points = (0..=tasks).filter(|at| !planned || [0, tasks / 2, tasks].contains(at));
        for at in points {
            let about = format!("{} stopped after {at} tasks", pipeline.name);
            let bench = Bench::new(&pipeline).await;
            let id = bench.create(input()).await;
            bench.dispatched(id).await;
            assert_eq!(bench.run_and_abort(id, at).await, End::Aborted, "{about}");
            let verdict = bench.standing(id).await.0;
            bench.recovered(id).await;
            if verdict == DeploymentStatus::Completed {
                completed(&bench, id, &about).await;
                let snapshot = bench.snapshot(id).await;
                assert!(
                    snapshot.steps.iter().all(|step| step.status.is_finished()),
                    "{about}: what was to be tidied up is"
                );
            } else {
                undone(&bench, id, DeploymentStatus::Failed, &about).await;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_whose_clock_is_five_minutes_off_is_overtaken_once_and_writes_nothing_more() {
    use domain::lifecycle::{self, Begin, Worker};
    for pipeline in catalogue() {
        let first = forward(&pipeline)[0].clone();
        let bench = Bench::new(&pipeline).await;
        let id = bench.create(input()).await;
        let now = bench.cloud.clock.now();
        let begun = |clock: chrono::TimeDelta, request: &str| {
            let worker = Worker {
                request_id: request.to_string(),
                deadline: now + clock + chrono::TimeDelta::seconds(60),
            };
            let (first, now) = (first.clone(), now + clock);
            let decide = move |snapshot: &lifecycle::Snapshot| match lifecycle::begin(
                snapshot, &first, false, &worker, now,
            )? {
                Begin::Go(change) => Ok((Some((*change).clone()), change.deployment.fence)),
                other => panic!("{other:?}"),
            };
            bench
                .cloud
                .records
                .deployment_change::<domain::StepError, _>(bench.team, id, decide)
        };
        let (_, slow) = begun(chrono::TimeDelta::zero(), "slow")
            .await
            .expect("begun");
        // This one's clock is ahead: it takes the other one for dead, and its fence is higher.
        let ahead = begun(chrono::TimeDelta::minutes(5), "ahead").await;
        let (_, fast) = ahead.expect("taken over");
        assert!(fast > slow, "{}", pipeline.name);
        let snapshot = bench.snapshot(id).await;
        let end = lifecycle::End::Skipped("late".to_string());
        let late = lifecycle::finish(&snapshot, &first, slow, end, now);
        assert_eq!(
            late.expect_err("it was overtaken").kind,
            ErrorKind::Stale,
            "{}",
            pipeline.name
        );
        // And one whose clock is behind waits for a deadline that is long over elsewhere, and no longer than that.
        let behind = begun(chrono::TimeDelta::minutes(-5), "behind").await;
        assert_eq!(behind.expect_err("it waits").kind, ErrorKind::Busy);
    }
}
