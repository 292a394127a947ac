//! What is refused: bad input, taken names, another team's ids, what cannot be released, gone back to or deleted.

use crate::stage::{Api, id, text};
use axum::http::Method;
use domain::{DeploymentId, Role, Scope, TeamId};
use serde_json::{Value, json};
use strum::VariantArray;

#[tokio::test]
async fn bad_fields_are_named_and_nothing_is_stored() {
    let api = Api::new().await;
    let project = api.made("/projects", json!({"name": "shop"})).await;
    let services = format!("/projects/{}/services", text(&project["id"]));
    let image = json!({"kind": "image", "image": "app:1"});
    let url = "https://git.example.com/app.git";
    let bad = [
        ("name", json!({"name": "No Slug", "source": image})),
        (
            "source",
            json!({"name": "web", "source": {"kind": "image", "image": "a b"}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "image", "image": "--privileged"}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "compose", "file": " "}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "compose", "file": "x".repeat(65 * 1024)}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": "ext::sh -c id"}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": "https://a:b@git.example.com/x"}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": url, "reference": "--x"}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": url, "build": {"context": "../.."}}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": url, "access": {"kind": "keep"}}}),
        ),
        (
            "source",
            json!({"name": "web", "source": {"kind": "repository", "url": url,
            "access": {"kind": "deploy_key", "private_key": "x"}}}),
        ),
        (
            "replicas",
            json!({"name": "web", "source": image, "replicas": 0}),
        ),
        (
            "gates",
            json!({"name": "web", "source": image, "gates": {"app": {"http": {"path": "health"}}}}),
        ),
        (
            "gates",
            json!({"name": "web", "source": image, "gates": {"app": {"successes": 0}}}),
        ),
        (
            "limits",
            json!({"name": "web", "source": image, "limits": {"memory_bytes": 1}}),
        ),
        (
            "registries",
            json!({"name": "web", "source": image, "registries": [{"registry": "ghcr.io", "username": "me"}]}),
        ),
        (
            "secret",
            json!({"name": "web", "source": image,
            "registries": [{"registry": "ghcr.io", "username": "me", "password": ""}]}),
        ),
        (
            "allow",
            json!({"name": "web", "source": image, "allow": ["privileged"]}),
        ),
        (
            "auto_deploy",
            json!({"name": "web", "source": image, "auto_deploy": {"branch": "main"}}),
        ),
    ];
    for (field, body) in bad {
        let problem = api
            .refused(&services, body.clone(), 422, "invalid_fields")
            .await;
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem:#}");
    }
    assert_eq!(api.get("/services").await["items"], json!([]));
    let service = api.image_service().await;
    let environments = format!("/services/{service}/environments");
    let server = &api.servers[0];
    let route = |host: &str, service: &str, port: u32| json!({"host": host, "service": service, "port": port});
    let bad = [
        ("name", json!({"name": "x", "server_ids": [server]})),
        (
            "server_ids",
            json!({"name": "production", "server_ids": [server, server]}),
        ),
        (
            "quorum",
            json!({"name": "production", "server_ids": [server], "quorum": 2}),
        ),
        (
            "quorum",
            json!({"name": "production", "server_ids": [server], "quorum": 0}),
        ),
        (
            "routes",
            json!({"name": "production", "server_ids": [server], "routes": [route("a b", "app", 80)]}),
        ),
        (
            "routes",
            json!({"name": "production", "server_ids": [server], "routes": [route("a.example.com", "db", 80)]}),
        ),
        (
            "routes",
            json!({"name": "production", "server_ids": [server], "routes": [route("a.example.com", "app", 0)]}),
        ),
        (
            "routes",
            json!({"name": "production", "server_ids": [server],
            "routes": [route("a.example.com", "app", 80), route("A.example.com", "app", 81)]}),
        ),
        (
            "drain_seconds",
            json!({"name": "production", "server_ids": [server], "drain_seconds": 6000}),
        ),
    ];
    for (field, body) in bad {
        let problem = api
            .refused(&environments, body.clone(), 422, "invalid_fields")
            .await;
        assert_eq!(problem["errors"][0]["field"], field, "{body}: {problem:#}");
    }
    assert_eq!(api.get("/environments").await["items"], json!([]));
    let environment = api.environment(&service, "production").await;
    for (field, body) in [
        ("images", json!({"images": {"app": "$(id)"}})),
        ("images", json!({"images": {"db": "app:1"}})),
        ("commit", json!({"commit": "main"})),
        ("reference", json!({"reference": "--upload-pack=id"})),
        ("compose", json!({"compose": ""})),
    ] {
        let path = format!("/environments/{environment}/deployments");
        let problem = api.refused(&path, body, 422, "invalid_fields").await;
        assert_eq!(problem["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_taken_name_or_host_is_refused_until_it_is_free_again() {
    let api = Api::new().await;
    let service = api.image_service().await;
    api.refused("/projects", json!({"name": "shop"}), 409, "taken")
        .await;
    let project = text(&api.get("/projects").await["items"][0]["id"]);
    let same = json!({"name": "web", "source": {"kind": "image", "image": "x"}});
    api.refused(&format!("/projects/{project}/services"), same, 409, "taken")
        .await;
    let path = format!("/services/{service}/environments");
    let body = |name: &str, server: &str| {
        json!({"name": name, "server_ids": [server], "deploy": false,
            "routes": [{"host": "shop.example.com", "port": 80}]})
    };
    let first = api.made(&path, body("production", &api.servers[0])).await;
    api.refused(&path, body("production", &api.servers[1]), 409, "taken")
        .await;
    api.refused(&path, body("staging", &api.servers[0]), 409, "taken")
        .await;
    // With a deployment too.
    let mut deployed = body("staging", &api.servers[0]);
    deployed["deploy"] = json!(true);
    api.refused(&path, deployed, 409, "taken").await;
    let other = api.made(&path, body("staging", &api.servers[1])).await;
    let other = format!("/environments/{}", text(&other["environment"]["id"]));
    let (status, problem) = api.patch(&other, json!({"server_ids": api.servers})).await;
    assert_eq!((status, &problem["code"]), (409, &json!("taken")));
    let first = format!("/environments/{}", text(&first["environment"]["id"]));
    let (status, changed) = api.patch(&first, json!({"routes": []})).await;
    assert_eq!(status, 200, "{changed:#}");
    let (status, changed) = api.patch(&other, json!({"server_ids": api.servers})).await;
    assert_eq!(status, 200, "{changed:#}");
    assert_eq!(api.delete(&first).await.0, 204);
    let (status, _) = api
        .post(
            &path,
            json!({"name": "production", "server_ids": [], "deploy": false}),
        )
        .await;
    assert_eq!(status, 201, "the name is free with its environment gone");
}

#[tokio::test]
async fn a_change_over_an_older_revision_is_refused() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let path = format!("/services/{service}");
    let change = json!({"revision": 1, "replicas": 2});
    let (status, changed) = api.patch(&path, change.clone()).await;
    assert_eq!(
        (status, &changed["revision"]),
        (200, &json!(2)),
        "{changed:#}"
    );
    let (status, problem) = api.patch(&path, change).await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("changed_meanwhile"))
    );
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}");
    let (status, problem) = api
        .patch(&path, json!({"revision": 7, "drain_seconds": 1}))
        .await;
    assert_eq!(
        (status, &problem["code"]),
        (409, &json!("changed_meanwhile"))
    );
}

