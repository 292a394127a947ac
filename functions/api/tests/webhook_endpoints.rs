//! Webhook endpoints through the API, on records and secrets in this process.
//!
//! The rule held: an endpoint's secret is in one reply and nowhere else; what is refused changed nothing.

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::http::{Method, Request, StatusCode};
use domain::{Role, Scope, TeamId, TokenId};
use kit::{Cloud, Config, webhook_signature};
use records::{AuditEntry, TokenRecord};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use testkit::Bench;
use tower::ServiceExt;

const PATH: &str = "/v1/webhook-endpoints";
const URL: &str = "https://hooks.example.com/deployments?key=of-the-receiver";

struct Api {
    cloud: Cloud,
    router: Router,
}

impl Api {
    async fn new() -> Self {
        let cloud = Bench::new(&pipelines::all()[0]).await.cloud;
        let router = api::router(cloud.clone());
        Self { cloud, router }
    }

    /// A team's token with these scopes.
    async fn token(&self, team: TeamId, role: Role, scopes: &[Scope]) -> String {
        let (time, random) = self.cloud.id_parts();
        let id = TokenId::from_parts(time, random);
        let secret = format!("th_{id}");
        let hash = hex::encode(Sha256::digest(&secret));
        let now = self.cloud.clock.now();
        let token = TokenRecord::new(id, team, "ci", role, scopes.to_vec(), hash, now);
        let audit = AuditEntry {
            id: id.to_string(),
            at: now,
            actor: domain::Actor {
                kind: domain::ActorKind::System,
                id: "test".into(),
                name: "Tess".into(),
                role: "owner".into(),
            },
            from: String::new(),
            action: "token.create".into(),
            target: id.to_string(),
            detail: String::new(),
        };
        self.cloud
            .records
            .token_create(&token, &audit)
            .await
            .expect("stored");
        secret
    }

    async fn owner(&self) -> String {
        self.token(
            team(),
            Role::Owner,
            &[Scope::TokensManage, Scope::AuditRead],
        )
        .await
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        token: &str,
        body: Value,
    ) -> (StatusCode, Value) {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("authorization", format!("Bearer {token}"))
            .header("content-type", "application/json")
            .body(Body::from(body.to_string()))
            .expect("a request");
        let answer = self
            .router
            .clone()
            .oneshot(request)
            .await
            .expect("an answer");
        let status = answer.status();
        let bytes = to_bytes(answer.into_body(), usize::MAX)
            .await
            .expect("a body");
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    async fn create(&self, token: &str, url: &str) -> (StatusCode, Value) {
        self.send(Method::POST, PATH, token, json!({"url": url}))
            .await
    }

    async fn list(&self, token: &str) -> Vec<Value> {
        let (status, page) = self.send(Method::GET, PATH, token, Value::Null).await;
        assert_eq!(status, StatusCode::OK, "{page:#}");
        page["items"].as_array().expect("a page").clone()
    }
}

fn team() -> TeamId {
    TeamId::from_parts(1, 1)
}

#[tokio::test]
async fn an_endpoint_is_added_listed_and_removed_and_its_secret_is_shown_once() {
    let api = Api::new().await;
    let token = api.owner().await;
    let (status, created) = api.create(&token, URL).await;
    assert_eq!(status, StatusCode::CREATED, "{created:#}");
    assert_eq!(created["endpoint"]["url"], URL);
    let secret = created["secret"].as_str().expect("a secret");
    assert!(webhook_signature::sign(secret, "msg_1", 1, b"{}").is_ok());
    assert_eq!(api.list(&token).await, [created["endpoint"].clone()]);

    let stored = api
        .cloud
        .records
        .webhook_endpoints(team())
        .await
        .expect("a list");
    let opened = api
        .cloud
        .secrets
        .open(team(), stored[0].secret, 0)
        .await
        .expect("a secret");
    assert_eq!(
        opened.as_slice(),
        secret.as_bytes(),
        "what signs is what was shown"
    );

    let path = format!(
        "{PATH}/{}",
        created["endpoint"]["id"].as_str().expect("an id")
    );
    let (status, _) = api.send(Method::DELETE, &path, &token, Value::Null).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    assert!(api.list(&token).await.is_empty());
    assert!(
        api.cloud
            .secrets
            .open(team(), stored[0].secret, 0)
            .await
            .is_err()
    );
    let (status, _) = api.send(Method::DELETE, &path, &token, Value::Null).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn neither_records_nor_audit_trail_hold_the_secret_or_the_receivers_own() {
    let api = Api::new().await;
    let token = api.owner().await;
    let (_, created) = api.create(&token, URL).await;
    let secret = created["secret"].as_str().expect("a secret").to_string();
    let key = secret.strip_prefix("whsec_").expect("its prefix");
    let stored = api
        .cloud
        .records
        .webhook_endpoints(team())
        .await
        .expect("a list");
    let sealed = api
        .cloud
        .records
        .secret_get(team(), stored[0].secret, 0)
        .await
        .expect("sealed");
    let page = api
        .cloud
        .records
        .audit_page(team(), None, 10)
        .await
        .expect("a page");
    let entry = page
        .items
        .iter()
        .find(|entry| entry.action == "webhook_endpoint.create")
        .expect("an entry");
    assert_eq!(entry.detail, "hooks.example.com");
    for text in [
        format!("{stored:?}"),
        format!("{sealed:?}"),
        format!("{page:?}"),
    ] {
        assert!(!text.contains(key), "{text}");
    }
    assert!(!format!("{page:?}{sealed:?}").contains("of-the-receiver"));
}

#[tokio::test]
async fn a_bad_url_is_a_field_error_with_the_reason() {
    let api = Api::new().await;
    let token = api.owner().await;
    for (url, reason) in [
        ("http://hooks.example.com/", "must begin with https://"),
        ("ftp://hooks.example.com/", "must begin with https://"),
        ("hooks.example.com", "must be a URL such as"),
        (
            "https://me:secret@hooks.example.com/",
            "must not hold a user name",
        ),
        (
            "https://127.0.0.1:9001/2018-06-01/runtime/",
            "must be an address of the public internet",
        ),
        (
            "https://169.254.169.254/",
            "must be an address of the public internet",
        ),
        (
            "https://[::ffff:10.0.0.1]/",
            "must be an address of the public internet",
        ),
        (
            &format!("https://x.example/{}", "a".repeat(2048)),
            "must have 2048 characters at most",
        ),
    ] {
        let (status, problem) = api.create(&token, url).await;
        assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY, "{url}");
        assert_eq!(problem["code"], "invalid_fields");
        assert_eq!(problem["errors"][0]["field"], "url");
        let message = problem["errors"][0]["message"].as_str().expect("a message");
        assert!(message.starts_with(reason), "{url}: {message}");
    }
    assert!(api.list(&token).await.is_empty());
}

#[tokio::test]
async fn a_labs_range_may_be_called_where_it_is_allowed() {
    let mut cloud = Bench::new(&pipelines::all()[0]).await.cloud;
    cloud.config = Arc::new(Config {
        outbound_allowed: vec!["10.77.0.0/16".parse().expect("a range")],
        ..Config::default()
    });
    let api = Api {
        router: api::router(cloud.clone()),
        cloud,
    };
    let token = api.owner().await;
    let (status, _) = api.create(&token, "http://10.77.1.2:8080/").await;
    assert_eq!(status, StatusCode::CREATED);
    let (status, _) = api.create(&token, "http://10.78.1.2:8080/").await;
    assert_eq!(status, StatusCode::UNPROCESSABLE_ENTITY);
}

#[tokio::test]
async fn the_eleventh_endpoint_is_refused_until_one_is_removed() {
    let api = Api::new().await;
    let token = api.owner().await;
    let mut paths = Vec::new();
    for _ in 0..10 {
        let (status, created) = api.create(&token, URL).await;
        assert_eq!(status, StatusCode::CREATED, "{created:#}");
        paths.push(format!(
            "{PATH}/{}",
            created["endpoint"]["id"].as_str().expect("an id")
        ));
    }
    let (status, problem) = api.create(&token, URL).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::CONFLICT, &json!("limit_reached"))
    );
    assert_eq!(api.list(&token).await.len(), 10);
    api.send(Method::DELETE, &paths[3], &token, Value::Null)
        .await;
    let (status, _) = api.create(&token, URL).await;
    assert_eq!(status, StatusCode::CREATED);
}

