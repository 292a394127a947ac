//! Projects, services, environments, values and releases on the command line.
//!
//! The rule held: what is typed is what is asked for; no secret is in an argument or in what is shown.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use serde_json::{Value, json};
use stage::{
    BACKUP, DEPLOYMENT, ENVIRONMENT, PROJECT, Ran, SERVER, SERVICE, Stage, UPLOAD, deployment,
    environment, page, plan, project, server, service,
};

const CANARY: &str = "canary-7d1e";

fn env(rest: &str) -> String {
    format!("/v1/environments/{ENVIRONMENT}{rest}")
}

fn begun() -> Value {
    let mut begun = deployment(1, "queued", "active", &[]);
    begun["operation_name"] = "Release".into();
    begun["type"] = "release".into();
    begun["target"] =
        json!({"kind": "environment", "id": ENVIRONMENT, "name": "shop/web/production"});
    json!({"deployment": begun})
}

fn values() -> Value {
    json!({"environment_id": ENVIRONMENT, "version": 3, "set_by": "ci", "set_at": "2026-01-02T12:00:00.000Z",
        "values": [{"name": "DATABASE_URL", "masked": "********", "version": 3}]})
}

fn ready() -> Stage {
    let stage = Stage::new();
    stage.replies("GET /v1/servers", [page(&[server(false, true)])]);
    stage.replies("GET /v1/projects", [page(&[project()])]);
    stage.replies("POST /v1/projects", [(201, project())]);
    let of_project = format!("GET /v1/services?project_id={PROJECT}");
    stage.replies(&of_project, [page(&[service()])]);
    stage.replies("GET /v1/services", [page(&[service()])]);
    stage.replies(
        &format!("POST /v1/projects/{PROJECT}/services"),
        [(201, service())],
    );
    stage.replies(&format!("PATCH /v1/services/{SERVICE}"), [(200, service())]);
    stage.replies("GET /v1/environments", [page(&[environment()])]);
    let created = json!({"environment": environment(), "deployment": begun()["deployment"]});
    let environments = format!("POST /v1/services/{SERVICE}/environments");
    stage.replies(&environments, [(201, created)]);
    stage.replies(&format!("{environments}?dry_run=true"), [plan()]);
    for what in [
        "deployments",
        "rollback",
        "promote",
        "restart",
        "stop",
        "start",
        "observe",
    ] {
        let line = format!("POST {}", env(&format!("/{what}")));
        stage.replies(&line, [(201, begun())]);
        let (status, mut would) = plan();
        if what == "deployments" {
            would["diff"] = json!({"images": [{"service": "app", "from": "app:1", "to": "app:2"}], "compose": false,
                "values": {"added": ["NEW"], "removed": [], "changed": []}, "routes": {"added": [], "removed": []},
                "gates": [], "limits": false, "allow": false});
        }
        stage.replies(&format!("{line}?dry_run=true"), [(status, would)]);
    }
    stage.replies(&format!("DELETE {}?dry_run=true", env("")), [plan()]);
    stage.replies(&format!("PATCH {}", env("")), [(200, environment())]);
    stage.replies(&format!("POST {}", env("/resume")), [(200, environment())]);
    stage.replies(&format!("GET {}", env("/values")), [(200, values())]);
    stage.replies(&format!("PATCH {}", env("/values")), [(200, values())]);
    stage.replies(&format!("PUT {}", env("/values")), [(200, values())]);
    stage
}

fn ran(stage: &Stage, line: &str) -> Ran {
    let words: Vec<&str> = line.split(' ').collect();
    stage.run(&words)
}

/// It went well; what was asked last.
fn asked(stage: &Stage, line: &str) -> (String, Value) {
    let ran = ran(stage, line);
    assert_eq!(ran.code, 0, "{line}: {ran:?}");
    let last = stage.asked().pop().unwrap();
    (last.line, last.body)
}

#[test]
fn a_service_is_made_of_what_is_typed() {
    let stage = ready();
    let (line, body) = asked(
        &stage,
        "services create shop/web --image ghcr.io/example/app:1 --gate app=:8080/health --gate-within 30 --memory 256 --cpus 0.5 --replicas 2",
    );
    assert_eq!(line, format!("POST /v1/projects/{PROJECT}/services"));
    assert_eq!(
        body["source"],
        json!({"kind": "image", "image": "ghcr.io/example/app:1"})
    );
    assert_eq!(body["gates"]["app"]["http"]["port"], 8080);
    assert_eq!(body["gates"]["app"]["within_seconds"], 30);
    assert_eq!(body["limits"]["memory_bytes"], 256 * 1024 * 1024);
    assert_eq!(
        (&body["limits"]["milli_cpus"], &body["replicas"]),
        (&json!(500), &json!(2))
    );
    let file = stage.file("compose.yaml", "services: {}\n");
    let (_, body) = asked(&stage, &format!("services create shop/db --compose {file}"));
    assert_eq!(
        body["source"],
        json!({"kind": "compose", "file": "services: {}\n"})
    );
    let ran = ran(&stage, "services create shop/web");
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("--image, --compose, --repo or --archive"),
        "{ran:?}"
    );
}

