//! What the table's stream tells: one record of it, as the change it stands for.
//!
//! Promise: every record of the stream is either one of these or nothing to its readers; keys are known here alone.

use domain::{Deployment, DeploymentId, DeploymentStep, TeamId, TokenId};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A change that readers of the stream act on.
#[derive(Debug)]
pub enum StreamChange {
    /// A deployment came to be or changed.
    Deployment {
        /// As it was.
        before: Option<Box<Deployment>>,
        /// As it is.
        after: Box<Deployment>,
    },
    /// One of its steps did.
    Step {
        /// Whose.
        team_id: TeamId,
        /// Of which deployment.
        deployment_id: DeploymentId,
        /// As it is.
        step: Box<DeploymentStep>,
    },
    /// A job logged lines.
    Log {
        /// Whose.
        team_id: TeamId,
        /// Of which deployment.
        deployment_id: DeploymentId,
        /// What it sent.
        chunk: Box<crate::LogChunk>,
    },
    /// A token was revoked.
    TokenRevoked {
        /// Whose.
        team_id: TeamId,
        /// Which.
        token_id: TokenId,
    },
}

/// The change that a record of the stream stands for; None for what no reader acts on.
pub fn change(stream_record: &Value) -> Option<StreamChange> {
    let keys = stream_record.pointer("/dynamodb/Keys")?;
    let key = |name: &str| keys.pointer(&format!("/{name}/S")).and_then(Value::as_str);
    let (pk, sk) = (key("pk")?, key("sk")?);
    let image = |name: &str| stream_record.pointer(&format!("/dynamodb/{name}"));
    let mut words = pk.split('#');
    match (words.next()?, sk.split('#').next()?) {
        ("TEAM", "DEPLOYMENT") => Some(StreamChange::Deployment {
            before: image("OldImage").and_then(read).map(Box::new),
            after: Box::new(read(image("NewImage")?)?),
        }),
        ("TEAM", "STEP" | "UNDO") => Some(StreamChange::Step {
            team_id: words.next()?.parse().ok()?,
            deployment_id: words.nth(1)?.parse().ok()?,
            step: Box::new(read(image("NewImage")?)?),
        }),
        ("TEAM", "LOG") => Some(StreamChange::Log {
            team_id: words.next()?.parse().ok()?,
            deployment_id: words.nth(1)?.parse().ok()?,
            chunk: Box::new(read(image("NewImage")?)?),
        }),
        ("TOKEN", "TOKEN") if image("NewImage").is_none() => {
            let token: crate::TokenRecord = read(image("OldImage")?)?;
            Some(StreamChange::TokenRevoked {
                team_id: token.team_id,
                token_id: token.id,
            })
        }
        _ => None,
    }
}

/// The number that a reader reports when it could not do its work on a record.
pub fn sequence_number(stream_record: &Value) -> String {
    let number = stream_record.pointer("/dynamodb/SequenceNumber");
    number
        .and_then(Value::as_str)
        .unwrap_or_default()
        .to_string()
}

fn read<T: DeserializeOwned>(image: &Value) -> Option<T> {
    let item: serde_dynamo::Item = serde_json::from_value(image.clone()).ok()?;
    serde_dynamo::from_item(item).ok()
}
