//! What a deployment costs the store and Step Functions, counted.
//!
//! The rule held: a step is two transactions and one read beyond its own work; a deployment is its steps, its creation and
//! its settling, and nothing else. Every pipeline of the catalogue and every planned one is held to it with no new test.

use domain::{ErrorKind, OnCommit};
use pipelines::{Mode, Pipeline, Step};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use testkit::{Bench, End, Fault, TRANSACTION, Tally};

/// Read what could be in the way, write all of it.
const CREATION: u32 = 2;
/// Read the state, begin; finish.
const STEP: u32 = 3;
/// The same, and write down what is given to the agent; then the callback's: read, read again to write the end, and read
/// once more for the report that comes twice.
const JOB: u32 = 7;
/// Read that there is nothing to do.
const SKIPPED: u32 = 1;
/// Read the state: the step that failed has written the verdict.
const STOP: u32 = 1;
/// Write that undoing begins, when there is anything to undo.
const UNDOING: u32 = 1;
/// Read the state and who waits for the lock, write that it is settled with its lock passed on or freed.
const SETTLE: u32 = 3;
/// The choice between forward and back, and settle.
const STATES_BESIDE_STEPS: u32 = 2;

/// Chooses every step.
fn everything_chosen() -> Value {
    json!({"domain": "shop.example.com", "source": "git", "database": {}, "chain": [{}],
        "backup": {"configuration_id": "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB"}})
}

fn everything() -> Vec<Pipeline> {
    pipelines::all()
        .into_iter()
        .chain(pipelines::sketches::all())
        .collect()
}

/// A completed deployment, and the requests of its creation.
async fn completed(pipeline: &Pipeline, input: Value) -> (Bench, Tally) {
    let bench = Bench::new(pipeline).await;
    let before = bench.requests.so_far();
    let id = bench.create(input).await;
    let creation = bench.requests.so_far().since(&before);
    let end = bench.run(id, "run").await;
    assert_eq!(end, End::Succeeded("settle".into()), "{}", pipeline.name);
    (bench, creation)
}

fn count(number: usize) -> u32 {
    u32::try_from(number).expect("a small number")
}

fn cost(step: &Step, input: &Value) -> u32 {
    match (step.skip_reason(input), step.definition.mode) {
        (Some(_), _) => SKIPPED,
        (None, Mode::Inline) => STEP,
        (None, Mode::Job) => JOB,
    }
}

/// With a verdict that changes an environment, it is read.
fn on_commit(pipeline: &Pipeline) -> u32 {
    u32::from(pipeline.on_commit.is_some())
}

/// When an environment is gone, its values and what was seen of it are looked for.
fn forgotten(pipeline: &Pipeline) -> u32 {
    match pipeline.on_commit {
        Some(OnCommit::Remove) => 2,
        _ => 0,
    }
}

#[tokio::test]
async fn a_step_is_two_transactions_and_one_read() {
    let budget = BTreeMap::from([("Query".to_string(), 1), (TRANSACTION.to_string(), 2)]);
    let job = BTreeMap::from([
        ("PutItem".to_string(), 1),
        ("Query".to_string(), 4),
        (TRANSACTION.to_string(), 2),
    ]);
    let skipped = BTreeMap::from([("Query".to_string(), SKIPPED)]);
    for pipeline in everything() {
        let (bench, _) = completed(&pipeline, everything_chosen()).await;
        let mut invoked = bench.invoked();
        let settle = invoked.pop().expect("settle was called");
        assert_eq!(settle.function, "Settle");
        assert_eq!(invoked.len(), pipeline.steps.len(), "{}", pipeline.name);
        for (step, invoked) in pipeline.steps.iter().zip(invoked) {
            let input = everything_chosen();
            let mut budget = match cost(step, &input) {
                STEP => budget.clone(),
                JOB => job.clone(),
                _ => skipped.clone(),
            };
            let commit = pipeline.commit_step(&input).expect("a commit step");
            if commit.definition.name == step.definition.name && pipeline.on_commit.is_some() {
                budget.insert("GetItem".to_string(), on_commit(&pipeline));
            }
            assert_eq!(
                invoked.requests.calls, budget,
                "{} {}",
                pipeline.name, invoked.function
            );
        }
    }
}

#[tokio::test]
async fn a_creation_is_one_read_and_one_transaction() {
    let budget = BTreeMap::from([
        ("BatchGetItem".to_string(), 1),
        (TRANSACTION.to_string(), 1),
    ]);
    for pipeline in everything() {
        let (_, creation) = completed(&pipeline, everything_chosen()).await;
        assert_eq!(creation.calls, budget, "{}", pipeline.name);
        assert_eq!(creation.total(), CREATION, "{}", pipeline.name);
    }
}

#[tokio::test]
async fn a_creation_is_billed_twice_for_each_item_and_once_for_each_index_entry() {
    let check_server = pipelines::find("check_server").expect("it is in the catalogue");
    let (_, creation) = completed(&check_server, everything_chosen()).await;
    // Of 1 KB at most: the lock, the deployment, its input, its step, the audit entry.
    let items = 5.0;
    let index_entries = 3.0;
    assert_eq!(creation.write_units, 2.0 * items + index_entries);
}

#[tokio::test]
async fn a_deployment_is_its_creation_its_steps_and_its_settling() {
    for pipeline in everything() {
        for input in [
            everything_chosen(),
            json!({"source": "git", "database": {}}),
        ] {
            if pipeline.commit_step(&input).is_none() {
                continue;
            }
            let bench = Bench::new(&pipeline).await;
            let empty = bench.requests.so_far();
            let id = bench.create(input.clone()).await;
            bench.run(id, "run").await;
            let steps: u32 = pipeline.steps.iter().map(|step| cost(step, &input)).sum();
            assert_eq!(
                bench.requests.so_far().since(&empty).total(),
                CREATION + steps + on_commit(&pipeline) + SETTLE + forgotten(&pipeline),
                "{} {input}",
                pipeline.name
            );
        }
    }
}

#[tokio::test]
async fn a_failure_adds_its_verdict_and_its_undos() {
    let input = everything_chosen();
    for pipeline in everything() {
        let commit = pipeline.commit_step(&input).expect("a commit step");
        let name = commit.definition.name;
        let mut expected = STOP + SETTLE;
        let mut undos = 0;
        let before_it = pipeline.steps.iter();
        for step in before_it
            .take_while(|step| step.definition.name != name)
            .chain([commit])
        {
            // The one that fails does so before an agent gets anything.
            expected += match cost(step, &input) {
                JOB if step.definition.name == name => STEP,
                cost => cost,
            };
            if step.skip_reason(&input).is_none() {
                undos += u32::from(step.undo_name().is_some());
            }
        }
        expected += UNDOING * undos.min(1) + STEP * undos;
        let bench = Bench::new(&pipeline).await;
        bench.world.plan(name, [Fault::Before(ErrorKind::Refused)]);
        let id = bench.create(input.clone()).await;
        let before = bench.requests.so_far();
        bench.run(id, "run").await;
        assert_eq!(
            bench.requests.so_far().since(&before).total(),
            expected,
            "{}",
            pipeline.name
        );
    }
}

#[tokio::test]
async fn a_success_passes_each_state_of_its_way_once() {
    for pipeline in everything() {
        let (bench, _) = completed(&pipeline, everything_chosen()).await;
        assert_eq!(
            bench.transitions(),
            STATES_BESIDE_STEPS + count(pipeline.steps.len()),
            "{}",
            pipeline.name
        );
    }
}
