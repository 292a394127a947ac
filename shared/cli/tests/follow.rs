//! Deployments that are followed, into a pipe: lines, JSON, the end, an API that is away, a host key.
//!
//! The rule held: the program stays until nothing more happens, and its exit code is the verdict.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use serde_json::{Value, json};
use stage::{DEPLOYMENT, SERVER, Stage, deployment, problem, server, step, undo};

const SHOW: [&str; 4] = ["deployments", "show", DEPLOYMENT, "--follow"];

fn failing() -> Vec<Value> {
    let failed = || {
        let mut failed = step("two", "failed");
        failed["error"] =
            json!({"kind": "refused", "code": "disk_full", "message": "The disk of web1 is full."});
        failed
    };
    let mut skipped = step("three", "skipped");
    skipped["output"] = "not reached".into();
    vec![
        deployment(
            1,
            "queued",
            "active",
            &[
                step("one", "queued"),
                step("two", "queued"),
                step("three", "queued"),
            ],
        ),
        deployment(
            2,
            "running",
            "active",
            &[
                step("one", "completed"),
                step("two", "running"),
                step("three", "queued"),
            ],
        ),
        deployment(
            3,
            "failed",
            "undoing",
            &[
                step("one", "completed"),
                failed(),
                skipped.clone(),
                undo("take_one_back", "one", "running"),
            ],
        ),
        deployment(
            4,
            "failed",
            "settled",
            &[
                step("one", "completed"),
                failed(),
                skipped,
                undo("take_one_back", "one", "completed"),
            ],
        ),
    ]
}

const LOOK: &str = "GET /v1/deployments/01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";

fn failing_told() -> String {
    format!(
        "12:03:00 deployment queued\n\
         12:03:01 deployment running\n\
         12:03:02 two running\n\
         12:03:04 one completed 1.2s: what it did\n\
         12:03:02 take_one_back running (undo of one)\n\
         12:03:04 two failed 1.2s: The disk of web1 is full.\n\
         12:03:13 deployment failed, undoing: The disk of web1 is full.\n\
         12:03:13 three skipped: not reached\n\
         12:03:04 take_one_back completed 1.2s: what it did (undo of one)\n\
         12:03:14 deployment failed: The disk of web1 is full.\n\
         ✗ Create site shop failed after 12.3s: The disk of web1 is full.\n\
         Undone: Title of one.\n\
         Try it again: triphammer deployments retry {DEPLOYMENT} --follow\n"
    )
}

#[test]
fn without_a_live_channel_a_failure_is_told_line_by_line_and_ends_with_1() {
    let stage = Stage::new();
    stage.looks(failing());
    let ran = stage.run(&SHOW);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.out, failing_told());
    assert_eq!(ran.err, "");
    let tickets = stage.lines();
    let tickets = tickets.iter().filter(|line| line.ends_with("live-tickets"));
    assert_eq!(tickets.count(), 1);
}

#[test]
fn with_a_live_channel_the_same_is_told_from_one_look() {
    let stage = Stage::new();
    let mut looks = failing();
    stage.looks([looks.remove(0)]).live(looks);
    let ran = stage.run(&SHOW);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert_eq!(ran.out, failing_told());
    assert_eq!(ran.err, "");
    assert_eq!(stage.lines(), ["POST /v1/live-tickets", LOOK]);
}

#[test]
fn with_a_live_channel_json_is_one_line_a_change_too() {
    let stage = Stage::new();
    let mut looks = failing();
    stage.looks([looks.remove(0)]).live(looks);
    let ran = stage.run(&[&SHOW[..], &["--json"]].concat());
    assert_eq!(ran.code, 1);
    let told: Vec<Value> = ran
        .out
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let seqs: Vec<_> = told.iter().map(|line| line["seq"].clone()).collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
    assert_eq!(told[3]["steps"][3]["name"], "take_one_back");
}

