//! The Lambda behind the table's stream that tells people: live events, closed connections, notices.
//!
//! Promise: a frame that cannot be delivered never fails the batch; a notice that cannot be queued is reported, and its
//! record comes again. A record that comes twice or late is told again, and its `seq` says so.

mod frames;
mod notices;
mod posts;

use kit::live::Connections;
use kit::notice::Notices;
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
    let people = People {
        connections: Connections::new(&cloud.config).await,
        notices: Notices::new(&cloud.config).await,
        cloud,
    };
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let people = people.clone();
        async move { Ok::<Reply, Diagnostic>(notify(&people, event.payload).await) }
    }))
    .await;
    kit::serve::ended(served)
}

/// By which ways people are told.
#[derive(Clone)]
struct People {
    cloud: Cloud,
    connections: Connections,
    notices: Notices,
}

async fn notify(people: &People, event: Event) -> Reply {
    let mut batch_item_failures = Vec::new();
    let mut told = frames::Batch::default();
    for record in &event.records {
        let Some(change) = stream::change(record) else {
            continue;
        };
        if let Err(error) = act(people, &change).await {
            tracing::error!(error = error.chain(), "a change was not told");
            batch_item_failures.push(Failed {
                item_identifier: stream::sequence_number(record),
            });
        }
        told.add(change);
    }
    posts::post_all(&people.cloud, &people.connections, told.frames()).await;
    Reply {
        batch_item_failures,
    }
}

/// What must not be lost.
async fn act(people: &People, change: &StreamChange) -> Result<(), StepError> {
    match change {
        StreamChange::TokenRevoked { team_id, token_id } => {
            let records = &people.cloud.records;
            for id in records.token_connections(*team_id, *token_id).await? {
                records.connection_close(&id).await?;
                people.connections.close(&id).await;
            }
            Ok(())
        }
        StreamChange::Deployment { before, after } => {
            for notice in notices::of(before.as_deref(), after) {
                people.notices.put(&notice).await?;
            }
            Ok(())
        }
        StreamChange::Step { .. } | StreamChange::Log { .. } => Ok(()),
    }
}
