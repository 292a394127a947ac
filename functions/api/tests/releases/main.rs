//! Projects, services, environments, their values and releases through the API, on records in this process.
//!
//! The rule held: what is released can be seen, compared and gone back to; what is refused says why, and changed nothing; a
//! value or a secret that went in is in no answer.

mod refusals;
mod secrets;
mod stage;

use axum::http::Method;
use domain::release::UploadedSource;
use domain::{ActorKind, DeploymentId, LockKey, Trigger, Upload, UploadId};
use kit::draft;
use kit::releases::{Refused, Wanted, find};
use records::NewDeployment;
use serde_json::{Value, json};
use stage::{Api, id, text};

#[tokio::test]
async fn an_environment_of_an_image_is_deployed_with_its_creation() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let path = format!("/services/{service}/environments");
    let route = json!({"host": "Shop.Example.com", "port": 8080});
    let body =
        json!({"name": "production", "server_ids": api.servers, "routes": [route], "quorum": 1});
    let (status, plan) = api
        .post(&format!("{path}?dry_run=true"), body.clone())
        .await;
    assert_eq!(
        (status, &plan["type"]),
        (200, &json!("release")),
        "{plan:#}"
    );
    assert_eq!(api.get("/environments").await["items"], json!([]));
    let made = api.made(&path, body).await;
    let (environment, deployment) = (&made["environment"], &made["deployment"]);
    assert_eq!(environment["path"], "shop/web/production");
    assert_eq!(environment["status"], "deploying");
    assert_eq!(environment["urls"], json!(["https://shop.example.com"]));
    assert_eq!(environment["deploying"], deployment["id"]);
    assert_eq!(deployment["type"], "release");
    assert_eq!(
        deployment["vocabulary"],
        json!({"steps": "queued", "release": "pending"})
    );
    let input = api.input(id(&deployment["id"])).await;
    assert_eq!(input["quorum"], 1);
    assert_eq!(input["servers"][1]["name"], "docker2");
    assert_eq!(input["host_name"], environment["host_name"]);
    let detail = api
        .get(&format!("/deployments/{}", text(&deployment["id"])))
        .await;
    assert_eq!(detail["steps"][0]["servers"][0]["name"], "docker1");
    assert_eq!(detail["steps"][0]["servers"][0]["status"], "queued");
    api.completed(id(&deployment["id"])).await;
    let shown = api
        .get(&format!("/environments/{}", text(&environment["id"])))
        .await;
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["current"], deployment["id"]);
    assert_eq!(shown["kept"], json!([deployment["id"]]));
}

#[tokio::test]
async fn a_release_is_gone_back_to_with_its_own_input_and_pushes_wait_until_a_person_says_so() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let at = |what: &str| format!("/environments/{environment}/{what}");
    let first = api.deployed(&environment, json!({})).await;
    let second = api
        .deployed(
            &environment,
            json!({"images": {"app": "ghcr.io/example/app:2"}}),
        )
        .await;
    let old = api.get(&format!("/deployments/{first}")).await;
    assert_eq!(old["phase"], "superseded");
    assert_eq!(old["vocabulary"]["release"], "superseded");
    let made = api.made(&at("rollback"), json!({})).await;
    let back = id(&made["deployment"]["id"]);
    assert_eq!(made["deployment"]["rollback_of"], json!(first));
    let input = api.input(back).await;
    assert_eq!(input["frozen_of"], json!(first));
    assert_eq!(input["images"], json!({}), "its own, not the newer one's");
    api.completed(back).await;
    let shown = api.get(&format!("/environments/{environment}")).await;
    assert_eq!(shown["current"], json!(back));
    assert_eq!(shown["auto_deploys_paused_by"], json!(back));
    assert_eq!(
        shown["kept"],
        json!([back, second]),
        "what is gone back to is one release with the one that made it"
    );
    let walked = api.post(&at("rollback"), json!({})).await;
    assert_eq!(
        (walked.0, &walked.1["code"]),
        (409, &json!("nothing_to_go_back_to")),
        "the newer one is not before it"
    );
    let made = api.made(&at("rollback"), json!({"to": second})).await;
    let forth = id(&made["deployment"]["id"]);
    api.completed(forth).await;
    let made = api.made(&at("rollback"), json!({"to": first})).await;
    assert_eq!(
        made["deployment"]["rollback_of"],
        json!(back),
        "the one that made it stands for it"
    );
    let back = id(&made["deployment"]["id"]);
    api.completed(back).await;

    let env = environment.parse().expect("an id");
    let found = find(&api.cloud, api.team, env).await.expect("found");
    let push = found.release(Wanted::default(), Trigger::Webhook);
    assert_eq!(push.expect_err("refused"), Refused::AutoDeploysPaused(back));
    let (status, resumed) = api.post(&at("resume"), json!({})).await;
    assert_eq!(
        (status, &resumed["auto_deploys_paused_by"]),
        (200, &Value::Null)
    );
    let found = find(&api.cloud, api.team, env).await.expect("found");
    assert!(found.release(Wanted::default(), Trigger::Webhook).is_ok());
    let again = api.post(&at("resume"), json!({})).await;
    assert_eq!(
        again.1["revision"], resumed["revision"],
        "said twice, it changes nothing"
    );
}

