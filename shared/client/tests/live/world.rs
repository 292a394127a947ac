//! An API with one deployment and a live channel, over real sockets, whose channel can be made to fail in every way.
//!
//! Promise: what is read over HTTP is always the truth; a ticket opens one connection and no second one.

use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use client::{Client, Rhythm, Update, Watch};
use contract::{DeploymentDetail, LiveCommand};
use domain::DeploymentId;
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio_tungstenite::accept_hdr_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{
    ErrorResponse, Request, Response as Accepted,
};

pub const ID: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
pub const OTHER: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAC";

/// Because a test that hangs should say so soon.
const LIMIT: Duration = Duration::from_secs(20);

/// Where the ticket's address leads.
#[derive(Clone, PartialEq)]
pub enum Leads {
    /// To the live channel.
    There,
    /// To an address where nobody listens.
    Nowhere,
    /// To one that takes the connection and says nothing.
    IntoSilence,
    /// To this.
    To(String),
}

/// See the module.
#[derive(Clone)]
pub struct World(Arc<Mutex<Truth>>);

pub struct Truth {
    detail: Value,
    /// The truth at each `seq` so far.
    pub history: BTreeMap<u64, Value>,
    /// What clients did: `ticket`, `connect`, `subscribe`, `ping`, `read`.
    pub seen: Vec<&'static str>,
    /// The headers of the last connection.
    pub connected_with: Vec<String>,
    tickets: HashSet<String>,
    listeners: Vec<UnboundedSender<Message>>,
    api: String,
    live: String,
    silence: String,
    /// The status that the ticket's route answers with, when it gives none.
    pub no_tickets: Option<u16>,
    pub leads: Leads,
    /// The same ticket again and again.
    pub repeats_tickets: bool,
    /// Pings are not answered.
    pub deaf: bool,
    /// Statuses of the next reads, instead of the truth.
    pub failing_reads: Vec<u16>,
    /// So many reads are never answered.
    pub hanging_reads: usize,
    /// A subscription is refused with this code.
    pub refuses: Option<&'static str>,
    /// A connection ends after so many events.
    pub drops_after: Option<usize>,
}

fn step(name: &str, kind: &str, of: Option<&str>, status: &str) -> Value {
    json!({"name": name, "title": name, "kind": kind, "status": status, "commit": false, "undo_of": of,
        "output": null, "error": null, "warning": null, "progress": null, "started_at": null, "finished_at": null})
}

fn beginning() -> Value {
    let steps = ["one", "two", "three"].map(|name| step(name, "step", None, "queued"));
    json!({"id": ID, "type": "check_server", "operation_name": "Check server",
        "target": {"kind": "server", "id": OTHER, "name": "web1"},
        "actor": {"kind": "token", "id": "t", "name": "ci", "role": "admin"}, "trigger": "cli",
        "status": "running", "standing": "running", "outcome": null, "settlement": "active", "dispatch": "started",
        "phase": null, "error": null, "attention": null, "retry_of": null,
        "created_at": "2026-01-02T03:04:05Z", "started_at": null, "finished_at": null, "settled_at": null,
        "seq": 1, "steps": steps})
}

/// As it is when it was read and written again.
fn read_and_written(detail: &Value) -> Value {
    let detail: DeploymentDetail = serde_json::from_value(detail.clone()).unwrap();
    serde_json::to_value(detail).unwrap()
}

async fn answer(State(world): State<World>, method: Method, uri: Uri) -> Response {
    match replied(&world, &method, &uri) {
        Some(reply) => reply,
        None => std::future::pending().await,
    }
}

fn replied(world: &World, method: &Method, uri: &Uri) -> Option<Response> {
    let mut truth = world.truth();
    let line = format!("{method} {}", uri.path());
    if line == "POST /v1/live-tickets" {
        truth.seen.push("ticket");
        if let Some(status) = truth.no_tickets {
            return Some(StatusCode::from_u16(status).unwrap().into_response());
        }
        let tickets = truth.seen.iter().filter(|seen| **seen == "ticket").count();
        let ticket = match truth.repeats_tickets {
            true => "again".to_string(),
            false => format!("t{tickets}"),
        };
        if tickets == 1 || !truth.repeats_tickets {
            truth.tickets.insert(ticket.clone());
        }
        let host = match &truth.leads {
            Leads::There => format!("ws://{}", truth.live),
            Leads::Nowhere => "ws://127.0.0.1:1".to_string(),
            Leads::IntoSilence => format!("ws://{}", truth.silence),
            Leads::To(other) => other.clone(),
        };
        let reply = json!({"url": format!("{host}/?ticket={ticket}"), "expires_at": "2026-01-02T03:04:05Z"});
        return Some((StatusCode::CREATED, Json(reply)).into_response());
    }
    assert_eq!(line, format!("GET /v1/deployments/{ID}"));
    truth.seen.push("read");
    if truth.hanging_reads > 0 {
        truth.hanging_reads -= 1;
        return None;
    }
    if !truth.failing_reads.is_empty() {
        let status = truth.failing_reads.remove(0);
        return Some(StatusCode::from_u16(status).unwrap().into_response());
    }
    Some(Json(truth.detail.clone()).into_response())
}

