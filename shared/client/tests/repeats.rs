//! Calls against an API that fails in between, over real sockets.
//!
//! The rule held: a create is repeated with the same key and the same bytes; what could happen twice is not repeated blindly.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use client::{Client, Error};
use contract::{Acknowledge, TokenCreate, WebhookEndpointCreate};
use domain::{DeploymentId, Role, Scope, ServerId};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

#[derive(Clone)]
struct Seen {
    line: String,
    headers: HeaderMap,
    body: Bytes,
}

#[derive(Clone, Default)]
struct Api {
    answers: Arc<Mutex<Vec<Response>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(
    State(api): State<Api>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let line = format!("{method} {uri}");
    api.seen.lock().unwrap().push(Seen {
        line,
        headers,
        body,
    });
    api.answers.lock().unwrap().remove(0)
}

impl Api {
    /// Answers in this order, at this address.
    async fn playing(answers: Vec<Response>) -> (Self, String) {
        let api = Self::default();
        *api.answers.lock().unwrap() = answers;
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}/stage/$default", listener.local_addr().unwrap());
        let router = Router::new().fallback(answer).with_state(api.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (api, address)
    }
    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

fn client(address: &str) -> Client {
    Client::new(address, "th_secret", "cli/1.2.3")
        .unwrap()
        .with_backoff(Duration::from_millis(1))
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code).unwrap().into_response()
}

const DEPLOYMENT: &str = r#"{"id":"01JD2Z6E9W8Q4S5T6V7X8Y9ZAB","type":"check_server","operation_name":"Check server",
    "target":{"kind":"server","id":"01JD2Z6E9W8Q4S5T6V7X8Y9ZAC","name":"web1"},
    "actor":{"kind":"token","id":"t","name":"ci","role":"admin"},"trigger":"cli","status":"queued","standing":"queued",
    "outcome":null,"settlement":"active","dispatch":"started","phase":null,"error":null,"attention":null,"retry_of":null,
    "created_at":"2026-01-02T03:04:05Z","started_at":null,"finished_at":null,"settled_at":null,"seq":1}"#;

fn created() -> Response {
    (
        StatusCode::CREATED,
        format!(r#"{{"deployment":{DEPLOYMENT}}}"#),
    )
        .into_response()
}

fn server() -> ServerId {
    ServerId::from_parts(1, 1)
}

#[tokio::test]
async fn a_create_is_repeated_with_the_same_key_until_it_is_answered() {
    let answers = vec![status(503), status(504), status(502), created()];
    let (api, address) = Api::playing(answers).await;
    let reply = client(&address).server_check(server()).await.unwrap();
    assert_eq!(reply.deployment.operation_name, "Check server");
    let seen = api.seen();
    assert_eq!(seen.len(), 4);
    let key = &seen[0].headers["idempotency-key"];
    assert_eq!(key.len(), 32);
    assert!(
        seen.iter()
            .all(|call| call.headers["idempotency-key"] == *key)
    );
    assert!(seen.iter().all(|call| call.body == seen[0].body));
}

#[tokio::test]
async fn two_creates_have_two_keys() {
    let (api, address) = Api::playing(vec![created(), created()]).await;
    let client = client(&address);
    client.server_check(server()).await.unwrap();
    client.server_check(server()).await.unwrap();
    let seen = api.seen();
    assert_ne!(
        seen[0].headers["idempotency-key"],
        seen[1].headers["idempotency-key"]
    );
}

#[tokio::test]
async fn after_a_few_tries_the_last_failure_is_told() {
    let (api, address) = Api::playing((0..9).map(|_| status(503)).collect()).await;
    let error = client(&address).server_check(server()).await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 503, .. }));
    assert_eq!(api.seen().len(), 4);
}

#[tokio::test]
async fn a_pause_that_the_api_asks_for_is_kept() {
    let slow = (StatusCode::TOO_MANY_REQUESTS, [("retry-after", "1")]).into_response();
    let (_, address) = Api::playing(vec![slow, created()]).await;
    let began = Instant::now();
    client(&address).server_check(server()).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
}

