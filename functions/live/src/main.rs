//! The Lambda behind the live channel's WebSocket: who connects, what they say, and their end.
//!
//! Promise: a connection hears of its own team alone; a ticket opens it once; what is refused says why.

use contract::{LiveCommand, LiveEvent, Topic};
use kit::live::Connections;
use kit::{Cloud, Exit};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use records::{Connection, RecordsError, TOPICS_LIMIT};
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::collections::HashMap;

/// A command is a hundred bytes; more is no command.
const COMMAND_LIMIT_BYTES: usize = 1024;

/// As API Gateway sends it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    request_context: RequestContext,
    #[serde(default)]
    query_string_parameters: Option<HashMap<String, String>>,
    #[serde(default)]
    body: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct RequestContext {
    route_key: String,
    connection_id: String,
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
        async move {
            let status = answer(&cloud, &connections, event.payload).await;
            Ok::<Value, Diagnostic>(json!({"statusCode": status}))
        }
    }))
    .await;
    kit::serve::ended(served)
}

/// The status that API Gateway acts on: anything but 200 refuses a connection.
async fn answer(cloud: &Cloud, connections: &Connections, event: Event) -> u16 {
    let id = event.request_context.connection_id;
    let done = match event.request_context.route_key.as_str() {
        "$connect" => {
            let ticket = event
                .query_string_parameters
                .and_then(|mut parameters| parameters.remove("ticket"));
            connect(cloud, &id, ticket.as_deref().unwrap_or_default()).await
        }
        "$disconnect" => cloud.records.connection_close(&id).await.map(|()| 200),
        _ => {
            said(
                cloud,
                connections,
                &id,
                event.body.as_deref().unwrap_or_default(),
            )
            .await
        }
    };
    done.unwrap_or_else(|error| {
        tracing::error!(%error, "the live channel failed");
        500
    })
}

async fn connect(cloud: &Cloud, id: &str, ticket: &str) -> Result<u16, RecordsError> {
    let hash = hex::encode(Sha256::digest(ticket));
    let now = cloud.clock.now().timestamp();
    let opened = cloud.records.connection_open(&hash, id, now).await?;
    Ok(if opened.is_some() { 200 } else { 403 })
}

async fn said(
    cloud: &Cloud,
    connections: &Connections,
    id: &str,
    body: &str,
) -> Result<u16, RecordsError> {
    let Some(connection) = cloud.records.connection(id).await? else {
        // Its token was revoked, or it is over: it hears nothing more.
        connections.close(id).await;
        return Ok(200);
    };
    let event = reply(cloud, &connection, body)
        .await
        .unwrap_or_else(|error| {
            tracing::error!(%error, "a command was not carried out");
            refused(
                "unavailable",
                "It could not be done now; say it again in a moment.",
                None,
            )
        });
    let frame = serde_json::to_string(&event)
        .map_err(|error| RecordsError::Malformed("frame".to_string(), Some(Box::new(error))))?;
    connections.post(id, &frame).await;
    Ok(200)
}

async fn reply(
    cloud: &Cloud,
    connection: &Connection,
    body: &str,
) -> Result<LiveEvent, RecordsError> {
    let command = (body.len() <= COMMAND_LIMIT_BYTES)
        .then(|| serde_json::from_str::<LiveCommand>(body).ok())
        .flatten();
    match command {
        None => Ok(refused(
            "bad_message",
            "One of these is expected: {\"action\":\"subscribe\",\"topic\":…}, unsubscribe, ping.",
            None,
        )),
        Some(LiveCommand::Ping {}) => Ok(LiveEvent::Pong {}),
        Some(LiveCommand::Subscribe { topic }) => subscribe(cloud, connection, topic).await,
        Some(LiveCommand::Unsubscribe { topic }) => {
            cloud
                .records
                .connection_unsubscribe(connection, &topic)
                .await?;
            Ok(LiveEvent::Unsubscribed { topic })
        }
    }
}

async fn subscribe(
    cloud: &Cloud,
    connection: &Connection,
    topic: String,
) -> Result<LiveEvent, RecordsError> {
    let Ok(wanted) = topic.parse::<Topic>() else {
        return Ok(refused(
            "bad_topic",
            "A topic is team, or deployment:ID.",
            Some(topic),
        ));
    };
    if let Topic::Deployment(deployment) = wanted {
        match cloud
            .records
            .deployment(connection.team_id, deployment)
            .await
        {
            Ok(_) => {}
            Err(RecordsError::NotFound(_)) => {
                return Ok(refused(
                    "not_found",
                    "There is no such deployment.",
                    Some(topic),
                ));
            }
            Err(error) => return Err(error),
        }
    }
    let listens = cloud
        .records
        .connection_subscribe(connection, &topic)
        .await?;
    Ok(if listens {
        LiveEvent::Subscribed { topic }
    } else {
        let message = format!("A connection listens to {TOPICS_LIMIT} topics at most.");
        refused("too_many_topics", &message, Some(topic))
    })
}

fn refused(code: &str, message: &str, topic: Option<String>) -> LiveEvent {
    LiveEvent::Refused {
        code: code.to_string(),
        message: message.to_string(),
        topic,
    }
}
