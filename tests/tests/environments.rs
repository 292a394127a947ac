//! The life of environments on real Docker hosts: stopped and started, looked at, gone back in, removed.

use domain::{DeploymentId, DeploymentStatus, Dispatch, Phase, Settlement, Time, Trigger};
use e2e::app::App;
use e2e::{Stack, settled, step};
use records::{AuditEntry, NewDeployment};
use reqwest::Method;
use serde_json::{Value, json};

fn outputs<'a>(deployment: &'a Value, name: &str) -> Vec<&'a str> {
    let rows = step(deployment, name)["servers"].as_array();
    let rows = rows.into_iter().flatten();
    rows.filter_map(|row| row["output"].as_str()).collect()
}

#[tokio::test]
async fn a_failed_release_is_repeated_as_it_was_resolved_though_its_tag_leads_elsewhere_by_now() {
    let app = App::running("again").await;
    let moving = app.stack.app_image("moving", &[("HEALTHY", "0")]);
    let gates = json!({"gates": {"app": {"http": {"path": "/health"}, "within_seconds": 4}}});
    app.service_changed(gates).await;
    let asked = json!({"images": {"app": moving}});
    let failed = app.ended("/deployments", asked).await;
    settled(&failed, "failed").expect("it fails");
    app.stack.app_image("moving", &[]);
    let path = format!("/v1/deployments/{}/retry", app.id_of(&failed));
    let again = app.stack.post(&path, json!({})).await;
    assert_eq!(again.status, 201, "{:#}", again.body);
    let again = app.stack.ended(&app.id_of(&again.body["deployment"])).await;
    settled(&again, "failed").expect("what it had resolved is not ready now either");
    let (first, second) = (app.views(&failed).await, app.views(&again).await);
    assert_eq!(first["frozen"]["images"], second["frozen"]["images"]);
    assert_eq!(app.version().await, "200 version=v1");
}

#[tokio::test]
async fn a_stopped_environment_says_so_and_keeps_its_volumes_and_what_is_lost_by_hand_is_named_and_mended()
 {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let file = format!(
        "services:\n  app: {{image: '{image}'}}\n  db:\n    image: {image}\n    environment: {{DATA_FILE: /data/file}}\n    volumes: ['data:/data']\nvolumes: {{data: }}\n"
    );
    let app = App::new("stopped", json!({"kind": "compose", "file": file}), 1).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("released");
    let volumes = app.volumes(0);
    assert!(volumes.contains("data"), "{volumes}");

    let done = app.ended("/stop", json!({})).await;
    settled(&done, "completed").expect("stopped");
    assert_eq!(app.seen().await["status"], "stopped");
    let (status, page) = app.page_on(0, "/").await;
    assert_eq!((status, page.trim()), (503, "This environment is stopped."));
    assert!(
        !app.containers(0).contains("running"),
        "{}",
        app.containers(0)
    );
    assert_eq!(app.volumes(0), volumes);
    let done = app.ended("/start", json!({})).await;
    settled(&done, "completed").expect("started");
    let seen = app.seen().await;
    assert_eq!(
        (&seen["status"], &seen["current"]),
        (&json!("active"), &json!(app.first))
    );
    assert_eq!(app.version().await, "200 version=v1");

    let done = app.ended("/stop", json!({})).await;
    settled(&done, "completed").expect("stopped again");
    let v2 = app.stack.app_image("v2", &[]);
    let released = app.released(&v2).await;
    assert_eq!(app.version().await, "200 version=v2");
    assert_eq!(app.seen().await["status"], "active");
    assert_eq!(app.volumes(0), volumes);

    for (by_hand, drift) in [("kill", "0 of 1"), ("rm -f", "0 of 1")] {
        app.on_server(
            0,
            &format!(
                "docker ps -q --filter label=triphammer.environment={} --filter label=triphammer.service=app | xargs docker {by_hand}",
                app.host_name().await
            ),
        );
        let looked = app.ended("/observe", json!({})).await;
        settled(&looked, "completed").expect("observed");
        let view = app.views(&released).await;
        let observed = &view["observed"][0];
        assert!(
            observed["observed"]["drift"].to_string().contains(drift),
            "{by_hand}: {view:#}"
        );
        assert!(
            observed["age_seconds"].as_u64().is_some_and(|age| age < 60),
            "{view:#}"
        );
        let done = app.ended("/restart", json!({})).await;
        settled(&done, "completed").expect("restarted");
        assert_eq!(app.version().await, "200 version=v2", "{by_hand}");
        let view = app.views(&released).await;
        assert_eq!(
            view["observed"][0]["observed"]["drift"],
            json!([]),
            "{by_hand}"
        );
    }
}