/// The service as it is stored, with this in it.
fn with(stage: &Stage, members: Value) {
    let mut stored = service();
    for (name, value) in members.as_object().unwrap() {
        stored[name] = value.clone();
    }
    stage.replies("GET /v1/services", [page(&[stored.clone()])]);
    let of_project = format!("GET /v1/services?project_id={PROJECT}");
    stage.replies(&of_project, [page(&[stored])]);
}

#[test]
fn of_a_source_and_of_gates_what_is_not_given_stays() {
    let stage = ready();
    let build = json!({"dockerfile": "docker/Prod", "context": "app", "target": "run", "arguments": {"A": "1"}});
    let url = "https://git.example.com/app.git";
    let gate = json!({"http": {"path": "/health"}, "within_seconds": 9});
    with(
        &stage,
        json!({"source": {"kind": "repository", "url": url, "reference": "release", "access": "token", "build": build},
            "gates": {"db": gate}, "allow": ["docker_socket"]}),
    );
    let source = |line: &str| asked(&stage, line).1["source"].clone();
    let stays = json!({"kind": "repository", "url": url, "reference": "release", "access": {"kind": "keep"},
        "build": build});
    assert_eq!(
        source("services update shop/web --repo https://git.example.com/app.git"),
        stays
    );
    let branch = source("services update shop/web --branch next");
    assert_eq!(branch["reference"], "next");
    assert_eq!(
        (&branch["build"], &branch["access"]),
        (&stays["build"], &stays["access"])
    );
    let dockerfile = source("services update shop/web --dockerfile Dockerfile");
    assert_eq!(dockerfile["build"]["dockerfile"], "Dockerfile");
    assert_eq!(dockerfile["build"]["context"], "app");
    let key = stage.file("key", "a key");
    let opened = source(&format!("services update shop/web --deploy-key {key}"));
    assert_eq!(
        (&opened["access"]["kind"], &opened["reference"]),
        (&json!("deploy_key"), &json!("release"))
    );
    let moved = source("services update shop/web --repo https://git.example.com/other.git");
    assert_eq!(
        (&moved["access"], &moved["reference"]),
        (&Value::Null, &json!("release")),
        "what opens one repository is not sent to another"
    );

    let (_, body) = asked(
        &stage,
        "services update shop/web --gate app=/ready --allow devices",
    );
    assert_eq!(body["source"], Value::Null);
    assert_eq!(
        (&body["gates"]["db"]["within_seconds"], &body["allow"]),
        (&json!(9), &json!(["docker_socket", "devices"]))
    );
    assert_eq!(body["gates"]["app"]["http"]["path"], "/ready");
    let (_, body) = asked(&stage, "services update shop/web --no-gates --no-allow");
    assert_eq!(
        (&body["gates"], &body["allow"]),
        (&json!({}), &json!([])),
        "and they can be taken away"
    );

    let file = stage.file("compose.yaml", "services: {}\n");
    let old = json!({"kind": "compose", "file": "old", "profiles": ["web"]});
    with(&stage, json!({ "source": old }));
    let changed = source(&format!("services update shop/web --compose {file}"));
    assert_eq!(
        changed,
        json!({"kind": "compose", "file": "services: {}\n", "profiles": ["web"]})
    );
    let wrong = ran(&stage, "services update shop/web --branch main");
    assert_eq!(wrong.code, 1);
    assert!(wrong.err.contains("go with --repo"), "{wrong:?}");
}

