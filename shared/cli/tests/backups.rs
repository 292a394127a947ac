//! Backup configurations and restore points on the command line.
//!
//! The rule held: what is typed is what is asked for; what is not typed is not changed.

#![allow(clippy::unwrap_used, reason = "in a test a panic is the report")]

mod stage;

use serde_json::{Value, json};
use stage::{
    BACKUP, CONFIGURATION, DEPLOYMENT, SITE, Stage, configuration, deployment, page, plan, problem,
    retention, site,
};

const BASE: &str = "backups configurations";

fn path(rest: &str) -> String {
    format!("/v1/sites/{SITE}/backup-configurations{rest}")
}

fn one(rest: &str) -> String {
    path(&format!("/{CONFIGURATION}{rest}"))
}

fn ready() -> Stage {
    let stage = Stage::new();
    stage.replies("GET /v1/sites", [page(&[site()])]);
    stage.replies(&format!("GET {}", path("")), [page(&[configuration()])]);
    stage.replies(&format!("GET {}", one("/retention")), [(200, retention())]);
    stage.replies(&format!("POST {}", path("")), [(201, configuration())]);
    stage.replies(&format!("PATCH {}", one("")), [(200, configuration())]);
    let would = json!({"configuration": configuration(), "retention": retention(),
        "next_due": ["2026-01-03T02:00:00.000Z", "2026-01-04T02:00:00.000Z"]});
    stage.replies(
        &format!("POST {}?dry_run=true", path("")),
        [(200, would.clone())],
    );
    stage.replies(&format!("PATCH {}?dry_run=true", one("")), [(200, would)]);
    stage
}

/// With these words, split at spaces; `_` stands for a space inside one.
fn words(line: &str) -> Vec<String> {
    let words = format!("{BASE} {line}");
    let words = words.split(' ').map(|word| word.replace('_', " "));
    words.collect()
}

fn run(stage: &Stage, line: &str) -> stage::Ran {
    let words = words(line);
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    stage.run(&words)
}

#[test]
fn a_configuration_is_made_of_what_is_typed() {
    let stage = ready();
    let ran = run(
        &stage,
        "create shop nightly --schedule 0_3_*_*_* --time-zone Europe/Berlin --exclude wp-content/cache --keep-last 3 --keep-daily 7",
    );
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.contains("keeps\tlast 3, daily 7\n") && ran.out.contains(CONFIGURATION),
        "{ran:?}"
    );
    assert_eq!(
        stage.asked().pop().unwrap().body,
        json!({"name": "nightly", "scope": "site", "exclude": ["wp-content/cache"], "schedule": "0 3 * * *",
            "time_zone": "Europe/Berlin", "full_every": 7, "enabled": true,
            "retention": {"keep_last": 3, "keep_daily": 7, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 0}})
    );
    run(&stage, "create shop nightly --schedule @daily --disabled");
    let asked = stage.asked().pop().unwrap().body;
    assert_eq!(
        (&asked["enabled"], asked.get("retention")),
        (&json!(false), None)
    );
}

#[test]
fn a_change_asks_for_what_is_typed_alone() {
    for (typed, asked) in [
        ("--name hourly", json!({"name": "hourly"})),
        ("--disable", json!({"enabled": false})),
        ("--enable", json!({"enabled": true})),
        ("--keep-all", json!({"retention": null})),
        ("--exclude-nothing", json!({"exclude": []})),
        (
            "--keep-yearly 2",
            json!({"retention": {"keep_last": 0, "keep_daily": 0, "keep_weekly": 0, "keep_monthly": 0, "keep_yearly": 2}}),
        ),
    ] {
        let stage = ready();
        let ran = run(&stage, &format!("update shop nightly {typed}"));
        assert_eq!(ran.code, 0, "{ran:?}");
        assert_eq!(stage.asked().pop().unwrap().body, asked, "{typed}");
    }
    let ran = run(&ready(), "update shop nightly --keep-all --keep-last 1");
    assert_eq!(ran.code, 1, "{ran:?}");
}

#[test]
fn a_dry_run_shows_when_it_would_be_due_and_what_would_go() {
    for line in [
        "create shop nightly --schedule @daily --dry-run",
        "update shop nightly --keep-last 1 --dry-run",
    ] {
        let stage = ready();
        let ran = run(&stage, line);
        assert_eq!(ran.code, 3, "{ran:?}");
        assert!(
            ran.out.contains("due 2\t2026-01-04T02:00:00.000Z"),
            "{ran:?}"
        );
        assert!(
            ran.out.contains("last 1, daily 2026-01-02")
                && ran.err.contains("1 of 2 would go")
                && ran.err.contains("nothing was changed"),
            "{ran:?}"
        );
        let changes = |line: &String| !line.starts_with("GET ") && !line.contains("dry_run");
        assert!(!stage.lines().iter().any(changes));
        let ran = run(&stage, &format!("{line} --json"));
        assert_eq!(
            (ran.code, &ran.json()["configuration"]["name"]),
            (3, &json!("nightly"))
        );
    }
}

