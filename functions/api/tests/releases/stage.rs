//! An API on records in this process, with two servers that can take releases.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request};
use domain::lifecycle::{Change, LockEffect, Snapshot, TargetEffect};
use domain::{
    Deployment, DeploymentId, DeploymentStatus, Outcome, Phase, Role, Scope, Settlement, TeamId,
    TokenId,
};
use kit::Cloud;
use records::{AuditEntry, Records, RecordsError, TokenRecord};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::time::Duration;
use strum::VariantArray;
use testkit::Bench;
use tower::ServiceExt;

pub struct Api {
    pub cloud: Cloud,
    router: Router,
    pub team: TeamId,
    pub servers: [String; 2],
    /// An owner's, with every scope.
    pub token: String,
}

impl Api {
    pub async fn new() -> Self {
        let bench = Bench::new(&pipelines::find("register_server").expect("a pipeline")).await;
        let mut servers = Vec::new();
        for name in ["docker1", "docker2"] {
            let created = bench.create(json!({})).await;
            let records = &bench.cloud.records;
            let ended = ended(records, bench.team, created, DeploymentStatus::Completed);
            ended.await;
            let id = bench.snapshot(created).await.deployment.target.id;
            let facts = json!({"os": "Debian", "architecture": "x86_64", "php": [], "database": null,
                "web_server": null, "docker": "28", "disk_free_bytes": 1, "disk_total_bytes": 2, "cpus": 2,
                "memory_bytes": 1, "clock_skew_seconds": 0, "missing": {}, "checked_at": "2023-11-14T22:13:20.000Z"});
            let facts: domain::ServerFacts = serde_json::from_value(facts).expect("facts");
            let server = id.parse().expect("an id");
            let updated = bench
                .cloud
                .records
                .server_update(bench.team, server, |server| {
                    server.name = name.to_string();
                    server.facts = Some(facts.clone());
                });
            updated.await.expect("updated");
            servers.push(id);
        }
        let mut api = Self {
            router: api::router(bench.cloud.clone()),
            cloud: bench.cloud,
            team: bench.team,
            servers: servers.try_into().expect("two"),
            token: String::new(),
        };
        api.token = api.token(api.team, Role::Owner, Scope::VARIANTS).await;
        api
    }

    pub async fn token(&self, team: TeamId, role: Role, scopes: &[Scope]) -> String {
        let (time, random) = self.cloud.id_parts();
        let id = TokenId::from_parts(time, random);
        let secret = format!("th_{id}");
        let hash = hex::encode(Sha256::digest(&secret));
        let now = self.cloud.clock.now();
        let token = TokenRecord::new(id, team, "ci", role, scopes.to_vec(), hash, now);
        let audit = json!({"id": id, "at": domain::rfc3339(now), "from": "", "action": "token.create",
            "actor": {"kind": "system", "id": "test", "name": "Tess", "role": "owner"}, "target": id, "detail": ""});
        let audit: AuditEntry = serde_json::from_value(audit).expect("an entry");
        let made = self.cloud.records.token_create(&token, &audit).await;
        made.expect("stored");
        secret
    }