#[test]
fn the_view_is_left_only_when_the_deployment_is_settled() {
    let stage = Stage::new();
    stage.looks([
        deployment(
            1,
            "completed",
            "active",
            &[step("one", "completed"), step("tidy", "running")],
        ),
        deployment(
            2,
            "completed",
            "settled",
            &[step("one", "completed"), step("tidy", "completed")],
        ),
    ]);
    let ran = stage.run(&SHOW);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("tidy completed"), "{ran:?}");
    assert!(
        ran.out.ends_with("✓ Create site shop completed in 12.3s\n"),
        "{ran:?}"
    );
}

#[test]
fn json_is_one_line_a_change_and_nothing_else() {
    let stage = Stage::new();
    let mut looks = failing();
    looks.insert(1, looks[0].clone());
    stage.looks(looks);
    let ran = stage.run(&[&SHOW[..], &["--json"]].concat());
    assert_eq!(ran.code, 1);
    let seqs: Vec<_> = ran
        .out
        .lines()
        .map(|line| {
            serde_json::from_str::<Value>(line).unwrap()["seq"]
                .as_u64()
                .unwrap()
        })
        .collect();
    assert_eq!(seqs, [1, 2, 3, 4]);
}

#[test]
fn an_api_that_is_away_for_a_moment_is_waited_for_and_that_is_said() {
    let stage = Stage::new();
    let line = format!("GET /v1/deployments/{DEPLOYMENT}");
    stage.replies(
        &line,
        [
            (
                200,
                deployment(1, "running", "active", &[step("one", "running")]),
            ),
            problem(503, "unavailable", "Records are away for now."),
            (
                200,
                deployment(2, "completed", "settled", &[step("one", "completed")]),
            ),
        ],
    );
    let ran = stage.run(&SHOW);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(
        ran.err,
        "Records are away for now; trying again for a minute\nthe API answers again\n"
    );
}

#[test]
fn what_needs_attention_ends_with_1_and_the_two_ways_out() {
    let stage = Stage::new();
    stage.looks([deployment(
        9,
        "failed",
        "needs_attention",
        &[step("one", "failed")],
    )]);
    let ran = stage.run(&SHOW);
    assert_eq!(ran.code, 1);
    for expected in [
        "Needs attention. Not taken back:",
        "deployments undo",
        "deployments acknowledge",
    ] {
        assert!(ran.out.contains(expected), "{expected}: {ran:?}");
    }
}