/// A release as a push to the main branch would make it, like this one.
#[allow(
    clippy::disallowed_methods,
    reason = "it writes a record of this moment, as a function would"
)]
async fn pushed(app: &App, like: &Value) -> String {
    let records = app.stack.records().await.expect("the records");
    let team = app.stack.team().await.parse().expect("a team");
    let like: DeploymentId = app.id_of(like).parse().expect("an id");
    let read = records.deployment_snapshot(team, like).await;
    let snapshot = read.expect("a deployment");
    let now = Time::from(std::time::SystemTime::now());
    let mut deployment = snapshot.deployment;
    deployment.id = DeploymentId::from_parts(
        now.timestamp_millis().unsigned_abs(),
        rand::random::<u128>() >> 48,
    );
    deployment.trigger = Trigger::Webhook;
    deployment.slot = Some("release:main".to_string());
    deployment.status = DeploymentStatus::Queued;
    deployment.settlement = Settlement::Active;
    deployment.dispatch = Dispatch::Ready;
    deployment.phase = Some(Phase::Pending);
    deployment.outcome = None;
    deployment.created_at = now;
    deployment.started_at = None;
    deployment.finished_at = None;
    deployment.settled_at = None;
    deployment.ready_at = None;
    deployment.claims = Vec::new();
    deployment.creates_target = false;
    deployment.seq = 1;
    let pipeline = pipelines::find("release").expect("a pipeline");
    let audit = AuditEntry {
        id: deployment.id.to_string(),
        at: now,
        actor: deployment.actor.clone(),
        from: String::new(),
        action: "environment.deploy".to_string(),
        target: app.environment.clone(),
        detail: String::new(),
    };
    let id = deployment.id.to_string();
    let new = NewDeployment {
        deployment,
        steps: kit::draft::steps(&pipeline, &snapshot.input),
        input: snapshot.input,
        target: None,
        claims: Vec::new(),
        idempotency: None,
        audit,
    };
    let made = records.deployment_create(new).await;
    made.expect("held");
    id
}

#[tokio::test]
async fn going_back_walks_through_the_releases_and_a_push_waits_its_turn_or_is_skipped_while_they_are_paused()
 {
    let app = App::running("walked").await;
    let images = [
        app.stack.app_image("v2", &[]),
        app.stack.app_image("v3", &[]),
    ];
    app.released(&images[0]).await;
    let v3 = app
        .begun("/deployments", json!({"images": {"app": images[1]}}))
        .await;
    let held = pushed(&app, &json!({ "id": v3 })).await;
    assert_eq!(app.stack.deployment(&held).await["dispatch"], "held");
    settled(&app.stack.ended(&v3).await, "completed").expect("v3");
    let turn = app.stack.ended(&held).await;
    settled(&turn, "completed").expect("its turn came by itself");
    assert_eq!(app.seen().await["current"], held.as_str());

    let back = app.begun("/rollback", json!({"to": v3})).await;
    let held = pushed(&app, &turn).await;
    settled(&app.stack.ended(&back).await, "completed").expect("back");
    let skipped = app.stack.ended(&held).await;
    assert_eq!(skipped["outcome"], "skipped", "{skipped:#}");
    let why = skipped["error"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("paused"), "{why}");

    for version in ["v2", "v1"] {
        let back = app.ended("/rollback", json!({})).await;
        settled(&back, "completed").expect("back again");
        assert_eq!(app.version().await, format!("200 version={version}"));
    }
    let none = app.post("/rollback", json!({})).await;
    assert_eq!(none.code(), "nothing_to_go_back_to", "{:#}", none.body);
    let resumed = app.post("/resume", json!({})).await;
    assert_eq!(resumed.body["auto_deploys_paused_by"], Value::Null);
}

