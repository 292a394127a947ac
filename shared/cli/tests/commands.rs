//! Commands that are not followed: exit codes, JSON, plans, names, questions, errors.
//!
//! The rule held: scripts can rely on the exit code and on standard output, people on the words.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use serde_json::json;
use stage::{
    DEPLOYMENT, ENDPOINT, SERVER, SITE, Stage, deployment, endpoint, page, plan, problem, server,
    site, step,
};

const CREATE: [&str; 9] = [
    "sites",
    "create",
    "shop",
    "--server",
    "web1",
    "--title",
    "Shop",
    "--admin-email",
    "a@b.example",
];

fn ready() -> Stage {
    let stage = Stage::new();
    let detail = deployment(1, "queued", "active", &[]);
    let created =
        json!({"site": site(), "deployment": detail, "admin_password": "first-and-last-look"});
    stage.replies("GET /v1/servers", [page(&[server(false, true)])]);
    stage.replies("GET /v1/sites", [page(&[site()])]);
    stage.replies("POST /v1/sites", [(201, created)]);
    stage.replies("GET /v1/webhook-endpoints", [page(&[endpoint()])]);
    stage.replies("POST /v1/sites?dry_run=true", [plan()]);
    stage
}

#[test]
fn a_site_is_created_by_its_servers_name_and_the_password_is_shown() {
    let stage = ready();
    let ran = stage.run(&CREATE);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("admin password\tfirst-and-last-look\n"),
        "{ran:?}"
    );
    assert!(ran.out.contains(DEPLOYMENT) && ran.err.contains("shown once"));
    let asked = stage.asked().pop().unwrap();
    assert_eq!(asked.body["server_id"], SERVER);
    assert!(asked.headers.contains_key("idempotency-key"));
    assert!(
        asked.headers["x-triphammer-client"]
            .to_str()
            .unwrap()
            .starts_with("cli/")
    );
}

#[test]
fn json_is_one_document_with_everything_the_api_said() {
    let ran = ready().run(&[&CREATE[..], &["--json"]].concat());
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["admin_password"], "first-and-last-look");
    assert_eq!(ran.json()["deployment"]["id"], DEPLOYMENT);
}

#[test]
fn a_dry_run_shows_the_plan_sends_no_create_and_exits_with_3() {
    let stage = ready();
    let ran = stage.run(&[&CREATE[..], &["--dry-run"]].concat());
    assert_eq!(ran.code, 3, "{ran:?}");
    assert!(
        ran.out.contains("one\tTitle of one\t5 min\ttake_one_back"),
        "{ran:?}"
    );
    let ran = stage.run(&[&CREATE[..], &["--dry-run", "--json"]].concat());
    assert_eq!((ran.code, &ran.json()["type"]), (3, &json!("create_site")));
    assert!(!stage.lines().contains(&"POST /v1/sites".to_string()));
}

#[test]
fn a_dry_run_of_what_has_no_plan_only_reads() {
    let stage = ready();
    stage.looks([deployment(1, "running", "active", &[])]);
    for command in [
        &["deployments", "cancel", DEPLOYMENT][..],
        &["deployments", "undo", DEPLOYMENT],
        &["deployments", "acknowledge", DEPLOYMENT, "--reason", "x"],
        &["servers", "confirm", "web1"],
        &["tokens", "create", "ci", "--scope", "deploy:read"],
        &["webhook-endpoints", "add", "https://hooks.example.com"],
        &["webhook-endpoints", "remove", "https://hooks.example.com"],
    ] {
        let ran = stage.run(&[command, &["--dry-run"]].concat());
        assert_eq!(ran.code, 3, "{command:?} {ran:?}");
        assert!(ran.out.starts_with("would "), "{ran:?}");
    }
    assert!(
        stage.lines().iter().all(|line| line.starts_with("GET ")),
        "{:?}",
        stage.lines()
    );
}

#[test]
fn what_is_denied_exits_with_2_and_what_is_mistyped_with_1() {
    for (status, code) in [(401, "unauthorized"), (403, "forbidden")] {
        let stage = Stage::new();
        stage.replies(
            "GET /v1/servers",
            [problem(status, code, "This needs more.")],
        );
        let ran = stage.run(&["servers", "list"]);
        assert_eq!(ran.code, 2, "{ran:?}");
        assert_eq!(
            ran.err,
            format!("error: This needs more.\n  ({code}, request req-7)\n")
        );
    }
    let stage = Stage::new();
    for line in [
        &["servers", "lits"][..],
        &[],
        &["--no-such-flag"],
        &["deployments", "show", "x"],
    ] {
        assert_eq!(stage.run(line).code, 1, "{line:?}");
    }
    for line in [
        &["--help"][..],
        &["--version"],
        &["sites", "create", "--help"],
    ] {
        assert_eq!(stage.run(line).code, 0, "{line:?}");
    }
}

#[test]
fn an_error_in_json_is_the_apis_problem() {
    let stage = Stage::new();
    stage.replies("GET /v1/servers", [problem(403, "forbidden", "No.")]);
    let ran = stage.run(&["servers", "list", "--json"]);
    assert_eq!((ran.code, &ran.json()["code"]), (2, &json!("forbidden")));
}