#[test]
fn a_cancel_that_is_followed_to_its_undos_is_done() {
    let stage = Stage::new();
    stage.looks([
        deployment(1, "running", "active", &[step("one", "running")]),
        deployment(
            2,
            "cancelled",
            "undoing",
            &[
                step("one", "failed"),
                undo("take_one_back", "one", "running"),
            ],
        ),
        deployment(
            3,
            "cancelled",
            "settled",
            &[
                step("one", "failed"),
                undo("take_one_back", "one", "completed"),
            ],
        ),
    ]);
    let line = format!("POST /v1/deployments/{DEPLOYMENT}/cancel");
    stage.replies(&line, [(200, deployment(2, "cancelled", "stopping", &[]))]);
    let ran = stage.run(&["deployments", "cancel", DEPLOYMENT, "--yes", "--follow"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains("Create site shop was cancelled after 12.3s: Cancelled by ci"),
        "{ran:?}"
    );
    assert!(ran.out.contains("Undone: Title of one."), "{ran:?}");
}

#[test]
fn progress_is_told_when_its_words_or_its_tenth_change() {
    let at = |seq, done| {
        let mut step = step("one", "running");
        step["progress"] =
            json!({"done": done, "total": 100, "unit": "files", "message": "Copying"});
        deployment(seq, "running", "active", &[step])
    };
    let stage = Stage::new();
    stage.looks([
        at(1, 11),
        at(2, 12),
        at(3, 55),
        deployment(4, "completed", "settled", &[step("one", "completed")]),
    ]);
    let ran = stage.run(&SHOW);
    let told: Vec<_> = ran
        .out
        .lines()
        .filter(|line| line.contains("Copying"))
        .collect();
    assert_eq!(told.len(), 2, "{ran:?}");
    assert!(told[0].ends_with("one 10% Copying") && told[1].ends_with("one 50% Copying"));
}

fn registering(seq: u64, status: &str, settlement: &str) -> Value {
    let mut detail = deployment(seq, status, settlement, &[step("pin_host_key", "running")]);
    detail["type"] = "register_server".into();
    detail["operation_name"] = "Register server".into();
    detail["target"] = json!({"kind": "server", "id": SERVER, "name": "web1"});
    detail
}

fn registration() -> Stage {
    let stage = Stage::new();
    let created =
        json!({"server": server(false, false), "deployment": registering(1, "queued", "active")});
    stage.replies("POST /v1/servers", [(201, created)]);
    let seen = [
        server(false, false),
        server(true, false),
        server(true, true),
    ];
    stage.replies(
        &format!("GET /v1/servers/{SERVER}"),
        seen.map(|seen| (200, seen)),
    );
    stage.replies(
        &format!("POST /v1/servers/{SERVER}/host-key"),
        [(200, server(true, true))],
    );
    stage
}

#[test]
fn yes_accepts_the_host_key_that_is_seen_first_and_says_so() {
    let stage = registration();
    stage.looks([
        registering(1, "queued", "active"),
        registering(2, "running", "active"),
        registering(3, "completed", "settled"),
    ]);
    let key = stage.key_file();
    let ran = stage.run(&[
        "servers",
        "add",
        "web1",
        "--host",
        "203.0.113.7",
        "--key-file",
        &key,
        "--yes",
        "-f",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.err.contains(
            "accepted web1's host key on first use, nobody compared it: ssh-ed25519 SHA256:n4b"
        ),
        "{ran:?}"
    );
    let yes = stage
        .asked()
        .into_iter()
        .find(|asked| asked.line.ends_with("/host-key"))
        .unwrap();
    assert_eq!(
        yes.body["fingerprint"],
        "SHA256:n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg"
    );
}

#[test]
fn with_a_live_channel_a_host_key_is_asked_for_though_no_event_tells_of_it() {
    let stage = registration();
    stage.looks([
        registering(1, "running", "active"),
        registering(2, "completed", "settled"),
    ]);
    stage.live([]);
    let key = stage.key_file();
    let ran = stage.run(&[
        "servers",
        "add",
        "web1",
        "--host",
        "203.0.113.7",
        "--key-file",
        &key,
        "--yes",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("accepted web1's host key"), "{ran:?}");
}

#[test]
fn without_follow_the_registration_goes_on_alone_once_the_key_is_pinned() {
    let stage = registration();
    stage.looks([registering(1, "running", "active")]);
    let key = stage.key_file();
    let ran = stage.run(&[
        "servers",
        "add",
        "web1",
        "--host",
        "203.0.113.7",
        "--key-file",
        &key,
        "--yes",
        "--json",
    ]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(ran.json()["server"]["name"], "web1");
    assert!(ran.err.contains("the registration goes on"), "{ran:?}");
}

#[test]
fn a_server_that_is_not_reached_fails_the_command() {
    let stage = registration();
    stage.looks([
        registering(1, "running", "active"),
        registering(2, "failed", "settled"),
    ]);
    stage.replies(
        &format!("GET /v1/servers/{SERVER}"),
        [problem(404, "not_found", "Gone.")],
    );
    let key = stage.key_file();
    let ran = stage.run(&[
        "servers",
        "add",
        "web1",
        "--host",
        "203.0.113.7",
        "--key-file",
        &key,
        "--yes",
    ]);
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.out.contains("Register server web1 failed"), "{ran:?}");
}
