//! What can go wrong between the API and a server, for real: on the local AWS, in its functions' processes, on the host.
//!
//! The rule held after each: one verdict, the lock free, the server as before or the site complete, nothing unsettled after
//! the bound that stands beside it. A dead worker's step is begun again at its deadline, a minute after it began.

use e2e::{Stack, settled};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// A fault that no worker dies of.
const SOON: Duration = Duration::from_secs(60);
/// A worker is lost: its minute, the next try, and the rest of the way.
const AFTER_A_LOST_WORKER: Duration = Duration::from_secs(150);

async fn ready() -> (Stack, String) {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    (stack, server)
}

/// Ask for a site of a new name; the id of its deployment.
async fn create(stack: &Stack, server: &str, name: &str) -> String {
    let name = format!("{name}-{:04x}", rand::random::<u16>());
    let created = stack
        .post("/v1/sites", stack.site_create(server, &name))
        .await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    let id = created.body["deployment"]["id"].as_str().expect("an id");
    id.to_string()
}

/// Its first step is at work on the server, and is not answered.
async fn in_effect(stack: &Stack, id: &str) {
    stack.step_is(id, "provision_database", "running").await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
}

async fn cancel(stack: &Stack, id: &str) {
    let cancelled = stack
        .post(&format!("/v1/deployments/{id}/cancel"), json!({}))
        .await;
    assert_eq!(cancelled.status, 200, "{:#}", cancelled.body);
}

async fn completes(stack: &Stack, id: &str, bound: Duration) -> Value {
    let began = Instant::now();
    let ended = stack.ended_within(id, bound).await;
    settled(&ended, "completed").expect("completed");
    let name = ended["target"]["name"].as_str().expect("a name");
    let host = format!("{name}.{}.sslip.io", stack.server().address);
    let (status, page) = stack.page(&host, "/").await.expect("a page");
    assert_eq!(status, 200, "{page}");
    println!(
        "{name}: settled {:.1} s after",
        began.elapsed().as_secs_f32()
    );
    ended
}

async fn leaves_nothing(
    stack: &Stack,
    id: &str,
    status: &str,
    before: &str,
    bound: Duration,
) -> Value {
    let began = Instant::now();
    let ended = stack.ended_within(id, bound).await;
    settled(&ended, status).unwrap_or_else(|error| panic!("{error:#}"));
    let after = stack.snapshot();
    let (old, new): (Vec<_>, Vec<_>) = (before.lines().collect(), after.lines().collect());
    let differences: Vec<_> = (old.iter().filter(|line| !new.contains(line)))
        .chain(new.iter().filter(|line| !old.contains(line)))
        .take(40)
        .collect();
    assert!(differences.is_empty(), "{differences:#?}");
    println!(
        "{}: settled {:.1} s after",
        ended["target"]["name"],
        began.elapsed().as_secs_f32()
    );
    ended
}

#[tokio::test]
async fn a_function_killed_in_its_effect_is_followed_by_another_that_completes() {
    let (stack, server) = ready().await;
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "killed-in-effect").await;
    in_effect(&stack, &id).await;
    stack.signal("-KILL", "provision_database");
    drop(frozen);
    completes(&stack, &id, AFTER_A_LOST_WORKER).await;
}

#[tokio::test]
async fn a_function_killed_after_its_effect_finds_it_done_and_a_cancel_takes_it_back() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "killed-after").await;
    in_effect(&stack, &id).await;
    let throttled = stack.fault(json!({"throttle": true}));
    drop(frozen);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    let databases = stack
        .on_server(&["mariadb", "-e", "SHOW DATABASES"])
        .expect("it answers");
    assert!(
        databases.contains("killed_after"),
        "the effect is there: {databases}"
    );
    stack.signal("-KILL", "provision_database");
    drop(throttled);
    cancel(&stack, &id).await;
    leaves_nothing(&stack, &id, "cancelled", &before, AFTER_A_LOST_WORKER).await;
}

#[tokio::test]
async fn a_function_killed_before_its_effect_and_a_server_away_during_the_undo_end_clean() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    let name = stack.server().name.clone();
    stack.lab.fault(&["unplug", &name]).expect("unplugged");
    let id = create(&stack, &server, "killed-before").await;
    stack.step_is(&id, "provision_database", "running").await;
    stack.signal("-KILL", "provision_database");
    cancel(&stack, &id).await;
    // The undo begins at the dead worker's deadline, and the server is away still.
    stack.step_is(&id, "drop_database", "running").await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    stack.lab.fault(&["plug", &name]).expect("plugged in");
    leaves_nothing(&stack, &id, "cancelled", &before, AFTER_A_LOST_WORKER).await;
}

