//! Releases to real Docker hosts: live without a failed request, or not at all.

use e2e::app::App;
use e2e::{Stack, settled, sources, step};
use serde_json::json;

const LOAD: &str = env!("CARGO_BIN_EXE_load");

#[tokio::test]
async fn a_release_replaces_the_one_before_and_a_rollback_brings_it_back_without_a_failed_request()
{
    let app = App::running("live").await;
    assert_eq!(app.version().await, "200 version=v1");
    let load = app.load(LOAD);
    let v2 = app.stack.app_image("v2", &[]);
    let second = app.released(&v2).await;
    assert_eq!(app.version().await, "200 version=v2");
    assert_eq!(second["phase"], "ready");
    for name in ["fetch_source", "build_image"] {
        assert_eq!(step(&second, name)["status"], "skipped", "{second:#}");
    }
    let first = app.stack.deployment(&app.first).await;
    assert_eq!(first["phase"], "superseded");
    let back = app.ended("/rollback", json!({})).await;
    settled(&back, "completed").expect("rolled back");
    assert_eq!(app.version().await, "200 version=v1");
    let load = load.stop().expect("its report");
    assert!(load.asked > 200, "{load:?}");
    assert!(load.failed.is_empty(), "{load:#?}");
    let seen = app.seen().await;
    assert_eq!(seen["status"], "active");
    assert_eq!(seen["current"], back["id"]);
    assert_eq!(seen["auto_deploys_paused_by"], back["id"]);
    assert_eq!(
        app.containers(0).lines().count(),
        1,
        "{}",
        app.containers(0)
    );
}

#[tokio::test]
async fn a_release_that_is_never_ready_says_why_and_leaves_the_old_one_live() {
    let app = App::running("unready").await;
    let load = app.load(LOAD);
    let before = app.containers(0);
    let broken = app.stack.app_image("broken", &[("HEALTHY", "0")]);
    let gates = json!({"gates": {"app": {"http": {"path": "/health"}, "within_seconds": 6}}});
    app.service_changed(gates).await;
    let ended = app
        .ended("/deployments", json!({"images": {"app": broken}}))
        .await;
    settled(&ended, "failed").expect("it fails");
    let why = ended["error"]["message"].as_str().unwrap_or_default();
    assert!(why.contains("503"), "{why}");
    assert_eq!(app.version().await, "200 version=v1");
    assert_eq!(
        app.containers(0),
        before,
        "nothing of the failed one is left"
    );
    let load = load.stop().expect("its report");
    assert!(load.failed.is_empty(), "{load:#?}");
    assert_eq!(app.seen().await["status"], "active");
}

#[tokio::test]
async fn a_first_release_that_fails_leaves_nothing_but_the_record() {
    let image = format!("{}/none:v1", e2e::app::REGISTRY);
    let app = App::new("nothing", json!({"kind": "image", "image": image}), 1).await;
    let ended = app.stack.ended(&app.first).await;
    settled(&ended, "failed").expect("it fails");
    assert_eq!(ended["error"]["code"], "image_not_found", "{ended:#}");
    assert_eq!(app.containers(0), "");
    assert_eq!(app.seen().await["status"], "failed");
    let (status, _) = app.page_on(0, "/").await;
    assert_eq!(status, 404);
}

#[tokio::test]
async fn a_service_with_a_volume_is_replaced_in_place_and_its_data_stays() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let file = |image: &str| {
        format!(
            "services:\n  app:\n    image: {image}\n    depends_on: [db]\n  db:\n    image: {image}\n    environment: {{DATA_FILE: /data/file, PASSWORD: '${{PASSWORD:-none}}'}}\n    volumes: ['data:/data']\nvolumes: {{data: }}\n"
        )
    };
    let source = json!({"kind": "compose", "file": file(&image)});
    let app = App::new("stateful", source, 1).await;
    let ended = app.stack.ended(&app.first).await;
    settled(&ended, "completed").expect("released");
    let frozen = app
        .stack
        .get(&format!("/v1/deployments/{}/views", app.first))
        .await
        .body;
    let db = frozen["frozen"]["services"]
        .as_array()
        .expect("services")
        .iter()
        .find(|one| one["service"] == "db")
        .cloned()
        .expect("db");
    assert_eq!(db["in_place"], true, "{frozen:#}");
    assert_eq!(
        frozen["frozen"]["variables"],
        json!({"PASSWORD": "default"})
    );
    assert_eq!(app.containers(0).lines().count(), 2);
}

#[tokio::test]
async fn a_dockerfile_in_a_repository_is_built_at_its_newest_commit_and_a_build_that_fails_keeps_its_log()
 {
    let stack = Stack::from_env();
    let repository = format!("shop-{:x}", std::process::id());
    let commit = |version: &str, more: &str| {
        let folder = sources::folder(version, more);
        let made = stack.lab.commit(&repository, "main", folder.path());
        made.expect("a commit")
    };
    let first = commit("git1", "");
    let asked =
        json!({"kind": "repository", "url": format!("http://git.test/pub/{repository}.git")});
    let app = App::new("built", asked, 1).await;
    let ended = app.stack.ended(&app.first).await;
    settled(&ended, "completed").expect("built and released");
    assert_eq!(app.version().await, "200 version=git1");
    let views = app
        .stack
        .get(&format!("/v1/deployments/{}/views", app.first))
        .await
        .body;
    assert_eq!(views["frozen"]["commit"], first.as_str(), "{views:#}");

    commit("git2", "RUN [\"/missing\"]\n");
    let failed = app.ended("/deployments", json!({})).await;
    settled(&failed, "failed").expect("the build fails");
    assert_eq!(failed["error"]["code"], "build_failed", "{failed:#}");
    assert_eq!(app.version().await, "200 version=git1");
    let id = failed["id"].as_str().expect("an id");
    let log = app
        .stack
        .get(&format!(
            "/v1/deployments/{id}/steps/build_image/log?limit=100"
        ))
        .await
        .body;
    assert!(
        log["items"]
            .as_array()
            .is_some_and(|lines| !lines.is_empty()),
        "{log:#}"
    );

    commit("git3", "");
    let third = app.ended("/deployments", json!({})).await;
    settled(&third, "completed").expect("built again");
    assert_eq!(app.version().await, "200 version=git3");
    let none = app
        .ended("/deployments", json!({"reference": "none"}))
        .await;
    assert_eq!(none["error"]["code"], "branch_not_found", "{none:#}");
}

#[tokio::test]
async fn on_two_servers_each_has_a_row_and_one_that_is_away_is_left_out_by_a_quorum_of_one() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let source = json!({"kind": "image", "image": image});
    let app = App::with("twice", source, 2, json!({}), json!({"quorum": 1})).await;
    let ended = app.stack.ended(&app.first).await;
    settled(&ended, "completed").expect("released");
    for server in 0..2 {
        let (status, body) = app.page_on(server, "/").await;
        assert!(
            status == 200 && body.contains("version=v1"),
            "{server}: {status} {body}"
        );
    }
    let rows = step(&ended, "start_containers")["servers"]
        .as_array()
        .map(Vec::len);
    assert_eq!(rows, Some(2), "{ended:#}");
}
