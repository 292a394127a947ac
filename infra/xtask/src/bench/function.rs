//! A step's function by itself: how fast it is there, what it adds to a step's work, how much it weighs.

use super::Options;
use super::figures::{Figure, Group, Quantity, Times, Unit};
use super::rest;
use super::runtime::Function;
use crate::{build, package};
use anyhow::{Context, Result, bail};
use domain::ServerId;
use serde_json::{Value, json};
use testkit::Bench;

/// A cold start that nobody notices.
const INIT_MS: f64 = 20.0;
/// What begin and finish may add.
const OVERHEAD_MS: f64 = 5.0;
/// A tenth of the smallest useful Lambda.
const MEMORY_MB: f64 = 25.0;
/// What Lambda loads quickly.
const ZIP_MB: f64 = 10.0;
/// Enough to have every pool and buffer of a function at its size.
const WARM_CALLS: usize = 20;

/// See the module.
pub async fn group(options: Options) -> Result<Group> {
    let starts = options.samples(50);
    let calls = options.samples(1000);
    let pipeline = rest::one();
    let mut bench = Bench::new(&pipeline).await;
    bench.meta = [("server_id".to_string(), json!(ServerId::from_parts(1, 1)))].into();
    let variables = [
        ("AWS_ENDPOINT_URL", testkit::endpoint()),
        ("TABLE", bench.table.as_str()),
        ("RUST_LOG", "info"),
    ];
    let step = build::release_binary("inspect_server");
    let smallest = build::release_example("smallest_step");
    let empty = build::release_example("empty_function");

    let (mut step_init, mut empty_init) = (Times::default(), Times::default());
    for _ in 0..starts {
        step_init.push(Function::start(&step, &variables).await?.1);
        empty_init.push(Function::start(&empty, &variables).await?.1);
    }

    let (mut with_ours, mut without) = (Times::default(), Times::default());
    let mut smallest = Function::start(&smallest, &variables).await?.0;
    let mut empty = Function::start(&empty, &variables).await?.0;
    for number in 0..WARM_CALLS + calls {
        let event = event(&bench, &pipeline).await?;
        let (answer, ours) = smallest.call(event.clone()).await?;
        if let Err(error) = answer {
            bail!("the smallest step failed: {error}");
        }
        let (_, peers) = empty.call(event).await?;
        if number >= WARM_CALLS {
            with_ours.push(ours);
            without.push(peers);
        }
    }

    let mut step = Function::start(&step, &variables).await?.0;
    for _ in 0..WARM_CALLS {
        // It has no server to go to, and says so; all before that is its usual way.
        let (answer, _) = step.call(event(&bench, &pipeline).await?).await?;
        if let Ok(answer) = answer {
            bail!("a check of no server succeeded: {answer}");
        }
    }

    build::agent()?;
    let packages = package::release(&build::functions())?;
    let heaviest = packages
        .iter()
        .map(|package| Ok((std::fs::metadata(&package.path)?.len(), &package.name)))
        .collect::<Result<Vec<_>>>()?
        .into_iter()
        .max()
        .context("there are no functions")?;
    let megabytes = Quantity(f64::from(u32::try_from(heaviest.0)?) / 1e6, Unit::Megabytes);

    let memory = |function: &Function| -> Result<Quantity> {
        Ok(Quantity(function.peak_megabytes()?, Unit::Megabytes))
    };
    Ok(Group::new(
        "a step's function, release build",
        "Real binaries behind a local Runtime API, with an emulated DynamoDB in this process over HTTP without TLS. Init is from the start of the process to its first poll. A step that does nothing is `shared/kit/examples/smallest_step.rs`: all of its time is the runtime's begin and finish. The empty function is the Rust runtime without ours. `inspect_server` is called for a server that is not there. Zips by the fastest compression.",
        vec![
            Figure::aim("init of `inspect_server`, p50", step_init.p50(), INIT_MS),
            Figure::beside(
                "init of `inspect_server`, p50",
                step_init.p50(),
                "empty function",
                empty_init.p50(),
            ),
            Figure::aim(
                "a step that does nothing, p50",
                with_ours.p50(),
                OVERHEAD_MS,
            ),
            Figure::beside(
                "a step that does nothing, p50",
                with_ours.p50(),
                "empty function",
                without.p50(),
            ),
            Figure::beside(
                "a step that does nothing, p95",
                with_ours.p95(),
                "empty function",
                without.p95(),
            ),
            Figure::aim(
                format!("peak memory of `inspect_server`, {WARM_CALLS} calls"),
                memory(&step)?,
                MEMORY_MB,
            ),
            Figure::beside(
                format!(
                    "peak memory of the smallest step, {} calls",
                    WARM_CALLS + calls
                ),
                memory(&smallest)?,
                "empty function",
                memory(&empty)?,
            ),
            Figure::aim(format!("largest zip, `{}`", heaviest.1), megabytes, ZIP_MB),
        ],
    ))
}

/// A new deployment's first step, as the machine sends it.
async fn event(bench: &Bench, pipeline: &pipelines::Pipeline) -> Result<Value> {
    let id = bench.create(json!({})).await;
    let step = pipeline.steps.first().context("a pipeline has steps")?;
    Ok(json!({
        "team_id": bench.team,
        "deployment_id": id,
        "step": step.definition.name,
        "mode": "run",
    }))
}