#[tokio::test]
async fn a_function_that_stands_still_to_its_limit_is_followed_by_another_while_its_command_runs() {
    let (stack, server) = ready().await;
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "stands-still").await;
    in_effect(&stack, &id).await;
    stack.signal("-STOP", "provision_database");
    tokio::time::sleep(Duration::from_secs(62)).await;
    drop(frozen);
    completes(&stack, &id, AFTER_A_LOST_WORKER).await;
}

#[tokio::test]
async fn of_two_invocations_of_a_step_at_once_the_second_is_told_busy() {
    let (stack, server) = ready().await;
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "twice-at-once").await;
    in_effect(&stack, &id).await;
    let team = stack.team().await;
    let second = stack
        .invoke(
            "provision_database",
            json!({"team_id": team, "deployment_id": id, "step": "provision_database", "mode": "run"}),
        )
        .await;
    assert_eq!(second["errorType"], "Triphammer.Busy", "{second}");
    drop(frozen);
    completes(&stack, &id, SOON).await;
}

#[tokio::test]
async fn an_execution_stopped_by_hand_is_undone_once_its_worker_is_gone() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    for (name, with_cancel) in [("stopped-by-hand", false), ("stopped-and-cancelled", true)] {
        let frozen = stack.freeze_database();
        let id = create(&stack, &server, name).await;
        in_effect(&stack, &id).await;
        if with_cancel {
            cancel(&stack, &id).await;
        }
        stack.abort("create_site", &id).await;
        tokio::time::sleep(Duration::from_secs(3)).await;
        let undo = &stack.deployment(&id).await["steps"];
        assert!(
            !undo.to_string().contains("drop_database"),
            "nothing is taken back beside a worker: {undo:#}"
        );
        drop(frozen);
        let verdict = if with_cancel { "cancelled" } else { "failed" };
        leaves_nothing(&stack, &id, verdict, &before, SOON).await;
    }
}

#[tokio::test]
async fn a_throttled_table_delays_and_loses_nothing() {
    let (stack, server) = ready().await;
    for (name, with_cancel) in [("throttled", false), ("throttled-cancelled", true)] {
        let before = stack.snapshot();
        let id = create(&stack, &server, name).await;
        let throttled = stack.fault(json!({"throttle": true}));
        tokio::time::sleep(Duration::from_secs(6)).await;
        drop(throttled);
        if with_cancel {
            cancel(&stack, &id).await;
            leaves_nothing(&stack, &id, "cancelled", &before, AFTER_A_LOST_WORKER).await;
        } else {
            completes(&stack, &id, AFTER_A_LOST_WORKER).await;
        }
    }
}

#[tokio::test]
async fn stream_batches_that_come_twice_late_and_backwards_start_nothing_twice() {
    let (stack, server) = ready().await;
    let _shuffled = stack.fault(json!({"stream": ["double", "reverse", "late"]}));
    let id = create(&stack, &server, "shuffled").await;
    let ended = completes(&stack, &id, SOON).await;
    let attempts: Vec<_> = ended["steps"].as_array().into_iter().flatten().collect();
    assert!(
        attempts.iter().all(|step| step["warning"].is_null()),
        "{ended:#}"
    );
}

#[tokio::test]
async fn a_start_that_fails_is_tried_again_and_a_lost_one_is_found_by_the_sweeper() {
    let (stack, server) = ready().await;
    let refused = stack.fault(json!({"refuse_starts": 4}));
    let id = create(&stack, &server, "start-refused").await;
    completes(&stack, &id, SOON).await;
    drop(refused);
    let lost = stack.fault(json!({"lose": ["dispatcher"]}));
    let id = create(&stack, &server, "start-lost").await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        stack.deployment(&id).await["dispatch"],
        "ready",
        "nobody started it"
    );
    let swept = stack.sweep().await;
    assert!(swept["recovered"].as_u64() >= Some(1), "{swept}");
    drop(lost);
    completes(&stack, &id, SOON).await;
}

#[tokio::test]
async fn a_settle_that_fails_again_and_again_settles_in_the_end() {
    let (stack, server) = ready().await;
    let failing = stack.fault(json!({"fail": {"settle": 4}}));
    let id = create(&stack, &server, "settle-fails").await;
    completes(&stack, &id, SOON).await;
    drop(failing);
}

