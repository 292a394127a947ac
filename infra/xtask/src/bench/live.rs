//! From a write to the live message of it.
//!
//! Promise: over the real WebSocket, beside deployments that run one after the other; what is told is timed from the
//! newest moment that is written in it, so the write itself is in the time.

use super::figures::Times;
use crate::up::Up;
use anyhow::{Context, Result};
use chrono::{DateTime, Utc};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

/// A listener to the team's topic.
pub struct Listener {
    stop: oneshot::Sender<()>,
    times: JoinHandle<Times>,
}

impl Listener {
    /// Listen from now on.
    pub async fn open(up: &Up) -> Result<Self> {
        let ticket: Value = reqwest::Client::new()
            .post(format!("{}/v1/live-tickets", up.api_url))
            .bearer_auth(&up.token)
            .json(&json!({}))
            .send()
            .await?
            .json()
            .await?;
        let url = ticket["url"].as_str().context("a ticket has an address")?;
        let address = up.endpoint.trim_start_matches("http://");
        let stream = TcpStream::connect(address).await?;
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await?;
        let subscribe = json!({"action": "subscribe", "topic": "team"}).to_string();
        socket.send(Message::text(subscribe)).await?;
        socket.next().await.context("it answers")??;
        let (stop, mut stopped) = oneshot::channel();
        let times = tokio::spawn(async move {
            let mut times = Times::default();
            loop {
                let said = tokio::select! {
                    _ = &mut stopped => return times,
                    said = socket.next() => said,
                };
                let Some(Ok(Message::Text(text))) = said else {
                    return times;
                };
                let now = DateTime::<Utc>::from(std::time::SystemTime::now());
                let event: Value = serde_json::from_str(&text).unwrap_or_default();
                if let Some(written) = newest(&event) {
                    times.push((now - written).to_std().unwrap_or_default());
                }
            }
        });
        Ok(Self { stop, times })
    }

    /// What was heard.
    pub async fn times(self) -> Result<Times> {
        let _ended_already = self.stop.send(());
        Ok(self.times.await?)
    }
}

/// The newest moment in what a change wrote.
fn newest(event: &Value) -> Option<DateTime<Utc>> {
    let deployment = event.get("deployment")?;
    let steps = event.get("steps").and_then(Value::as_array);
    let moments = ["created_at", "started_at", "finished_at", "settled_at"];
    std::iter::once(deployment)
        .chain(steps.into_iter().flatten())
        .flat_map(|record| {
            moments
                .iter()
                .filter_map(|name| record.get(*name)?.as_str())
        })
        .filter_map(|text| text.parse().ok())
        .max()
}
