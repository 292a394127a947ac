//! The live channel: a ticket, what a client says, what it hears.
//!
//! Promise: an event is (deployment, seq). `seq` counts up by one, so a client that sees a gap, or connects again, reads
//! the deployment once over HTTP and goes on from the `seq` it got; what comes twice or late has a `seq` it knows.

use crate::{DeploymentView, LogLineView, StepView};
use chrono::{DateTime, Utc};
use domain::{DeploymentId, ServerId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;
use utoipa::ToSchema;

/// The largest frame that is sent, as API Gateway counts it.
pub const FRAME_LIMIT_BYTES: usize = 32 * 1024;

/// A ticket for one connection.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct LiveTicket {
    /// The WebSocket's address with the ticket in it: for one connection, and not after `expires_at`.
    pub url: String,
    /// Half a minute from now.
    pub expires_at: DateTime<Utc>,
}

/// What is listened to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Topic {
    /// Every deployment of the caller's team: `team`.
    Team,
    /// One deployment: `deployment:01J…`.
    Deployment(DeploymentId),
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Team => f.write_str("team"),
            Self::Deployment(id) => write!(f, "deployment:{id}"),
        }
    }
}

/// Text that names no topic.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a topic: `team` or `deployment:ID` is expected")]
pub struct NotATopic;

impl FromStr for Topic {
    type Err = NotATopic;
    fn from_str(text: &str) -> Result<Self, NotATopic> {
        match text.split_once(':') {
            None if text == "team" => Ok(Self::Team),
            Some(("deployment", id)) => id.parse().map(Self::Deployment).map_err(|_| NotATopic),
            _ => Err(NotATopic),
        }
    }
}

/// What a client says, one JSON object a frame.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
pub enum LiveCommand {
    /// Hear of this.
    Subscribe {
        /// See [`Topic`].
        topic: String,
    },
    /// No more.
    Unsubscribe {
        /// See [`Topic`].
        topic: String,
    },
    /// Is anybody there? API Gateway closes a connection that says nothing for ten minutes.
    Ping {},
}

/// What a client hears, one JSON object a frame.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LiveEvent {
    /// From now on. What happened before is read over HTTP, after this.
    Subscribed {
        /// As asked.
        topic: String,
    },
    /// Not any more.
    Unsubscribed {
        /// As asked.
        topic: String,
    },
    /// Somebody is there.
    Pong {},
    /// One change: the deployment as it is with it (`deployment.seq` is the event's), and the steps that changed.
    Changed {
        /// As it is.
        deployment: Box<DeploymentView>,
        /// Those that changed, as they are.
        steps: Vec<StepView>,
    },
    /// Lines that a step logged, on the deployment's topic alone. They count nothing: what was missed is read over HTTP.
    Log {
        /// Of which deployment.
        deployment_id: DeploymentId,
        /// Of which step.
        step: String,
        /// Where, when the step is done on several servers.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        server_id: Option<ServerId>,
        /// In order; some may have come before.
        lines: Vec<LogLineView>,
    },
    /// A change that did not fit into a frame or was not seen whole: read the deployment over HTTP.
    Behind {
        /// Which.
        deployment_id: DeploymentId,
        /// At least this.
        seq: u64,
    },
    /// What was said is refused; nothing changed.
    Refused {
        /// `not_found`, `bad_topic`, `bad_message`, `too_many_topics`, `unavailable`.
        code: String,
        /// For people.
        message: String,
        /// The topic it was about.
        topic: Option<String>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_read_back_and_others_are_refused() {
        for text in ["team", "deployment:01JD2Z6E9W8Q4S5T6V7X8Y9ZAB"] {
            assert_eq!(
                text.parse::<Topic>()
                    .map(|topic| topic.to_string())
                    .as_deref(),
                Ok(text)
            );
        }
        for text in [
            "",
            "team:",
            "deployment",
            "deployment:",
            "deployment:x",
            "site:01JD2Z6E9W8Q4S5T6V7X8Y9ZAB",
        ] {
            assert_eq!(text.parse::<Topic>(), Err(NotATopic), "{text}");
        }
    }

    #[test]
    fn commands_with_unknown_words_are_refused() {
        assert!(
            serde_json::from_str::<LiveCommand>(r#"{"action":"subscribe","topic":"team"}"#).is_ok()
        );
        assert!(serde_json::from_str::<LiveCommand>(r#"{"action":"ping"}"#).is_ok());
        assert!(
            serde_json::from_str::<LiveCommand>(
                r#"{"action":"subscribe","topic":"team","team":"x"}"#
            )
            .is_err()
        );
        assert!(serde_json::from_str::<LiveCommand>(r#"{"action":"shout"}"#).is_err());
    }
}