#[tokio::test]
async fn images_that_no_kept_release_needs_go_and_a_rollback_to_what_is_gone_is_refused_plainly() {
    let stack = Stack::from_env();
    let images = ["p1", "p2", "p3"].map(|version| stack.app_image(version, &[]));
    let source = json!({"kind": "image", "image": images[0]});
    let keeping = json!({"keep_releases": 1});
    let app = App::with("pruned", source, 1, json!({}), keeping).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("p1");
    let second = app.released(&images[1]).await;
    let third = app.released(&images[2]).await;
    let told = outputs(&third, "finish_release");
    assert!(
        told.iter().any(|line| line.contains("1 image are gone")),
        "{third:#}"
    );
    let there = async |deployment: &Value| {
        let view = app.views(deployment).await;
        let image = view["frozen"]["images"]["app"].as_str().expect("an image");
        let look = format!("docker image inspect {image} >/dev/null 2>&1 && echo yes || echo no");
        (image.to_string(), app.on_server(0, &look).trim() == "yes")
    };
    let first = json!({"id": app.first});
    assert!(!there(&first).await.1, "no kept release needs it");
    let (kept, is_there) = there(&second).await;
    assert!(is_there, "it can be gone back to");
    let refused = app.post("/rollback", json!({"to": app.first})).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "release_not_kept"),
        "{:#}",
        refused.body
    );

    app.on_server(0, &format!("docker rmi -f {kept}"));
    let back = app.ended("/rollback", json!({})).await;
    settled(&back, "failed").expect("its image is gone");
    assert_eq!(back["error"]["code"], "images_missing", "{back:#}");
    assert_eq!(app.version().await, "200 version=p3");
    assert_eq!(app.seen().await["current"], third["id"]);
}

#[tokio::test]
async fn a_deleted_environment_leaves_its_volumes_alone_and_its_names_free() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let file = format!(
        "services:\n  app:\n    image: {image}\n  db:\n    image: {image}\n    volumes: ['data:/data']\nvolumes: {{data: }}\n"
    );
    let app = App::new("removed", json!({"kind": "compose", "file": file}), 1).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("released");
    let host_name = app.host_name().await;
    let volumes = app.volumes(0);
    let at = format!("/v1/environments/{}", app.environment);
    let delete = async |path: &str| {
        let token = &app.stack.token;
        app.stack.send(Method::DELETE, path, token, &[], None).await
    };
    let unsure = delete(&format!("{at}?delete_volumes=true&confirm=other")).await;
    assert_eq!(unsure.code(), "not_confirmed", "{:#}", unsure.body);
    let begun = delete(&at).await;
    assert_eq!(begun.status, 202, "{:#}", begun.body);
    let removed = app.stack.ended(&app.id_of(&begun.body["deployment"])).await;
    settled(&removed, "completed").expect("removed");

    assert_eq!(app.containers(0), "");
    assert_eq!(app.volumes(0), volumes, "they were not meant");
    let left = app.on_server(
        0,
        &format!("docker network ls -q --filter label=triphammer.environment={host_name}; ls /var/lib/triphammer/releases | grep {host_name} || true"),
    );
    assert_eq!(left, "");
    let (status, _) = app.page_on(0, "/").await;
    assert_eq!(status, 404);
    assert_eq!(app.stack.get(&at).await.status, 404);
    let history = app.stack.deployment(&app.first).await;
    assert_eq!(history["phase"], "superseded", "{history:#}");

    // The same names and host again.
    let second = app.again().await;
    settled(&app.stack.ended(&second.first).await, "completed").expect("released anew");
    assert_eq!(second.version().await, "200 version=v1");
    let at = format!("/v1/environments/{}", second.environment);
    let sure = format!("{at}?delete_volumes=true&confirm=production");
    let begun = delete(&sure).await;
    assert_eq!(begun.status, 202, "{:#}", begun.body);
    let removed = app.stack.ended(&app.id_of(&begun.body["deployment"])).await;
    settled(&removed, "completed").expect("removed with its volumes");
    assert_eq!(app.volumes(0), volumes, "only the first one's are left");
    for path in [
        format!("/v1/services/{}", app.service),
        format!("/v1/projects/{}", app.project),
    ] {
        let gone = delete(&path).await;
        assert_eq!(gone.status, 204, "{path}: {:#}", gone.body);
    }
    app.on_server(0, &format!("docker volume ls -q --filter label=triphammer.environment={host_name} | xargs docker volume rm"));
}