#[tokio::test]
async fn a_deploy_by_hand_lets_pushes_deploy_again() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    api.deployed(&environment, json!({})).await;
    api.deployed(&environment, json!({})).await;
    let made = api
        .made(&format!("/environments/{environment}/rollback"), json!({}))
        .await;
    api.completed(id(&made["deployment"]["id"])).await;
    api.deployed(&environment, json!({})).await;
    let shown = api.get(&format!("/environments/{environment}")).await;
    assert_eq!(shown["auto_deploys_paused_by"], Value::Null);
}

/// A push of this commit to the main branch, as its webhook would have it deployed.
async fn pushed(api: &Api, environment: &str, commit: &str) -> DeploymentId {
    let env = environment.parse().expect("an id");
    let pipeline = pipelines::find("release").expect("a pipeline");
    let found = find(&api.cloud, api.team, env).await.expect("found");
    let wanted = Wanted {
        commit: Some(commit.to_string()),
        ..Wanted::default()
    };
    let input = found.release(wanted, Trigger::Webhook).expect("an input");
    let actor = domain::Actor {
        kind: ActorKind::System,
        id: "push".into(),
        name: "push".into(),
        role: "system".into(),
    };
    let slot = Some("main".to_string());
    let asked = found
        .asked(&input, actor.clone(), Trigger::Webhook, slot)
        .expect("asked");
    let input = asked.input.clone();
    let (deployment, steps) = draft::deployment(&api.cloud, &pipeline, asked).expect("a draft");
    let id = deployment.id;
    let audit = records::AuditEntry {
        id: id.to_string(),
        at: deployment.created_at,
        actor,
        from: String::new(),
        action: "environment.deploy".into(),
        target: environment.to_string(),
        detail: String::new(),
    };
    let new = NewDeployment {
        deployment,
        input,
        steps,
        target: None,
        claims: Vec::new(),
        idempotency: None,
        audit,
    };
    let made = api.cloud.records.deployment_create(new).await;
    made.expect("created");
    id
}

#[tokio::test]
async fn a_push_waits_in_the_slot_of_its_branch_and_a_newer_one_takes_its_place() {
    let api = Api::new().await;
    let source = json!({"kind": "repository", "url": "https://git.example.com/app.git"});
    let service = api.service("web", source).await;
    let environment = api.environment(&service, "production").await;
    let holder = api
        .made(
            &format!("/environments/{environment}/deployments"),
            json!({}),
        )
        .await;
    let mut waiting = Vec::new();
    for commit in ["a", "b"] {
        waiting.push(pushed(&api, &environment, &commit.repeat(40)).await);
    }
    let env = environment.parse().expect("an id");
    let lock = api
        .cloud
        .records
        .lock(api.team, &LockKey::environment(env))
        .await
        .expect("a lock");
    assert_eq!(lock.holder, Some(id(&holder["deployment"]["id"])));
    assert_eq!(lock.slots.len(), 1);
    assert_eq!(
        (lock.slots[0].name.as_str(), lock.slots[0].deployment_id),
        ("release:main", waiting[1])
    );
    let replaced = api.get(&format!("/deployments/{}", waiting[0])).await;
    assert_eq!(replaced["standing"], "skipped");
    api.completed(id(&holder["deployment"]["id"])).await;
    let turn = api.get(&format!("/deployments/{}", waiting[1])).await;
    assert_eq!(turn["dispatch"], "ready");
}

