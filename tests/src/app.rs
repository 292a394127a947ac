//! The sample application in an environment of its own, on Docker hosts.
//!
//! Promise: each has names of its own, so that tests may run on one lab after each other.

use crate::sources::sample_app;
use crate::{Answer, Stack, settled};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::lab::{Kind, Server};
use xtask::load::Load;

/// Where the hub's registry is, as its Docker hosts name it.
pub const REGISTRY: &str = "registry.test:5000";

/// See the module.
pub struct App {
    /// Where it is.
    pub stack: Stack,
    /// Its project's, service's and environment's name.
    pub name: String,
    /// Its project.
    pub project: String,
    /// Its service.
    pub service: String,
    /// Its environment.
    pub environment: String,
    /// The host name that its route has.
    pub host: String,
    /// The first deployment, which began with the environment.
    pub first: String,
}

impl Stack {
    /// The lab's Docker hosts.
    pub fn docker_hosts(&self) -> Vec<&Server> {
        self.lab.of(Kind::Docker).collect()
    }

    /// The ids of the first so many Docker hosts, registered if they are not yet.
    pub async fn registered_docker_hosts(&self, count: usize) -> Vec<String> {
        let mut ids = Vec::new();
        for server in self.docker_hosts().into_iter().take(count) {
            ids.push(self.registered_server(server).await);
        }
        ids
    }

    /// An image of the sample application of this version, in the hub's registry.
    pub fn app_image(&self, version: &str, environment: &[(&str, &str)]) -> String {
        let image = format!("{REGISTRY}/app:{version}");
        let mut settings = vec![("VERSION", version)];
        settings.extend(environment);
        let pushed = self.lab.app_image(&sample_app(), &image, &settings);
        pushed.expect("pushed");
        image
    }

    /// What a Docker host answers for this host name; status 0 when it does not.
    pub async fn page_on(&self, server: usize, host: &str, path: &str) -> (u16, String) {
        let address = &self.docker_hosts()[server].address;
        let asked = self
            .http
            .get(format!("http://{address}{path}"))
            .header("host", host)
            .timeout(Duration::from_secs(20));
        match asked.send().await {
            Ok(answer) => (
                answer.status().as_u16(),
                answer.text().await.unwrap_or_default(),
            ),
            Err(error) => (0, error.to_string()),
        }
    }
}

impl App {
    /// Of this source, on so many servers, with a route to `service`; its first deployment has begun.
    pub async fn new(name: &str, source: Value, servers: usize) -> Self {
        Self::with(name, source, servers, json!({}), json!({})).await
    }