#[test]
fn a_list_in_a_pipe_is_separated_by_tabs_and_has_no_escape_codes() {
    let stage = ready();
    stage.replies(
        "GET /v1/deployments?limit=20",
        [page(&[deployment(1, "failed", "settled", &[])])],
    );
    for (command, expected) in [
        (
            &["servers", "list"][..],
            "web1\t203.0.113.7\tactive\t-\t2026-01-02T12:00:00.000Z\t",
        ),
        (
            &["sites", "list"],
            "shop\tweb1\tactive\thttps://shop.example.com\t8.2\t",
        ),
        (
            &["deployments", "list"],
            "Create site\tshop\tfailed\tci\t2026-01-02T12:03:00.000Z\t12.3s\t",
        ),
        (
            &["webhook-endpoints", "list"],
            "https://hooks.example.com/\t2026-01-02T12:00:00.000Z\t",
        ),
    ] {
        let ran = stage.run(command);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(ran.out.contains(expected), "{ran:?}");
        assert!(!ran.out.contains('\u{1b}'), "{ran:?}");
    }
}

#[test]
fn all_pages_are_fetched_until_the_last() {
    let stage = Stage::new();
    let one = deployment(1, "completed", "settled", &[]);
    let first = json!({"items": [one], "next_cursor": "c1"});
    stage.replies("GET /v1/deployments?limit=100", [(200, first)]);
    stage.replies("GET /v1/deployments?cursor=c1&limit=100", [page(&[one])]);
    let ran = stage.run(&["deployments", "list", "--all", "--json"]);
    assert_eq!(ran.json()["items"].as_array().unwrap().len(), 2);
    assert!(ran.json().get("next_cursor").is_none());
}