#[tokio::test]
async fn a_push_whose_turn_comes_while_pushes_are_paused_is_skipped_and_a_person_finds_the_target_free()
 {
    let api = Api::new().await;
    let source = json!({"kind": "repository", "url": "https://git.example.com/app.git"});
    let service = api.service("web", source).await;
    let environment = api.environment(&service, "production").await;
    for _ in 0..2 {
        api.deployed(&environment, json!({})).await;
    }
    let made = api
        .made(&format!("/environments/{environment}/rollback"), json!({}))
        .await;
    let back = id(&made["deployment"]["id"]);
    let push = pushed(&api, &environment, &"a".repeat(40)).await;
    let path = format!("/deployments/{push}");
    assert_eq!(api.get(&path).await["dispatch"], "held");
    api.completed(back).await;

    let skipped = api.get(&path).await;
    assert_eq!(skipped["standing"], "skipped", "{skipped:#}");
    assert_eq!(
        (&skipped["error"]["code"], &skipped["error"]["message"]),
        (
            &json!("auto_deploys_paused"),
            &json!(format!(
                "Skipped: deploys by pushes are paused since the rollback {back}"
            ))
        )
    );
    let shown = api.get(&format!("/environments/{environment}")).await;
    assert_eq!(shown["current"], json!(back));
    api.deployed(&environment, json!({})).await;
}

#[tokio::test]
async fn an_environment_that_was_live_is_taken_from_its_servers_and_its_names_are_free_again() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let route = json!({"host": "shop.example.com", "port": 80, "tls": "internal"});
    let body = json!({"name": "production", "server_ids": [api.servers[0]], "routes": [route]});
    let path = format!("/services/{service}/environments");
    let made = api.made(&path, body.clone()).await;
    let first = id(&made["deployment"]["id"]);
    api.completed(first).await;
    let environment = text(&made["environment"]["id"]);
    let at = format!("/environments/{environment}");
    assert_eq!(
        api.patch(&format!("{at}/values"), json!({"set": {"A": "1"}}))
            .await
            .0,
        200
    );
    // Its newest release runs elsewhere.
    let elsewhere = json!({"server_ids": [api.servers[1]]});
    assert_eq!(api.patch(&at, elsewhere).await.0, 200);
    api.deployed(&environment, json!({})).await;

    for words in ["delete_volumes=true", "delete_volumes=true&confirm=staging"] {
        let (status, problem) = api.delete(&format!("{at}?{words}")).await;
        assert_eq!((status, &problem["code"]), (422, &json!("not_confirmed")));
    }
    let (status, plan) = api.delete(&format!("{at}?dry_run=true")).await;
    assert_eq!((status, &plan["type"]), (200, &json!("remove_environment")));
    let sure = format!("{at}?delete_volumes=true&confirm=production");
    let (status, begun) = api.delete(&sure).await;
    assert_eq!(status, 202, "{begun:#}");
    let again = api.delete(&at).await;
    assert_eq!((again.0, &again.1["code"]), (409, &json!("target_busy")));
    let removal = id(&begun["deployment"]["id"]);
    let input = api.input(removal).await;
    assert_eq!(input["delete_volumes"], true);
    let servers: Vec<&Value> = input["servers"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|server| &server["name"])
        .collect();
    assert_eq!(
        servers,
        ["docker2", "docker1"],
        "wherever it was released to"
    );
    api.failed(removal).await;
    let shown = api.get(&at).await;
    assert_eq!(shown["status"], "active", "what failed is repeated");
    let (status, begun) = api.delete(&format!("{at}?force=true")).await;
    assert_eq!(status, 202, "{begun:#}");
    let forced = id(&begun["deployment"]["id"]);
    assert_eq!(
        (&input["quorum"], &api.input(forced).await["quorum"]),
        (&json!(2), &json!(0)),
        "by force it goes on without the servers that do not do it"
    );
    api.completed(forced).await;

    assert_eq!(api.delete(&at).await.0, 404);
    let history = api
        .get(&format!("/deployments?target=environment:{environment}"))
        .await;
    assert_eq!(history["items"].as_array().map(Vec::len), Some(4));
    api.made(&path, body).await;
}

