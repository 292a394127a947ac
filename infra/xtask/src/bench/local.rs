//! The local stack: one task state, two hundred deployments at once, the API, and a second `up`.
//!
//! Promise: a stack of its own, stopped and forgotten at the end; all functions in release build. The steps do nothing, so
//! what is measured is ours and the local AWS's.

use super::Options;
use super::figures::{Figure, Group, Quantity, Times};
use super::live::Listener;
use super::rest;
use crate::build::{functions, release_example, say};
use crate::ministack::{MiniStack, free_port};
use crate::up::{self, Up};
use crate::{package, stack};
use anyhow::{Context, Result, bail, ensure};
use aws_sdk_sfn::types::{ExecutionStatus, HistoryEvent, HistoryEventType};
use domain::{DeploymentStatus, Settlement};
use futures_util::future::join_all;
use machine::asl;
use pipelines::Pipeline;
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};
use std::time::{Duration, Instant};
use testkit::Bench;

/// Its name, and its state's folder.
const NAME: &str = "bench";
/// The stack beside the usual one.
const STACK: &str = "triphammer-bench";
/// The machine of tasks that do nothing at all.
const EMPTY: &str = "triphammer-bench-empty";
/// A Monday morning's backups of an agency.
const AT_ONCE: usize = 200;
/// Five steps each on two cores take seconds; after this they hang.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);
/// Not counted: they give every function a warm process.
const WARM: usize = 3;
/// Often enough to time seconds, seldom enough not to be what is timed.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// See the module.
pub async fn group(options: Options) -> Result<Group> {
    let measured = on_a_stack(options).await;
    MiniStack::stop(&up::state(NAME))?;
    let _nothing_left = std::fs::remove_dir_all(up::state(NAME));
    measured
}

async fn on_a_stack(options: Options) -> Result<Group> {
    let port = free_port()?;
    up::up(NAME, port).await?;
    let began = Instant::now();
    let up = up::up(NAME, port).await?;
    let warm = began.elapsed();
    let packages = package::release(&functions())?;
    stack::deploy(&up.endpoint, &packages, &up::parameters(&up.endpoint)).await?;
    let pipeline = rest::five();
    add_functions(&up, &pipeline).await?;
    let bench = bench(&up, &pipeline).await?;

    say("one task state");
    let machines = aws_sdk_sfn::Client::new(&stack::config(&up.endpoint).await);
    let tasks = options.samples(20);
    let ours = our_tasks(&bench, &machines, &pipeline, tasks).await?;
    let empty = empty_tasks(&machines, tasks).await?;

    say("live messages");
    let listener = Listener::open(&up).await?;
    for _ in 0..options.samples(40) {
        settled(&bench, &[bench.create(json!({})).await]).await?;
    }
    let live = listener.times().await?;

    say("many deployments at once");
    let many = at_once(&bench, options.samples(AT_ONCE)).await?;

    say("the API");
    let calls = options.samples(300);
    let health = get(&up, "/v1/health", calls).await?;
    let list = get(&up, "/v1/deployments?limit=50", calls).await?;

    let peer = "empty function";
    Ok(Group::new(
        "the local stack",
        "Release builds on MiniStack, which shares the cores with what is measured: the ratios say more than the times. `up` once more is with debug builds, as people have it. The list of deployments is a page of 50.",
        vec![
            Figure::beside(
                "a task state of a step that does nothing, p50",
                ours.p50(),
                peer,
                empty.p50(),
            ),
            Figure::beside("the same, p95", ours.p95(), peer, empty.p95()),
            Figure::aim("a write until its live message, p95", live.p95(), 300.0),
            Figure::alone("the same, p50", live.p50()),
            Figure::alone(
                format!(
                    "{} deployments of 5 such steps at once: until all are settled",
                    many.asked
                ),
                Quantity::seconds(many.until_settled),
            ),
            Figure::beside(
                "of them not completed and settled",
                Quantity::count(u32::try_from(many.failed)?),
                "all",
                Quantity::count(u32::try_from(many.asked)?),
            ),
            Figure::beside(
                "GET /v1/deployments, p50",
                list.p50(),
                "GET /v1/health",
                health.p50(),
            ),
            Figure::beside(
                "GET /v1/deployments, p95",
                list.p95(),
                "GET /v1/health",
                health.p95(),
            ),
            Figure::alone("`cargo xtask up` once more", Quantity::seconds(warm)),
        ],
    ))
}

