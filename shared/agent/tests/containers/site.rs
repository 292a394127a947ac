//! What is released here: a routed web service, a migration before it, and a database with a volume.

use crate::host::{Host, IMAGE};
use serde_json::{Value, json};

/// A value that no log or error may hold.
pub const TOKEN: &str = "canary-5f3a9c";

const COMPOSE: &str = r#"
services:
  web:
    image: IMAGE
    command: ["sh", "-c", "mkdir -p /www; echo $$VERSION > /www/index.html; echo token $$TOKEN; $${BEGIN:-true}; exec httpd -f -p 8080 -h /www"]
    environment: { VERSION: "${VERSION}", TOKEN: "${TOKEN}", BEGIN: "${BEGIN:-}" }
    stop_signal: SIGKILL
    deploy: { replicas: 2, resources: { limits: { memory: 32m } } }
    depends_on:
      db: { condition: service_healthy }
      migrate: { condition: service_completed_successfully }
  migrate:
    image: IMAGE
    command: ["sh", "-c", "echo migrating; test -n \"$$VERSION\""]
    environment: { VERSION: "${VERSION}" }
  db:
    image: IMAGE
    command: ["sh", "-c", "$${BEGIN:-true}; echo started >> /data/starts; touch /tmp/up; while :; do sleep 1; done"]
    environment: { SETTING: "${SETTING:-a}", BEGIN: "${BEGIN_DB:-}" }
    stop_signal: SIGKILL
    volumes: [ "data:/data" ]
    healthcheck: { test: ["CMD", "test", "-f", "/tmp/up"], interval: 1s }
volumes: { data: {} }
"#;

/// A deployment's id of which the number is a part.
pub fn id(number: u32) -> String {
    format!("01JD{number:022}")
}

/// Its release of the environment, with these values besides.
pub fn asked(environment: &str, version: &str, more: Value) -> Value {
    let mut values = json!({ "VERSION": version, "TOKEN": TOKEN });
    values
        .as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    json!({
        "environment": environment,
        "compose": COMPOSE.replace("IMAGE", IMAGE),
        "values": values,
        "routes": [{ "host": format!("{environment}.test"), "service": "web", "port": 8080, "tls": "off" }],
        "gates": { "web": {
            "within_seconds": 30, "interval_seconds": 0, "successes": 2,
            "http": { "path": "/", "contains": version, "timeout_seconds": 2 },
        } },
    })
}

pub fn named(environment: &str) -> Value {
    json!({ "environment": environment })
}

impl Host {
    /// A release up to the routes.
    pub fn up_to_switch(&self, deployment: &str, asked: &Value) -> Result<(), Value> {
        let name = || json!({ "environment": asked["environment"] });
        self.call(deployment, "release_prepare", asked.clone())?;
        self.job(deployment, "pull_images", name())?;
        self.call(deployment, "volumes_create", name())?;
        self.job(deployment, "start_containers", name())?;
        self.job(deployment, "await_health", name())?;
        Ok(())
    }

    /// All of a release.
    pub fn release(&self, deployment: &str, asked: &Value, keep: &[&str]) -> Result<Value, Value> {
        self.up_to_switch(deployment, asked)?;
        self.call(
            deployment,
            "route_switch",
            json!({ "environment": asked["environment"] }),
        )?;
        self.finish(
            deployment,
            asked["environment"].as_str().expect("named"),
            keep,
        )
    }

    pub fn finish(
        &self,
        deployment: &str,
        environment: &str,
        keep: &[&str],
    ) -> Result<Value, Value> {
        let asked = json!({ "environment": environment, "drain_seconds": 5, "keep": keep });
        self.job(deployment, "finish_release", asked)
    }

    /// All undos, in reverse.
    pub fn undo(&self, deployment: &str, environment: &str) {
        for name in [
            "route_switch_back",
            "services_back",
            "containers_remove",
            "release_discard",
        ] {
            self.call(deployment, name, named(environment))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
        }
    }

    pub fn observe(&self, environment: &str) -> Value {
        self.call(&id(0), "environment_observe", named(environment))
            .expect("observed")
    }

    /// Containers of a service: ids of those that run.
    pub fn running(&self, environment: &str, service: &str) -> Vec<String> {
        let filter = format!(
            "docker ps -q --no-trunc --filter label=triphammer.environment={environment} --filter label=triphammer.service={service}"
        );
        let mut ids: Vec<String> = self.sh(&filter).lines().map(str::to_string).collect();
        ids.sort();
        ids
    }

    /// All that an undo must leave as it was: containers by their ids, networks, volumes, kept files, routes.
    pub fn snapshot(&self) -> String {
        self.sh(
            "docker ps -aq --no-trunc | sort | while read -r id; do docker inspect -f '{{.Id}} {{.Name}} {{.State.Status}} {{.State.StartedAt}} {{.RestartCount}}' $id; done
             docker network ls -q --no-trunc | sort; docker volume ls -q | sort
             cd /var/lib/triphammer; ls releases/*; cat releases/*/state.json proxy/*.json",
        )
    }

    /// Every byte that the engine knows of an environment's containers.
    pub fn all_of(&self, environment: &str) -> String {
        self.sh(&format!("docker ps -aq --no-trunc --filter label=triphammer.environment={environment} | sort | xargs -r docker inspect"))
    }
}
