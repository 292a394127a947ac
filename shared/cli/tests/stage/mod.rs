//! A stage for the program: an API that plays scripted replies, and the program called as people and scripts call it.
//!
//! Promise: what is not in the script is a 404 problem; of several replies to the same call the last one stays.

#![allow(dead_code, reason = "each test binary uses its part of the stage")]
#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::Message;

pub const DEPLOYMENT: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
pub const SERVER: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAC";
pub const SITE: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAD";
pub const ENDPOINT: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAE";
pub const CONFIGURATION: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAF";
pub const BACKUP: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAG";
pub const PROJECT: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAH";
pub const SERVICE: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAJ";
pub const ENVIRONMENT: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAK";
pub const UPLOAD: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAM";

type Replies = Arc<Mutex<HashMap<String, VecDeque<(u16, Value)>>>>;

/// What each subscriber hears.
type Events = Arc<Mutex<Vec<Value>>>;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Asked {
    pub line: String,
    pub headers: HeaderMap,
    pub body: Value,
}

/// See the module.
pub struct Stage {
    replies: Replies,
    asked: Arc<Mutex<Vec<Asked>>>,
    events: Events,
    live: SocketAddr,
    /// Its address, with a path prefix.
    pub address: String,
    folder: tempfile::TempDir,
}

#[derive(Clone)]
struct Play {
    replies: Replies,
    asked: Arc<Mutex<Vec<Asked>>>,
}

async fn play(
    State(play): State<Play>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let path = uri.path().trim_start_matches("/stage/$default");
    let query = uri
        .query()
        .map_or(String::new(), |query| format!("?{query}"));
    let line = format!("{method} {path}{query}");
    play.asked.lock().unwrap().push(Asked {
        line: line.clone(),
        headers,
        body: serde_json::from_slice(&body).unwrap_or_default(),
    });
    let mut replies = play.replies.lock().unwrap();
    let reply = match replies.get_mut(&line) {
        Some(left) if left.len() > 1 => left.pop_front(),
        Some(left) => left.front().cloned(),
        None => None,
    };
    let (status, body) = reply.unwrap_or_else(|| problem(404, "not_found", &format!("No {line}.")));
    let kind = if status < 400 {
        "application/json"
    } else {
        "application/problem+json"
    };
    let status = StatusCode::from_u16(status).unwrap();
    (status, [(header::CONTENT_TYPE, kind)], body.to_string()).into_response()
}

/// Because what is added to the events while somebody listens is to be heard soon.
const NEWS: Duration = Duration::from_millis(5);

/// Plays the events to whoever subscribes, those that are added later too.
async fn play_live(stream: TcpStream, events: Events) {
    let Ok(mut socket) = tokio_tungstenite::accept_async(stream).await else {
        return;
    };
    let mut played = None;
    loop {
        let mut replies = Vec::new();
        tokio::select! {
            heard = socket.next() => {
                let Some(Ok(heard)) = heard else { return };
                let command = heard.to_text().map(serde_json::from_str::<Value>);
                let Ok(Ok(command)) = command else { continue };
                if command["action"] == "subscribe" {
                    played = Some(0);
                    replies.push(json!({"event": "subscribed", "topic": command["topic"]}));
                } else {
                    replies.push(json!({"event": "pong"}));
                }
            }
            () = tokio::time::sleep(NEWS) => {}
        }
        if let Some(played) = &mut played {
            let events = events.lock().unwrap();
            replies.extend_from_slice(&events[*played..]);
            *played = events.len();
        }
        for reply in replies {
            if socket.send(Message::text(reply.to_string())).await.is_err() {
                return;
            }
        }
    }
}

fn bound() -> std::net::TcpListener {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    listener
}

/// A problem as a reply.
pub fn problem(status: u16, code: &str, detail: &str) -> (u16, Value) {
    let body = json!({"type": format!("https://triphammer.dev/problems/{code}"), "title": "Title",
        "status": status, "code": code, "detail": detail, "request_id": "req-7"});
    (status, body)
}

