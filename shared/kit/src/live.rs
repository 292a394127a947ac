//! What is said to the live channel's connections.
//!
//! Promise: a connection that is gone is told apart from one that cannot be reached now; neither is waited for long.

use crate::Config;
use aws_sdk_apigatewaymanagement::Client;
use aws_sdk_apigatewaymanagement::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_apigatewaymanagement::primitives::Blob;
use std::time::Duration;

/// A frame is taken over in milliseconds; one slow connection must not hold the others up.
const POST_WITHIN: Duration = Duration::from_secs(3);

/// What became of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Posted {
    /// Taken over.
    Yes,
    /// The connection is closed.
    Gone,
    /// Not now. The client sees a gap in `seq`, or reads again after a while.
    Lost,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Connections(Client);

impl Connections {
    /// Of this stack's WebSocket.
    pub async fn new(config: &Config) -> Self {
        let aws = crate::cloud::aws_config().await;
        // The same stage over HTTP: `wss://…/live` and `https://…/live`.
        let endpoint = config.live_url.replacen("ws", "http", 1);
        let management = aws_sdk_apigatewaymanagement::config::Builder::from(&aws)
            .endpoint_url(endpoint)
            .build();
        Self(Client::from_conf(management))
    }

    /// Send one frame.
    pub async fn post(&self, id: &str, frame: &str) -> Posted {
        let post = self
            .0
            .post_to_connection()
            .connection_id(id)
            .data(Blob::new(frame));
        match tokio::time::timeout(POST_WITHIN, post.send()).await {
            Ok(Ok(_)) => Posted::Yes,
            Ok(Err(error)) => lost(&error),
            Err(_) => Posted::Lost,
        }
    }

    /// Close a connection.
    pub async fn close(&self, id: &str) -> Posted {
        let close = self.0.delete_connection().connection_id(id);
        match tokio::time::timeout(POST_WITHIN, close.send()).await {
            Ok(Ok(_)) => Posted::Gone,
            Ok(Err(error)) => lost(&error),
            Err(_) => Posted::Lost,
        }
    }
}

fn lost<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Posted {
    let gone = error
        .raw_response()
        .is_some_and(|raw| raw.status().as_u16() == 410);
    if gone {
        return Posted::Gone;
    }
    tracing::warn!(
        code = error.code().unwrap_or("no answer"),
        "a live frame was lost"
    );
    Posted::Lost
}