#[test]
fn a_registrys_password_comes_from_standard_input_or_the_environment_and_never_from_an_argument() {
    let stage = ready();
    let words = [
        "services",
        "update",
        "shop/web",
        "--registry",
        "me@ghcr.io",
        "--registry-password-stdin",
    ];
    let ran = stage.run_with(&format!("{CANARY}\n"), &words);
    assert_eq!(ran.code, 0, "{ran:?}");
    let body = stage.asked().pop().unwrap().body;
    let logins = json!([{"registry": "docker.io", "username": "old"},
        {"registry": "ghcr.io", "username": "me", "password": CANARY}]);
    assert_eq!(body["registries"], logins, "the other login stays");
    assert_eq!(body["revision"], 3);
    assert!(!ran.out.contains(CANARY) && !ran.err.contains(CANARY));
    let access = [
        ("TRIPHAMMER_API_URL", stage.address.as_str()),
        ("TRIPHAMMER_TOKEN", "th_canary"),
        ("TRIPHAMMER_GIT_TOKEN", CANARY),
    ];
    let words = [
        "services",
        "create",
        "shop/web",
        "--repo",
        "https://git.example.com/app.git",
        "--git-token",
    ];
    let ran = stage.run_in(&access, &words);
    assert_eq!(ran.code, 0, "{ran:?}");
    let body = stage.asked().pop().unwrap().body;
    assert_eq!(body["source"]["access"]["token"], CANARY);
    let ran = stage.run(&words);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("TRIPHAMMER_GIT_TOKEN"), "{ran:?}");
}

#[test]
fn an_environment_is_made_with_servers_and_routes_by_their_names() {
    let stage = ready();
    let line = "environments create shop/web/production --server web1 --route shop.example.com/api=web:8080 --tls internal --quorum 1";
    let (asked_line, body) = asked(&stage, line);
    assert_eq!(
        asked_line,
        format!("POST /v1/services/{SERVICE}/environments")
    );
    assert_eq!(body["server_ids"], json!([SERVER]));
    let route = json!({"host": "shop.example.com", "path": "/api", "service": "web", "port": 8080, "tls": "internal"});
    assert_eq!(body["routes"], json!([route]));
    assert_eq!(
        (&body["quorum"], &body["deploy"]),
        (&json!(1), &json!(true))
    );
    let ran = ran(&stage, &format!("{line} --dry-run"));
    assert_eq!(ran.code, 3, "{ran:?}");
    let (_, body) = asked(
        &stage,
        "environments update shop/web/production --no-routes --no-quorum",
    );
    assert_eq!(body, json!({"revision": 4, "quorum": null, "routes": []}));
}

#[test]
fn a_deploy_a_rollback_and_a_promotion_ask_for_what_is_typed() {
    let stage = ready();
    let (line, body) = asked(
        &stage,
        "deploy shop/web/production --image ghcr.io/example/app:2",
    );
    assert_eq!(line, format!("POST {}", env("/deployments")));
    assert_eq!(body, json!({"images": {"app": "ghcr.io/example/app:2"}}));
    assert!(
        stage
            .asked()
            .pop()
            .unwrap()
            .headers
            .contains_key("idempotency-key")
    );
    let (_, body) = asked(&stage, "deploy shop/web/production --commit abc");
    assert_eq!(body, json!({"commit": "abc"}));
    let (line, body) = asked(
        &stage,
        &format!("rollback shop/web/production --to {BACKUP} --yes"),
    );
    assert_eq!(
        (line, body),
        (format!("POST {}", env("/rollback")), json!({"to": BACKUP}))
    );
    let ran = ran(&stage, "rollback shop/web/production");
    assert_eq!(ran.code, 1, "it asks first: {ran:?}");
    let (line, body) = asked(&stage, "promote shop/web/production shop/web/production");
    assert_eq!(
        (line, body),
        (
            format!("POST {}", env("/promote")),
            json!({"from": ENVIRONMENT})
        )
    );
    let (line, _) = asked(&stage, "resume shop/web/production");
    assert_eq!(line, format!("POST {}", env("/resume")));
    for what in ["restart", "start", "observe", "stop"] {
        let (line, _) = asked(
            &stage,
            &format!("environments {what} shop/web/production --yes"),
        );
        assert_eq!(line, format!("POST {}", env(&format!("/{what}"))));
    }
}