/// The smallest step with its machine, and the empty function with one of as many states.
async fn add_functions(up: &Up, pipeline: &Pipeline) -> Result<()> {
    let function = async |name: &str, policies: Value| -> Result<Value> {
        let package = package::release_of(name, &release_example(name))?;
        Ok(json!({
            "Type": "AWS::Serverless::Function",
            "Properties": {
                "FunctionName": format!("{STACK}-{name}"),
                "CodeUri": stack::code(&up.endpoint, &package).await?,
                "Environment": {"Variables": {"TABLE": output(up, "TableName")?, "RUST_LOG": "info"}},
                "Policies": policies,
            },
        }))
    };
    let records = json!([{"Version": "2012-10-17", "Statement": [{
        "Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:PutItem", "dynamodb:UpdateItem"],
        "Resource": {"Fn::Sub": format!("arn:${{AWS::Partition}}:dynamodb:${{AWS::Region}}:${{AWS::AccountId}}:table/{}", output(up, "TableName")?)},
    }]}]);
    let invoke = json!([{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": "*"}]}]);
    let settle = format!(
        "arn:${{AWS::Partition}}:lambda:${{AWS::Region}}:${{AWS::AccountId}}:function:{}-settle:live",
        stack::STACK
    );
    let mut called: Map<String, Value> = pipeline
        .steps
        .iter()
        .map(|step| {
            let substitution = asl::pascal(step.definition.name);
            (substitution, json!({"Ref": "Rest.Version"}))
        })
        .collect();
    called.insert("Settle".to_string(), json!({"Fn::Sub": settle}));
    let template = json!({
        "AWSTemplateFormatVersion": "2010-09-09",
        "Transform": "AWS::Serverless-2016-10-31",
        "Globals": {"Function": {
            "Runtime": "provided.al2023",
            "Handler": "bootstrap",
            "Architectures": ["x86_64"],
            "MemorySize": 256,
            "Timeout": 60,
            "AutoPublishAlias": "live",
        }},
        "Resources": {
            "Rest": function("smallest_step", records).await?,
            "Empty": function("empty_function", json!([])).await?,
            "RestMachine": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {
                    // The dispatcher finds it by this name.
                    "Name": format!("{}-{}", stack::STACK, pipeline.name),
                    "Type": "STANDARD",
                    "Definition": asl::definition(pipeline),
                    "DefinitionSubstitutions": called,
                    "Policies": invoke,
                },
            },
            "EmptyMachine": {
                "Type": "AWS::Serverless::StateMachine",
                "Properties": {
                    "Name": EMPTY,
                    "Type": "STANDARD",
                    "Definition": empty_machine(pipeline),
                    "DefinitionSubstitutions": {"Empty": {"Ref": "Empty.Version"}},
                    "Policies": invoke,
                },
            },
        },
    });
    stack::apply(&up.endpoint, STACK, &template, &[]).await?;
    Ok(())
}

/// The same states as the pipeline's, each calling the empty function with the same payload.
fn empty_machine(pipeline: &Pipeline) -> Value {
    let mut machine = asl::definition(pipeline);
    let names: Vec<&str> = pipeline
        .steps
        .iter()
        .map(|step| step.definition.name)
        .collect();
    let mut states = Map::new();
    for (at, name) in names.iter().enumerate() {
        let mut state = machine["States"][*name].take();
        state["Parameters"]["FunctionName"] = json!("${Empty}");
        if let Some(fields) = state.as_object_mut() {
            fields.remove("Catch");
            if at + 1 == names.len() {
                fields.remove("Next");
                fields.insert("End".to_string(), json!(true));
            }
        }
        states.insert((*name).to_string(), state);
    }
    json!({"StartAt": names.first(), "States": states})
}

fn output<'a>(up: &'a Up, name: &str) -> Result<&'a str> {
    let found = up.outputs.get(name);
    Ok(found.with_context(|| format!("the stack has no output {name}"))?)
}

/// Creates deployments in the stack's table, of the team whose token `up` has.
async fn bench(up: &Up, pipeline: &Pipeline) -> Result<Bench> {
    let records = up::records(&up.endpoint, &up.outputs).await?;
    let team = records
        .token_by_hash(&hex::encode(Sha256::digest(&up.token)))
        .await?
        .context("the token is known")?
        .team_id;
    let table = output(up, "TableName")?.to_string();
    let mut bench = Bench::on_a_stack(records, table, pipeline);
    bench.team = team;
    Ok(bench)
}

/// How long each step's state took, in deployments one after the other.
async fn our_tasks(
    bench: &Bench,
    machines: &aws_sdk_sfn::Client,
    pipeline: &Pipeline,
    many: usize,
) -> Result<Times> {
    let machine = machine_arn(machines, &format!("{}-{}", stack::STACK, pipeline.name)).await?;
    let mut times = Times::default();
    for number in 0..WARM + many {
        let id = bench.create(json!({})).await;
        settled(bench, &[id]).await?;
        let execution = format!("{}:{id}", machine.replace(":stateMachine:", ":execution:"));
        for (state, time) in tasks(machines, &execution).await? {
            if number >= WARM && state != "settle" {
                times.push(time);
            }
        }
    }
    Ok(times)
}

