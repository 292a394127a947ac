//! Releases that cannot be: each ends with a plain error that says what and what to do, and what was live stays live.

use e2e::app::{App, REGISTRY};
use e2e::refused::{Unmoved, Wanted};
use e2e::sources::{self, PRIVATE_REGISTRY, REGISTRY_USER};
use e2e::{Stack, settled};
use serde_json::{Value, json};
use std::time::Duration;

/// Its engine or its registry is away while it is tried again and undone.
const WITH_RETRIES: Duration = Duration::from_secs(240);

const fn wanted<'a>(code: &'a str, phase: &'a str, says: &'a [&'a str]) -> Wanted<'a> {
    Wanted { code, phase, says }
}

/// A repository of the hub with the sample application, and the address it is open to all at.
fn repository(stack: &Stack, name: &str) -> (String, String) {
    let repository = format!("{name}-{:x}", std::process::id());
    let folder = sources::folder("git", "");
    let made = stack.lab.commit(&repository, "main", folder.path());
    made.expect("a commit");
    let url = format!("http://git.test/pub/{repository}.git");
    (repository, url)
}

#[tokio::test]
async fn a_source_that_cannot_be_had_or_built_is_told_and_what_runs_stays() {
    let stack = Stack::from_env();
    stack.git_over_https();
    let (name, url) = repository(&stack, "refused");
    let private = format!("https://git.test/priv/{name}.git");
    let over_ssh = format!("git@git.test:{name}.git");
    let keys = tempfile::tempdir().expect("a folder");
    let key = std::fs::read_to_string(sources::key(keys.path(), "stranger")).expect("a key");
    let of = |url: &str| json!({"kind": "repository", "url": url});
    let with = |url: &str, more: Value| {
        let mut source = of(url);
        source["access"] = more;
        source
    };
    let app = App::new("refused-git", of(&url), 1).await;
    let first = app.stack.ended(&app.first).await;
    settled(&first, "completed").expect("its first release");
    let mut unmoved = Unmoved::new(app).await;
    let gone = "0123456789".repeat(4);
    unmoved
        .fails(
            "an unknown branch",
            json!({"reference": "mian"}),
            wanted(
                "branch_not_found",
                "starting",
                &["\"mian\"", "Near it: main"],
            ),
        )
        .await;
    unmoved
        .fails(
            "a commit that is gone",
            json!({"commit": gone}),
            wanted("commit_gone", "building", &[&gone[..7], "Deploy"]),
        )
        .await;
    let token = json!({"kind": "token", "token": "wr0ng"});
    unmoved
        .source_fails(
            "a wrong token",
            with(&private, token),
            wanted(
                "repository_denied",
                "starting",
                &["The token does not open", &private],
            ),
        )
        .await;
    let strange = json!({"kind": "deploy_key", "private_key": key});
    unmoved
        .source_fails(
            "a key that nobody trusts",
            with(&over_ssh, strange),
            wanted(
                "repository_denied",
                "starting",
                &["The deploy key does not open", &over_ssh],
            ),
        )
        .await;
    unmoved
        .source_fails(
            "no credentials",
            of(&private),
            wanted(
                "repository_denied",
                "starting",
                &["is private", "Add a token", &private],
            ),
        )
        .await;
    unmoved
        .source_fails(
            "no such repository",
            of("http://git.test/pub/none.git"),
            wanted(
                "repository_not_found",
                "starting",
                &["pub/none.git", "Check its address"],
            ),
        )
        .await;
    let mut elsewhere = of(&url);
    elsewhere["build"] = json!({"dockerfile": "deploy/Dockerfile"});
    unmoved
        .source_fails(
            "no Dockerfile",
            elsewhere,
            wanted(
                "dockerfile_missing",
                "building",
                &["deploy/Dockerfile", "add the file"],
            ),
        )
        .await;
    unmoved
        .app
        .service_changed(json!({"source": of(&url)}))
        .await;
    let busybox = format!("{REGISTRY}/busybox:1");
    stack.hub(&format!("push-busybox {busybox}"));
    let committed = |dockerfile: &str| {
        let folder = tempfile::tempdir().expect("a folder");
        std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("written");
        stack
            .lab
            .commit(&name, "main", folder.path())
            .expect("a commit");
    };
    committed(&format!(
        "FROM {busybox}\nRUN echo the-reason >&2; exit 42\n"
    ));
    let failed = unmoved
        .fails(
            "a failing build",
            json!({}),
            wanted("build_failed", "building", &["exit code 42", "log"]),
        )
        .await;
    let id = failed["id"].as_str().expect("an id");
    let log = format!("/v1/deployments/{id}/steps/build_image/log?limit=100");
    let log = stack.get(&log).await.body.to_string();
    assert!(log.contains("the-reason"), "the log is kept: {log}");
    committed(&format!("FROM {REGISTRY}/none:1\n"));
    unmoved
        .fails(
            "no such base image",
            json!({}),
            wanted(
                "image_not_found",
                "building",
                &["/none:1", "Check its name"],
            ),
        )
        .await;
    unmoved.end();
}

/// An application whose Compose file is replaced with each deploy.
async fn composed(name: &str) -> Unmoved {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let source = json!({"kind": "compose", "file": file(&image, "")});
    let app = App::new(name, source, 1).await;
    let first = app.stack.ended(&app.first).await;
    settled(&first, "completed").expect("its first release");
    Unmoved::new(app).await
}

fn file(image: &str, more: &str) -> String {
    format!("services:\n  app:\n    image: {image}\n{more}")
}

#[tokio::test]
async fn an_image_that_cannot_be_had_or_started_is_told_and_what_runs_stays() {
    let stack = Stack::from_env();
    let mut unmoved = composed("refused-image").await;
    let image = format!("{REGISTRY}/app:v1");
    let with = |more: &str| json!({"compose": file(&image, more)});
    let private = format!("{PRIVATE_REGISTRY}/app:v1");
    let pushed = stack.lab.app_image(&sources::sample_app(), &private, &[]);
    pushed.expect("pushed");
    unmoved
        .fails(
            "no such image",
            json!({"images": {"app": format!("{REGISTRY}/app:none")}}),
            wanted(
                "image_not_found",
                "starting",
                &["/app:none", "Check its name and tag"],
            ),
        )
        .await;
    let images = json!({"images": {"app": private}});
    unmoved
        .fails(
            "a registry without a login",
            images.clone(),
            wanted("registry_denied", "starting", &[PRIVATE_REGISTRY, "login"]),
        )
        .await;
    let login =
        json!({"registry": PRIVATE_REGISTRY, "username": REGISTRY_USER, "password": "wr0ng"});
    unmoved
        .app
        .service_changed(json!({"registries": [login]}))
        .await;
    unmoved
        .fails(
            "a wrong login",
            images,
            wanted(
                "registry_denied",
                "starting",
                &[PRIVATE_REGISTRY, "Check the login"],
            ),
        )
        .await;
    unmoved
        .fails(
            "a port of the host that is in use",
            with("    ports: ['22:8080']\n"),
            wanted("port_in_use", "deploying", &["Port 22", "ss -ltnp"]),
        )
        .await;
    unmoved
        .fails(
            "a program that ends at once",
            with("    command: [/app, check]\n"),
            wanted(
                "container_exited",
                "deploying",
                &["app", "exit code 1", "log"],
            ),
        )
        .await;
    unmoved
        .fails(
            "a variable without a value",
            with("    environment: {A: '${A_MUST:?}'}\n"),
            wanted("variables_missing", "starting", &["A_MUST", "Give them"]),
        )
        .await;
    unmoved.end();
}

/// An image of so many random megabytes, which nothing has seen before, in the hub's registry.
fn large_image(stack: &Stack, megabytes: u32) -> String {
    let image = format!("{REGISTRY}/large:{:x}-{megabytes}", std::process::id());
    stack.hub(&format!(
        "d=$(mktemp -d); cd $d; head -c {megabytes}M /dev/urandom > blob; tar -c blob | push-image {image} /blob; rm -r $d"
    ));
    image
}

#[tokio::test]
async fn a_full_disk_a_registry_away_and_an_engine_that_stops_are_told_and_what_runs_stays() {
    let stack = Stack::from_env();
    let server = stack.docker_hosts()[0].name.clone();
    let mut unmoved = composed("refused-host").await;
    let asked = |image: &str| json!({"images": {"app": image}});

    let downloads = "/var/lib/docker/tmp";
    stack
        .lab
        .fault(&["fill-disk", &server, downloads])
        .expect("a full disk");
    let full = unmoved
        .app
        .ended("/deployments", asked(&large_image(&stack, 40)))
        .await;
    stack
        .lab
        .fault(&["free-disk", &server, downloads])
        .expect("room");
    let no_room = wanted("disk_full", "building", &["too little room", "Make room"]);
    unmoved.failed("a full disk", &full, no_room).await;

    let away = stack.disturbed(
        "hub",
        "systemctl stop registry@public",
        "systemctl start registry@public; for _ in $(seq 100); do curl -fs http://registry.test:5000/v2/ && break; sleep 0.1; done",
    );
    let unseen = format!("{REGISTRY}/app:unseen");
    let id = unmoved.app.begun("/deployments", asked(&unseen)).await;
    let ended = stack.ended_within(&id, WITH_RETRIES).await;
    drop(away);
    let no_answer = wanted(
        "registry_away",
        "starting",
        &["registry.test:5000", "does not answer"],
    );
    unmoved
        .failed("a registry that is away", &ended, no_answer)
        .await;

    let large = large_image(&stack, 60);
    let id = unmoved.app.begun("/deployments", asked(&large)).await;
    stack.step_is(&id, "pull_images", "running").await;
    let stopped = stack.disturbed(
        &server,
        "systemctl stop docker.socket docker",
        "systemctl start docker.socket docker; for _ in $(seq 100); do docker info > /dev/null && break; sleep 0.1; done",
    );
    let ended = stack.ended_within(&id, WITH_RETRIES).await;
    drop(stopped);
    // The engine starts its containers again when it is back.
    let back = tokio::time::timeout(Duration::from_secs(30), async {
        while unmoved.app.version().await != "200 version=v1" {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    back.await.expect("it answers again");
    let engine = wanted(
        "engine_away",
        "building",
        &["does not answer", "systemctl status docker"],
    );
    unmoved.failed("an engine that stops", &ended, engine).await;
    unmoved.end();
}

#[tokio::test]
async fn what_was_frozen_is_run_though_its_tag_moved() {
    let stack = Stack::from_env();
    let tag = format!("{REGISTRY}/moving:{:x}", std::process::id());
    let push = |version: &str| {
        let pushed = stack
            .lab
            .app_image(&sources::sample_app(), &tag, &[("VERSION", version)]);
        format!("{REGISTRY}/moving@{}", pushed.expect("pushed"))
    };
    let app = App::running("moved").await;
    let frozen = push("frozen");
    let id = app
        .begun("/deployments", json!({"images": {"app": tag}}))
        .await;
    stack.step_is(&id, "prepare_release", "completed").await;
    let moved = push("moved");
    assert_ne!(frozen, moved);
    let ended = stack.ended(&id).await;
    settled(&ended, "completed").expect("released");
    assert_eq!(app.frozen(&ended).await["images"]["app"], frozen);
    assert_eq!(app.version().await, "200 version=frozen");
    let next = app.released(&tag).await;
    assert_eq!(app.frozen(&next).await["images"]["app"], moved);
    assert_eq!(app.version().await, "200 version=moved");
    let back = app.ended("/rollback", json!({})).await;
    settled(&back, "completed").expect("rolled back");
    assert_eq!(
        app.version().await,
        "200 version=frozen",
        "the tag says otherwise"
    );
}