#[tokio::test]
async fn what_has_something_in_it_or_runs_is_not_deleted() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let project = text(&api.get("/projects").await["items"][0]["id"]);
    let environment = api.environment(&service, "production").await;
    let code = async |path: String| {
        let (status, problem) = api.delete(&path).await;
        (
            status,
            problem["code"].as_str().unwrap_or_default().to_string(),
        )
    };
    assert_eq!(
        code(format!("/projects/{project}")).await,
        (409, "project_in_use".into())
    );
    assert_eq!(
        code(format!("/services/{service}")).await,
        (409, "service_in_use".into())
    );
    let path = format!("/environments/{environment}/deployments");
    let made = api.made(&path, json!({})).await;
    let busy = code(format!("/environments/{environment}")).await;
    assert_eq!(
        busy,
        (409, "target_busy".into()),
        "something is at work on it"
    );
    let deployment = id(&made["deployment"]["id"]);
    api.failed(deployment).await;
    let failed = api.delete(&format!("/environments/{environment}")).await;
    assert_eq!(
        (failed.0, &failed.1["deployment"]["type"]),
        (202, &json!("remove_environment")),
        "what failed may have left volumes and networks"
    );
    let other = api.environment(&service, "staging").await;
    api.patch(
        &format!("/environments/{other}/values"),
        json!({"set": {"A": "1"}}),
    )
    .await;
    assert_eq!(code(format!("/environments/{other}")).await.0, 204);
    assert_eq!(code(format!("/environments/{other}")).await.0, 404);
}

