//! Amazon States Language, as far as the generated machines speak it, executed.
//!
//! Promise: strict. A state, field or path that it does not know is a panic, so a machine that passes here uses nothing
//! that is not understood. A task that waits for a token is taken as one whose agent answers at once.

use crate::bench::Bench;
use kit::Clock;
use serde_json::{Value, json};
use std::time::Duration;

/// How an execution ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// In a final state of this name.
    Succeeded(String),
    /// With an error that nothing caught.
    Failed(String),
    /// Stopped from outside, without a word to anybody.
    Aborted,
}

/// An error as Step Functions sees it.
#[derive(Debug, Clone)]
pub struct TaskError {
    /// Matched by Retry and Catch.
    pub name: String,
    /// For the record.
    pub cause: String,
}

/// Where a path points; a missing one is a fault of the machine.
fn at<'a>(data: &'a Value, path: &str) -> &'a Value {
    path.trim_start_matches('$')
        .split('.')
        .filter(|part| !part.is_empty())
        .fold(data, |value, part| {
            value
                .get(part)
                .unwrap_or_else(|| panic!("the path {path} is not in {data}"))
        })
}

fn resolve(template: &Value, data: &Value) -> Value {
    match template {
        Value::Object(fields) => Value::Object(
            fields
                .iter()
                .map(|(name, value)| match name.strip_suffix(".$") {
                    Some(name) => {
                        let path = value.as_str().expect("a path");
                        let found = if path.starts_with("$$.") {
                            json!("context")
                        } else {
                            at(data, path).clone()
                        };
                        (name.to_string(), found)
                    }
                    None => (name.clone(), resolve(value, data)),
                })
                .collect(),
        ),
        other => other.clone(),
    }
}

fn place(data: &mut Value, path: &Value, result: Value) {
    match path.as_str() {
        None => {}
        Some("$") => *data = result,
        Some(path) => data[path.strip_prefix("$.").expect("a field of the input")] = result,
    }
}

fn names(retrier: &Value, error: &str) -> bool {
    retrier["ErrorEquals"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|name| name == error || name == "States.ALL")
}

/// How long until the next try, when there is one.
fn next_try(state: &Value, error: &TaskError, tries: &mut [u32], clock: &Clock) -> bool {
    for (index, retrier) in state["Retry"].as_array().into_iter().flatten().enumerate() {
        if !names(retrier, &error.name) {
            continue;
        }
        let most = retrier["MaxAttempts"].as_u64().unwrap_or(3);
        if u64::from(tries[index]) >= most {
            return false;
        }
        let grown = retrier["IntervalSeconds"].as_f64().unwrap_or(1.0)
            * retrier["BackoffRate"]
                .as_f64()
                .unwrap_or(2.0)
                .powi(i32::try_from(tries[index]).unwrap_or(i32::MAX));
        let delay = retrier["MaxDelaySeconds"]
            .as_f64()
            .map_or(grown, |longest| grown.min(longest));
        tries[index] += 1;
        clock.advance(Duration::from_secs_f64(delay));
        return true;
    }
    false
}

/// Execute a machine to its end.
pub async fn execute(bench: &Bench, machine: &Value, input: Value) -> End {
    let mut data = input;
    let mut name = machine["StartAt"].as_str().expect("a start").to_string();
    for _ in 0..1000 {
        let state = &machine["States"][&name];
        bench.transition();
        let next = match state["Type"]
            .as_str()
            .unwrap_or_else(|| panic!("there is no state {name}"))
        {
            "Succeed" => return End::Succeeded(name),
            "Pass" => state["Next"].clone(),
            "Choice" => {
                let chosen = state["Choices"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|choice| {
                        at(&data, choice["Variable"].as_str().expect("a variable"))
                            == &choice["StringEquals"]
                    });
                chosen
                    .map_or(&state["Default"], |choice| &choice["Next"])
                    .clone()
            }
            "Task" if bench.is_aborted() => return End::Aborted,
            "Task" => match task(bench, state, &mut data).await {
                Ok(()) if state["End"] == true => return End::Succeeded(name),
                Ok(()) => state["Next"].clone(),
                Err(error) => {
                    let Some(catcher) = state["Catch"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .find(|catcher| names(catcher, &error.name))
                    else {
                        return End::Failed(error.name);
                    };
                    place(
                        &mut data,
                        &catcher["ResultPath"],
                        json!({"Error": error.name, "Cause": error.cause}),
                    );
                    catcher["Next"].clone()
                }
            },
            other => panic!("a state of type {other} is not known"),
        };
        name = next
            .as_str()
            .unwrap_or_else(|| panic!("{name} leads nowhere"))
            .to_string();
    }
    panic!("the machine does not end");
}

async fn task(bench: &Bench, state: &Value, data: &mut Value) -> Result<(), TaskError> {
    let parameters = resolve(&state["Parameters"], data);
    let function = parameters["FunctionName"]
        .as_str()
        .expect("a function")
        .trim_matches(['$', '{', '}'])
        .to_string();
    let mut tries = vec![0; state["Retry"].as_array().map_or(0, Vec::len)];
    loop {
        match bench.invoke(&function, parameters["Payload"].clone()).await {
            Ok(payload) => {
                let result = json!({"Payload": payload});
                let selected = if state["ResultSelector"].is_null() {
                    result
                } else {
                    resolve(&state["ResultSelector"], &result)
                };
                place(data, &state["ResultPath"], selected);
                return Ok(());
            }
            Err(error) => {
                if !next_try(state, &error, &mut tries, &bench.cloud.clock) {
                    return Err(error);
                }
                bench.transition();
            }
        }
    }
}