#[tokio::test]
async fn a_session_dropped_in_the_middle_of_a_call_is_opened_again() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    for (name, with_cancel) in [("session-dropped", true), ("session-dropped-2", false)] {
        let frozen = stack.freeze_database();
        let id = create(&stack, &server, name).await;
        in_effect(&stack, &id).await;
        stack
            .on_server(&["pkill", "-KILL", "-f", "^sshd: .*@notty"])
            .expect("a session");
        if with_cancel {
            cancel(&stack, &id).await;
        }
        drop(frozen);
        if with_cancel {
            leaves_nothing(&stack, &id, "cancelled", &before, SOON).await;
        } else {
            completes(&stack, &id, SOON).await;
        }
    }
}

#[tokio::test]
async fn a_power_cut_of_the_server_in_the_middle_ends_with_a_site_or_with_nothing() {
    let (stack, server) = ready().await;
    let name = stack.server().name.clone();
    for (site, with_cancel) in [("power-cut", false), ("power-cut-cancelled", true)] {
        let before = stack.snapshot();
        let id = create(&stack, &server, site).await;
        stack.step_is(&id, "install_wordpress", "running").await;
        stack.lab.fault(&["power-cut", &name]).expect("cut");
        if with_cancel {
            cancel(&stack, &id).await;
        }
        stack.lab.fault(&["power-on", &name]).expect("booted");
        stack
            .on_server(&["systemctl", "stop", "cron"])
            .expect("stopped");
        if with_cancel {
            leaves_nothing(&stack, &id, "cancelled", &before, AFTER_A_LOST_WORKER).await;
        } else {
            completes(&stack, &id, AFTER_A_LOST_WORKER).await;
        }
    }
}

#[tokio::test]
async fn the_local_aws_stopped_and_started_again_loses_no_deployment() {
    let (stack, server) = ready().await;
    let before = stack.snapshot();
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "restarted").await;
    in_effect(&stack, &id).await;
    stack.restart().await;
    drop(frozen);
    let swept = stack.sweep().await;
    assert!(swept["recovered"].as_u64() >= Some(1), "{swept}");
    leaves_nothing(&stack, &id, "failed", &before, AFTER_A_LOST_WORKER).await;
    let next = create(&stack, &server, "after-the-restart").await;
    completes(&stack, &next, SOON).await;
}

/// The same code under another hash: a comment more at the end of its zip.
fn as_new_code(package: &mut xtask::package::Package, folder: &std::path::Path) {
    let mut bytes = std::fs::read(&package.path).expect("a zip");
    let comment = b"newer";
    let length = bytes.len();
    bytes[length - 2..].copy_from_slice(&(comment.len() as u16).to_le_bytes());
    bytes.extend(comment);
    package.path = folder.join(format!("{}-newer.zip", package.name));
    package.sha256 = format!("{}-newer", package.sha256);
    std::fs::write(&package.path, bytes).expect("a zip");
}

#[tokio::test]
async fn an_upgrade_in_the_middle_lets_what_runs_go_on_with_the_code_it_began_with() {
    let (stack, server) = ready().await;
    let machine = json!({"stateMachineArn": "arn:aws:states:us-east-1:000000000000:stateMachine:triphammer-create_site"});
    let describe = "AWSStepFunctions.DescribeStateMachine";
    let before = stack.aws("states", describe, machine.clone()).await;
    let frozen = stack.freeze_database();
    let id = create(&stack, &server, "upgraded").await;
    in_effect(&stack, &id).await;
    let mut packages =
        xtask::package::all(&xtask::build::functions()).expect("the packages that run");
    for package in &mut packages {
        as_new_code(package, &stack.state_dir);
    }
    let parameters = xtask::up::parameters(&stack.endpoint);
    xtask::stack::deploy(&stack.endpoint, &packages, &parameters)
        .await
        .expect("deployed");
    let after = stack.aws("states", describe, machine).await;
    assert_ne!(
        before["definition"], after["definition"],
        "new executions call the new versions"
    );
    drop(frozen);
    completes(&stack, &id, SOON).await;
    let running = json!({"executionArn": stack.execution("create_site", &id), "maxResults": 1000});
    let history = stack
        .aws("states", "AWSStepFunctions.GetExecutionHistory", running)
        .await;
    // The database was away for as long as the upgrade took; the functions never were.
    let events = history["events"].as_array().expect("events");
    for failed in events.iter().filter(|event| event["type"] == "TaskFailed") {
        let error = &failed["taskFailedEventDetails"]["error"];
        assert_eq!(error, "Triphammer.Unavailable", "{failed}");
    }
    let id = create(&stack, &server, "after-upgrade").await;
    completes(&stack, &id, SOON).await;
}