#[tokio::test]
async fn without_servers_or_with_one_that_is_not_ready_nothing_is_released() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environments = format!("/services/{service}/environments");
    let none = json!({"name": "production", "server_ids": []});
    api.refused(&environments, none.clone(), 422, "no_servers")
        .await;
    assert_eq!(
        api.get("/environments").await["items"],
        json!([]),
        "nor is it stored"
    );
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}");
    assert_eq!(api.patch(&path, json!({"server_ids": []})).await.0, 200);
    let deploy = format!("{path}/deployments");
    api.refused(&deploy, json!({}), 422, "no_servers").await;
    assert_eq!(
        api.patch(&path, json!({"server_ids": [api.servers[0]]}))
            .await
            .0,
        200
    );
    let server = api.servers[0].parse().expect("an id");
    let lacks = |server: &mut domain::Server| {
        let facts = server.facts.as_mut().expect("facts");
        let missing = vec!["install Docker".to_string()];
        facts.missing.insert("releases".to_string(), missing);
    };
    let updated = api
        .cloud
        .records
        .server_update(api.team, server, lacks)
        .await;
    updated.expect("updated");
    let problem = api
        .refused(&deploy, json!({}), 422, "server_not_ready")
        .await;
    assert!(
        text(&problem["detail"]).contains("install Docker"),
        "{problem:#}"
    );
}

#[tokio::test]
async fn only_what_is_kept_can_be_gone_back_to() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}");
    let back = format!("{path}/rollback");
    api.refused(&back, json!({}), 409, "nothing_to_go_back_to")
        .await;
    assert_eq!(api.patch(&path, json!({"keep_releases": 1})).await.0, 200);
    let first = api.deployed(&environment, json!({})).await;
    api.refused(&back, json!({}), 409, "nothing_to_go_back_to")
        .await;
    let second = api.deployed(&environment, json!({})).await;
    let third = api.deployed(&environment, json!({})).await;
    for gone in [first, third, DeploymentId::from_parts(1, 1)] {
        let problem = api
            .refused(&back, json!({"to": gone}), 409, "release_not_kept")
            .await;
        assert!(
            text(&problem["detail"]).contains(&second.to_string()),
            "{problem:#}"
        );
    }
    let (status, plan) = api
        .post(&format!("{back}?dry_run=true"), json!({"to": second}))
        .await;
    assert_eq!((status, &plan["type"]), (200, &json!("rollback")));
    let taken = json!({"host": "shop.example.com", "port": 80});
    api.patch(&path, json!({"routes": [taken]})).await;
    let routed = api.deployed(&environment, json!({})).await;
    api.patch(&path, json!({"routes": []})).await;
    api.deployed(&environment, json!({})).await;
    let other = api.environment(&service, "staging").await;
    assert_eq!(
        api.patch(
            &format!("/environments/{other}"),
            json!({"routes": [taken]})
        )
        .await
        .0,
        200
    );
    let problem = api
        .refused(&back, json!({"to": routed}), 409, "taken")
        .await;
    assert!(text(&problem["detail"]).contains("shop.example.com"));
}

#[tokio::test]
async fn a_release_is_gone_back_to_where_it_was_and_nowhere_else() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let path = format!("/environments/{environment}");
    let back = format!("{path}/rollback");
    api.deployed(&environment, json!({})).await;
    assert_eq!(
        api.patch(&path, json!({"server_ids": api.servers})).await.0,
        200
    );
    let on_both = api.deployed(&environment, json!({})).await;
    let problem = api.refused(&back, json!({}), 409, "servers_changed").await;
    assert!(
        text(&problem["detail"]).contains("docker2"),
        "it never was there: {problem:#}"
    );
    let deploy = format!("{path}/deployments");
    let made = api.made(&deploy, json!({})).await;
    let failed = id(&made["deployment"]["id"]);
    api.failed(failed).await;
    let left = json!({"server_ids": [api.servers[1]]});
    assert_eq!(api.patch(&path, left).await.0, 200);
    let retry = format!("/deployments/{failed}/retry");
    api.refused(&retry, json!({}), 409, "servers_changed").await;
    let moved = api.deployed(&environment, json!({})).await;
    let names = |input: &Value, field: &str| -> Vec<Value> {
        let all = input[field].as_array().into_iter().flatten();
        all.map(|server| server["name"].clone()).collect()
    };
    let input = api.input(moved).await;
    assert_eq!(names(&input, "servers"), ["docker2"]);
    assert_eq!(names(&input, "left_servers"), ["docker1"]);
    let made = api.made(&back, json!({"to": on_both})).await;
    let input = api.input(id(&made["deployment"]["id"])).await;
    assert_eq!(
        (names(&input, "servers"), &input["quorum"]),
        (vec![json!("docker2")], &json!(1)),
        "where it is live now"
    );
}

