//! What a deployment asks of DynamoDB and Step Functions, counted on the generated machine and the real runtime.

use super::figures::{Figure, Group, Quantity};
use anyhow::{Result, ensure};
use domain::{StepError, lifecycle};
use pipelines::Pipeline;
use serde_json::json;
use testkit::{Bench, End};

/// Begin reads and writes, finish writes.
const STEP_AIM: f64 = 3.0;

/// What one completed deployment used.
#[derive(Debug, Clone, Copy)]
pub struct Usage {
    /// Requests to DynamoDB: creation, dispatch, steps, settling.
    pub requests: u32,
    /// Of them, those of the costliest step.
    pub step_requests: u32,
    /// Write request units.
    pub write_units: f64,
    /// Read request units.
    pub read_units: f64,
    /// State transitions.
    pub transitions: u32,
    /// Calls of steps.
    pub steps: u32,
}

/// Complete one deployment of this pipeline, with every step chosen.
pub async fn usage(pipeline: &Pipeline) -> Result<Usage> {
    let bench = Bench::new(pipeline).await;
    let before = bench.requests.so_far();
    let id = bench
        .create(json!({"domain": "shop.example.com", "source": "git"}))
        .await;
    // As the dispatcher records it.
    bench
        .cloud
        .records
        .deployment_change(bench.team, id, |snapshot| {
            Ok::<_, StepError>((lifecycle::dispatched(snapshot), ()))
        })
        .await?;
    let end = bench.run(id, "run").await;
    ensure!(
        end == End::Succeeded("settle".to_string()),
        "{} ended as {end:?}",
        pipeline.name
    );
    let used = bench.requests.so_far().since(&before);
    let invoked = bench.invoked();
    let steps = invoked.iter().filter(|call| call.function != "Settle");
    Ok(Usage {
        requests: used.total(),
        step_requests: steps
            .clone()
            .map(|call| call.requests.total())
            .max()
            .unwrap_or_default(),
        write_units: used.write_units,
        read_units: used.read_units,
        transitions: bench.transitions(),
        steps: u32::try_from(steps.count())?,
    })
}

/// See the module.
pub async fn group() -> Result<Group> {
    let mut figures = Vec::new();
    let mut costliest = 0;
    for pipeline in pipelines::all() {
        let (used, name) = (usage(&pipeline).await?, pipeline.name);
        costliest = costliest.max(used.step_requests);
        figures.extend([
            Figure::alone(
                format!("`{name}`: requests"),
                Quantity::count(used.requests),
            ),
            Figure::alone(
                format!("`{name}`: write units"),
                Quantity::count(used.write_units),
            ),
            Figure::alone(
                format!("`{name}`: read units"),
                Quantity::count(used.read_units),
            ),
            Figure::beside(
                format!("`{name}`: state transitions"),
                Quantity::count(used.transitions),
                "steps",
                Quantity::count(used.steps),
            ),
        ]);
    }
    figures.insert(
        0,
        Figure::aim(
            "a step: requests beyond its own work",
            Quantity::count(costliest),
            STEP_AIM,
        ),
    );
    Ok(Group::new(
        "requests to DynamoDB and state transitions of a completed deployment",
        "Counted, not timed: `shared/testkit/tests/budget.rs` holds every pipeline to them. Units as DynamoDB bills them, a transaction's doubled.",
        figures,
    ))
}
