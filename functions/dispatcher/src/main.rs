//! The Lambda behind the table's stream that starts state machines.
//!
//! Promise: acts on `dispatch = ready` only, under the deployment's id as the execution's name, so a record that comes
//! twice starts nothing twice. Each record is settled by itself: one that fails is reported and comes again alone.

use aws_sdk_sfn::Client;
use domain::{DeploymentId, StepError, TeamId, lifecycle};
use kit::{Cloud, Exit};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Deserialize)]
struct Event {
    #[serde(rename = "Records")]
    records: Vec<Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Reply {
    batch_item_failures: Vec<Failed>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Failed {
    item_identifier: String,
}

/// A deployment that waits for its machine, as the stream shows it.
#[derive(Debug, PartialEq, Eq)]
struct Ready {
    team: TeamId,
    id: DeploymentId,
    pipeline: String,
    undo_starts: u32,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let machines = Client::new(&kit::cloud::aws_config().await);
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let (cloud, machines) = (cloud.clone(), machines.clone());
        async move { Ok::<Reply, Diagnostic>(dispatch(&cloud, &machines, event.payload).await) }
    }))
    .await;
    kit::serve::ended(served)
}

async fn dispatch(cloud: &Cloud, machines: &Client, event: Event) -> Reply {
    let mut batch_item_failures = Vec::new();
    for record in event.records {
        let Some(ready) = read(&record) else { continue };
        if let Err(error) = start(cloud, machines, &ready).await {
            tracing::error!(deployment = %ready.id, error = error.chain(), "the machine was not started");
            let item_identifier = record
                .pointer("/dynamodb/SequenceNumber")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_string();
            batch_item_failures.push(Failed { item_identifier });
        }
    }
    Reply {
        batch_item_failures,
    }
}

/// Only what the template's filter lets through; read again here, because a filter is no check.
fn read(record: &Value) -> Option<Ready> {
    let image = record.pointer("/dynamodb/NewImage")?;
    let text = |name: &str| image.pointer(&format!("/{name}/S")).and_then(Value::as_str);
    if text("sk")? != "DEPLOYMENT"
        || text("dispatch")? != "ready"
        || text("settlement")? == "settled"
    {
        return None;
    }
    Some(Ready {
        team: text("team_id")?.parse().ok()?,
        id: text("id")?.parse().ok()?,
        pipeline: text("type")?.to_string(),
        undo_starts: image
            .pointer("/undo_starts/N")
            .and_then(Value::as_str)?
            .parse()
            .ok()?,
    })
}

async fn start(cloud: &Cloud, machines: &Client, ready: &Ready) -> Result<(), StepError> {
    let (name, mode) = match ready.undo_starts {
        0 => (ready.id.to_string(), "run"),
        n => (format!("{}-u{n}", ready.id), "undo"),
    };
    let input = serde_json::json!({"team_id": ready.team, "deployment_id": ready.id, "mode": mode})
        .to_string();
    let machine = format!("{}{}", cloud.config.machine_prefix, ready.pipeline);
    match machines
        .start_execution()
        .state_machine_arn(machine)
        .name(&name)
        .input(input)
        .send()
        .await
    {
        Ok(_) => {}
        // It was started before, and may even have ended: the name says that it is the same work.
        Err(error)
            if error
                .as_service_error()
                .is_some_and(|error| error.is_execution_already_exists()) => {}
        Err(error) => {
            return Err(StepError::unavailable(
                "machine_not_started",
                "The state machine could not be started.",
            )
            .caused_by(error));
        }
    }
    let started = cloud
        .records
        .deployment_change(ready.team, ready.id, |snapshot| {
            Ok::<_, StepError>((lifecycle::dispatched(snapshot), ()))
        })
        .await;
    match started {
        Ok(_) => Ok(()),
        // The execution runs all the same; the record says so at its next change.
        Err(error) => {
            tracing::warn!(deployment = %ready.id, error = error.chain(), "started, but the record does not say so yet");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn image(dispatch: &str, sk: &str) -> Value {
        json!({"dynamodb": {"SequenceNumber": "7", "NewImage": {
            "sk": {"S": sk}, "dispatch": {"S": dispatch}, "settlement": {"S": "active"}, "team_id": {"S": "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB"},
            "id": {"S": "01JD2Z6E9W8Q4S5T6V7X8Y9ZAC"}, "type": {"S": "create_site"}, "undo_starts": {"N": "0"}}}})
    }

    #[test]
    fn only_a_ready_deployment_is_started() {
        assert_eq!(
            read(&image("ready", "DEPLOYMENT"))
                .map(|ready| ready.pipeline)
                .as_deref(),
            Some("create_site")
        );
        assert_eq!(read(&image("started", "DEPLOYMENT")), None);
        assert_eq!(read(&image("held", "DEPLOYMENT")), None);
        assert_eq!(read(&image("ready", "STEP#001#x")), None);
        assert_eq!(read(&json!({"eventName": "REMOVE", "dynamodb": {}})), None);
    }

    #[test]
    fn an_image_of_any_shape_is_read_whole_or_passed_over() {
        bolero::check!()
            .with_type::<(String, String, String, u8)>()
            .with_test_time(std::time::Duration::from_secs(1))
            .for_each(|(text, other, number, at)| {
                let mut record = image("ready", "DEPLOYMENT");
                let names = [
                    "sk",
                    "dispatch",
                    "settlement",
                    "team_id",
                    "id",
                    "type",
                    "undo_starts",
                ];
                let name = names[usize::from(*at) % names.len()];
                let field = &mut record["dynamodb"]["NewImage"][name];
                *field = match at % 3 {
                    0 => json!({"S": text}),
                    1 => json!({"N": number}),
                    _ => json!({other.as_str(): text}),
                };
                if let Some(ready) = read(&record) {
                    let image = &record["dynamodb"]["NewImage"];
                    assert_eq!(image["id"]["S"], ready.id.to_string());
                    assert_eq!(image["team_id"]["S"], ready.team.to_string());
                    assert_eq!(image["dispatch"]["S"], "ready");
                    assert_ne!(image["settlement"]["S"], "settled");
                }
            });
    }
}
