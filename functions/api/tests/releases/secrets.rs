//! Secrets and values: they go in, and come out where it is asked for by name alone.

use crate::stage::{Api, id, text};
use axum::http::Method;
use domain::release::Source;
use domain::{Role, Scope};
use serde_json::{Value, json};

const CANARY: &str = "canary-5f0c";

/// Everything that can be read, as one text.
async fn everything(api: &Api, environment: &str) -> String {
    let mut all = String::new();
    for path in [
        "/projects".to_string(),
        "/services".to_string(),
        "/environments".to_string(),
        "/deployments".to_string(),
        "/audit".to_string(),
        format!("/environments/{environment}/values"),
    ] {
        all.push_str(&api.get(&path).await.to_string());
    }
    let deployments = api.get("/deployments").await;
    for deployment in deployments["items"].as_array().expect("a page") {
        let path = format!("/deployments/{}", text(&deployment["id"]));
        all.push_str(&api.get(&path).await.to_string());
        all.push_str(&api.get(&format!("{path}/views")).await.to_string());
        let input = api.input(id(&deployment["id"])).await;
        assert!(!input.to_string().contains(CANARY), "{input:#}");
    }
    all
}

#[tokio::test]
async fn a_value_is_in_no_answer_but_the_one_that_asks_for_it_by_name() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}/values");
    let before = api.get(&path).await;
    assert_eq!(
        (&before["version"], &before["values"]),
        (&json!(0), &json!([]))
    );
    let (status, changed) = api
        .patch(&path, json!({"set": {"KEY": CANARY, "OTHER": "x"}}))
        .await;
    assert_eq!(
        (status, &changed["version"]),
        (200, &json!(1)),
        "{changed:#}"
    );
    assert_eq!(
        changed["values"][0],
        json!({"name": "KEY", "masked": "********", "version": 1})
    );
    let (_, changed) = api
        .patch(&path, json!({"set": {"OTHER": "y"}, "unset": ["GONE"]}))
        .await;
    let versions: Vec<_> = changed["values"]
        .as_array()
        .expect("values")
        .iter()
        .map(|value| &value["version"])
        .collect();
    assert_eq!(versions, [&json!(1), &json!(2)]);
    let (_, same) = api.patch(&path, json!({"set": {"OTHER": "y"}})).await;
    assert_eq!(
        same["version"], 2,
        "what comes to the same makes no version"
    );
    let made = api
        .made(
            &format!("/environments/{environment}/deployments"),
            json!({}),
        )
        .await;
    let input = api.input(id(&made["deployment"]["id"])).await;
    assert_eq!(
        (&input["values_version"], &input["value_names"]),
        (&json!(2), &json!(["KEY", "OTHER"]))
    );
    assert!(!everything(&api, &environment).await.contains(CANARY));

    let token = api.token(api.team, Role::Owner, &[Scope::EnvRead]).await;
    let by_name = format!("{path}/KEY");
    let (status, _) = api
        .send(Method::GET, &by_name, &token, None, Value::Null)
        .await;
    assert_eq!(status, 403, "names are for more people than values");
    assert_eq!(api.get(&by_name).await["value"], CANARY);
    let trail = api.get("/audit").await;
    let read = trail["items"]
        .as_array()
        .expect("a page")
        .iter()
        .find(|entry| entry["action"] == "value.read");
    assert!(text(&read.expect("an entry")["detail"]).contains("KEY"));
    let (status, _) = api
        .send(
            Method::GET,
            &format!("{path}/NONE"),
            &api.token,
            None,
            Value::Null,
        )
        .await;
    assert_eq!(status, 404);
    let (_, all) = api
        .send(
            Method::PUT,
            &path,
            &api.token,
            None,
            json!({"set": {"ONLY": "1"}}),
        )
        .await;
    assert_eq!(
        (&all["version"], all["values"].as_array().map(Vec::len)),
        (&json!(3), Some(1))
    );
}

#[tokio::test]
async fn values_that_are_none_are_refused_by_their_names_alone() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}/values");
    for body in [
        json!({"set": {"9A": CANARY}}),
        json!({"set": {"A B": CANARY}}),
        json!({"set": {"A": format!("{CANARY}\0")}}),
        json!({"set": {"A": CANARY}, "unset": ["A"]}),
        json!({"unset": ["-x"]}),
    ] {
        let (status, problem) = api.patch(&path, body).await;
        assert_eq!((status, &problem["code"]), (422, &json!("invalid_fields")));
        assert!(!problem.to_string().contains(CANARY));
    }
    let large = json!({"set": {"A": "x".repeat(200 * 1024)}});
    assert_eq!(
        api.patch(&path, large).await.0,
        200,
        "a quarter of a megabyte is taken"
    );
    let more = json!({"set": {"B": "x".repeat(100 * 1024)}});
    let (status, problem) = api.patch(&path, more).await;
    assert_eq!(
        (status, &problem["code"]),
        (422, &json!("values_too_large"))
    );
    let (status, _) = api
        .patch(&path, json!({"set": {"A": "x".repeat(600 * 1024)}}))
        .await;
    assert_eq!(status, 413);
}

#[tokio::test]
async fn two_changes_at_once_both_arrive() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}/values");
    let (one, two) = tokio::join!(
        api.patch(&path, json!({"set": {"A": "1"}})),
        api.patch(&path, json!({"set": {"B": "2"}}))
    );
    assert_eq!((one.0, two.0), (200, 200));
    let shown = api.get(&path).await;
    assert_eq!(
        shown["values"].as_array().map(Vec::len),
        Some(2),
        "{shown:#}"
    );
    assert_eq!(shown["version"], 2);
}