    pub async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        key: Option<&str>,
        body: Value,
    ) -> (u16, Value) {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("/v1{path}"))
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json");
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let request = request
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self.router.clone().oneshot(request).await;
        let answer = answer.expect("an answer");
        let status = answer.status().as_u16();
        let bytes = to_bytes(answer.into_body(), usize::MAX).await;
        let bytes = bytes.expect("a body");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    pub async fn get(&self, path: &str) -> Value {
        let (status, body) = self
            .send(Method::GET, path, &self.token, None, Value::Null)
            .await;
        assert_eq!(status, 200, "{path}: {body:#}");
        body
    }

    pub async fn post(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::POST, path, &self.token, None, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> (u16, Value) {
        self.send(Method::PATCH, path, &self.token, None, body)
            .await
    }

    pub async fn delete(&self, path: &str) -> (u16, Value) {
        self.send(Method::DELETE, path, &self.token, None, Value::Null)
            .await
    }

    /// A 201.
    pub async fn made(&self, path: &str, body: Value) -> Value {
        let (status, made) = self.post(path, body).await;
        assert_eq!(status, 201, "{path}: {made:#}");
        made
    }

    /// A refusal with this code.
    pub async fn refused(&self, path: &str, body: Value, status: u16, code: &str) -> Value {
        let (is, problem) = self.post(path, body).await;
        assert_eq!(
            (is, &problem["code"]),
            (status, &json!(code)),
            "{path}: {problem:#}"
        );
        problem
    }

    /// The project shop, in it this service; its id.
    pub async fn service(&self, name: &str, source: Value) -> String {
        let projects = self.get("/projects").await;
        let project = match projects["items"].get(0) {
            Some(project) => project.clone(),
            None => self.made("/projects", json!({"name": "shop"})).await,
        };
        let path = format!("/projects/{}/services", text(&project["id"]));
        let service = self
            .made(&path, json!({"name": name, "source": source}))
            .await;
        text(&service["id"])
    }

    pub async fn image_service(&self) -> String {
        self.image_service_named("web").await
    }

    pub async fn image_service_named(&self, name: &str) -> String {
        self.service(
            name,
            json!({"kind": "image", "image": "ghcr.io/example/app:1"}),
        )
        .await
    }

    /// An environment on the first server that nothing was released to; its id.
    pub async fn environment(&self, service: &str, name: &str) -> String {
        let body = json!({"name": name, "server_ids": [self.servers[0]], "deploy": false});
        let made = self
            .made(&format!("/services/{service}/environments"), body)
            .await;
        text(&made["environment"]["id"])
    }

    /// A release of it, which goes well, later than the one before.
    pub async fn deployed(&self, environment: &str, body: Value) -> DeploymentId {
        self.cloud.clock.advance(Duration::from_secs(1));
        let path = format!("/environments/{environment}/deployments");
        let made = self.made(&path, body).await;
        let id = id(&made["deployment"]["id"]);
        self.completed(id).await;
        id
    }

    /// Its commit and its end, written as they are written.
    pub async fn completed(&self, id: DeploymentId) {
        ended(
            &self.cloud.records,
            self.team,
            id,
            DeploymentStatus::Completed,
        )
        .await;
    }

    pub async fn failed(&self, id: DeploymentId) {
        ended(&self.cloud.records, self.team, id, DeploymentStatus::Failed).await;
    }

    /// What its first step froze.
    pub async fn froze(&self, id: DeploymentId, frozen: Value) {
        let mut whole = json!({"compose": "services: {}", "profiles": [], "images": {}, "built": [], "commit": null,
            "reference": null, "values_version": 0, "variables": {}, "services": [], "routes": [], "gates": {},
            "limits": {}, "allow": []});
        for (name, value) in frozen.as_object().expect("members") {
            whole[name] = value.clone();
        }
        let frozen: domain::FrozenRelease = serde_json::from_value(whole).expect("frozen");
        let put = self.cloud.records.frozen_put(self.team, id, &frozen);
        put.await.expect("stored");
    }

    /// The input as steps read it.
    pub async fn input(&self, id: DeploymentId) -> Value {
        let snapshot = self.cloud.records.deployment_snapshot(self.team, id).await;
        snapshot.expect("a deployment").input
    }
}

/// A deployment's verdict, and then its end, written as they are written.
async fn ended(records: &Records, team: TeamId, id: DeploymentId, status: DeploymentStatus) {
    let well = status == DeploymentStatus::Completed;
    let written = async |locks: LockEffect, how: &dyn Fn(&mut Deployment) -> TargetEffect| {
        let decide = |snapshot: &Snapshot| -> Result<_, RecordsError> {
            let mut deployment = snapshot.deployment.clone();
            deployment.seq += 1;
            let target = how(&mut deployment);
            let change = Change {
                deployment,
                steps: Vec::new(),
                locks,
                target,
            };
            Ok((Some(change), ()))
        };
        let changed = records.deployment_change(team, id, decide).await;
        changed.expect("changed");
    };
    written(LockEffect::Keep, &|deployment| {
        deployment.status = status;
        deployment.outcome = Some(if well {
            Outcome::Succeeded
        } else {
            Outcome::Failed
        });
        deployment.finished_at = Some(deployment.created_at);
        match deployment.on_commit.filter(|_| well) {
            Some(what) => TargetEffect::Commit(what),
            None => TargetEffect::None,
        }
    })
    .await;
    written(LockEffect::Free, &|deployment| {
        deployment.settlement = Settlement::Settled;
        deployment.phase = deployment
            .phase
            .map(|phase| if well { Phase::Ready } else { phase });
        deployment.settled_at = Some(deployment.created_at);
        if well && deployment.creates_target {
            TargetEffect::Activate
        } else {
            TargetEffect::None
        }
    })
    .await;
}

pub fn text(value: &Value) -> String {
    value.as_str().expect("text").to_string()
}

pub fn id(value: &Value) -> DeploymentId {
    text(value).parse().expect("an id")
}