#[tokio::test]
async fn an_environment_is_stopped_started_restarted_and_looked_at_where_it_runs() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let at = |what: &str| format!("/environments/{environment}/{what}");
    for what in ["stop", "start", "restart", "observe"] {
        api.refused(&at(what), json!({}), 409, "nothing_deployed")
            .await;
    }
    api.deployed(&environment, json!({})).await;
    // It is to run elsewhere after the next deploy, and runs where it was until then.
    let (status, _) = api
        .patch(
            &format!("/environments/{environment}"),
            json!({"server_ids": [api.servers[1]]}),
        )
        .await;
    assert_eq!(status, 200);
    for (what, status) in [
        ("stop", "stopped"),
        ("start", "active"),
        ("restart", "active"),
        ("observe", "active"),
    ] {
        let (code, plan) = api
            .post(&format!("{}?dry_run=true", at(what)), json!({}))
            .await;
        assert_eq!(
            (code, plan["type"].as_str()),
            (200, Some(format!("{what}_environment").as_str()))
        );
        let made = api.made(&at(what), json!({})).await;
        let done = id(&made["deployment"]["id"]);
        let busy = api.get(&format!("/environments/{environment}")).await;
        assert_ne!(
            busy["status"], "deploying",
            "what is done with containers is no release"
        );
        assert_eq!(api.input(done).await["servers"][0]["name"], "docker1");
        api.completed(done).await;
        let shown = api.get(&format!("/environments/{environment}")).await;
        assert_eq!(shown["status"], status, "{what}");
    }
}

#[tokio::test]
async fn what_runs_is_promoted_with_the_other_environments_values_and_routes() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let staging = api.environment(&service, "staging").await;
    let live = api
        .deployed(
            &staging,
            json!({"images": {"app": "ghcr.io/example/app:7"}}),
        )
        .await;
    api.froze(
        live,
        json!({"images": {"app": "ghcr.io/example/app@sha256:7"}}),
    )
    .await;
    let route = json!({"host": "shop.example.com", "port": 80, "tls": "internal"});
    let body = json!({"name": "production", "server_ids": [api.servers[1]], "deploy": false, "routes": [route]});
    let made = api
        .made(&format!("/services/{service}/environments"), body)
        .await;
    let production = text(&made["environment"]["id"]);
    let values = json!({"set": {"A": "1"}});
    assert_eq!(
        api.patch(&format!("/environments/{production}/values"), values)
            .await
            .0,
        200
    );
    let made = api
        .made(
            &format!("/environments/{production}/promote"),
            json!({"from": staging}),
        )
        .await;
    let input = api.input(id(&made["deployment"]["id"])).await;
    assert_eq!(input["frozen_of"], json!(live));
    assert_eq!(input["promoted_from"]["environment_id"], json!(staging));
    assert_eq!(input["promoted_from"]["server_id"], json!(api.servers[0]));
    assert_eq!(input["servers"][0]["id"], json!(api.servers[1]));
    assert_eq!(
        (&input["values_version"], &input["value_names"]),
        (&json!(1), &json!(["A"]))
    );
    assert_eq!(input["routes"][0]["host"], "shop.example.com");
    assert_eq!(input["images"]["app"], "ghcr.io/example/app:7");
    // Both are held: what is taken must not change meanwhile. The other one is not deploying.
    let shown = api.get(&format!("/environments/{staging}")).await;
    assert_eq!(
        (&shown["deploying"], &shown["status"]),
        (&made["deployment"]["id"], &json!("active"))
    );
    api.refused(
        &format!("/environments/{staging}/deployments"),
        json!({}),
        409,
        "target_busy",
    )
    .await;
}

