//! The Lambda behind the table's stream that tells people: live events, closed connections, notices.
//!
//! Promise: a frame that cannot be delivered never fails the batch; a notice that cannot be queued is reported, and its
//! record comes again. A record that comes twice or late is told again, and its `seq` says so.

mod frames;
mod posts;

use kit::live::Connections;
use kit::{Cloud, Exit, StepError};
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
    let connections = Connections::new(&cloud.config).await;
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let (cloud, connections) = (cloud.clone(), connections.clone());
        async move { Ok::<Reply, Diagnostic>(notify(&cloud, &connections, event.payload).await) }
    }))
    .await;
    kit::serve::ended(served)
}

async fn notify(cloud: &Cloud, connections: &Connections, event: Event) -> Reply {
    let mut batch_item_failures = Vec::new();
    let mut told = frames::Batch::default();
    for record in &event.records {
        let Some(change) = stream::change(record) else {
            continue;
        };
        if let Err(error) = act(cloud, connections, &change).await {
            tracing::error!(error = error.chain(), "a change was not told");
            batch_item_failures.push(Failed {
                item_identifier: stream::sequence_number(record),
            });
        }
        told.add(change);
    }
    posts::post_all(cloud, connections, told.frames()).await;
    Reply {
        batch_item_failures,
    }
}

/// What must not be lost.
async fn act(
    cloud: &Cloud,
    connections: &Connections,
    change: &StreamChange,
) -> Result<(), StepError> {
    match change {
        StreamChange::TokenRevoked { team_id, token_id } => {
            let open = cloud.records.token_connections(*team_id, *token_id).await?;
            for id in open {
                cloud.records.connection_close(&id).await?;
                connections.close(&id).await;
            }
            Ok(())
        }
        StreamChange::Deployment { .. } | StreamChange::Step { .. } => Ok(()),
    }
}