#[test]
fn a_target_is_named_as_people_name_it() {
    let stage = ready();
    let line = format!("GET /v1/deployments?limit=20&target=site%3A{SITE}");
    stage.replies(&line, [page(&[])]);
    let ran = stage.run(&["deployments", "list", "--target", "site:shop"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    let ran = stage.run(&["deployments", "list", "--target", "shop"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains("write site:NAME, server:NAME or environment:")
    );
}

#[test]
fn an_unknown_name_is_answered_with_the_known_ones() {
    let ran = ready().run(&["servers", "show", "web2"]);
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: there is no server named web2. There is: web1.\n"
    );
}

#[test]
fn a_busy_target_names_its_holder() {
    let stage = ready();
    let (status, mut busy) = problem(409, "target_busy", "It is busy.");
    busy["held_by"] = json!({"deployment_id": DEPLOYMENT, "operation_name": "Create site", "since": "2026-01-02T12:03:00Z"});
    stage.replies(
        &format!("POST /v1/servers/{SERVER}/check"),
        [(status, busy)],
    );
    let ran = stage.run(&["servers", "check", "web1"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err
            .contains(&format!("held by Create site {DEPLOYMENT} since ")),
        "{ran:?}"
    );
    assert!(ran.err.contains(&format!(
        "triphammer deployments show {DEPLOYMENT} --follow"
    )));
}

#[test]
fn what_cannot_be_taken_back_needs_yes_when_nobody_can_be_asked() {
    let stage = ready();
    stage.looks([deployment(1, "running", "active", &[])]);
    let line = format!("POST /v1/deployments/{DEPLOYMENT}/cancel");
    stage.replies(&line, [(200, deployment(2, "cancelled", "stopping", &[]))]);
    let ran = stage.run(&["deployments", "cancel", DEPLOYMENT]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("pass --yes"), "{ran:?}");
    assert!(!stage.lines().contains(&line));
    let ran = stage.run(&["deployments", "cancel", DEPLOYMENT, "--yes"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("cancelled, stopping"), "{ran:?}");
}

#[test]
fn a_webhook_endpoint_is_added_and_its_secret_is_shown_once() {
    let stage = ready();
    let created = json!({"endpoint": endpoint(), "secret": "whsec_first-and-last-look"});
    stage.replies("POST /v1/webhook-endpoints", [(201, created)]);
    let add = ["webhook-endpoints", "add", "https://hooks.example.com"];
    let ran = stage.run(&add);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("secret\twhsec_first-and-last-look\n") && ran.out.contains(ENDPOINT),
        "{ran:?}"
    );
    assert!(ran.err.contains("shown once"), "{ran:?}");
    let asked = stage.asked().pop().unwrap();
    assert_eq!(asked.body, json!({"url": "https://hooks.example.com"}));
    let ran = stage.run(&[&add[..], &["--json"]].concat());
    assert_eq!(ran.json()["secret"], "whsec_first-and-last-look");
}

#[test]
fn a_url_that_the_api_refuses_is_told_with_the_reason() {
    let stage = Stage::new();
    let (status, mut refused) = problem(422, "invalid_fields", "url must begin with https://");
    refused["errors"] = json!([{"field": "url", "message": "must begin with https://"}]);
    stage.replies("POST /v1/webhook-endpoints", [(status, refused)]);
    let ran = stage.run(&["webhook-endpoints", "add", "http://hooks.example.com"]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains("  url: must begin with https://\n"),
        "{ran:?}"
    );
}

#[test]
fn a_webhook_endpoint_is_removed_by_its_url_or_id_after_a_yes() {
    let line = format!("DELETE /v1/webhook-endpoints/{ENDPOINT}");
    for named in [
        "https://hooks.example.com",
        "https://hooks.example.com/",
        ENDPOINT,
    ] {
        let stage = ready();
        stage.replies(&line, [(204, serde_json::Value::Null)]);
        let ran = stage.run(&["webhook-endpoints", "remove", named]);
        assert_eq!(ran.code, 1);
        assert!(ran.err.contains("pass --yes"), "{ran:?}");
        assert!(!stage.lines().contains(&line));
        let ran = stage.run(&["webhook-endpoints", "remove", named, "--yes"]);
        assert_eq!(ran.code, 0, "{ran:?}");
        assert!(
            ran.out.starts_with("removed https://hooks.example.com/ ("),
            "{ran:?}"
        );
        assert!(stage.lines().contains(&line));
    }
    let ran = ready().run(&[
        "webhook-endpoints",
        "remove",
        "https://other.example.com",
        "--yes",
    ]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("There is: https://hooks.example.com/."),
        "{ran:?}"
    );
}

#[test]
fn a_deployment_is_shown_with_its_steps_and_what_to_do() {
    let stage = Stage::new();
    let steps = [step("one", "failed"), step("two", "skipped")];
    stage.looks([deployment(5, "failed", "needs_attention", &steps)]);
    let ran = stage.run(&["deployments", "show", DEPLOYMENT]);
    assert_eq!(ran.code, 0, "{ran:?}");
    for expected in [
        "status\tfailed, needs attention",
        "one\tstep\tfailed\t1.2s\twhat it did",
        "Not taken back:",
        &format!("triphammer deployments undo {DEPLOYMENT}"),
        &format!("triphammer deployments acknowledge {DEPLOYMENT} --reason"),
    ] {
        assert!(ran.out.contains(expected), "{expected}: {}", ran.out);
    }
}

#[test]
fn text_of_others_cannot_steer_the_terminal() {
    let stage = Stage::new();
    let mut evil = step("one", "completed");
    evil["output"] = "\u{1b}]0;owned\u{7}\u{1b}[2J".into();
    stage.looks([deployment(5, "completed", "settled", &[evil])]);
    let ran = stage.run(&["deployments", "show", DEPLOYMENT]);
    assert!(
        !ran.out.contains('\u{1b}') && !ran.out.contains('\u{7}'),
        "{ran:?}"
    );
}

#[test]
fn a_lost_reply_does_not_hide_that_the_password_is_gone() {
    let stage = ready();
    let created = json!({"site": site(), "deployment": deployment(1, "queued", "active", &[])});
    stage.replies(
        "POST /v1/sites",
        [problem(503, "unavailable", "Away."), (201, created)],
    );
    let ran = stage.run(&CREATE);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("was lost on its way"), "{ran:?}");
}

#[test]
fn an_unseen_host_key_is_not_accepted_where_nobody_can_be_asked() {
    let stage = Stage::new();
    let key = stage.key_file();
    let ran = stage.run(&[
        "servers",
        "add",
        "web1",
        "--host",
        "203.0.113.7",
        "--key-file",
        &key,
    ]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("--host-key SHA256:") && ran.err.contains("--yes"),
        "{ran:?}"
    );
    assert!(stage.lines().is_empty(), "nothing was begun");
}

#[test]
fn follow_is_refused_where_there_is_nothing_to_follow() {
    let ran = ready().run(&["servers", "list", "--follow"]);
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("nothing that could be followed"),
        "{ran:?}"
    );
}

#[test]
fn no_message_shows_the_token() {
    let stage = Stage::new();
    for line in [
        &["servers", "list"][..],
        &["servers", "list", "--json"],
        &["--help"],
    ] {
        let ran = stage.run(line);
        assert!(!ran.out.contains("th_canary") && !ran.err.contains("th_canary"));
    }
}

#[test]
fn a_profile_says_where_the_api_is_and_who_calls() {
    let stage = ready();
    let file = stage.file(
        "config.toml",
        &format!(
            "[profiles.local]\napi_url = \"{}\"\ntoken = \"th_of_profile\"\nhost_header = \"api.local\"\n",
            stage.address
        ),
    );
    let environment = [("TRIPHAMMER_CONFIG", file.as_str())];
    let ran = stage.run_in(&environment, &["servers", "list", "--profile", "local"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("chmod 600"), "{ran:?}");
    let asked = stage.asked().pop().unwrap();
    assert_eq!(asked.headers["authorization"], "Bearer th_of_profile");
    assert_eq!(asked.headers["host"], "api.local");
    let ran = stage.run_in(&environment, &["servers", "list"]);
    assert_eq!(ran.code, 1);
    assert!(ran.err.contains("no profile \"default\""), "{ran:?}");
}