#[test]
fn configurations_are_listed_and_shown_by_name_or_id() {
    let stage = ready();
    let ran = run(&stage, "list shop");
    assert!(
        ran.out
            .contains("nightly\tsite\t0 3 * * *\tEurope/Berlin\t2026-01-03T02:00:00.000Z\t2026-01-02T02:10:00.000Z\tlast 3, daily 7\t"),
        "{ran:?}"
    );
    for named in ["nightly", CONFIGURATION] {
        let ran = run(&stage, &format!("show shop {named} --json"));
        assert_eq!(ran.json()["id"], CONFIGURATION, "{ran:?}");
    }
    let ran = run(&stage, "show shop weekly");
    assert_eq!(ran.code, 1);
    assert_eq!(
        ran.err,
        "error: there is no backup configuration named weekly. There is: nightly.\n"
    );
    let ran = run(&stage, "retention shop nightly");
    assert!(ran.out.contains("\tno\t"), "{ran:?}");
}

#[test]
fn a_configuration_is_deleted_after_a_yes() {
    let stage = ready();
    let line = format!("DELETE {}", one(""));
    stage.replies(&line, [(204, Value::Null)]);
    let ran = run(&stage, "delete shop nightly");
    assert!(ran.code == 1 && ran.err.contains("pass --yes"), "{ran:?}");
    let ran = run(&stage, "delete shop nightly --dry-run");
    assert!(ran.code == 3 && ran.out.starts_with("would "), "{ran:?}");
    assert!(!stage.lines().contains(&line));
    let ran = run(&stage, "delete shop nightly --yes");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(stage.lines().contains(&line));
}

#[test]
fn what_the_api_refuses_is_told_by_field() {
    let stage = ready();
    let (status, mut refused) = problem(422, "invalid_fields", "no");
    refused["errors"] =
        json!([{"field": "time_zone", "message": "is not a time zone that is known"}]);
    stage.replies(&format!("POST {}", path("")), [(status, refused)]);
    let ran = run(
        &stage,
        "create shop nightly --schedule @daily --time-zone Mars/Olympus",
    );
    assert_eq!(ran.code, 1);
    assert!(
        ran.err.contains("  time_zone: is not a time zone"),
        "{ran:?}"
    );
}

#[test]
fn a_backup_is_made_as_a_configuration_says() {
    let stage = ready();
    let line = format!("POST /v1/sites/{SITE}/backups");
    let created = json!({"deployment": deployment(1, "queued", "active", &[])});
    stage.replies(&line, [(201, created)]);
    stage.replies(&format!("{line}?dry_run=true"), [plan()]);
    let create = ["backups", "create", "shop", "--configuration", "nightly"];
    let ran = stage.run(&create);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains(DEPLOYMENT), "{ran:?}");
    assert_eq!(
        stage.asked().pop().unwrap().body,
        json!({"full": false, "configuration_id": CONFIGURATION})
    );
    assert_eq!(stage.run(&[&create[..], &["--dry-run"]].concat()).code, 3);
    let both = stage.run(&[&create[..], &["--scope", "files"]].concat());
    assert_eq!(both.code, 1, "{both:?}");
    stage.run(&["backups", "create", "shop"]);
    assert_eq!(stage.asked().pop().unwrap().body, json!({"full": false}));
}

#[test]
fn a_restore_point_that_is_none_says_why() {
    let stage = ready();
    let point = json!({"backup_id": BACKUP, "created_at": "2026-01-02T02:10:00.000Z", "scope": "site", "reason": "schedule",
        "configuration_id": CONFIGURATION, "status": "available", "chain": [DEPLOYMENT, BACKUP], "download_bytes": 4096,
        "not_restorable": null});
    let mut pruned = point.clone();
    pruned["status"] = "expired".into();
    pruned["chain"] = json!([]);
    pruned["not_restorable"] = "it was pruned".into();
    stage.replies(
        &format!("GET /v1/sites/{SITE}/restore-points"),
        [page(&[point, pruned])],
    );
    let ran = stage.run(&["backups", "restore-points", "shop"]);
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.contains("available\tsite\t"), "{ran:?}");
    assert!(
        ran.out.contains("cannot be restored: it was pruned"),
        "{ran:?}"
    );
}
