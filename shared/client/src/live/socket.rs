//! One connection to the live channel, subscribed to one deployment.
//!
//! Promise: a ticket is used for one connection, over TLS whenever the API itself is; the token is not sent along. A
//! connection that says nothing any more is noticed, and told as broken.

use super::Rhythm;
use crate::{Client, Error};
use contract::{LiveCommand, LiveEvent, Topic};
use domain::DeploymentId;
use futures_util::{SinkExt, StreamExt};
use reqwest::header::{CONNECTION, HeaderMap, UPGRADE};
use reqwest::{StatusCode, Upgraded, Url};
use serde::Deserialize;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// Because a frame is half of this at most (`contract::FRAME_LIMIT_BYTES`); what is larger is not the live channel.
const FRAME_REFUSED_BYTES: usize = 2 * contract::FRAME_LIMIT_BYTES;

const WEBSOCKET_KEY: &str = "sec-websocket-key";
const WEBSOCKET_ACCEPT: &str = "sec-websocket-accept";
const WEBSOCKET_VERSION: &str = "sec-websocket-version";

/// See the module.
pub(super) struct Socket {
    stream: WebSocketStream<Upgraded>,
    topic: String,
    rhythm: Rhythm,
    opened_at: Instant,
    heard_at: Instant,
    pinged_at: Option<Instant>,
}

/// Why there is no connection.
#[derive(Debug)]
pub(super) enum NotOpen {
    /// The caller may not do this; asking again does not help.
    Denied(Error),
    /// The API has no live channel, or not for this.
    Absent,
    /// Something on the way failed.
    Failed,
}

/// What an open connection brings.
#[derive(Debug)]
pub(super) enum Heard {
    /// In this release's words.
    Event(LiveEvent),
    /// The topic is not, or no longer, to be had.
    Refused,
    /// The end of the connection.
    Broken,
}

/// The address that a ticket names, as one may connect to it from this API's client.
pub(crate) fn address(api: &Url, named: &str) -> Result<Url, Error> {
    let refused = |why: &str| Error::Unexpected {
        status: StatusCode::CREATED.as_u16(),
        message: format!("the live channel's address is refused: {why}"),
    };
    let url: Url = named.parse().map_err(|_| refused("it is not a URL"))?;
    match (api.scheme(), url.scheme()) {
        _ if !url.has_host() => Err(refused("it names no host")),
        (_, "wss") | ("http", "ws") => Ok(url),
        (_, "ws") => Err(refused("the API is asked over TLS, and it is not")),
        _ => Err(refused("it is not a WebSocket's")),
    }
}

impl Socket {
    /// With a new ticket; subscribed when it is there, so what is read over HTTP from now on misses nothing.
    pub(super) async fn open(
        client: &Client,
        id: DeploymentId,
        rhythm: Rhythm,
    ) -> Result<Box<Self>, NotOpen> {
        timeout(rhythm.dial_within, Self::dial(client, id, rhythm))
            .await
            .unwrap_or(Err(NotOpen::Failed))
            .map(Box::new)
    }

    async fn dial(client: &Client, id: DeploymentId, rhythm: Rhythm) -> Result<Self, NotOpen> {
        let ticket = client.live_ticket().await.map_err(|error| {
            match error.status() {
                _ if error.is_denied() => NotOpen::Denied(error),
                // As a release from before, or an installation without the channel, answers.
                Some(404 | 501) => NotOpen::Absent,
                _ => NotOpen::Failed,
            }
        })?;
        let stream = connect(client, &ticket.url).await.ok_or(NotOpen::Failed)?;
        let now = Instant::now();
        let mut socket = Self {
            stream,
            topic: Topic::Deployment(id).to_string(),
            rhythm,
            opened_at: now,
            heard_at: now,
            pinged_at: None,
        };
        let subscribe = LiveCommand::Subscribe {
            topic: socket.topic.clone(),
        };
        if !socket.say(&subscribe).await {
            return Err(NotOpen::Failed);
        }
        loop {
            match socket.heard().await {
                Heard::Event(LiveEvent::Subscribed { topic }) if topic == socket.topic => {
                    return Ok(socket);
                }
                // It happened before the snapshot that follows.
                Heard::Event(_) => {}
                Heard::Refused => return Err(NotOpen::Absent),
                Heard::Broken => return Err(NotOpen::Failed),
            }
        }
    }

    /// For so long it has been open.
    pub(super) fn age(&self) -> Duration {
        self.opened_at.elapsed()
    }