#[tokio::test]
async fn another_teams_endpoint_is_a_404_and_stays() {
    let api = Api::new().await;
    let token = api.owner().await;
    let other = api
        .token(
            TeamId::from_parts(2, 2),
            Role::Owner,
            &[Scope::TokensManage],
        )
        .await;
    let (_, created) = api.create(&token, URL).await;
    assert!(api.list(&other).await.is_empty());
    let path = format!(
        "{PATH}/{}",
        created["endpoint"]["id"].as_str().expect("an id")
    );
    let (status, problem) = api.send(Method::DELETE, &path, &other, Value::Null).await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::NOT_FOUND, &json!("not_found"))
    );
    assert_eq!(api.list(&token).await.len(), 1);
    let (status, _) = api
        .send(Method::DELETE, &format!("{PATH}/x"), &token, Value::Null)
        .await;
    assert_eq!(
        status,
        StatusCode::NOT_FOUND,
        "text that is no id is the id of nothing"
    );
}

#[tokio::test]
async fn without_the_scope_or_with_a_dry_run_nothing_happens() {
    let api = Api::new().await;
    let owner = api.owner().await;
    let reader = api.token(team(), Role::Owner, &[Scope::DeployRead]).await;
    let member = api
        .token(team(), Role::Member, &[Scope::TokensManage])
        .await;
    for token in [&reader, &member] {
        assert_eq!(api.create(token, URL).await.0, StatusCode::FORBIDDEN);
        let (status, _) = api.send(Method::GET, PATH, token, Value::Null).await;
        assert_eq!(status, StatusCode::FORBIDDEN);
    }
    let dry = format!("{PATH}?dry_run=true");
    let (status, problem) = api
        .send(Method::POST, &dry, &owner, json!({"url": URL}))
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (StatusCode::BAD_REQUEST, &json!("bad_query"))
    );
    assert!(api.list(&owner).await.is_empty());
}
