//! The API as a caller has it, and the server as its administrator has it.

use anyhow::{Context, Result, bail};
use reqwest::Method;
use serde_json::{Value, json};
use std::time::Duration;
use xtask::lab::{Kind, Lab, Server};

/// A deployment on a machine with two busy cores ends well within this.
const SETTLED_WITHIN: Duration = Duration::from_secs(180);

/// Both.
pub struct Stack {
    api: String,
    /// The owner's token.
    pub token: String,
    pub(crate) http: reqwest::Client,
    /// The local AWS.
    pub endpoint: String,
    /// Its folder.
    pub state_dir: std::path::PathBuf,
    /// The booted servers.
    pub lab: Lab,
}

/// What the API answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// `application/json` or `application/problem+json`.
    pub kind: String,
    /// The body.
    pub body: Value,
}

impl Answer {
    /// A problem's code.
    pub fn code(&self) -> &str {
        self.body["code"].as_str().unwrap_or_default()
    }
}

fn variable(name: &str) -> String {
    std::env::var(name).unwrap_or_else(|_| {
        panic!("{name} is not set: run these tests by `cargo xtask test --end-to-end`")
    })
}

impl Stack {
    /// As `cargo xtask test` started it.
    #[allow(
        clippy::disallowed_methods,
        reason = "it calls the stack on this machine"
    )]
    pub fn from_env() -> Self {
        let lab = Lab::open(&variable("TRIPHAMMER_E2E_LAB")).expect("the lab is up");
        // A redirect is an answer to be looked at; its host name resolves nowhere here.
        let http = reqwest::Client::builder()
            // Between two requests the local AWS may have been stopped and started again.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build()
            .expect("a client");
        Self {
            api: variable("TRIPHAMMER_E2E_API"),
            token: variable("TRIPHAMMER_E2E_TOKEN"),
            http,
            endpoint: variable("TRIPHAMMER_E2E_ENDPOINT"),
            state_dir: variable("TRIPHAMMER_E2E_STATE").into(),
            lab,
        }
    }

    /// The API's address.
    pub fn api(&self) -> &str {
        &self.api
    }

    /// The only server.
    pub fn server(&self) -> &Server {
        &self.lab.servers[0]
    }

    /// A request as somebody.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        headers: &[(&str, &str)],
        body: Option<String>,
    ) -> Answer {
        let mut request = self
            .http
            .request(method, format!("{}{path}", self.api))
            .timeout(Duration::from_secs(40));
        if !token.is_empty() {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        let response = request.send().await.expect("the API answers");
        let status = response.status().as_u16();
        let kind = response
            .headers()
            .get("content-type")
            .and_then(|kind| kind.to_str().ok())
            .unwrap_or_default()
            .to_string();
        let text = response.text().await.expect("a body");
        Answer {
            status,
            kind,
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// As the owner.
    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, &self.token, &[], None).await
    }

    /// As the owner.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send(Method::POST, path, &self.token, &[], Some(body.to_string()))
            .await
    }

    /// A deployment with its steps.
    pub async fn deployment(&self, id: &str) -> Value {
        self.get(&format!("/v1/deployments/{id}")).await.body
    }

    /// Wait until it is settled or needs attention.
    pub async fn ended(&self, id: &str) -> Value {
        self.ended_within(id, SETTLED_WITHIN).await
    }

    /// The same, within a bound of its own.
    pub async fn ended_within(&self, id: &str, bound: Duration) -> Value {
        let waited = tokio::time::timeout(bound, async {
            loop {
                let deployment = self.deployment(id).await;
                if matches!(
                    deployment["settlement"].as_str(),
                    Some("settled" | "needs_attention")
                ) {
                    return deployment;
                }
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        });
        match waited.await {
            Ok(deployment) => deployment,
            Err(_) => panic!(
                "deployment {id} did not settle: {:#}",
                self.deployment(id).await
            ),
        }
    }

    /// Wait until a step is in a state.
    pub async fn step_is(&self, id: &str, step: &str, status: &str) -> Value {
        let waited = tokio::time::timeout(SETTLED_WITHIN, async {
            loop {
                let deployment = self.deployment(id).await;
                let found = deployment["steps"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .find(|found| found["name"] == step)
                    .cloned();
                match found {
                    Some(found) if found["status"] == status => return deployment,
                    _ if deployment["settlement"] == "settled" => {
                        panic!("{id} settled before {step} was {status}: {deployment:#}")
                    }
                    _ => tokio::time::sleep(Duration::from_millis(50)).await,
                }
            }
        });
        waited.await.expect("the step comes to that state")
    }

    /// The id of the lab's server, registered if it is not yet.
    pub async fn registered(&self) -> String {
        self.registered_server(self.server()).await
    }

    /// The id of one of the lab's servers, registered if it is not yet.
    pub async fn registered_server(&self, server: &Server) -> String {
        let known = self.get("/v1/servers").await.body;
        let mut known = known["items"].as_array().into_iter().flatten();
        let same = |known: &&Value| {
            known["status"] == "active" && known["host"] == server.address.as_str()
        };
        if let Some(known) = known.find(same) {
            return known["id"].as_str().expect("an id").to_string();
        }
        let name = if server.kind == Kind::Web {
            "web1"
        } else {
            &server.name
        };
        let created = self
            .post("/v1/servers", self.registration(server, name))
            .await;
        assert_eq!(created.status, 201, "{:#}", created.body);
        let deployment = created.body["deployment"]["id"].as_str().expect("an id");
        let ended = self.ended(deployment).await;
        assert_eq!(ended["status"], "completed", "{ended:#}");
        let id = created.body["server"]["id"].as_str().expect("an id");
        id.to_string()
    }

    /// A body that registers the lab's server.
    pub fn server_create(&self, name: &str) -> Value {
        self.registration(self.server(), name)
    }

    fn registration(&self, server: &Server, name: &str) -> Value {
        let key = std::fs::read_to_string(&server.key_path).expect("the lab's key");
        json!({"name": name, "host": server.address, "user": server.user, "private_key": key, "host_key": server.host_key_fingerprint})
    }

    /// A body that creates a site.
    pub fn site_create(&self, server_id: &str, name: &str) -> Value {
        json!({"server_id": server_id, "name": name, "title": format!("The site {name}"), "admin_email": "admin@example.com"})
    }

    /// Create a site and wait for its end.
    pub async fn create_site(&self, body: Value) -> Value {
        let created = self.post("/v1/sites", body).await;
        assert_eq!(created.status, 201, "{:#}", created.body);
        self.ended(created.body["deployment"]["id"].as_str().expect("an id"))
            .await
    }

    /// Run a command as root on the server.
    pub fn on_server(&self, command: &[&str]) -> Result<String> {
        self.lab.exec(&self.server().name, command)
    }

    /// Everything on the server that must be as before.
    pub fn snapshot(&self) -> String {
        self.lab.snapshot(&self.server().name).expect("a snapshot")
    }

    /// A page of the server, asked for by host name.
    pub async fn page(&self, host: &str, path: &str) -> Result<(u16, String)> {
        let response = self
            .http
            .get(format!("http://{}{path}", self.server().address))
            .header("host", host)
            .timeout(Duration::from_secs(20))
            .send()
            .await
            .context("the server answers")?;
        Ok((response.status().as_u16(), response.text().await?))
    }

    /// The keys in the store of backups that begin so.
    pub async fn stored(&self, prefix: &str) -> Vec<String> {
        let bucket = self.bucket().await;
        let path = format!("{bucket}?list-type=2&prefix={prefix}");
        between(&text(&self.store(&path, None).await), "Key")
    }

    /// An object of the store of backups.
    pub async fn object(&self, key: &str) -> Vec<u8> {
        let bucket = self.bucket().await;
        self.store(&format!("{bucket}/{key}"), None).await
    }

    /// Put another object in its place, as somebody with the keys to the store could.
    pub async fn replace_object(&self, key: &str, bytes: Vec<u8>) {
        let bucket = self.bucket().await;
        self.store(&format!("{bucket}/{key}"), Some(bytes)).await;
    }

    async fn bucket(&self) -> String {
        let buckets = text(&self.store("", None).await);
        between(&buckets, "Name")
            .into_iter()
            .find(|name| name.contains("archives"))
            .unwrap_or_else(|| panic!("no bucket of backups: {buckets}"))
    }

    /// Read, or write when there is something to write.
    async fn store(&self, path: &str, bytes: Option<Vec<u8>>) -> Vec<u8> {
        let credential = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=none";
        let address = format!("{}/{path}", self.endpoint);
        let request = match bytes {
            Some(bytes) => self.http.put(address).body(bytes),
            None => self.http.get(address),
        };
        let answer = request.header("authorization", credential).send().await;
        let answer = answer.expect("an answer");
        assert!(answer.status().is_success(), "{path}: {answer:?}");
        answer.bytes().await.expect("a body").to_vec()
    }

    /// A token of another team, straight into the table, as an operator would make one.
    pub async fn other_team_token(&self) -> Result<String> {
        xtask::up::token_create_owner(&self.records().await?).await
    }

    /// The names of its tables: that of the records, and that of the secrets.
    pub fn tables(&self) -> [String; 2] {
        ["TRIPHAMMER_E2E_TABLE", "TRIPHAMMER_E2E_SECRETS_TABLE"].map(variable)
    }

    /// The records, as the functions see them.
    pub async fn records(&self) -> Result<records::Records> {
        xtask::up::records(
            &variable("TRIPHAMMER_E2E_ENDPOINT"),
            &[
                ("TableName".to_string(), variable("TRIPHAMMER_E2E_TABLE")),
                (
                    "SecretsTableName".to_string(),
                    variable("TRIPHAMMER_E2E_SECRETS_TABLE"),
                ),
            ]
            .into(),
        )
        .await
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What stands between each pair of these tags.
fn between(text: &str, tag: &str) -> Vec<String> {
    let open = format!("<{tag}>");
    let parts = text.split(&open).skip(1);
    parts
        .filter_map(|part| part.split_once("</").map(|(inside, _)| inside.to_string()))
        .collect()
}

/// A step of a deployment.
pub fn step<'a>(deployment: &'a Value, name: &str) -> &'a Value {
    let steps = deployment["steps"].as_array().expect("steps");
    steps
        .iter()
        .find(|step| step["name"] == name)
        .unwrap_or_else(|| panic!("no step {name}: {deployment:#}"))
}

/// It ended as undone: verdict, steps, settled.
pub fn settled(deployment: &Value, status: &str) -> Result<()> {
    if deployment["status"] != status || deployment["settlement"] != "settled" {
        bail!("expected {status} and settled: {deployment:#}");
    }
    for step in deployment["steps"].as_array().into_iter().flatten() {
        if step["status"] == "running" {
            bail!("{} still runs: {deployment:#}", step["name"]);
        }
    }
    Ok(())
}