#[allow(
    clippy::result_large_err,
    reason = "tungstenite says what a callback gives"
)]
async fn serve(world: World, stream: TcpStream) {
    let check = |request: &Request, accepted: Accepted| {
        let mut truth = world.truth();
        truth.seen.push("connect");
        truth.connected_with = header_names(request.headers());
        let query = request.uri().query().unwrap_or_default();
        let ticket = query.trim_start_matches("ticket=").to_string();
        if truth.tickets.remove(&ticket) {
            return Ok(accepted);
        }
        let mut refused = ErrorResponse::new(None);
        *refused.status_mut() = StatusCode::UNAUTHORIZED;
        Err(refused)
    };
    let Ok(mut socket) = accept_hdr_async(stream, check).await else {
        return;
    };
    let (say, mut to_say) = unbounded_channel();
    // Given away with the subscription, so that who drops it ends the connection.
    let mut say = Some(say);
    let mut events = 0;
    loop {
        tokio::select! {
            heard = socket.next() => {
                let Some(Ok(heard)) = heard else { return };
                let Ok(text) = heard.to_text() else { continue };
                let Ok(command) = serde_json::from_str(text) else { continue };
                if let Some(reply) = world.reply(command, &mut say)
                    && socket.send(Message::text(reply.to_string())).await.is_err()
                {
                    return;
                }
            }
            message = to_say.recv() => {
                let Some(message) = message else { return };
                events += 1;
                if socket.send(message).await.is_err() || world.truth().drops_after == Some(events) {
                    return;
                }
            }
        }
    }
}

fn header_names(headers: &HeaderMap) -> Vec<String> {
    headers.keys().map(ToString::to_string).collect()
}