#[tokio::test]
async fn a_failed_release_is_repeated_with_the_commit_and_digests_that_it_had_resolved() {
    let api = Api::new().await;
    let source = json!({"kind": "compose", "file": "services: {web: {image: app}}"});
    let service = api.service("web", source).await;
    let environment = api.environment(&service, "production").await;
    let made = api
        .made(
            &format!("/environments/{environment}/deployments"),
            json!({}),
        )
        .await;
    let failed = id(&made["deployment"]["id"]);
    api.froze(failed, json!({"images": {"web": "app@sha256:1"}}))
        .await;
    api.failed(failed).await;
    let made = api
        .made(&format!("/deployments/{failed}/retry"), json!({}))
        .await;
    assert_eq!(made["deployment"]["retry_of"], json!(failed));
    let input = api.input(id(&made["deployment"]["id"])).await;
    assert_eq!(input["images"], json!({"web": "app@sha256:1"}));
}

#[tokio::test]
async fn two_releases_are_compared_by_what_they_were_and_never_by_values() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let values = format!("/environments/{environment}/values");
    api.patch(&values, json!({"set": {"KEPT": "1", "CHANGED": "one"}}))
        .await;
    let from = api.deployed(&environment, json!({})).await;
    api.froze(
        from,
        json!({"images": {"app": "app@sha256:1"}, "commit": "a"}),
    )
    .await;
    api.patch(&values, json!({"set": {"CHANGED": "two", "NEW": "3"}}))
        .await;
    let body = json!({"images": {"app": "ghcr.io/example/app:2"}});
    let (status, plan) = api
        .post(
            &format!("/environments/{environment}/deployments?dry_run=true"),
            body.clone(),
        )
        .await;
    assert_eq!(status, 200, "{plan:#}");
    assert_eq!(
        plan["diff"]["values"],
        json!({"added": ["NEW"], "removed": [], "changed": ["CHANGED"]})
    );
    let to = api.deployed(&environment, body).await;
    api.froze(
        to,
        json!({"images": {"app": "app@sha256:2"}, "commit": "b"}),
    )
    .await;
    let diff = api
        .get(&format!("/deployments/diff?from={from}&to={to}"))
        .await;
    assert_eq!(diff["commit"], json!({"from": "a", "to": "b"}));
    assert_eq!(
        diff["images"],
        json!([{"service": "app", "from": "app@sha256:1", "to": "app@sha256:2"}])
    );
    assert_eq!(diff["values"]["changed"], json!(["CHANGED"]));
    assert!(!diff.to_string().contains("two"), "{diff:#}");
    let same = api
        .get(&format!("/deployments/diff?from={to}&to={to}"))
        .await;
    assert_eq!(same["images"], json!([]));
}

#[tokio::test]
async fn another_kind_of_source_differs_before_it_is_built() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let live = api.deployed(&environment, json!({})).await;
    api.froze(live, json!({"images": {"app": "app@sha256:1"}}))
        .await;
    let url = "https://git.example.com/app.git";
    let source = json!({"source": {"kind": "repository", "url": url}});
    let (status, changed) = api.patch(&format!("/services/{service}"), source).await;
    assert_eq!(status, 200, "{changed:#}");
    let path = format!("/environments/{environment}/deployments?dry_run=true");
    let (_, plan) = api.post(&path, json!({})).await;
    let images =
        json!([{"service": "app", "from": "app@sha256:1", "to": format!("built from {url} main")}]);
    assert_eq!(plan["diff"]["images"], images, "{plan:#}");
}

#[tokio::test]
async fn the_views_of_a_release_say_what_was_asked_frozen_and_seen_and_how_long_ago() {
    let api = Api::new().await;
    let service = api.image_service().await;
    let environment = api.environment(&service, "production").await;
    let live = api.deployed(&environment, json!({})).await;
    let views = format!("/deployments/{live}/views");
    let before = api.get(&views).await;
    assert_eq!(
        (&before["frozen"], &before["observed"]),
        (&Value::Null, &json!([]))
    );
    assert_eq!(
        before["declared"]["source"]["image"],
        "ghcr.io/example/app:1"
    );
    api.froze(live, json!({"commit": "abc"})).await;
    let seen = records::Seen {
        server_id: api.servers[0].parse().expect("an id"),
        at: api.cloud.clock.now() - chrono::TimeDelta::seconds(90),
        deployment_id: live,
        observed: json!({"containers": []}),
    };
    let env = environment.parse().expect("an id");
    api.cloud
        .records
        .observed_put(api.team, env, &seen)
        .await
        .expect("stored");
    let after = api.get(&views).await;
    assert_eq!(after["frozen"]["commit"], "abc");
    assert_eq!(after["observed"][0]["age_seconds"], 90);
}