impl Stage {
    /// An API with an empty script.
    pub fn new() -> Self {
        let (replies, asked) = (Replies::default(), Arc::default());
        let play_state = Play {
            replies: Arc::clone(&replies),
            asked: Arc::clone(&asked),
        };
        let events = Events::default();
        let to_play = Arc::clone(&events);
        let (listener, live_listener) = (bound(), bound());
        let live = live_listener.local_addr().unwrap();
        let address = format!("http://{}/stage/$default", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async {
                let live_listener = TcpListener::from_std(live_listener).unwrap();
                tokio::spawn(async move {
                    while let Ok((stream, _)) = live_listener.accept().await {
                        tokio::spawn(play_live(stream, Arc::clone(&to_play)));
                    }
                });
                let listener = TcpListener::from_std(listener).unwrap();
                let router = Router::new().fallback(play).with_state(play_state);
                axum::serve(listener, router).await
            })
        });
        Self {
            replies,
            asked,
            events,
            live,
            address,
            folder: tempfile::tempdir().unwrap(),
        }
    }

    /// With a live channel on which these deployments follow each other, with all their steps, and after those of earlier calls.
    pub fn live(&self, looks: impl IntoIterator<Item = Value>) -> &Self {
        let events = looks.into_iter().map(|mut look| {
            let steps = look.as_object_mut().unwrap().shift_remove("steps");
            json!({"event": "changed", "deployment": look, "steps": steps})
        });
        self.events.lock().unwrap().extend(events);
        let url = format!("ws://{}/?ticket=canary", self.live);
        let ticket = json!({"url": url, "expires_at": "2026-01-02T12:04:00.000Z"});
        self.replies("POST /v1/live-tickets", [(201, ticket)])
    }

    /// The replies to this call, in order.
    pub fn replies(&self, line: &str, replies: impl IntoIterator<Item = (u16, Value)>) -> &Self {
        let replies = replies.into_iter().collect();
        self.replies
            .lock()
            .unwrap()
            .insert(line.to_string(), replies);
        self
    }

    /// The looks at the deployment, in order.
    pub fn looks(&self, looks: impl IntoIterator<Item = Value>) -> &Self {
        let looks = looks.into_iter().map(|look| (200, look));
        self.replies(&format!("GET /v1/deployments/{DEPLOYMENT}"), looks)
    }

    /// What was asked so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().unwrap().clone()
    }

    /// The lines of what was asked.
    pub fn lines(&self) -> Vec<String> {
        self.asked().into_iter().map(|asked| asked.line).collect()
    }

    /// A file for the program to read.
    pub fn file(&self, name: &str, text: &str) -> String {
        let path = self.folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_string()
    }

    /// A private key as `ssh-keygen -N ''` makes them, without the secret.
    pub fn key_file(&self) -> String {
        self.file(
            "key",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAE\n-----END OPENSSH PRIVATE KEY-----\n",
        )
    }

    /// The program, without a terminal, with nothing on its standard input.
    pub fn run(&self, arguments: &[&str]) -> Ran {
        let access = [
            ("TRIPHAMMER_API_URL", self.address.as_str()),
            ("TRIPHAMMER_TOKEN", "th_canary"),
        ];
        self.run_in(&access, arguments)
    }

    /// A file of settings that is not there.
    pub fn no_settings(&self) -> std::path::PathBuf {
        self.folder.path().join("none.toml")
    }

    /// The same with this on its standard input.
    pub fn run_with(&self, input: &str, arguments: &[&str]) -> Ran {
        let mut child = Command::new(env!("CARGO_BIN_EXE_triphammer"))
            .args(arguments)
            .env_clear()
            .env("TRIPHAMMER_CONFIG", self.no_settings())
            .env("TRIPHAMMER_API_URL", &self.address)
            .env("TRIPHAMMER_TOKEN", "th_canary")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), input.as_bytes()).unwrap();
        Ran::from(child.wait_with_output().unwrap())
    }

    /// The same in this environment.
    pub fn run_in(&self, environment: &[(&str, &str)], arguments: &[&str]) -> Ran {
        let output = Command::new(env!("CARGO_BIN_EXE_triphammer"))
            .args(arguments)
            .env_clear()
            .env("TRIPHAMMER_CONFIG", self.no_settings())
            .env("TERM", "xterm-256color")
            .env("TZ", "UTC")
            .envs(environment.iter().copied())
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Ran::from(output)
    }
}

