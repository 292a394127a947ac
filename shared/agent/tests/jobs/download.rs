//! Downloads: who has read to the end has read what was sealed.

use crate::world::{Fault, World, bytes, sealed};
use agent::jobs::carried;
use agent::jobs::download::Download;
use protocol::AgentError;
use protocol::job::Sealed;
use std::io::Read;
use std::time::Duration;

const STRETCH: u64 = 64 * 1024;
const LENGTH: usize = 300_000;

fn stored() -> (World, Vec<u8>) {
    let world = World::new();
    let content = bytes(LENGTH);
    world
        .seen()
        .objects
        .insert("files_0".into(), content.clone());
    (world, content)
}

fn read(world: &World, sealed: &Sealed) -> (Vec<u8>, Option<AgentError>) {
    let line = world.line();
    let mut download = Download::with_stretch(&line, "files_0", sealed, STRETCH);
    let mut all = Vec::new();
    let error = download.read_to_end(&mut all).err();
    if error.is_some() {
        assert!(
            download.read(&mut [0]).is_err(),
            "an error never looks like the end"
        );
    }
    (
        all,
        error.map(|error| carried(&error).expect("an error of ours")),
    )
}

#[test]
fn an_object_is_read_to_its_end_whatever_the_store_does() {
    let (world, content) = stored();
    world.seen().store_faults.extend([
        Fault::CloseAfter(1000),
        Fault::Status(503),
        Fault::CloseAfter(0),
        Fault::Status(403),
        Fault::Stall(Duration::from_millis(900)),
        Fault::CloseAfter(50_000),
        Fault::HearAndClose,
    ]);
    let (all, error) = read(&world, &sealed(&content));
    assert_eq!(error, None);
    assert!(all == content);
    assert_eq!(
        world.says("fetch").len(),
        2,
        "one URL, and one for the expired"
    );
}

#[test]
fn an_empty_object_needs_no_store() {
    let world = World::new();
    let (all, error) = read(&world, &sealed(b""));
    assert_eq!((all.len(), error), (0, None));
}

#[test]
fn a_changed_byte_is_an_error_and_the_last_stretch_stays_back() {
    let (world, content) = stored();
    world.seen().store_faults.push_back(Fault::Flip);
    let (all, error) = read(&world, &sealed(&content));
    assert_eq!(error.expect("damaged").code, "object_damaged");
    assert!(all.len() < LENGTH);
}

#[test]
fn another_length_is_an_error() {
    for length in [LENGTH - 1, LENGTH + 1, 2 * LENGTH] {
        let (world, _) = stored();
        let (all, error) = read(&world, &sealed(&bytes(length)));
        assert_eq!(error.expect("damaged").code, "object_damaged");
        assert!(all.len() < length);
    }
}

#[test]
fn an_object_that_is_gone_is_named() {
    let world = World::new();
    let (_, error) = read(&world, &sealed(b"x"));
    let error = error.expect("missing");
    assert_eq!(error.code, "object_missing");
    assert!(error.message.contains("files_0"));
}

#[test]
fn what_follows_the_readers_own_end_is_checked_too() {
    let (world, content) = stored();
    let line = world.line();
    let mut wrong = sealed(&content);
    wrong.sha256 = "0".repeat(64);
    for (sealed, ok) in [(sealed(&content), true), (wrong, false)] {
        let mut download = Download::with_stretch(&line, "files_0", &sealed, STRETCH);
        download.read_exact(&mut [0; 10]).expect("read");
        assert_eq!(download.finish().is_ok(), ok);
    }
}