#[tokio::test]
async fn what_an_owner_allowed_once_is_not_released_again_after_it_was_taken_back() {
    let api = Api::new().await;
    let compose = json!({"kind": "compose", "file": "services: {}"});
    let service = api.service("web", compose).await;
    let path = format!("/services/{service}");
    let environment = api.environment(&service, "production").await;
    let allow = |what: &[&str]| api.patch(&path, json!({ "allow": what }));
    assert_eq!(allow(&["docker_socket"]).await.0, 200);
    api.deployed(&environment, json!({})).await;
    let at = format!("/environments/{environment}");
    let made = api.made(&format!("{at}/deployments"), json!({})).await;
    let failed = id(&made["deployment"]["id"]);
    api.failed(failed).await;
    assert_eq!(allow(&[]).await.0, 200);
    api.deployed(&environment, json!({})).await;
    let retry = format!("/deployments/{failed}/retry");
    let code = "no_longer_allowed";
    let problem = api.refused(&retry, json!({}), 409, code).await;
    assert!(
        text(&problem["detail"]).contains("docker_socket"),
        "{problem:#}"
    );
    let back = format!("{at}/rollback");
    api.refused(&back, json!({}), 409, code).await;
    assert_eq!(allow(&["docker_socket"]).await.0, 200);
    api.made(&back, json!({})).await;
}

#[tokio::test]
async fn only_what_runs_in_another_environment_of_the_service_is_promoted() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let (staging, production) = (
        api.environment(&service, "staging").await,
        api.environment(&service, "production").await,
    );
    let path = format!("/environments/{production}/promote");
    let from = |id: &str| json!({"from": id});
    api.refused(&path, from(&production), 422, "same_environment")
        .await;
    api.refused(&path, from(&staging), 409, "nothing_to_promote")
        .await;
    let other = api.image_service_named("other").await;
    let elsewhere = api.environment(&other, "staging").await;
    api.refused(&path, from(&elsewhere), 422, "other_service")
        .await;
    api.refused(&path, json!({}), 400, "malformed_json").await;
}

#[tokio::test]
async fn what_is_no_release_has_nothing_to_compare() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let live = api.deployed(&environment, json!({})).await;
    let made = api
        .made(&format!("/environments/{environment}/stop"), json!({}))
        .await;
    let stop = text(&made["deployment"]["id"]);
    let path = format!("/deployments/diff?from={live}&to={stop}");
    let (status, problem) = api
        .send(Method::GET, &path, &api.token, None, Value::Null)
        .await;
    assert_eq!((status, &problem["code"]), (422, &json!("not_a_release")));
}

