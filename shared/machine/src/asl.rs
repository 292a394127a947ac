//! From a pipeline to Amazon States Language.
//!
//! Promise: every path ends in `settle` or in `ended`; every task has a timeout, retries by error name, and a catch.

use domain::{ErrorKind, StepKind};
use pipelines::{Mode, Pipeline, Step};
use serde_json::{Map, Value, json};

/// A state outlives its Lambda by this much, so that the Lambda's own end is what is seen: dispatch and a cold start.
pub const STATE_MARGIN_SECONDS: u64 = 15;
/// Nobody of the step says a word for so long: its agents are lost.
pub const HEARTBEAT_SECONDS: u64 = domain::SILENCE_SECONDS as u64;
/// A lost agent's step is begun again this often: the new worker finds the job's result, or restarts it.
const LOST_JOBS: u32 = 2;
/// What settle's states are tried: with 20 seconds in between, a quarter of an hour of a table that is away.
const SETTLE_ATTEMPTS: u32 = 50;
/// An undo is worth more patience than the step was: it is the way back.
const UNDO_UNAVAILABLE_ATTEMPTS: u32 = 5;
/// Lambda's own limit on settle's states.
const SETTLE_STATE_SECONDS: u64 = 45;

/// Errors of Lambda itself, or of a worker that died: the next try is answered Busy until the dead one's deadline.
const SERVICE_ERRORS: [&str; 8] = [
    "Lambda.ServiceException",
    "Lambda.AWSLambdaException",
    "Lambda.SdkClientException",
    "Lambda.TooManyRequestsException",
    "Lambda.Unknown",
    "Runtime.ExitError",
    "Sandbox.Timedout",
    "States.Timeout",
];

/// `provision_database` as a substitution and logical id: `ProvisionDatabase`.
pub fn pascal(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters
                .next()
                .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
                .unwrap_or_default()
        })
        .collect()
}

/// The state machine of a pipeline. Execution input: `{team_id, deployment_id, mode}`; nothing else travels in it.
pub fn definition(pipeline: &Pipeline) -> Value {
    let mut states = Map::new();
    let first = pipeline
        .steps
        .first()
        .map_or("settle", |step| step.definition.name);
    states.insert(
        "begin".to_string(),
        json!({"Type": "Choice", "Choices": [{"Variable": "$.mode", "StringEquals": "undo", "Next": "stop_again"}], "Default": first}),
    );
    for (at, step) in pipeline.steps.iter().enumerate() {
        let next = pipeline
            .steps
            .get(at + 1)
            .map_or("settle", |next| next.definition.name);
        if step.kind == StepKind::Tidy {
            let note = format!("note_{}", step.definition.name);
            states.insert(step.definition.name.to_string(), forward(step, next, &note));
            states.insert(note, note_state(step, next));
        } else {
            states.insert(
                step.definition.name.to_string(),
                forward(step, next, "stop"),
            );
        }
    }
    states.insert("stop".to_string(), stop(true));
    states.insert("stop_again".to_string(), stop(false));
    let undoable: Vec<&Step> = pipeline
        .steps
        .iter()
        .rev()
        .filter(|step| step.undo_name().is_some())
        .collect();
    states.insert("undo_from".to_string(), undo_from(&undoable));
    for (at, step) in undoable.iter().enumerate() {
        let next = undoable
            .get(at + 1)
            .and_then(|next| next.undo_name())
            .unwrap_or("settle");
        states.insert(
            step.undo_name().unwrap_or_default().to_string(),
            undo(step, next),
        );
    }
    states.insert("settle".to_string(), settle());
    states.insert("ended".to_string(), json!({"Type": "Succeed", "Comment": "This execution no longer owns the deployment: nothing is touched."}));
    json!({
        "Comment": pipeline.title,
        "StartAt": "begin",
        "TimeoutSeconds": total_seconds(pipeline),
        "States": states,
    })
}

/// The longest it can take when everything goes as badly as it may, and a day at most: the last net under the others.
fn total_seconds(pipeline: &Pipeline) -> u64 {
    let tries = |step: &Step| u64::from(1 + step.attempts.unavailable + step.attempts.busy);
    let longest: u64 = pipeline
        .steps
        .iter()
        .map(|step| 2 * tries(step) * (step.within.as_secs() + 2 * STATE_MARGIN_SECONDS))
        .sum();
    (longest + 3600).min(86_400)
}

fn payload(step: &Step, mode: &str, with_token: bool) -> Value {
    let mut payload = json!({
        "team_id.$": "$.team_id",
        "deployment_id.$": "$.deployment_id",
        "step": step.definition.name,
        "mode": mode,
    });
    if with_token {
        payload["token.$"] = json!("$$.Task.Token");
    }
    payload
}

fn task(function: &str, payload: Value, seconds: u64) -> Value {
    json!({
        "Type": "Task",
        "Resource": "arn:aws:states:::lambda:invoke",
        "Parameters": {"FunctionName": format!("${{{function}}}"), "Payload": payload},
        "TimeoutSeconds": seconds,
        "ResultPath": null,
    })
}