/// The same of the empty function.
async fn empty_tasks(machines: &aws_sdk_sfn::Client, many: usize) -> Result<Times> {
    let machine = machine_arn(machines, EMPTY).await?;
    let input = json!({"team_id": "t", "deployment_id": "d", "mode": "run"}).to_string();
    let mut times = Times::default();
    for number in 0..WARM + many {
        let started = machines
            .start_execution()
            .state_machine_arn(&machine)
            .input(&input)
            .send()
            .await?;
        let execution = started.execution_arn();
        let began = Instant::now();
        loop {
            let reply = machines
                .describe_execution()
                .execution_arn(execution)
                .send()
                .await?;
            match reply.status() {
                ExecutionStatus::Succeeded => break,
                ExecutionStatus::Running if began.elapsed() < SETTLED_WITHIN => {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                other => bail!("an empty execution is {other}: {:?}", reply.cause()),
            }
        }
        for (_, time) in tasks(machines, execution).await? {
            if number >= WARM {
                times.push(time);
            }
        }
    }
    Ok(times)
}

async fn machine_arn(machines: &aws_sdk_sfn::Client, name: &str) -> Result<String> {
    let reply = machines.list_state_machines().send().await?;
    let found = reply
        .state_machines()
        .iter()
        .find(|found| found.name() == name);
    Ok(found
        .with_context(|| format!("there is no machine {name}"))?
        .state_machine_arn()
        .to_string())
}

/// How long an execution was in each of its task states.
async fn tasks(machines: &aws_sdk_sfn::Client, execution: &str) -> Result<Vec<(String, Duration)>> {
    let reply = machines
        .get_execution_history()
        .execution_arn(execution)
        .max_results(1000)
        .send()
        .await?;
    let of = |kind: HistoryEventType| {
        reply
            .events()
            .iter()
            .filter(move |event| *event.r#type() == kind)
    };
    let at = |event: &HistoryEvent| event.timestamp().as_secs_f64();
    let name = |event: &HistoryEvent| {
        let entered = event.state_entered_event_details();
        entered.map(|entered| entered.name().to_string())
    };
    // One state after the other: each exit belongs to the entry of its place.
    let pairs: Vec<(String, Duration)> = of(HistoryEventType::TaskStateEntered)
        .zip(of(HistoryEventType::TaskStateExited))
        .map(|(entered, exited)| {
            let took = (at(exited) - at(entered)).max(0.0);
            (
                name(entered).unwrap_or_default(),
                Duration::from_secs_f64(took),
            )
        })
        .collect();
    ensure!(!pairs.is_empty(), "{execution} has no task states");
    Ok(pairs)
}

/// What became of many.
struct Many {
    asked: usize,
    failed: usize,
    until_settled: Duration,
}

async fn at_once(bench: &Bench, asked: usize) -> Result<Many> {
    let began = Instant::now();
    let ids = join_all((0..asked).map(|_| bench.create(json!({})))).await;
    settled(bench, &ids).await?;
    let until_settled = began.elapsed();
    let mut failed = 0;
    for id in ids {
        let standing = bench.standing(id).await;
        failed += usize::from(standing != (DeploymentStatus::Completed, Settlement::Settled));
    }
    Ok(Many {
        asked,
        failed,
        until_settled,
    })
}

/// Wait until none of them is open. Those that never settle are told by their standing.
async fn settled(bench: &Bench, ids: &[domain::DeploymentId]) -> Result<()> {
    let began = Instant::now();
    while began.elapsed() < SETTLED_WITHIN {
        let open = bench.cloud.records.open_deployments().await?;
        if !open.iter().any(|(_, id)| ids.contains(id)) {
            return Ok(());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// A route, asked one time after the other.
async fn get(up: &Up, path: &str, calls: usize) -> Result<Times> {
    let http = reqwest::Client::new();
    let mut times = Times::default();
    for number in 0..WARM + calls {
        let began = Instant::now();
        let reply = http
            .get(format!("{}{path}", up.api_url))
            .bearer_auth(&up.token)
            .send()
            .await?;
        let status = reply.status();
        let _body = reply.bytes().await?;
        if number >= WARM {
            times.push(began.elapsed());
        }
        ensure!(status.is_success(), "{path} answered {status}");
    }
    Ok(times)
}