/// What a call of the program came to.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

impl Ran {
    /// Standard output as one JSON document.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|why| panic!("{why}: {self:?}"))
    }
}

/// A step in this state.
pub fn step(name: &str, status: &str) -> Value {
    let done = matches!(status, "completed" | "failed");
    json!({"name": name, "title": format!("Title of {name}"), "kind": "step", "status": status, "commit": false,
        "undo_of": null, "output": done.then_some("what it did"), "error": null, "warning": null, "progress": null,
        "started_at": (status != "queued").then_some("2026-01-02T12:03:02.800Z"),
        "finished_at": done.then_some("2026-01-02T12:03:04.000Z")})
}

/// An undo in this state.
pub fn undo(name: &str, of: &str, status: &str) -> Value {
    let mut undo = step(name, status);
    undo["kind"] = "undo".into();
    undo["undo_of"] = of.into();
    undo["title"] = format!("Undo: Title of {of}").into();
    undo
}

/// A deployment's snapshot.
pub fn deployment(seq: u64, status: &str, settlement: &str, steps: &[Value]) -> Value {
    let finished = matches!(status, "completed" | "failed" | "cancelled");
    let settled = settlement == "settled";
    let standing = match settlement {
        "active" | "settled" => status.to_string(),
        other => format!("{status}, {}", other.replace('_', " ")),
    };
    let outcome = match status {
        "completed" => json!("succeeded"),
        "failed" => json!("failed"),
        "cancelled" => json!("canceled"),
        _ => Value::Null,
    };
    let error = match status {
        "failed" => {
            json!({"kind": "refused", "code": "disk_full", "message": "The disk of web1 is full."})
        }
        "cancelled" => {
            json!({"kind": "cancelled", "code": "cancelled", "message": "Cancelled by ci"})
        }
        _ => Value::Null,
    };
    let attention = (settlement == "needs_attention")
        .then_some("Not taken back: \u{201c}Title of one\u{201d}.");
    json!({"id": DEPLOYMENT, "type": "create_site", "operation_name": "Create site",
        "target": {"kind": "site", "id": SITE, "name": "shop"},
        "actor": {"kind": "token", "id": "t", "name": "ci", "role": "admin"}, "trigger": "cli",
        "status": status, "standing": standing, "outcome": outcome, "settlement": settlement, "dispatch": "started",
        "phase": null,
        "error": error, "attention": attention, "retry_of": null, "created_at": "2026-01-02T12:03:00.000Z",
        "started_at": (status != "queued").then_some("2026-01-02T12:03:01.000Z"),
        "finished_at": finished.then_some("2026-01-02T12:03:13.300Z"),
        "settled_at": settled.then_some("2026-01-02T12:03:14.000Z"), "seq": seq, "steps": steps})
}

/// A server that is ready, or still waits for a yes to its host key.
pub fn server(seen: bool, pinned: bool) -> Value {
    let key = json!({"fingerprint": "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg", "algorithm": "ssh-ed25519"});
    json!({"id": SERVER, "name": "web1", "host": "203.0.113.7", "port": 22,
        "status": if pinned { "active" } else { "registering" },
        "host_key": if pinned { key.clone() } else { Value::Null },
        "host_key_seen": if seen && !pinned { key } else { Value::Null },
        "agent_version": null, "facts": null, "created_at": "2026-01-02T12:00:00.000Z"})
}

