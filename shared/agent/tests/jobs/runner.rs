//! A job at work: how it ends, and how that is told.

use crate::world::{Fault, JOB, World, bytes, tempo};
use agent::fault::{Result, refused};
use agent::jobs::context::Context;
use agent::jobs::line::Verdict;
use agent::jobs::runner::{Doing, Next, run};
use agent::jobs::work::Finished;
use protocol::job::Work;
use serde_json::json;
use std::io::Write;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What the work does is told by the site's name in its order.
fn perform(context: &Context, work: &Work) -> Result<Finished> {
    let Work::BackupDatabase(asked) = work else {
        panic!("another work");
    };
    match asked.site.as_str() {
        "log" => {
            for number in 0..300 {
                context.progress(number, Some(300), "rows");
                context.log(&format!("line {number}"));
                sleep(Duration::from_millis(1));
            }
        }
        "upload" => {
            let mut upload = context.upload("database");
            upload.write_all(&bytes(100_000)).expect("written");
            return Finished::new(upload.finish()?, "sent");
        }
        "wait" => loop {
            context.check()?;
            sleep(Duration::from_millis(5));
        },
        "wait_and_finish" => while !context.is_cancelled() {},
        "hang" => loop {
            sleep(Duration::from_secs(60));
        },
        "fail" => return Err(refused("no_such_table", "There is no such table.")),
        "panic" => panic!("as asked"),
        "flood" => (0..100_000).for_each(|_| context.log(&"x".repeat(100))),
        _ => {}
    }
    Finished::new(json!({ "tables": 12 }), "Dumped 12 tables")
}

const DOING: Doing = Doing {
    perform,
    stop: || {},
};

fn run_here(world: &World) -> Next {
    run(&world.paths(), &world.folder(), tempo(), DOING).expect("run")
}

fn ended(world: &World) -> serde_json::Value {
    world.says("ended").pop().expect("told")["result"].clone()
}

#[test]
fn a_result_is_stored_before_it_is_told() {
    let world = World::new();
    world.ordered("log");
    assert_eq!(run_here(&world), Next::Exit);
    assert_eq!(ended(&world)["done"]["gives"], json!({ "tables": 12 }));
    assert_eq!(world.seen().told_too_soon, 0);
    let over = world.folder().over().expect("read").expect("over");
    assert!(over.heard);
    let secret = world.folder().order().expect("read").start.callback.secret;
    assert_eq!(secret, "", "who is over needs no secret");
}

#[test]
fn every_line_is_heard_once_and_in_order_although_the_callback_is_away_or_hears_twice() {
    let world = World::new();
    world.seen().callback_faults.extend([
        Fault::Status(503),
        Fault::HearAndClose,
        Fault::CloseAfter(1),
        Fault::Status(500),
        Fault::HearAndClose,
        Fault::Status(429),
        Fault::Stall(Duration::from_millis(1200)),
    ]);
    world.ordered("log");
    run_here(&world);
    let log = world.log();
    let wanted = (0..300).map(|number| (number, format!("line {number}")));
    assert!(log.into_iter().eq(wanted));
    assert_eq!(ended(&world)["done"]["summary"], "Dumped 12 tables");
}

#[test]
fn a_result_is_told_until_it_is_heard() {
    let world = World::new();
    world
        .seen()
        .callback_faults
        .extend([Fault::Status(502); 10]);
    world.ordered("fail");
    run_here(&world);
    assert_eq!(ended(&world)["failed"]["code"], "no_such_table");
}

#[test]
fn a_result_that_nobody_hears_waits_on_the_disk_for_the_next_start() {
    let world = World::new();
    world
        .seen()
        .callback_faults
        .extend([Fault::Status(503); 3000]);
    world.ordered("log");
    run_here(&world);
    assert!(world.says("ended").is_empty());
    assert!(world.folder().over().expect("read").is_none());
    world.seen().callback_faults.clear();
    run_here(&world);
    assert_eq!(ended(&world)["done"]["gives"], json!({ "tables": 12 }));
}

#[test]
fn a_cancel_ends_the_work_and_that_is_said() {
    let world = World::new();
    world.seen().cancel = true;
    world.ordered("wait");
    run_here(&world);
    assert_eq!(ended(&world), "cancelled");
}

#[test]
fn work_that_was_done_when_the_cancel_came_is_done() {
    let world = World::new();
    world.seen().cancel = true;
    world.ordered("wait_and_finish");
    run_here(&world);
    assert_eq!(ended(&world)["done"]["gives"], json!({ "tables": 12 }));
}

#[test]
fn a_work_that_does_not_heed_the_cancel_is_left_behind_and_its_end_told() {
    let world = World::new();
    world.seen().cancel = true;
    world.ordered("hang");
    let begin = Instant::now();
    assert_eq!(run_here(&world), Next::Replace);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(run_here(&world), Next::Exit);
    assert_eq!(ended(&world), "cancelled");
}

