//! The Lambda behind the table's stream that starts state machines.
//!
//! Promise: acts on `dispatch = ready` only, under the deployment's id as the execution's name, so a record that comes
//! twice starts nothing twice. Each record is settled by itself: one that fails is reported and comes again alone.

use domain::{Deployment, Dispatch, Settlement};
use kit::machines::Machines;
use kit::{Cloud, Exit};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use records::{StreamChange, stream};
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

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let machines = Machines::new(&cloud).await;
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let (cloud, machines) = (cloud.clone(), machines.clone());
        async move { Ok::<Reply, Diagnostic>(dispatch(&cloud, &machines, event.payload).await) }
    }))
    .await;
    kit::serve::ended(served)
}

async fn dispatch(cloud: &Cloud, machines: &Machines, event: Event) -> Reply {
    let mut batch_item_failures = Vec::new();
    for record in event.records {
        let Some(ready) = read(&record) else { continue };
        if let Err(error) = machines.start(cloud, &ready).await {
            tracing::error!(deployment = %ready.id, error = error.chain(), "the machine was not started");
            batch_item_failures.push(Failed {
                item_identifier: stream::sequence_number(&record),
            });
        }
    }
    Reply {
        batch_item_failures,
    }
}

/// Only what the template's filter lets through; read again here, because a filter is no check.
fn read(record: &Value) -> Option<Deployment> {
    match stream::change(record)? {
        StreamChange::Deployment { after, .. }
            if after.dispatch == Dispatch::Ready && after.settlement != Settlement::Settled =>
        {
            Some(*after)
        }
        _ => None,
    }
}