#[tokio::test]
async fn a_services_secrets_are_sealed_kept_replaced_and_never_shown() {
    let api = Api::new().await;
    let project = api.made("/projects", json!({"name": "shop"})).await;
    let url = "https://git.example.com/app.git";
    let body = json!({"name": "web",
        "source": {"kind": "repository", "url": url, "access": {"kind": "token", "token": CANARY}},
        "registries": [{"registry": "ghcr.io", "username": "me", "password": format!("{CANARY}-2")}]});
    let path = format!("/projects/{}/services", text(&project["id"]));
    let blind: Vec<_> = [Scope::EnvWrite].to_vec();
    let token = api.token(api.team, Role::Owner, &blind).await;
    let (status, _) = api
        .send(Method::POST, &path, &token, None, body.clone())
        .await;
    assert_eq!(status, 403, "a secret needs secrets:write");
    let made = api.made(&path, body).await;
    assert_eq!(made["source"]["access"], "token");
    assert_eq!(
        made["registries"],
        json!([{"registry": "ghcr.io", "username": "me"}])
    );
    let service = text(&made["id"]);
    let stored = async || {
        let service = service.parse().expect("an id");
        let service = api.cloud.records.service(api.team, service).await;
        service.expect("a service").settings
    };
    let first: Vec<_> = stored().await.secrets().collect();
    assert_eq!(first.len(), 2);
    for (secret, clear) in first
        .iter()
        .zip([CANARY.to_string(), format!("{CANARY}-2")])
    {
        let opened = api
            .cloud
            .secrets
            .open(api.team, *secret, 0)
            .await
            .expect("opened");
        assert_eq!(opened.as_slice(), clear.as_bytes());
    }
    let path = format!("/services/{service}");
    let keep = json!({"source": {"kind": "repository", "url": url, "reference": "dev", "access": {"kind": "keep"}},
        "registries": [{"registry": "ghcr.io", "username": "me"}]});
    let (status, changed) = api.patch(&path, keep).await;
    assert_eq!(status, 200, "{changed:#}");
    assert_eq!(stored().await.secrets().collect::<Vec<_>>(), first);
    let elsewhere = json!({"source": {"kind": "repository", "url": "https://evil.example.com/app.git",
        "access": {"kind": "keep"}}});
    assert_eq!(
        api.patch(&path, elsewhere).await.0,
        422,
        "it is shown to nobody else"
    );
    let other = json!({"source": {"kind": "repository", "url": url,
        "access": {"kind": "token", "token": "another"}}});
    assert_eq!(api.patch(&path, other).await.0, 200);
    let now: Vec<_> = stored().await.secrets().collect();
    assert!(now[0] != first[0] && now[1] == first[1]);
    let day = api.cloud.clock.now().timestamp() + 86_401;
    let opened = api.cloud.secrets.open(api.team, first[0], day).await;
    assert!(
        opened.is_err(),
        "what was replaced is of no use a day later"
    );
    let environment = api.environment(&service, "production").await;
    let made = api
        .made(
            &format!("/environments/{environment}/deployments"),
            json!({}),
        )
        .await;
    let views = format!("/deployments/{}/views", text(&made["deployment"]["id"]));
    let views = api.get(&views).await.to_string();
    for secret in &now {
        assert!(!views.contains(&secret.to_string()), "{views}");
    }
    let all = everything(&api, &environment).await;
    assert!(!all.contains(CANARY) && !all.contains(&now[0].to_string()));
}

#[tokio::test]
async fn a_release_that_is_gone_back_to_is_opened_by_what_opens_it_now() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let registry = |password: &str| json!({"registries": [{"registry": "ghcr.io", "username": "me", "password": password}]});
    let path = format!("/services/{service}");
    api.patch(&path, registry("old")).await;
    let first = api.deployed(&environment, json!({})).await;
    api.patch(&path, registry("new")).await;
    api.deployed(&environment, json!({})).await;
    let made = api
        .made(&format!("/environments/{environment}/rollback"), json!({}))
        .await;
    let back = api.input(id(&made["deployment"]["id"])).await;
    assert_eq!(back["frozen_of"], json!(first));
    let before = api.input(first).await;
    assert_ne!(
        back["registries"][0]["secret"],
        before["registries"][0]["secret"]
    );
    let source: Source = serde_json::from_value(back["source"].clone()).expect("a source");
    assert_eq!(source.kind(), "image");
}

#[tokio::test]
async fn only_an_owner_allows_what_reaches_beyond_a_services_own_containers() {
    let api = Api::new().await;
    let service = api
        .service("web", json!({"kind": "compose", "file": "services: {}"}))
        .await;
    let path = format!("/services/{service}");
    let allow = json!({"allow": ["docker_socket"]});
    let scopes = [Scope::EnvWrite, Scope::DeployRead];
    let admin = api.token(api.team, Role::Admin, &scopes).await;
    let (status, problem) = api
        .send(Method::PATCH, &path, &admin, None, allow.clone())
        .await;
    assert_eq!((status, &problem["code"]), (403, &json!("owner_needed")));
    assert_eq!(api.patch(&path, allow.clone()).await.0, 200);
    let (status, _) = api.send(Method::PATCH, &path, &admin, None, allow).await;
    assert_eq!(status, 200, "what is allowed already stays so");
    let (status, _) = api
        .send(Method::PATCH, &path, &admin, None, json!({"allow": []}))
        .await;
    assert_eq!(status, 200, "less is anybody's word");
}
