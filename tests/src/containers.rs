//! What a team has for releases of containers: one of everything that a route may name.
//!
//! Promise: nothing is released; a second call finds what the first one made.

use crate::{Answer, Stack};
use reqwest::Method;
use serde_json::{Value, json};

/// The name of the only value.
pub const VALUE: &str = "CANARY";

/// What a route under each of these paths is asked for, and bodies that name it.
pub struct Containers {
    /// As the tests of all routes look them up.
    pub ids: Vec<(&'static str, String)>,
    /// Bodies of routes that name a thing by its id.
    pub bodies: Vec<(&'static str, Value)>,
}

async fn sent(stack: &Stack, token: &str, method: Method, path: &str, body: Value) -> Answer {
    let body = (!body.is_null()).then(|| body.to_string());
    let answer = stack.send(method, path, token, &[], body).await;
    assert!(answer.status < 300, "{path}: {:#}", answer.body);
    answer
}

/// The id of the one in a list that has this name, or of a new one.
async fn one(stack: &Stack, token: &str, list: &str, create: &str, body: Value) -> String {
    let known = sent(stack, token, Method::GET, list, Value::Null).await;
    let known = known.body["items"].as_array().into_iter().flatten();
    if let Some(one) = known.clone().find(|one| one["name"] == body["name"]) {
        return one["id"].as_str().expect("an id").to_string();
    }
    let made = sent(stack, token, Method::POST, create, body).await.body;
    let made = made.get("environment").unwrap_or(&made);
    made["id"].as_str().expect("an id").to_string()
}

impl Containers {
    /// By this name, on this server, as this token; `secret` is its only value, and opens its registry.
    pub async fn ready(stack: &Stack, token: &str, server: &str, name: &str, secret: &str) -> Self {
        let project = json!({"name": name});
        let project = one(stack, token, "/v1/projects", "/v1/projects", project).await;
        let service = json!({"name": name, "source": {"kind": "image", "image": "app:1"},
            "registries": [{"registry": "ghcr.io", "username": "me", "password": secret}]});
        let path = format!("/v1/projects/{project}/services");
        let service = one(stack, token, "/v1/services", &path, service).await;
        let environment = json!({"name": name, "server_ids": [server], "deploy": false});
        let path = format!("/v1/services/{service}/environments");
        let environment = one(stack, token, "/v1/environments", &path, environment).await;
        let set = json!({"set": {(VALUE): secret}});
        let path = format!("/v1/environments/{environment}/values");
        sent(stack, token, Method::PATCH, &path, set).await;
        let upload = json!({"format": "zip", "size_bytes": 1, "sha256": "0".repeat(64)});
        let upload = sent(stack, token, Method::POST, "/v1/uploads", upload).await;
        let upload = upload.body["upload"]["id"]
            .as_str()
            .expect("an id")
            .to_string();
        let another = json!({"name": "taken-over", "server_ids": [server], "deploy": false});
        let promote = json!({"from": environment});
        Self {
            ids: vec![
                ("/v1/projects/", project),
                ("/v1/services/", service),
                ("/v1/environments/", environment),
                ("/v1/uploads/", upload),
            ],
            bodies: vec![
                ("POST /v1/services/{id}/environments", another),
                ("POST /v1/environments/{id}/promote", promote),
            ],
        }
    }
}