fn forward(step: &Step, next: &str, on_error: &str) -> Value {
    let job = step.definition.mode == Mode::Job;
    let mut state = task(
        &pascal(step.definition.name),
        payload(step, "run", job),
        step.within.as_secs() + STATE_MARGIN_SECONDS,
    );
    let mut retry = retries(step.attempts.unavailable, step.attempts.busy);
    if job {
        state["Resource"] = json!("arn:aws:states:::lambda:invoke.waitForTaskToken");
        state["HeartbeatSeconds"] = json!(HEARTBEAT_SECONDS);
        // Its lost agents are counted apart from what an agent says of itself.
        retry.insert(0, json!({"ErrorEquals": ["States.HeartbeatTimeout"], "IntervalSeconds": 2, "BackoffRate": 2, "MaxAttempts": LOST_JOBS}));
    }
    state["Retry"] = Value::Array(retry);
    let mut catch = catch(on_error, "$.error");
    if let (true, Some(catchers)) = (job, catch.as_array_mut()) {
        catchers.insert(
            0,
            json!({"ErrorEquals": [domain::JOB_DONE], "ResultPath": null, "Next": next}),
        );
    }
    state["Catch"] = catch;
    state["Next"] = json!(next);
    state
}

fn retries(unavailable: u32, busy: u32) -> Vec<Value> {
    vec![
        json!({"ErrorEquals": [ErrorKind::Busy.as_str()], "IntervalSeconds": 5, "BackoffRate": 1.5, "MaxDelaySeconds": 15, "MaxAttempts": busy}),
        json!({"ErrorEquals": [ErrorKind::Unavailable.as_str()], "IntervalSeconds": 2, "BackoffRate": 2, "JitterStrategy": "FULL", "MaxAttempts": unavailable}),
        json!({"ErrorEquals": SERVICE_ERRORS, "IntervalSeconds": 2, "BackoffRate": 2, "MaxDelaySeconds": 30, "MaxAttempts": 6}),
    ]
}

fn catch(next: &str, result_path: &str) -> Value {
    json!([
        {"ErrorEquals": [ErrorKind::Stale.as_str()], "ResultPath": null, "Next": "ended"},
        {"ErrorEquals": ["States.ALL"], "ResultPath": result_path, "Next": next},
    ])
}

/// The undo of a job is inline too: its function asks the agent to stop, and to swap back or remove, which takes seconds.
fn undo(step: &Step, next: &str) -> Value {
    let limit = pipelines::define::INLINE_LIMIT.as_secs() + STATE_MARGIN_SECONDS;
    let mut state = task(
        &pascal(step.definition.name),
        payload(step, "undo", false),
        limit,
    );
    state["Retry"] = Value::Array(retries(UNDO_UNAVAILABLE_ATTEMPTS, step.attempts.busy));
    // Settle finds in the records what is left, and says that people must look.
    state["Catch"] = catch("settle", "$.undo_error");
    state["Next"] = json!(next);
    state
}

fn settle_task(action: Value) -> Value {
    let mut payload = json!({"team_id.$": "$.team_id", "deployment_id.$": "$.deployment_id"});
    if let (Some(payload), Value::Object(action)) = (payload.as_object_mut(), action) {
        payload.extend(action);
    }
    let mut state = task("Settle", payload, SETTLE_STATE_SECONDS);
    state["Retry"] = json!([
        {"ErrorEquals": [ErrorKind::Stale.as_str(), ErrorKind::Broken.as_str()], "MaxAttempts": 0},
        {"ErrorEquals": ["States.ALL"], "IntervalSeconds": 2, "BackoffRate": 2, "MaxDelaySeconds": 20, "MaxAttempts": SETTLE_ATTEMPTS},
    ]);
    state
}

/// Make sure of the verdict, and learn where undoing begins.
fn stop(after_an_error: bool) -> Value {
    let action = if after_an_error {
        json!({"action": "stop", "error.$": "$.error"})
    } else {
        json!({"action": "stop"})
    };
    let mut state = settle_task(action);
    state["ResultSelector"] = json!({"undo_from.$": "$.Payload.undo_from"});
    state["ResultPath"] = json!("$.stop");
    state["Catch"] = catch("settle", "$.stop_error");
    state["Next"] = json!("undo_from");
    state
}

fn undo_from(undoable: &[&Step]) -> Value {
    let choices: Vec<Value> = undoable.iter().map(|step| json!({"Variable": "$.stop.undo_from", "StringEquals": step.definition.name, "Next": step.undo_name()})).collect();
    if choices.is_empty() {
        return json!({"Type": "Pass", "Next": "settle"});
    }
    json!({"Type": "Choice", "Choices": choices, "Default": "settle"})
}

fn note_state(step: &Step, next: &str) -> Value {
    let mut state =
        settle_task(json!({"action": "note", "step": step.definition.name, "error.$": "$.error"}));
    state["Catch"] = catch(next, "$.note_error");
    state["Next"] = json!(next);
    state
}

fn settle() -> Value {
    let mut state = settle_task(json!({"action": "settle"}));
    // Without a catch the execution fails, which the alarm and the sweeper see.
    state["Catch"] =
        json!([{"ErrorEquals": [ErrorKind::Stale.as_str()], "ResultPath": null, "Next": "ended"}]);
    state["End"] = json!(true);
    state
}