impl World {
    /// With a deployment that runs.
    pub async fn new() -> Self {
        let bind = || TcpListener::bind("127.0.0.1:0");
        let (api, live, silence) = tokio::try_join!(bind(), bind(), bind()).unwrap();
        let address = |listener: &TcpListener| listener.local_addr().unwrap().to_string();
        let detail = beginning();
        let world = Self(Arc::new(Mutex::new(Truth {
            history: BTreeMap::from([(1, read_and_written(&detail))]),
            detail,
            seen: Vec::new(),
            connected_with: Vec::new(),
            tickets: HashSet::new(),
            listeners: Vec::new(),
            api: format!("http://{}", address(&api)),
            live: address(&live),
            silence: address(&silence),
            no_tickets: None,
            leads: Leads::There,
            repeats_tickets: false,
            deaf: false,
            failing_reads: Vec::new(),
            hanging_reads: 0,
            refuses: None,
            drops_after: None,
        })));
        let router = Router::new().fallback(answer).with_state(world.clone());
        tokio::spawn(async move { axum::serve(api, router).await });
        let here = world.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = live.accept().await {
                tokio::spawn(serve(here.clone(), stream));
            }
        });
        tokio::spawn(async move {
            let mut kept = Vec::new();
            while let Ok((stream, _)) = silence.accept().await {
                kept.push(stream);
            }
        });
        world
    }

    pub fn truth(&self) -> MutexGuard<'_, Truth> {
        self.0.lock().unwrap()
    }

    fn reply(
        &self,
        command: LiveCommand,
        say: &mut Option<UnboundedSender<Message>>,
    ) -> Option<Value> {
        let mut truth = self.truth();
        match command {
            LiveCommand::Subscribe { topic } => {
                truth.seen.push("subscribe");
                if let Some(code) = truth.refuses {
                    return Some(
                        json!({"event": "refused", "code": code, "message": "No.", "topic": topic}),
                    );
                }
                assert_eq!(topic, format!("deployment:{ID}"));
                truth.listeners.extend(say.take());
                Some(json!({"event": "subscribed", "topic": topic}))
            }
            LiveCommand::Ping {} => {
                truth.seen.push("ping");
                (!truth.deaf).then(|| json!({"event": "pong"}))
            }
            LiveCommand::Unsubscribe { .. } => None,
        }
    }

    /// Change this step, or begin it; gives the event and tells nobody.
    pub fn change(&self, name: &str, status: &str) -> Value {
        let undone = name.strip_prefix("un");
        let kind = if undone.is_some() { "undo" } else { "step" };
        let changed = step(name, kind, undone, status);
        let mut truth = self.truth();
        let steps = truth.detail["steps"].as_array_mut().unwrap();
        match steps.iter_mut().find(|step| step["name"] == name) {
            Some(known) => *known = changed.clone(),
            None => {
                // As the API lists undos: the last step's first.
                let order = ["one", "two", "three", "unthree", "untwo", "unone"];
                let place = |step: &Value| order.iter().position(|name| step["name"] == *name);
                steps.push(changed.clone());
                steps.sort_by_key(place);
            }
        }
        truth.next(&[changed])
    }

    /// Nothing more happens to it; gives the event and tells nobody.
    pub fn settle(&self) -> Value {
        let mut truth = self.truth();
        truth.detail["status"] = "completed".into();
        truth.detail["settlement"] = "settled".into();
        truth.next(&[])
    }

    /// Tell everybody who listens.
    pub fn tell(&self, event: &Value) {
        self.tell_raw(Message::text(event.to_string()));
    }

    pub fn tell_raw(&self, message: Message) {
        self.truth()
            .listeners
            .retain(|listener| listener.send(message.clone()).is_ok());
    }

    /// End all connections.
    pub fn drop_all(&self) {
        self.truth().listeners.clear();
    }

    /// Every connection has ended.
    pub fn nobody_listens(&self) -> bool {
        self.truth()
            .listeners
            .iter()
            .all(UnboundedSender::is_closed)
    }

    pub fn count(&self, what: &str) -> usize {
        self.truth()
            .seen
            .iter()
            .filter(|seen| **seen == what)
            .count()
    }

    /// Until clients have done this so often.
    pub async fn until(&self, what: &str, times: usize) {
        let waited = tokio::time::timeout(LIMIT, async {
            while self.count(what) < times {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        waited
            .await
            .unwrap_or_else(|_| panic!("no {times} × {what}: {:?}", self.truth().seen));
    }

    pub fn client(&self) -> Client {
        Client::new(&self.truth().api, "th_secret", "cli/1.2.3").unwrap()
    }

    pub fn watch(&self, rhythm: Rhythm) -> Watching {
        let id: DeploymentId = ID.parse().unwrap();
        Watching {
            world: self.clone(),
            watch: Watch::with(&self.client(), id, rhythm),
            seqs: Vec::new(),
        }
    }
}

impl Truth {
    fn next(&mut self, steps: &[Value]) -> Value {
        let seq = self.detail["seq"].as_u64().unwrap() + 1;
        self.detail["seq"] = seq.into();
        self.history.insert(seq, read_and_written(&self.detail));
        let mut deployment = self.detail.clone();
        deployment.as_object_mut().unwrap().shift_remove("steps");
        json!({"event": "changed", "deployment": deployment, "steps": steps})
    }
}

/// A watch that checks each thing it is told against the truth.
pub struct Watching {
    world: World,
    pub watch: Watch,
    /// Told so far.
    pub seqs: Vec<u64>,
}

impl Watching {
    /// What is told next, error or not.
    pub async fn next(&mut self) -> Result<Update, client::Error> {
        let next = tokio::time::timeout(LIMIT, self.watch.next()).await;
        let told = next.unwrap_or_else(|_| {
            panic!(
                "nothing after {:?}: {:?}",
                self.seqs,
                self.world.truth().seen
            )
        });
        if let Ok(update) = &told {
            let seq = update.detail.deployment.seq;
            let truth = self.world.truth().history[&seq].clone();
            assert_eq!(serde_json::to_value(&update.detail).unwrap(), truth);
            self.seqs.push(seq);
        }
        told
    }

    /// The next update.
    pub async fn update(&mut self) -> Update {
        self.next().await.unwrap()
    }

    /// Updates until this `seq`; each is newer than the one before.
    pub async fn until(&mut self, seq: u64) -> Update {
        loop {
            let update = self.update().await;
            assert!(
                self.seqs.windows(2).all(|pair| pair[0] < pair[1]),
                "{:?}",
                self.seqs
            );
            assert!(update.detail.deployment.seq <= seq);
            if update.detail.deployment.seq == seq {
                return update;
            }
        }
    }
}
