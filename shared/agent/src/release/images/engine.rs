//! The container engine, by its own interface: JSON over HTTP over its socket.
//!
//! Promise: a login goes in a header and nowhere else; what the engine says is understood or left out, never passed on.

use super::socket::{SocketConnector, Stop};
use crate::fault::{Result, broken, missing_software, unavailable};
use crate::jobs::context::Context;
use crate::run;
use protocol::AgentError;
use protocol::release::ImagePresent;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use ureq::config::Config;
use ureq::http::{Request, Response};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::{Agent, Body, SendBody};

/// Where every distribution of the engine listens for root.
const SOCKET: &str = "/var/run/docker.sock";
/// What is used here means the same from 1.40 (Docker 19.03) to this one, which Docker 25 brought and 29 still takes.
const NEWEST_API: u32 = 44;
/// In a short call, an engine that does not even begin to answer for so long hangs; asking a registry is a part of some
/// answers. A job has a limit of its own, and Docker 20.10 puts all of an image together before it gives the first byte.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);
/// Of what an engine complains, for reading the kind of it.
const COMPLAINT_LIMIT_BYTES: u64 = 64 * 1024;
/// A host with ten thousand containers says less than this of them.
const REPLY_LIMIT_BYTES: u64 = 64 * 1024 * 1024;

/// The engine of this host.
#[derive(Debug)]
pub struct Engine {
    agent: Agent,
    /// `1.41`: the second number.
    api: u32,
}

/// An answer that is no error.
pub type Answer = Response<Body>;

/// What the engine said instead of doing it.
#[derive(Debug)]
pub struct Complaint {
    /// The HTTP status.
    pub status: u16,
    /// Its words. May hold anything: only their kind is read.
    pub said: String,
}

/// How an act of the engine failed.
#[derive(Debug)]
pub enum Failure {
    /// It said why.
    Said(Complaint),
    /// It was not reached, or broke off.
    Lost(AgentError),
}

impl Failure {
    /// As an error, when no kind of complaint is expected.
    pub fn unexpected(self) -> AgentError {
        match self {
            Self::Said(complaint) => broken(
                "engine_refused",
                format!(
                    "Docker refused what the agent asked of it ({}).",
                    complaint.status
                ),
            ),
            Self::Lost(error) => error,
        }
    }
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    size: u64,
    #[serde(default)]
    config: Option<InspectedConfig>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct InspectedConfig {
    #[serde(default)]
    labels: Option<BTreeMap<String, String>>,
}

/// An image as the engine has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    /// `sha256:…`
    pub id: String,
    /// Bytes on the disk.
    pub size_bytes: u64,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Image {
    /// Under this reference.
    pub fn present(&self, reference: &str) -> ImagePresent {
        ImagePresent {
            image: reference.to_string(),
            id: self.id.clone(),
            size_bytes: self.size_bytes,
        }
    }
}

/// What is asked of the engine about itself.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Info {
    /// Where its images are.
    pub docker_root_dir: PathBuf,
    /// How it reaches registries.
    #[serde(default)]
    pub registry_config: Option<RegistryConfig>,
}

/// How the engine reaches registries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RegistryConfig {
    /// By host.
    #[serde(default)]
    pub index_configs: BTreeMap<String, IndexConfig>,
}

/// How it reaches one.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct IndexConfig {
    /// With a certificate that counts?
    pub secure: bool,
}

impl Engine {
    /// For a short call.
    pub fn host() -> Result<Self> {
        Self::at(Path::new(SOCKET), Arc::new(|| false), Some(ANSWER_WITHIN))
    }

    /// For a job: its cancel ends what is waited for.
    pub fn of(context: &Context) -> Result<Self> {
        let context = context.clone();
        Self::at(
            Path::new(SOCKET),
            Arc::new(move || context.is_cancelled()),
            None,
        )
    }

    fn at(socket: &Path, stop: Stop, patience: Option<Duration>) -> Result<Self> {
        if !socket.exists() && run::find("dockerd").is_none() {
            return Err(missing_software(
                "Docker",
                "https://docs.docker.com/engine/install",
            ));
        }
        let config = Config::builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_idle_connections(0)
            .timeout_recv_response(patience)
            .proxy(None)
            .build();
        let path = socket.to_path_buf();
        let connector = SocketConnector { path, stop };
        let mut engine = Self {
            agent: Agent::with_parts(config, connector, DefaultResolver::default()),
            api: NEWEST_API,
        };
        let ping = engine.agent.get("http://127.0.0.1/_ping").call();
        let ping = ping.map_err(|_| away())?;
        let said = ping
            .headers()
            .get("api-version")
            .and_then(|one| one.to_str().ok());
        let found = said.and_then(|text| text.strip_prefix("1.")?.parse().ok());
        engine.api = found.map_or(NEWEST_API, |api: u32| api.min(NEWEST_API));
        Ok(engine)
    }

