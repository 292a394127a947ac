//! Releases to several servers, one of which is away or is lost at work.

use e2e::app::App;
use e2e::{Stack, settled, step};
use reqwest::Method;
use serde_json::json;
use std::time::{Duration, Instant};

/// A lost server is noticed well before the hour that a job may take: the silence that is waited for, the other
/// server's next word, and two more tries to reach it.
const NOTICED_WITHIN: Duration = Duration::from_secs(240);

/// A server without its network, for as long as it lives.
struct Unplugged<'a> {
    stack: &'a Stack,
    server: String,
}

impl<'a> Unplugged<'a> {
    fn new(stack: &'a Stack, server: usize) -> Self {
        let server = stack.docker_hosts()[server].name.clone();
        stack.lab.fault(&["unplug", &server]).expect("unplugged");
        Self { stack, server }
    }
}

impl Drop for Unplugged<'_> {
    fn drop(&mut self) {
        let _plugged_already = self.stack.lab.fault(&["plug", &self.server]);
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_left_out_by_a_quorum_of_one_and_fails_the_release_without() {
    let stack = Stack::from_env();
    let images = ["v1", "v2"].map(|version| stack.app_image(version, &[]));
    let source = json!({"kind": "image", "image": images[0]});
    let app = App::with("away", source, 2, json!({}), json!({"quorum": 1})).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("on both");
    let begun = Instant::now();
    {
        let _away = Unplugged::new(&app.stack, 1);
        let released = app.released(&images[1]).await;
        println!("without a server: {:?}", begun.elapsed());
        let rows = step(&released, "prepare_release")["servers"].clone();
        assert_eq!(rows[1]["error"]["code"], "server_unreachable", "{rows:#}");
        let after = step(&released, "start_containers")["servers"].clone();
        assert_eq!(after[1]["status"], "skipped", "{after:#}");
        assert_eq!(app.version().await, "200 version=v2");

        app.changed(json!({"quorum": null})).await;
        let failed = app
            .ended("/deployments", json!({"images": {"app": images[0]}}))
            .await;
        settled(&failed, "failed").expect("all are wanted, and what was begun is taken back");
        assert_eq!(failed["error"]["code"], "server_unreachable", "{failed:#}");
        assert_eq!(app.version().await, "200 version=v2");
    }
    app.released(&images[1]).await;
    for server in 0..2 {
        let (status, page) = app.page_on(server, "/").await;
        assert!(
            status == 200 && page.contains("version=v2"),
            "{server}: {status} {page}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_lost_at_work_is_noticed_while_the_other_one_works_on() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let slow = stack.app_image("slow", &[("HEALTHY", "0")]);
    let source = json!({"kind": "image", "image": image});
    let gates = json!({"gates": {"app": {"http": {"path": "/health"}, "within_seconds": 600}}});
    let app = App::with("lost", source, 2, gates, json!({"quorum": 1})).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("on both");
    let id = app
        .begun("/deployments", json!({"images": {"app": slow}}))
        .await;
    app.stack.step_is(&id, "await_health", "running").await;
    // Its agents have it in hand, and are not only asked.
    for server in 0..2 {
        app.on_server(
            server,
            &format!("for _ in $(seq 100); do pgrep -f ' job [/].*/{id}.await_health$' && exit; sleep 0.1; done; exit 1"),
        );
    }
    let begun = Instant::now();
    {
        let _away = Unplugged::new(&app.stack, 1);
        let noticed = tokio::time::timeout(NOTICED_WITHIN, async {
            loop {
                let deployment = app.stack.deployment(&id).await;
                let row = step(&deployment, "await_health")["servers"][1].clone();
                if row["status"] == "failed" {
                    return row;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        });
        let row = noticed.await.expect("it is noticed");
        println!("noticed after {:?}", begun.elapsed());
        assert_eq!(row["error"]["code"], "agent_lost", "{row:#}");
    }
    let cancelled = app
        .stack
        .post(&format!("/v1/deployments/{id}/cancel"), json!({}))
        .await;
    assert_eq!(cancelled.status, 200, "{:#}", cancelled.body);
    settled(&app.stack.ended(&id).await, "cancelled").expect("taken back on both");
    for server in 0..2 {
        let (status, page) = app.page_on(server, "/").await;
        assert!(
            status == 200 && page.contains("version=v1"),
            "{server}: {status} {page}"
        );
    }
}

#[tokio::test]
async fn a_server_that_is_away_keeps_an_environment_from_its_deletion_until_it_is_forced() {
    let stack = Stack::from_env();
    let image = stack.app_image("v1", &[]);
    let source = json!({"kind": "image", "image": image});
    let app = App::with("forced", source, 2, json!({}), json!({})).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("on both");
    let host_name = app.host_name().await;
    let at = format!("/v1/environments/{}", app.environment);
    let deleted = async |path: &str| {
        let token = &app.stack.token;
        let sent = app.stack.send(Method::DELETE, path, token, &[], None);
        let begun = sent.await;
        assert_eq!(begun.status, 202, "{:#}", begun.body);
        app.stack.ended(&app.id_of(&begun.body["deployment"])).await
    };
    {
        let _away = Unplugged::new(&app.stack, 1);
        let failed = deleted(&at).await;
        settled(&failed, "failed").expect("a server is missing");
        assert_eq!(failed["error"]["code"], "server_unreachable", "{failed:#}");
        assert_eq!(
            app.stack.get(&at).await.status,
            200,
            "it can be tried again"
        );

        let forced = deleted(&format!("{at}?force=true")).await;
        settled(&forced, "completed").expect("without that server");
        let rows = &step(&forced, "clear_servers")["servers"];
        assert_eq!(rows[1]["error"]["code"], "server_unreachable", "{rows:#}");
        assert_eq!(app.stack.get(&at).await.status, 404);
        assert_eq!(app.containers(0), "");
    }
    assert_ne!(app.containers(1), "", "it keeps what it has");
    app.on_server(
        1,
        &format!(
            "docker ps -aq --filter label=triphammer.environment={host_name} | xargs docker rm -f"
        ),
    );
}

#[tokio::test]
async fn a_server_that_an_environment_leaves_is_cleared_by_the_next_release_and_keeps_the_volumes()
{
    let stack = Stack::from_env();
    let images = ["v1", "v2"].map(|version| stack.app_image(version, &[]));
    let file = format!(
        "services:\n  app:\n    image: {image}\n  db:\n    image: {image}\n    volumes: ['data:/data']\nvolumes: {{data: }}\n",
        image = images[0]
    );
    let app = App::new("left", json!({"kind": "compose", "file": file}), 2).await;
    settled(&app.stack.ended(&app.first).await, "completed").expect("on both");
    let volumes = app.volumes(1);
    let servers = app.stack.registered_docker_hosts(1).await;
    app.changed(json!({"server_ids": servers})).await;
    assert_ne!(
        app.containers(1),
        "",
        "what runs stays until the next deploy"
    );

    let released = app.released(&images[1]).await;
    let rows = &step(&released, "clear_servers")["servers"];
    assert_eq!(rows[0]["status"], "completed", "{released:#}");
    assert_eq!(
        (app.containers(1), app.volumes(1)),
        (String::new(), volumes)
    );
    assert_eq!(app.page_on(1, "/").await.0, 404);
    assert_eq!(app.version().await, "200 version=v2");
    let placed = app.seen().await["placed_on"].clone();
    assert_eq!(placed.as_array().map(Vec::len), Some(1), "{placed:#}");

    let back = app.ended("/rollback", json!({})).await;
    settled(&back, "completed").expect("where it is live now");
    assert_eq!(step(&back, "clear_servers")["status"], "skipped");
    assert_eq!(
        (app.version().await, app.containers(1)),
        ("200 version=v1".to_string(), String::new())
    );
}