#[tokio::test]
async fn a_create_with_the_same_key_makes_one_thing_and_with_another_body_none() {
    let api = Api::new().await;
    let send = async |path: String, body: Value| {
        api.send(Method::POST, &path, &api.token, Some("k"), body)
            .await
    };
    let (first, again) = (
        send("/projects".into(), json!({"name": "shop"})).await,
        send("/projects".into(), json!({"name": "shop"})).await,
    );
    assert_eq!((first.0, again.0), (201, 201), "{again:?}");
    assert_eq!(first.1["id"], again.1["id"]);
    let other = send("/projects".into(), json!({"name": "other"})).await;
    assert_eq!(
        (other.0, &other.1["code"]),
        (422, &json!("idempotency_key_reused"))
    );
    let service = api.image_service().await;
    let body = json!({"name": "production", "server_ids": [api.servers[0]]});
    let path = format!("/services/{service}/environments");
    let once = api
        .send(Method::POST, &path, &api.token, Some("e"), body.clone())
        .await;
    let twice = api
        .send(Method::POST, &path, &api.token, Some("e"), body)
        .await;
    assert_eq!((once.0, twice.0), (201, 201), "{twice:?}");
    assert_eq!(once.1["deployment"]["id"], twice.1["deployment"]["id"]);
    assert_eq!(once.1["environment"]["id"], twice.1["environment"]["id"]);
}

#[tokio::test]
async fn an_archive_is_deployed_once_its_upload_is_complete() {
    let api = Api::new().await;
    let service = api.service("web", json!({"kind": "archive"})).await;
    let made = api
        .made(
            &format!("/services/{service}/environments"),
            json!({"name": "production", "server_ids": [api.servers[0]]}),
        )
        .await;
    assert_eq!(
        made["deployment"],
        Value::Null,
        "there is nothing to build yet"
    );
    let environment = text(&made["environment"]["id"]);
    let path = format!("/environments/{environment}/deployments");
    api.refused(&path, json!({}), 422, "upload_needed").await;
    let (time, random) = api.cloud.id_parts();
    let upload: Upload = serde_json::from_value(json!({"schema": 1, "id": UploadId::from_parts(time, random),
        "team_id": api.team, "key": "sources/x", "format": "tar_gz", "object": {"size_bytes": 1, "sha256": "00"},
        "created_at": domain::rfc3339(api.cloud.clock.now()),
        "expires_at": api.cloud.clock.now().timestamp() + 60}))
    .expect("an upload");
    let audit = |id: &str| records::AuditEntry {
        id: id.to_string(),
        at: api.cloud.clock.now(),
        actor: domain::Actor {
            kind: ActorKind::System,
            id: "x".into(),
            name: "x".into(),
            role: "x".into(),
        },
        from: String::new(),
        action: "upload.create".into(),
        target: String::new(),
        detail: String::new(),
    };
    let records = &api.cloud.records;
    records
        .upload_create(&upload, &audit("1"))
        .await
        .expect("stored");
    let body = json!({"upload_id": upload.id});
    api.refused(&path, body.clone(), 409, "upload_incomplete")
        .await;
    records
        .upload_complete(&upload, &audit("2"))
        .await
        .expect("complete");
    let made = api.made(&path, body.clone()).await;
    let input = api.input(id(&made["deployment"]["id"])).await;
    let source: UploadedSource = serde_json::from_value(input["upload"].clone()).expect("a source");
    assert_eq!(source.key, "sources/x");
    let image = api.image_service_named("plain").await;
    let other = api.environment(&image, "production").await;
    let path = format!("/environments/{other}/deployments");
    api.refused(&path, body, 422, "not_for_this_source").await;
}