    /// Is it at least that of Docker 23?
    pub fn is_23(&self) -> bool {
        self.api >= 42
    }

    fn ask<B: ureq::AsSendBody>(
        &self,
        request: Request<B>,
    ) -> std::result::Result<Answer, Failure> {
        let mut answer = self.agent.run(request).map_err(|_| Failure::Lost(away()))?;
        let status = answer.status().as_u16();
        if status < 400 {
            return Ok(answer);
        }
        let body = answer.body_mut().with_config().limit(COMPLAINT_LIMIT_BYTES);
        let text = body.read_to_string().unwrap_or_default();
        let said = serde_json::from_str::<Message>(&text).map_or(text, |one| one.message);
        Err(Failure::Said(Complaint { status, said }))
    }

    fn request<B>(
        &self,
        method: &str,
        path: &str,
        auth: Option<&str>,
        body: B,
    ) -> Result<Request<B>> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("http://127.0.0.1/v1.{}{path}", self.api));
        if let Some(auth) = auth {
            request = request.header("X-Registry-Auth", auth);
        }
        request.body(body).map_err(|_| {
            broken(
                "engine_request",
                "A request to Docker could not be written.",
            )
        })
    }

    /// GET, with a login or without.
    pub fn get(&self, path: &str, auth: Option<&str>) -> std::result::Result<Answer, Failure> {
        self.ask(self.request("GET", path, auth, ()).map_err(Failure::Lost)?)
    }

    /// POST without a body.
    pub fn post(&self, path: &str, auth: Option<&str>) -> std::result::Result<Answer, Failure> {
        self.ask(
            self.request("POST", path, auth, SendBody::none())
                .map_err(Failure::Lost)?,
        )
    }

    /// POST a stream.
    pub fn send(&self, path: &str, body: &mut dyn Read) -> std::result::Result<Answer, Failure> {
        let body = SendBody::from_reader(body);
        self.ask(
            self.request("POST", path, None, body)
                .map_err(Failure::Lost)?,
        )
    }

    /// DELETE.
    pub fn delete(&self, path: &str) -> std::result::Result<Answer, Failure> {
        self.ask(
            self.request("DELETE", path, None, ())
                .map_err(Failure::Lost)?,
        )
    }

    /// What it knows of itself.
    pub fn info(&self) -> Result<Info> {
        read(self.get("/info", None).map_err(Failure::unexpected)?)
    }

    /// An image by reference or id; none when it is not here.
    pub fn image(&self, reference: &str) -> Result<Option<Image>> {
        match self.get(&format!("/images/{reference}/json"), None) {
            Ok(answer) => {
                let found: Inspected = read(answer)?;
                Ok(Some(Image {
                    id: found.id,
                    size_bytes: found.size,
                    labels: found.config.and_then(|one| one.labels).unwrap_or_default(),
                }))
            }
            Err(Failure::Said(complaint)) if complaint.status == 404 => Ok(None),
            Err(failure) => Err(failure.unexpected()),
        }
    }
}

/// An answer of JSON.
pub fn read<T: DeserializeOwned>(mut answer: Answer) -> Result<T> {
    let body = answer.body_mut().with_config().limit(REPLY_LIMIT_BYTES);
    let text = body.read_to_string().map_err(|_| away())?;
    // The parser's words may quote a value.
    serde_json::from_str(&text).map_err(|_| {
        broken(
            "engine_reply",
            "Docker answered something that the agent does not understand.",
        )
    })
}

/// The events of an answer that tells how far it is; false of `on` ends it early.
pub fn events<T: DeserializeOwned>(
    answer: Answer,
    mut on: impl FnMut(T) -> Result<()>,
) -> Result<()> {
    let reader = BufReader::new(answer.into_body().into_reader());
    for event in serde_json::Deserializer::from_reader(reader).into_iter::<T>() {
        match event {
            Ok(event) => on(event)?,
            // Cut off in the middle, or not read to the end: the engine went.
            Err(error) if error.is_io() || error.is_eof() => return Err(away()),
            Err(_) => {
                return Err(broken(
                    "engine_reply",
                    "Docker answered something that the agent does not understand.",
                ));
            }
        }
    }
    Ok(())
}

/// A value of a query.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

/// The engine is not there, or went in the middle.
pub fn away() -> AgentError {
    unavailable(
        "engine_away",
        "Docker on this server does not answer, or broke off. Look at it: systemctl status docker.",
    )
}