    /// The next thing that matters. May be dropped and called again at any time.
    pub(super) async fn heard(&mut self) -> Heard {
        loop {
            let patience_ends = match self.pinged_at {
                Some(pinged_at) => pinged_at + self.rhythm.pong_within,
                None => self.heard_at + self.rhythm.ping_after,
            };
            let message = tokio::select! {
                biased;
                message = self.stream.next() => message,
                () = sleep_until(patience_ends) => {
                    let unanswered = self.pinged_at.replace(Instant::now()).is_some();
                    if unanswered || !self.say(&LiveCommand::Ping {}).await {
                        return Heard::Broken;
                    }
                    continue;
                }
            };
            self.heard_at = Instant::now();
            self.pinged_at = None;
            match message {
                Some(Ok(Message::Text(text))) => {
                    if let Some(heard) = self.meaning(&text) {
                        return heard;
                    }
                }
                Some(Ok(Message::Close(_)) | Err(_)) | None => return Heard::Broken,
                Some(Ok(_)) => {}
            }
        }
    }

    fn meaning(&self, text: &str) -> Option<Heard> {
        let ours = |topic: &str| topic == self.topic;
        match serde_json::from_str(text) {
            Ok(LiveEvent::Refused { topic, .. }) => topic
                .is_none_or(|topic| ours(&topic))
                .then_some(Heard::Refused),
            Ok(LiveEvent::Unsubscribed { topic }) => ours(&topic).then_some(Heard::Refused),
            Ok(event) => Some(Heard::Event(event)),
            Err(_) => unreadable(text).map(Heard::Event),
        }
    }

    async fn say(&mut self, command: &LiveCommand) -> bool {
        let Ok(text) = serde_json::to_string(command) else {
            return false;
        };
        let sending = self.stream.send(Message::text(text));
        matches!(timeout(self.rhythm.pong_within, sending).await, Ok(Ok(())))
    }
}

/// A newer server may say more, which is not for this release. Of a change in unknown words this much can be told: there was one.
fn unreadable(text: &str) -> Option<LiveEvent> {
    #[derive(Deserialize)]
    struct Changed<'a> {
        event: &'a str,
        deployment: Named,
    }
    #[derive(Deserialize)]
    struct Named {
        id: DeploymentId,
        seq: u64,
    }
    let changed: Changed<'_> = serde_json::from_str(text).ok()?;
    (changed.event == "changed").then_some(LiveEvent::Behind {
        deployment_id: changed.deployment.id,
        seq: changed.deployment.seq,
    })
}

/// Through the HTTP client, so that proxies, roots and time limits are the same for both.
async fn connect(client: &Client, url: &str) -> Option<WebSocketStream<Upgraded>> {
    let mut address = address(&client.base, url).ok()?;
    let scheme = match address.scheme() {
        "wss" => "https",
        _ => "http",
    };
    address.set_scheme(scheme).ok()?;
    let key = generate_key();
    let answer = client
        .sockets
        .get(address)
        .header(CONNECTION, "Upgrade")
        .header(UPGRADE, "websocket")
        .header(WEBSOCKET_VERSION, "13")
        .header(WEBSOCKET_KEY, &key)
        .send()
        .await
        .ok()?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS || !accepts(answer.headers(), &key) {
        return None;
    }
    let upgraded = answer.upgrade().await.ok()?;
    let limits = WebSocketConfig::default()
        .max_message_size(Some(FRAME_REFUSED_BYTES))
        .max_frame_size(Some(FRAME_REFUSED_BYTES));
    Some(WebSocketStream::from_raw_socket(upgraded, Role::Client, Some(limits)).await)
}

fn accepts(headers: &HeaderMap, key: &str) -> bool {
    headers
        .get(WEBSOCKET_ACCEPT)
        .is_some_and(|accept| accept.as_bytes() == derive_accept_key(key.as_bytes()).as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_behind_tls_names_no_channel_without() {
        let allowed = |api: &str, named: &str| {
            let api = api.parse().expect("a URL");
            address(&api, named).is_ok()
        };
        assert!(allowed(
            "https://api.example.com",
            "wss://live.example.com/x?ticket=1"
        ));
        assert!(allowed("http://127.0.0.1:1", "ws://127.0.0.1:2/?ticket=1"));
        assert!(allowed("http://127.0.0.1:1", "wss://live.example.com/"));
        for refused in [
            "ws://live.example.com/x?ticket=1",
            "http://live.example.com/",
            "https://live.example.com/",
            "wss://",
            "live",
            "",
        ] {
            assert!(!allowed("https://api.example.com", refused), "{refused}");
        }
        assert!(!allowed("http://127.0.0.1:1", "http://127.0.0.1:2/"));
    }

    #[test]
    fn a_refused_address_is_not_shown_because_a_ticket_is_in_it() {
        let api = "https://api.example.com".parse().expect("a URL");
        let error = address(&api, "ws://live.example.com/?ticket=canary").expect_err("a downgrade");
        assert!(!error.to_string().contains("canary"), "{error}");
    }
}