/// A site.
pub fn site() -> Value {
    json!({"id": SITE, "server_id": SERVER, "name": "shop", "title": "Shop", "status": "active",
        "url": "https://shop.example.com", "domain": "shop.example.com", "aliases": [], "path": "/srv/sites/shop/public",
        "php": "8.2", "wordpress": "6.9", "admin_user": "admin", "created_at": "2026-01-02T12:00:00.000Z"})
}

/// A webhook endpoint.
pub fn endpoint() -> Value {
    json!({"id": ENDPOINT, "url": "https://hooks.example.com/", "created_at": "2026-01-02T12:00:00.000Z"})
}

/// A backup configuration.
pub fn configuration() -> Value {
    json!({"id": CONFIGURATION, "site_id": SITE, "name": "nightly", "scope": "site", "exclude": ["wp-content/cache"],
        "schedule": "0 3 * * *", "time_zone": "Europe/Berlin", "full_every": 7,
        "retention": {"keep_last": 3, "keep_daily": 7, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0},
        "enabled": true, "next_due_at": "2026-01-03T02:00:00.000Z",
        "last_backup": {"id": BACKUP, "created_at": "2026-01-02T02:10:00.000Z"}, "created_at": "2026-01-01T12:00:00.000Z"})
}

/// What its retention does.
pub fn retention() -> Value {
    let one = json!({"backup_id": BACKUP, "created_at": "2026-01-02T02:10:00.000Z", "scope": "site", "size_bytes": 2048,
        "keep": true, "reasons": ["last 1", "daily 2026-01-02"]});
    let mut other = one.clone();
    other["backup_id"] = DEPLOYMENT.into();
    other["keep"] = false.into();
    other["reasons"] = json!([]);
    json!({"backups": [one, other], "expires_bytes": 2048})
}

/// A project.
pub fn project() -> Value {
    json!({"id": PROJECT, "name": "shop", "created_at": "2026-01-02T12:00:00.000Z"})
}

/// A service.
pub fn service() -> Value {
    json!({"id": SERVICE, "project_id": PROJECT, "name": "web",
        "source": {"kind": "image", "image": "ghcr.io/example/app:1"}, "gates": {}, "limits": {}, "replicas": 1,
        "allow": [], "registries": [{"registry": "docker.io", "username": "old"}], "auto_deploy": null, "revision": 3,
        "created_at": "2026-01-02T12:00:00.000Z"})
}

/// An environment.
pub fn environment() -> Value {
    json!({"id": ENVIRONMENT, "project_id": PROJECT, "service_id": SERVICE, "name": "production",
        "path": "shop/web/production", "status": "active", "deploying": null, "current": DEPLOYMENT, "failed": null,
        "kept": [DEPLOYMENT, BACKUP], "auto_deploys_paused_by": null, "urls": ["https://shop.example.com"],
        "servers": [{"id": SERVER, "name": "web1"}], "placed_on": [{"id": SERVER, "name": "web1"}], "quorum": null,
        "routes": [{"host": "shop.example.com", "service": "app", "port": 8080}], "drain_seconds": 30,
        "keep_releases": 5, "values_version": 2, "host_name": "shop-web-production-k3v9q2", "revision": 4,
        "created_at": "2026-01-02T12:00:00.000Z"})
}

/// One page with these.
pub fn page(items: &[Value]) -> (u16, Value) {
    (200, json!({"items": items}))
}

/// A plan of one step.
pub fn plan() -> (u16, Value) {
    (
        200,
        json!({"type": "create_site", "operation_name": "Create site", "locks": [format!("site:{SITE}")],
            "steps": [{"name": "one", "title": "Title of one", "kind": "step", "commit": true, "skipped": null,
            "undo": "take_one_back", "timeout_seconds": 300}]}),
    )
}
