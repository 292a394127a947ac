//! Switches under load: whatever becomes of a release, the routed service answers every request, its volumes stay, and one
//! deployment is current.

use e2e::app::App;
use e2e::{Stack, settled};
use serde_json::{Value, json};
use std::time::Duration;
use xtask::load::Load;

const LOAD: &str = env!("CARGO_BIN_EXE_load");
const RELEASES: usize = 20;
const ROLLBACKS: usize = 5;
const FAILURES: usize = 5;
const STEPS: &[&str] = &[
    "prepare_release",
    "pull_images",
    "create_volumes",
    "start_containers",
    "await_health",
    "switch_route",
    "finish_release",
];
/// Those after which a cancel is still in time, however late it comes.
const EARLY: &[&str] = &["prepare_release", "pull_images", "create_volumes"];
/// A job is lost: its heartbeats end, its step is begun again, and the rest of the way.
const AFTER_A_LOST_JOB: Duration = Duration::from_secs(300);

/// A routed service beside one with a volume, asked for pages without a pause.
struct Watched {
    app: App,
    load: Load,
    volume: String,
    images: [String; 2],
    unready: String,
}

impl Watched {
    async fn new(name: &str) -> Self {
        let stack = Stack::from_env();
        let images = [
            stack.app_image("one", &[]),
            stack.app_image("two", &[("VERSION", "two")]),
        ];
        let unready = stack.app_image("unready", &[("HEALTHY", "0")]);
        let file = format!(
            "services:\n  app:\n    image: {image}\n  db:\n    image: {image}\n    environment: {{DATA_FILE: /data/file}}\n    volumes: ['data:/data']\nvolumes: {{data: }}\n",
            image = images[0]
        );
        let app = App::with(
            name,
            json!({"kind": "compose", "file": file}),
            1,
            json!({"gates": {"app": {"http": {"path": "/health"}, "within_seconds": 5}}}),
            json!({"drain_seconds": 1}),
        )
        .await;
        let first = app.stack.ended(&app.first).await;
        settled(&first, "completed").expect("its first release");
        let load = app.load(LOAD);
        let mut watched = Self {
            app,
            load,
            volume: String::new(),
            images,
            unready,
        };
        watched.volume = watched.volumes();
        assert!(watched.volume.contains("data"), "{}", watched.volume);
        watched
    }

    /// The environment's volumes, when each was made, and the db's container: none of it may change.
    fn volumes(&self) -> String {
        self.app.on_server(0, &format!(
            "docker volume ls -q --filter name={name}- | xargs docker volume inspect --format '{{{{.Name}}}} {{{{.CreatedAt}}}}'; docker ps -q --no-trunc --filter name={name}- --filter label=triphammer.service=db",
            name = self.app.name
        ))
    }

    async fn begun(&self, image: &str) -> String {
        let images = json!({"images": {"app": image}});
        self.app.begun("/deployments", images).await
    }

    /// What must be true after each deployment, whatever became of it.
    async fn holds(&self, current: &Value, version: &str) {
        let id = current["id"].as_str().expect("an id");
        let seen = self.app.seen().await;
        assert_eq!(seen["current"], id, "{seen:#}");
        assert_eq!(seen["status"], "active", "{seen:#}");
        assert_eq!(self.app.version().await, format!("200 version={version}"));
        let containers = self.app.containers(0);
        let of_the_app: Vec<&str> = containers
            .lines()
            .filter_map(|line| line.split_once(" app ").map(|(_, app)| app))
            .collect();
        assert_eq!(of_the_app, [format!("{id} running")], "{containers}");
        assert_eq!(self.volumes(), self.volume);
        assert_eq!(self.app.ready().await, [id], "one is current");
    }

    fn end(self, at_least: u64) {
        let seen = self.load.stop().expect("its report");
        println!("{} requests, {} sent again", seen.asked, seen.again);
        assert!(seen.asked > at_least, "{seen:#?}");
        assert!(seen.failed.is_empty(), "{seen:#?}");
    }
}

#[tokio::test]
async fn twenty_releases_five_rollbacks_and_five_failing_releases_fail_no_request() {
    let watched = Watched::new("switches").await;
    let app = &watched.app;
    for round in 0..RELEASES {
        let version = ["two", "one"][round % 2];
        let image = &watched.images[(round + 1) % 2];
        let released = app.released(image).await;
        watched.holds(&released, version).await;
        if round % (RELEASES / FAILURES) == 1 {
            let failing = watched.begun(&watched.unready).await;
            let failed = app.stack.ended(&failing).await;
            settled(&failed, "failed").expect("it is never ready");
            watched.holds(&released, version).await;
        }
        if round % (RELEASES / ROLLBACKS) == 3 {
            let back = app.ended("/rollback", json!({})).await;
            settled(&back, "completed").expect("rolled back");
            watched.holds(&back, "two").await;
        }
    }
    watched.end(10_000);
}

#[tokio::test]
async fn a_cancel_at_every_step_leaves_the_old_or_the_new_release_whole_and_fails_no_request() {
    let watched = Watched::new("cancels").await;
    let app = &watched.app;
    let mut current = app.released(&watched.images[0]).await;
    let mut version = 0;
    for step in STEPS {
        let other = 1 - version;
        let id = watched.begun(&watched.images[other]).await;
        app.stack.step_is(&id, step, "running").await;
        let path = format!("/v1/deployments/{id}/cancel");
        let asked = app.stack.post(&path, json!({})).await;
        let ended = app.stack.ended(&id).await;
        let status = ended["status"].as_str().unwrap_or_default();
        println!("{step}: {} then {status}", asked.status);
        match status {
            "cancelled" => settled(&ended, "cancelled").expect("all of it is taken back"),
            "completed" => {
                assert!(!EARLY.contains(step), "{step} is long before the switch");
                (current, version) = (ended, other);
            }
            other => panic!("{step}: {other}: {ended:#}"),
        }
        watched.holds(&current, ["one", "two"][version]).await;
    }
    watched.end(500);
}

/// The agent dies at this step of a release, which begins it again.
async fn killed_at(step: &str, kill: impl Fn(&str) -> String) {
    let watched = Watched::new(&format!("kill-{}", step.replace('_', "-"))).await;
    let app = &watched.app;
    let id = watched.begun(&watched.images[1]).await;
    app.stack.step_is(&id, step, "running").await;
    app.on_server(
        0,
        &format!(
            "for _ in $(seq 200); do {} && exit; sleep 0.02; done; exit 1",
            kill(&id)
        ),
    );
    let ended = app.stack.ended_within(&id, AFTER_A_LOST_JOB).await;
    settled(&ended, "completed").expect(step);
    watched.holds(&ended, "two").await;
    watched.end(1_000);
}

#[tokio::test]
async fn an_agent_killed_at_a_step_is_begun_again_and_fails_no_request() {
    let job = |step: &'static str| {
        killed_at(step, move |id| {
            format!("pkill -KILL -f ' job [/].*/{id}.{step}$'")
        })
    };
    tokio::join!(
        job("start_containers"),
        job("await_health"),
        job("finish_release")
    );
    killed_at("switch_route", |_| {
        "pkill -KILL -x triphammer-agen".to_string()
    })
    .await;
}
