//! The live channel as any program may open it: with a ticket, word for word.
//!
//! Promise: nothing is done for the caller, so that what the channel refuses is seen as it refuses it.

use crate::Stack;
use futures_util::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

/// An answer on a busy machine: the function may have to start.
const ANSWERED_WITHIN: Duration = Duration::from_secs(60);

/// An open connection.
pub struct Live(WebSocketStream<TcpStream>);

impl Live {
    /// At the address that a ticket names; otherwise the status that refuses it.
    pub async fn open(url: &str) -> Result<Self, u16> {
        let (_, rest) = url.split_once("://").expect("a URL");
        let host = rest.split('/').next().expect("a host");
        let stream = TcpStream::connect(host).await.expect("somebody listens");
        match timeout(ANSWERED_WITHIN, client_async(url, stream)).await {
            Ok(Ok((socket, _))) => Ok(Self(socket)),
            Ok(Err(Error::Http(answer))) => Err(answer.status().as_u16()),
            other => panic!("the live channel answers: {other:?}"),
        }
    }

    /// Say something.
    pub async fn say(&mut self, command: Value) {
        let text = Message::text(command.to_string());
        self.0.send(text).await.expect("the connection is open");
    }

    /// The next event; none when the connection has ended.
    pub async fn heard(&mut self) -> Option<Value> {
        let next = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Text(text))) => return serde_json::from_str(&text).ok(),
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return None,
                    Some(Ok(_)) => {}
                }
            }
        };
        timeout(ANSWERED_WITHIN, next)
            .await
            .expect("something is heard, or the connection ends")
    }

    /// Everything up to the answer to a ping, which is behind all that was sent before it.
    pub async fn heard_so_far(&mut self) -> Vec<Value> {
        self.say(json!({"action": "ping"})).await;
        let mut heard = Vec::new();
        loop {
            match self.heard().await {
                Some(event) if event["event"] == "pong" => return heard,
                Some(event) => heard.push(event),
                None => panic!("the connection ended after {heard:?}"),
            }
        }
    }

    /// Ask for a topic; the answer.
    pub async fn subscribe(&mut self, topic: &str) -> Value {
        self.say(json!({"action": "subscribe", "topic": topic}))
            .await;
        self.heard().await.expect("an answer")
    }
}

impl Stack {
    /// The address that a new ticket of a token names.
    pub async fn live_ticket(&self, token: &str) -> String {
        let made = self
            .send(
                Method::POST,
                "/v1/live-tickets",
                token,
                &[],
                Some("{}".to_string()),
            )
            .await;
        assert_eq!(made.status, 201, "{:#}", made.body);
        made.body["url"].as_str().expect("an address").to_string()
    }

    /// A connection of a token.
    pub async fn live(&self, token: &str) -> Live {
        let url = self.live_ticket(token).await;
        Live::open(&url).await.expect("a new ticket opens it")
    }
}
