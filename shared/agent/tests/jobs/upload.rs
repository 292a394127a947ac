//! Uploads: what is completed is what was written, whatever the store does.

use crate::world::{Fault, World, bytes, sealed};
use agent::jobs::carried;
use agent::jobs::line::Verdict;
use agent::jobs::upload::Upload;
use protocol::AgentError;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PART: usize = 64 * 1024;

fn upload(world: &World, content: &[u8]) -> Result<protocol::job::Sealed, AgentError> {
    let line = world.line();
    let mut upload = Upload::with_parts_of(&line, "database", Some(PART));
    for piece in content.chunks(10_000) {
        if let Err(error) = upload.write_all(piece) {
            return Err(carried(&error).expect("an error of ours"));
        }
    }
    upload.finish()
}

fn arrives(world: &World, length: usize) {
    let content = bytes(length);
    assert_eq!(upload(world, &content).expect("uploaded"), sealed(&content));
    assert!(world.seen().objects["database"] == content);
}

#[test]
fn a_stream_of_any_length_becomes_an_object() {
    for length in [0, 1, PART - 1, PART, PART + 1, 40 * PART + 7] {
        let world = World::new();
        arrives(&world, length);
        let parts = world.seen().parts.len();
        assert_eq!(parts, length.div_ceil(PART).max(1));
        assert!(world.seen().most_parts_asked <= protocol::job::PARTS_LIMIT);
    }
}

#[test]
fn an_empty_object_is_complete_only_with_its_empty_part() {
    let world = World::new();
    let slow = Fault::Stall(Duration::from_millis(100));
    world.seen().store_faults.extend([slow, Fault::Status(503)]);
    arrives(&world, 0);
    assert_eq!(world.seen().parts.len(), 1);
}

#[test]
fn a_store_that_misbehaves_gets_it_in_the_end() {
    let world = World::new();
    world.seen().store_faults.extend([
        Fault::Status(500),
        Fault::CloseAfter(1000),
        Fault::Status(503),
        Fault::HearAndClose,
        Fault::CloseAfter(0),
        Fault::Stall(Duration::from_millis(900)),
        Fault::Status(429),
    ]);
    arrives(&world, 10 * PART);
}

#[test]
fn an_expired_url_is_asked_for_again() {
    let world = World::new();
    world
        .seen()
        .store_faults
        .extend([Fault::Status(403), Fault::Status(403)]);
    arrives(&world, PART);
    assert_eq!(world.says("parts").len(), 3);
}

#[test]
fn a_url_that_is_refused_without_a_word_is_asked_for_again() {
    let world = World::new();
    world.seen().store_faults.extend([Fault::CloseAfter(0); 3]);
    arrives(&world, PART);
    assert_eq!(world.says("parts").len(), 2);
}

#[test]
fn a_callback_that_is_away_while_parts_are_asked_for_is_waited_for() {
    let world = World::new();
    world.seen().callback_faults.extend([
        Fault::Status(503),
        Fault::HearAndClose,
        Fault::CloseAfter(3),
        Fault::Status(429),
    ]);
    arrives(&world, 5 * PART);
}

#[test]
fn a_completion_that_was_not_seen_to_be_heard_is_said_again() {
    let world = World::new();
    let line = world.line();
    let mut upload = Upload::with_parts_of(&line, "database", Some(PART));
    upload.write_all(&bytes(PART)).expect("written");
    while upload.sent_bytes() == 0 {
        std::thread::yield_now();
    }
    world
        .seen()
        .callback_faults
        .extend([Fault::HearAndClose, Fault::Status(500)]);
    upload.finish().expect("completed");
    assert_eq!(world.seen().completed, 2);
}

#[test]
fn a_part_that_the_store_refuses_for_good_fails_the_upload() {
    let world = World::new();
    world.seen().store_faults.extend([Fault::Status(400); 40]);
    let error = upload(&world, &bytes(20 * PART)).expect_err("refused");
    assert_eq!(error.code, "store_refused");
    assert!(world.seen().objects.is_empty());
}

#[test]
fn a_store_that_stays_away_fails_the_upload_plainly() {
    let world = World::new();
    world.seen().store_faults.extend([Fault::Status(503); 4000]);
    let error = upload(&world, &bytes(PART)).expect_err("away");
    assert_eq!(error.code, "store_unreachable");
    assert!(error.detail.contains("503"), "{error:?}");
}

#[test]
fn a_cancel_ends_a_writer_that_waits_for_the_store() {
    let world = World::new();
    world.seen().store_faults.extend([Fault::Status(503); 4000]);
    let line = world.line();
    let cancelling = Arc::clone(&line);
    std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        cancelling.decide(Verdict::Cancelled);
    });
    let begin = Instant::now();
    let mut upload = Upload::with_parts_of(&line, "database", Some(PART));
    let failed = (0..1000).find_map(|_| upload.write_all(&bytes(PART)).err());
    let error = carried(&failed.expect("stopped")).expect("an error of ours");
    assert_eq!(error.code, "cancelled");
    assert!(begin.elapsed() < Duration::from_secs(2));
}

#[test]
fn an_upload_that_is_dropped_becomes_no_object() {
    let world = World::new();
    let line = world.line();
    let mut upload = Upload::with_parts_of(&line, "database", Some(PART));
    upload.write_all(&bytes(3 * PART)).expect("written");
    drop(upload);
    assert!(world.says("complete").is_empty());
}