    /// The same with more settings of its service and of its environment.
    pub async fn with(
        name: &str,
        source: Value,
        servers: usize,
        service_settings: Value,
        environment_settings: Value,
    ) -> Self {
        let stack = Stack::from_env();
        let servers = stack.registered_docker_hosts(servers).await;
        let name = format!("{name}-{:x}", std::process::id());
        let made = async |path: String, body: Value| {
            let answer = stack.post(&path, body).await;
            assert_eq!(answer.status, 201, "{path}: {:#}", answer.body);
            answer.body
        };
        let project = made("/v1/projects".to_string(), json!({"name": name})).await;
        let project = id(&project);
        let mut body = json!({"name": "web", "source": source});
        merge(&mut body, service_settings);
        let service = id(&made(format!("/v1/projects/{project}/services"), body).await);
        let host = format!("{name}.example.com");
        let mut body = environment("production", &servers, &host);
        merge(&mut body, environment_settings);
        let created = made(format!("/v1/services/{service}/environments"), body).await;
        Self {
            project,
            service,
            environment: id(&created["environment"]),
            first: created["deployment"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_string(),
            name,
            host,
            stack,
        }
    }

    /// One that runs version 1 of the sample application.
    pub async fn running(name: &str) -> Self {
        let stack = Stack::from_env();
        let image = stack.app_image("v1", &[]);
        let app = Self::new(name, json!({"kind": "image", "image": image}), 1).await;
        let ended = app.stack.ended(&app.first).await;
        settled(&ended, "completed").expect("its first release");
        app
    }

    /// Another environment of its service, on one server: its own route, the same settings.
    pub async fn beside(&self, name: &str, server: usize, deploy: bool) -> Self {
        let stack = Stack::from_env();
        let servers = stack.registered_docker_hosts(server + 1).await;
        let host = format!("{name}.{}", self.host);
        let body = environment(name, &servers[server..], &host);
        self.made(body, deploy, host).await
    }

    /// Its environment once more, after it was deleted.
    pub async fn again(&self) -> Self {
        let servers = self.stack.registered_docker_hosts(1).await;
        let body = environment("production", &servers, &self.host);
        self.made(body, true, self.host.clone()).await
    }

    async fn made(&self, mut body: Value, deploy: bool, host: String) -> Self {
        body["deploy"] = deploy.into();
        let path = format!("/v1/services/{}/environments", self.service);
        let made = self.stack.post(&path, body).await;
        assert_eq!(made.status, 201, "{:#}", made.body);
        Self {
            stack: Stack::from_env(),
            name: self.name.clone(),
            project: self.project.clone(),
            service: self.service.clone(),
            environment: id(&made.body["environment"]),
            first: made.body["deployment"]["id"]
                .as_str()
                .unwrap_or_default()
                .to_string(),
            host,
        }
    }

    /// Its service has these settings from now on.
    pub async fn service_changed(&self, settings: Value) {
        self.patched(&format!("/v1/services/{}", self.service), settings)
            .await;
    }

    /// Its environment has these.
    pub async fn changed(&self, settings: Value) {
        self.patched(&format!("/v1/environments/{}", self.environment), settings)
            .await;
    }

    async fn patched(&self, path: &str, body: Value) {
        let (stack, patch) = (&self.stack, reqwest::Method::PATCH);
        let sent = stack.send(patch, path, &stack.token, &[], Some(body.to_string()));
        let answer = sent.await;
        assert_eq!(answer.status, 200, "{:#}", answer.body);
    }

    /// The id of what the API answered.
    pub fn id_of(&self, body: &Value) -> String {
        id(body)
    }

    /// Its environment's word on the servers.
    pub async fn host_name(&self) -> String {
        let seen = self.seen().await;
        seen["host_name"].as_str().expect("a word").to_string()
    }

    /// Run a script as root on a server.
    pub fn on_server(&self, server: usize, script: &str) -> String {
        let name = &self.stack.docker_hosts()[server].name;
        let said = self.stack.lab.exec(name, &["bash", "-c", script]);
        said.unwrap_or_else(|error| panic!("{script}: {error:#}"))
    }

    /// Its volumes on a server, sorted.
    pub fn volumes(&self, server: usize) -> String {
        let list = "docker volume ls --format '{{.Label \"triphammer.environment\"}} {{.Name}}'";
        self.on_server(
            server,
            &format!("{list} | grep ^{} | sort || true", self.name),
        )
    }

    /// Ask something of its environment.
    pub async fn post(&self, path: &str, body: Value) -> Answer {
        let path = format!("/v1/environments/{}{path}", self.environment);
        self.stack.post(&path, body).await
    }

    /// A deployment that was begun so.
    pub async fn begun(&self, path: &str, body: Value) -> String {
        let begun = self.post(path, body).await;
        assert_eq!(begun.status, 201, "{:#}", begun.body);
        id(&begun.body["deployment"])
    }

    /// The same, when it is over.
    pub async fn ended(&self, path: &str, body: Value) -> Value {
        let deployment = self.begun(path, body).await;
        self.stack.ended(&deployment).await
    }

    /// A release of this image, completed.
    pub async fn released(&self, image: &str) -> Value {
        let ended = self
            .ended("/deployments", json!({"images": {"app": image}}))
            .await;
        settled(&ended, "completed").expect("released");
        ended
    }

    /// Its deployments that are live: one, when all is well.
    pub async fn ready(&self) -> Vec<Value> {
        let path = format!(
            "/v1/deployments?limit=100&target=environment:{}",
            self.environment
        );
        let all = self.stack.get(&path).await.body;
        let all = all["items"].as_array().into_iter().flatten();
        all.filter(|deployment| deployment["phase"] == "ready")
            .map(|deployment| deployment["id"].clone())
            .collect()
    }

    /// What was asked, frozen and seen of a deployment of it.
    pub async fn views(&self, deployment: &Value) -> Value {
        let path = format!("/v1/deployments/{}/views", id(deployment));
        self.stack.get(&path).await.body
    }

    /// What was frozen of it alone.
    pub async fn frozen(&self, deployment: &Value) -> Value {
        self.views(deployment).await["frozen"].take()
    }

    /// Its environment has these values from now on.
    pub async fn values(&self, set: Value) {
        let path = format!("/v1/environments/{}/values", self.environment);
        self.patched(&path, json!({ "set": set })).await;
    }

    /// As it stands.
    pub async fn seen(&self) -> Value {
        let path = format!("/v1/environments/{}", self.environment);
        self.stack.get(&path).await.body
    }

    /// What its page on a server says.
    pub async fn page_on(&self, server: usize, path: &str) -> (u16, String) {
        self.stack.page_on(server, &self.host, path).await
    }

    /// Which version answers.
    pub async fn version(&self) -> String {
        let (status, body) = self.page_on(0, "/").await;
        let version = body.split_whitespace().next().unwrap_or_default();
        format!("{status} {version}")
    }

    /// Its containers on a server: names and images, sorted.
    pub fn containers(&self, server: usize) -> String {
        let list = format!(
            "docker ps -a --filter label=triphammer.environment --format '{{{{.Label \"triphammer.environment\"}}}} {{{{.Label \"triphammer.service\"}}}} {{{{.Label \"triphammer.deployment\"}}}} {{{{.State}}}}' | grep ^{} | sort || true",
            self.name
        );
        self.on_server(server, &list)
    }

    /// Requests all the time: `program` is the binary `load` of these tests.
    pub fn load(&self, program: &str) -> Load {
        let address = &self.stack.docker_hosts()[0].address;
        Load::begin(program.as_ref(), address, &self.host).expect("it starts")
    }
}

/// A body that creates an environment with a route.
fn environment(name: &str, servers: &[String], host: &str) -> Value {
    json!({
        "name": name,
        "server_ids": servers,
        "routes": [{"host": host, "service": "app", "port": 8080, "tls": "off"}],
        "drain_seconds": 5,
    })
}

fn id(body: &Value) -> String {
    body["id"]
        .as_str()
        .unwrap_or_else(|| panic!("an id: {body:#}"))
        .to_string()
}

fn merge(into: &mut Value, more: Value) {
    if let (Value::Object(into), Value::Object(more)) = (into, more) {
        into.extend(more);
    }
}