#[test]
fn a_dry_run_of_a_deploy_shows_what_differs_and_begins_nothing() {
    let stage = ready();
    let ran = ran(&stage, "deploy shop/web/production --dry-run");
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(ran.out.contains("image of app\tapp:1\tapp:2\n"), "{ran:?}");
    assert!(ran.out.contains("value NEW\t-\tset\n"), "{ran:?}");
    let json = stage.run(&["deploy", "shop/web/production", "--dry-run", "--json"]);
    assert_eq!(json.json()["diff"]["images"][0]["to"], "app:2");
    for line in [
        "rollback shop/web/production",
        "promote shop/web/production shop/web/production",
        "environments stop shop/web/production",
        "resume shop/web/production",
        "projects create x1",
        "services create shop/web --image x",
        "environments delete shop/web/production",
        "env set shop/web/production A=1",
    ] {
        let words: Vec<&str> = line.split(' ').chain(["--dry-run"]).collect();
        assert_eq!(stage.run(&words).code, 3, "{line}");
    }
    let changed: Vec<_> = stage
        .lines()
        .into_iter()
        .filter(|line| !line.starts_with("GET ") && !line.ends_with("dry_run=true"))
        .collect();
    assert!(changed.is_empty(), "{changed:?}");
}

#[test]
fn values_are_set_from_arguments_files_and_standard_input_and_shown_masked() {
    let stage = ready();
    let file = stage.file(".env", &format!("# secrets\nDATABASE_URL={CANARY}\n"));
    let ran = stage.run(&[
        "env",
        "set",
        "shop/web/production",
        "MODE=fast",
        "--file",
        &file,
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let last = stage.asked().pop().unwrap();
    assert_eq!(last.line, format!("PATCH {}", env("/values")));
    assert_eq!(
        last.body,
        json!({"set": {"DATABASE_URL": CANARY, "MODE": "fast"}})
    );
    assert!(ran.out.contains("DATABASE_URL\t********\t3\n"), "{ran:?}");
    assert!(!ran.out.contains(CANARY) && !ran.err.contains(CANARY));
    let words = [
        "env",
        "set",
        "shop/web/production",
        "--file",
        "-",
        "--replace",
        "--yes",
    ];
    let ran = stage.run_with(&format!("A={CANARY}\n"), &words);
    assert_eq!(ran.code, 0, "{ran:?}");
    let last = stage.asked().pop().unwrap();
    assert_eq!(last.line, format!("PUT {}", env("/values")));
    let (_, body) = asked(&stage, "env unset shop/web/production A B");
    assert_eq!(body, json!({"unset": ["A", "B"]}));
    let bad = stage.file("bad.env", &format!("{CANARY}\n"));
    let ran = stage.run(&["env", "set", "shop/web/production", "--file", &bad]);
    assert!(ran.code == 1 && !ran.err.contains(CANARY), "{ran:?}");
}

#[test]
fn a_folder_is_uploaded_and_read_back_before_it_is_deployed() {
    let stage = ready();
    let folder = stage.file("Dockerfile", "FROM scratch\n");
    let folder = std::path::Path::new(&folder).parent().unwrap();
    let upload = |complete: bool, size: u64| {
        json!({"id": UPLOAD, "format": "tar_gz", "size_bytes": size, "sha256": "00", "is_complete": complete,
            "expires_at": "2026-01-03T12:00:00Z"})
    };
    // The stage knows the length only once the folder is packed: a file has one beforehand.
    let archive = folder.join("source.tar.gz");
    std::fs::write(&archive, "not really").unwrap();
    let url = format!("{}/store", stage.address);
    let announced = json!({"upload": upload(false, 10), "url": url, "headers": {"x-amz-checksum-sha256": "abc"}});
    stage.replies("POST /v1/uploads", [(201, announced)]);
    stage.replies("PUT /store", [(200, Value::Null)]);
    let complete = format!("POST /v1/uploads/{UPLOAD}/complete");
    stage.replies(&complete, [(200, upload(true, 10))]);
    let ran = stage.run(&[
        "deploy",
        "shop/web/production",
        "--archive",
        archive.to_str().unwrap(),
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines = stage.lines();
    assert_eq!(
        lines[lines.len() - 4..],
        [
            "POST /v1/uploads".to_string(),
            "PUT /store".into(),
            complete,
            format!("POST {}", env("/deployments"))
        ]
    );
    let asked = stage.asked();
    let [announce, sent, _, deploy] = &asked[asked.len() - 4..] else {
        panic!("four calls");
    };
    assert_eq!(announce.body["size_bytes"], 10);
    assert_eq!(sent.headers["x-amz-checksum-sha256"], "abc");
    assert_eq!(sent.headers["content-length"], "10");
    assert!(
        !sent.headers.contains_key("authorization"),
        "the store is not the API"
    );
    assert_eq!(deploy.body, json!({"upload_id": UPLOAD}));
}

#[test]
fn names_that_are_none_are_answered_with_what_there_is() {
    let stage = ready();
    for (line, told) in [
        ("projects show x1", "There is: shop."),
        ("services show shop/x1", "There is: web."),
        ("services show web", "write PROJECT/SERVICE"),
        (
            "environments show shop/web/x1",
            "There is: shop/web/production.",
        ),
        ("deploy production", "write PROJECT/SERVICE/ENVIRONMENT"),
    ] {
        let ran = ran(&stage, line);
        assert_eq!(ran.code, 1, "{line}");
        assert!(ran.err.contains(told), "{line}: {ran:?}");
    }
}

#[test]
fn two_releases_are_compared_and_one_is_seen_in_its_views() {
    let stage = ready();
    let diff = json!({"from": BACKUP, "to": DEPLOYMENT, "commit": {"from": "aaa", "to": "bbb"}, "images": [],
        "values": {"added": [], "removed": ["OLD"], "changed": ["KEY"]}, "compose": true,
        "routes": {"added": [], "removed": []}, "gates": ["app"], "limits": true, "allow": false});
    let line = format!("GET /v1/deployments/diff?from={BACKUP}&to={DEPLOYMENT}");
    stage.replies(&line, [(200, diff)]);
    let ran = ran(&stage, &format!("deployments diff {BACKUP} {DEPLOYMENT}"));
    assert_eq!(ran.code, 0, "{ran:?}");
    for row in [
        "commit\taaa\tbbb\n",
        "value OLD\tset\t-\n",
        "value KEY\tset\tanother\n",
        "Compose file\t-\tanother\n",
    ] {
        assert!(ran.out.contains(row), "{row} {ran:?}");
    }
    let views = json!({"declared": {"host_name": "x"}, "frozen": null, "observed": []});
    stage.replies(
        &format!("GET /v1/deployments/{DEPLOYMENT}/views"),
        [(200, views)],
    );
    let ran = stage.run(&["deployments", "views", DEPLOYMENT]);
    assert_eq!(ran.json()["declared"]["host_name"], "x");
}

#[test]
fn the_newest_deployments_log_is_read_from_each_of_its_servers() {
    let stage = ready();
    let target = format!("GET /v1/deployments?limit=1&target=environment%3A{ENVIRONMENT}");
    let mut step = stage::step("start_containers", "completed");
    let row = |id: &str, name: &str| {
        json!({"id": id, "name": name, "status": "completed", "output": null, "error": null,
        "progress": null, "started_at": null, "finished_at": null})
    };
    step["servers"] = json!([row(SERVER, "docker1"), row(SERVICE, "docker2")]);
    let detail = deployment(9, "completed", "settled", &[step]);
    stage.replies(&target, [page(std::slice::from_ref(&detail))]);
    stage.looks([detail]);
    for (id, text) in [(SERVER, "one"), (SERVICE, "two")] {
        let line = format!(
            "GET /v1/deployments/{DEPLOYMENT}/steps/start_containers/log?server_id={id}&limit=100"
        );
        let said = json!({"attempt": 1, "number": 0, "at": "2026-01-02T12:03:04.000Z", "is_error": false, "text": text});
        stage.replies(&line, [page(&[said])]);
    }
    let ran = ran(&stage, "logs shop/web/production");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("docker1  one") && ran.out.contains("docker2  two"),
        "{ran:?}"
    );
}

#[test]
fn a_followed_release_tells_of_each_of_its_servers() {
    let stage = ready();
    let row = |name: &str, id: &str, status: &str| {
        let ended = (status == "completed").then_some("2026-01-02T12:03:04.000Z");
        json!({"id": id, "name": name, "status": status, "output": ended.map(|_| "3 containers"), "error": null,
            "progress": null, "started_at": "2026-01-02T12:03:02.800Z", "finished_at": ended})
    };
    let look = |seq, status: &str, settlement: &str, second: &str| {
        let mut step = stage::step(
            "start_containers",
            if status == "running" {
                "running"
            } else {
                "completed"
            },
        );
        step["servers"] = json!([
            row("docker1", SERVER, "completed"),
            row("docker2", SERVICE, second)
        ]);
        deployment(seq, status, settlement, &[step])
    };
    stage.looks([
        look(1, "running", "active", "running"),
        look(2, "completed", "settled", "completed"),
    ]);
    let ran = ran(&stage, "deploy shop/web/production --follow");
    assert_eq!(ran.code, 0, "{ran:?}");
    for told in [
        "start_containers on docker1 completed 1.2s: 3 containers",
        "start_containers on docker2 running",
        "start_containers on docker2 completed 1.2s: 3 containers",
    ] {
        assert_eq!(ran.out.matches(told).count(), 1, "{told}: {ran:?}");
    }
}