#[tokio::test]
async fn a_refusal_is_not_repeated() {
    let problem =
        r#"{"type":"t","title":"T","status":422,"code":"invalid_fields","detail":"name is taken"}"#;
    let answer = (StatusCode::UNPROCESSABLE_ENTITY, problem).into_response();
    let (api, address) = Api::playing(vec![answer]).await;
    let error = client(&address).server_check(server()).await.unwrap_err();
    assert!(matches!(&error, Error::Problem(problem) if problem.code == "invalid_fields"));
    assert_eq!(api.seen().len(), 1);
}

#[tokio::test]
async fn what_could_happen_twice_is_not_repeated_when_it_may_have_been_done() {
    let (api, address) = Api::playing((0..3).map(|_| status(504)).collect()).await;
    let client = client(&address);
    let new = TokenCreate {
        name: "ci".to_string(),
        role: Role::Member,
        scopes: vec![Scope::DeployRead],
    };
    assert!(client.token_create(&new).await.is_err());
    let new = WebhookEndpointCreate {
        url: "https://hooks.example.com/".to_string(),
    };
    assert!(client.webhook_endpoint_create(&new).await.is_err());
    let why = Acknowledge {
        reason: "seen".to_string(),
    };
    let id = DeploymentId::from_parts(1, 1);
    assert!(client.deployment_acknowledge(id, &why).await.is_err());
    assert_eq!(api.seen().len(), 3);
}

#[tokio::test]
async fn the_path_prefix_the_token_and_the_caller_are_sent() {
    let (api, address) = Api::playing(vec![status(204)]).await;
    let client = Client::with(client::Settings {
        base_url: &address,
        token: "th_secret",
        origin: "cli/1.2.3",
        host_header: Some("api.triphammer.test"),
    })
    .unwrap();
    let id = domain::TokenId::from_parts(1, 1);
    client.token_revoke(id).await.unwrap();
    let seen = &api.seen()[0];
    assert_eq!(seen.line, format!("DELETE /stage/$default/v1/tokens/{id}"));
    assert_eq!(seen.headers["authorization"], "Bearer th_secret");
    assert_eq!(seen.headers["x-triphammer-client"], "cli/1.2.3");
    assert_eq!(seen.headers["host"], "api.triphammer.test");
}

#[tokio::test]
async fn a_plan_is_asked_for_without_a_key() {
    let plan = r#"{"type":"check_server","operation_name":"Check server","locks":[],"steps":[]}"#;
    let (api, address) = Api::playing(vec![plan.into_response()]).await;
    client(&address).server_check_plan(server()).await.unwrap();
    assert!(api.seen()[0].line.ends_with("/check?dry_run=true"));
    assert!(!api.seen()[0].headers.contains_key("idempotency-key"));
}

#[tokio::test]
async fn a_redirect_does_not_carry_the_token_away() {
    let (_, elsewhere) = Api::playing(vec![]).await;
    let redirect = (StatusCode::FOUND, [("location", elsewhere.as_str())]).into_response();
    let (_, address) = Api::playing(vec![redirect]).await;
    let error = client(&address).servers().await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 302, .. }));
}

#[tokio::test]
async fn nobody_at_the_address_is_said_plainly() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let error = client(&address).health().await.unwrap_err();
    let text = error.to_string();
    assert!(
        text.starts_with(&format!("{address} cannot be reached: ")),
        "{text}"
    );
    assert!(text.contains("refused"), "{text}");
}

#[tokio::test]
async fn a_page_that_is_no_json_is_not_taken_for_a_reply() {
    let (_, address) = Api::playing(vec!["<html>hello</html>".into_response()]).await;
    let text = client(&address).servers().await.unwrap_err().to_string();
    assert!(text.contains("not what this release expects"), "{text}");
}