#[tokio::test]
async fn another_teams_ids_are_the_ids_of_nothing() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let project = text(&api.get("/projects").await["items"][0]["id"]);
    let environment = api.environment(&service, "production").await;
    let live = api.deployed(&environment, json!({})).await;
    let values = json!({"set": {"A": "canary"}});
    api.patch(
        &format!("/environments/{environment}/values"),
        values.clone(),
    )
    .await;
    let other = api
        .token(TeamId::from_parts(2, 2), Role::Owner, Scope::VARIANTS)
        .await;
    let source = json!({"kind": "image", "image": "x"});
    let env = format!("/environments/{environment}");
    let calls = [
        (Method::GET, format!("/projects/{project}"), Value::Null),
        (Method::DELETE, format!("/projects/{project}"), Value::Null),
        (
            Method::POST,
            format!("/projects/{project}/services"),
            json!({"name": "web", "source": source}),
        ),
        (Method::GET, format!("/services/{service}"), Value::Null),
        (
            Method::PATCH,
            format!("/services/{service}"),
            json!({"replicas": 2}),
        ),
        (Method::DELETE, format!("/services/{service}"), Value::Null),
        (
            Method::POST,
            format!("/services/{service}/environments"),
            json!({"name": "mine", "server_ids": []}),
        ),
        (Method::GET, env.clone(), Value::Null),
        (Method::PATCH, env.clone(), json!({"drain_seconds": 1})),
        (Method::DELETE, env.clone(), Value::Null),
        (Method::POST, format!("{env}/deployments"), json!({})),
        (Method::POST, format!("{env}/rollback"), json!({})),
        (
            Method::POST,
            format!("{env}/promote"),
            json!({"from": environment}),
        ),
        (Method::POST, format!("{env}/restart"), json!({})),
        (Method::POST, format!("{env}/stop"), json!({})),
        (Method::POST, format!("{env}/start"), json!({})),
        (Method::POST, format!("{env}/observe"), json!({})),
        (Method::POST, format!("{env}/resume"), json!({})),
        (Method::GET, format!("{env}/values"), Value::Null),
        (Method::GET, format!("{env}/values/A"), Value::Null),
        (Method::PATCH, format!("{env}/values"), values.clone()),
        (Method::PUT, format!("{env}/values"), values),
        (
            Method::GET,
            format!("/deployments/{live}/views"),
            Value::Null,
        ),
        (
            Method::GET,
            format!("/deployments/diff?from={live}&to={live}"),
            Value::Null,
        ),
    ];
    for (method, path, body) in calls {
        let (status, answer) = api.send(method.clone(), &path, &other, None, body).await;
        assert_eq!(
            (status, &answer["code"]),
            (404, &json!("not_found")),
            "{method} {path}"
        );
        assert!(!answer.to_string().contains("canary"));
    }
    for path in ["/projects", "/services", "/environments"] {
        let (_, page) = api.send(Method::GET, path, &other, None, Value::Null).await;
        assert_eq!(page["items"], json!([]), "{path}");
    }
    // Nor are another team's servers one's own.
    let mine = api
        .send(
            Method::POST,
            "/projects",
            &other,
            None,
            json!({"name": "shop"}),
        )
        .await
        .1;
    let path = format!("/projects/{}/services", text(&mine["id"]));
    let body = json!({"name": "web", "source": {"kind": "image", "image": "x"}});
    let mine = api.send(Method::POST, &path, &other, None, body).await.1;
    let path = format!("/services/{}/environments", text(&mine["id"]));
    let body = json!({"name": "production", "server_ids": [api.servers[0]], "deploy": false});
    let (status, _) = api.send(Method::POST, &path, &other, None, body).await;
    assert_eq!(status, 404);
    assert_eq!(
        api.get(&env).await["current"],
        json!(live),
        "nothing of it changed"
    );
}

#[tokio::test]
async fn each_scope_opens_its_own_routes_alone() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let env = format!("/environments/{environment}");
    let calls = [
        (
            Method::POST,
            "/projects".to_string(),
            json!({"name": "x1"}),
            Scope::EnvWrite,
        ),
        (
            Method::GET,
            "/projects".to_string(),
            Value::Null,
            Scope::DeployRead,
        ),
        (
            Method::GET,
            "/services".to_string(),
            Value::Null,
            Scope::DeployRead,
        ),
        (Method::GET, env.clone(), Value::Null, Scope::DeployRead),
        (Method::PATCH, env.clone(), json!({}), Scope::EnvWrite),
        (
            Method::GET,
            format!("{env}/values"),
            Value::Null,
            Scope::EnvRead,
        ),
        (
            Method::PATCH,
            format!("{env}/values"),
            json!({}),
            Scope::EnvWrite,
        ),
        (
            Method::POST,
            format!("{env}/deployments"),
            json!({}),
            Scope::DeployStart,
        ),
        (
            Method::POST,
            format!("{env}/rollback"),
            json!({}),
            Scope::DeployRollback,
        ),
        (
            Method::POST,
            format!("{env}/resume"),
            json!({}),
            Scope::DeployStart,
        ),
    ];
    for (method, path, body, needed) in calls {
        let others: Vec<_> = Scope::VARIANTS
            .iter()
            .copied()
            .filter(|scope| *scope != needed)
            .collect();
        let token = api.token(api.team, Role::Owner, &others).await;
        let (status, problem) = api
            .send(method.clone(), &path, &token, None, body.clone())
            .await;
        assert_eq!(
            (status, &problem["code"]),
            (403, &json!("forbidden")),
            "{method} {path}"
        );
        let token = api.token(api.team, Role::Owner, &[needed]).await;
        let (status, _) = api.send(method.clone(), &path, &token, None, body).await;
        assert_ne!(status, 403, "{method} {path}");
    }
}