#[test]
fn a_work_that_takes_too_long_is_ended() {
    let world = World::new();
    let folder = world.ordered("wait");
    let mut order = world.order("wait", 1, "hush");
    order.start.limit_seconds = 1;
    folder.put_order(&order).expect("put");
    run_here(&world);
    assert_eq!(ended(&world)["failed"]["code"], "deadline_passed");
}

#[test]
fn a_panic_is_a_failure_that_is_told() {
    let world = World::new();
    world.ordered("panic");
    run_here(&world);
    assert_eq!(ended(&world)["failed"]["code"], "agent_stopped");
}

#[test]
fn a_job_that_is_over_ends_at_once_and_says_nothing_more() {
    let world = World::new();
    world.seen().gone = true;
    world.ordered("wait");
    let begin = Instant::now();
    run_here(&world);
    assert!(begin.elapsed() < Duration::from_secs(2));
    assert_eq!(world.seen().words, 1);
    assert!(world.folder().result().expect("read").is_none());
    assert!(!world.folder().over().expect("read").expect("over").heard);
}

#[test]
fn a_secret_that_stays_denied_means_over() {
    let world = World::new();
    world.seen().secret = "another".into();
    world.ordered("wait");
    run_here(&world);
    assert!(world.seen().words > 1, "it was tried again");
    assert!(world.folder().over().expect("read").is_some());
}

#[test]
fn a_job_that_was_taken_over_reports_with_the_new_fence_and_secret() {
    let world = World::new();
    let folder = world.ordered("log");
    let order = world.order("log", 2, "newer");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            sleep(Duration::from_millis(100));
            // The callback knows the new secret first, as it is stored before the start.
            world.seen().secret = "newer".into();
            sleep(Duration::from_millis(60));
            let _locked = folder.lock().expect("locked");
            folder.put_order(&order).expect("put");
        });
        run_here(&world);
    });
    let seen = world.seen();
    let fences: Vec<_> = seen
        .reports
        .iter()
        .map(|report| report["fence"].clone())
        .collect();
    assert!(fences.contains(&json!(1)));
    let last = seen.reports.last().expect("some");
    assert_eq!(
        (&last["fence"], last["say"].get("ended").is_some()),
        (&json!(2), true)
    );
}

#[test]
fn a_full_log_is_left_at_one_last_line() {
    let world = World::new();
    world.seen().log_full = true;
    world.ordered("log");
    run_here(&world);
    let log = world.log();
    assert_eq!(log.values().filter(|text| *text == "truncated").count(), 1);
    assert_eq!(log.values().last().map(String::as_str), Some("truncated"));
}

#[test]
fn a_flood_of_lines_is_told_in_reports_of_the_allowed_size() {
    let world = World::new();
    world.ordered("flood");
    run_here(&world);
    // The server refuses larger ones, and then lines would be missing without a word.
    let log = world.log();
    let left_out: u64 = log
        .values()
        .filter_map(|text| {
            text.strip_prefix("truncated: ")?
                .split(' ')
                .next()?
                .parse::<u64>()
                .ok()
        })
        .sum();
    let whole = log.values().filter(|text| text.starts_with('x')).count() as u64;
    assert!(
        whole > 1000 && whole + left_out <= 100_000,
        "{whole} {left_out}"
    );
    assert!(
        log.keys().zip(0..).all(|(number, at)| *number == at),
        "no gap"
    );
}

#[test]
fn two_workers_of_one_job_do_its_work_once() {
    let world = World::new();
    world.ordered("log");
    std::thread::scope(|scope| {
        scope.spawn(|| run_here(&world));
        scope.spawn(|| run_here(&world));
    });
    let told = world.says("ended");
    assert!(told.iter().all(|one| one == &told[0]));
    assert_eq!(world.log().len(), 300);
}

#[test]
fn an_upload_and_its_seal_go_through_the_whole_job() {
    let world = World::new();
    world.ordered("upload");
    run_here(&world);
    assert!(world.seen().objects["database"] == bytes(100_000));
    assert_eq!(ended(&world)["done"]["gives"]["size_bytes"], 100_000);
}

#[test]
fn lines_of_a_second_attempt_have_numbers_of_their_own() {
    let world = World::new();
    world.ordered("log");
    run_here(&world);
    world.ordered("log");
    run_here(&world);
    assert_eq!(world.log().len(), 600);
    assert_eq!(world.folder().job(), JOB);
}

#[test]
fn the_first_verdict_counts() {
    let world = World::new();
    let line = world.line();
    line.decide(Verdict::Cancelled);
    line.decide(Verdict::Late);
    assert_eq!(line.verdict(), Verdict::Cancelled);
    line.decide(Verdict::Over);
    assert_eq!(line.verdict(), Verdict::Over);
}
