//! What is archived comes back as it was, by us and by hand.
mod kit;

use archive::{Error, Why, create};
use kit::*;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::process::Command;

#[test]
fn a_strange_tree_comes_back_as_it_was() {
    let tree = temporary();
    strange(tree.path());
    let made = full(tree.path());
    assert_eq!(made.created.notes, []);
    verified(&made).expect("whole");
    let back = restored(&[&made]).expect("restored");
    assert_same(tree.path(), back.path());
}

#[test]
fn tar_and_zstd_bring_a_strange_tree_back_by_hand() {
    let tree = temporary();
    strange(tree.path());
    let back = temporary();
    by_hand(
        "tar xp --numeric-owner --warning=no-timestamp --warning=no-unknown-keyword",
        back.path(),
        &full(tree.path()),
    );
    assert_same(tree.path(), back.path());
}

#[test]
fn bsdtar_brings_a_strange_tree_back_by_hand() {
    let tree = temporary();
    strange(tree.path());
    // It takes a fraction of a second before 1970 for one after.
    stamp(&tree.path().join("-rf"), -5, 0);
    stamp(tree.path(), 1_234_567_890, 987_654_321);
    let back = temporary();
    by_hand(
        "bsdtar -xpf - --numeric-owner",
        back.path(),
        &full(tree.path()),
    );
    // It leaves the directory alone that it unpacks into.
    stamp(back.path(), 1_234_567_890, 987_654_321);
    assert_same(tree.path(), back.path());
}

#[test]
fn a_name_with_a_newline_comes_back_as_it_was() {
    let tree = temporary();
    write(tree.path(), "a\nb\"\\\u{7f}/c\rd", "x");
    let made = full(tree.path());
    let lines = zstd::decode_all(&made.manifest[..]).expect("unpacked");
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), 5);
    assert_same(tree.path(), restored(&[&made]).expect("restored").path());
}

#[test]
fn the_same_tree_gives_the_same_bytes_with_any_number_of_threads() {
    let tree = temporary();
    strange(tree.path());
    let with = |threads| {
        let options = create::Options {
            threads,
            ..options()
        };
        try_full(tree.path(), &options).expect("archived")
    };
    let one = with(1);
    for threads in [2, 5] {
        let other = with(threads);
        assert!(one.archive == other.archive && one.manifest == other.manifest);
    }
}

#[test]
fn what_is_excluded_is_left_out_with_all_in_it() {
    let tree = temporary();
    for name in [
        "wp-content/cache/deep/x",
        "wp-content/keep",
        "debug.log",
        "a/debug.log",
    ] {
        write(tree.path(), name, "x");
    }
    let made = excluding(tree.path(), &["wp-content/cache", "*.log"]);
    let kept = ["a", "a/debug.log", "wp-content", "wp-content/keep"];
    assert_eq!(archived(&made), kept);
    assert_eq!(made.created.notes, []);
}

#[test]
fn pipes_sockets_and_the_reserved_name_are_noted_and_left_out() {
    let tree = temporary();
    write(tree.path(), "kept", "x");
    write(tree.path(), archive::DELETIONS, "x");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        tree.path().join("fifo"),
        rustix::fs::FileType::Fifo,
        0o644.into(),
        0,
    )
    .expect("made");
    let _socket = std::os::unix::net::UnixListener::bind(tree.path().join("socket"));
    let made = full(tree.path());
    assert_eq!(archived(&made), ["kept"]);
    let why: Vec<_> = made.created.notes.iter().map(|note| note.why).collect();
    assert_eq!(why, [Why::Reserved, Why::Special, Why::Special]);
}

#[test]
fn a_link_out_of_the_tree_is_kept_and_not_followed() {
    let (outside, tree) = (temporary(), temporary());
    write(outside.path(), "secret", "x");
    std::os::unix::fs::symlink(outside.path(), tree.path().join("link")).expect("linked");
    let made = full(tree.path());
    assert_eq!(archived(&made), ["link"]);
}

#[test]
fn a_caller_who_says_stop_is_heard() {
    let tree = temporary();
    strange(tree.path());
    let root = File::open(tree.path()).expect("opened");
    let mut stop = |_| ControlFlow::Break(());
    let (archive, manifest) = (std::io::sink(), std::io::sink());
    let made = create::full(root.as_fd(), &options(), archive, manifest, &mut stop);
    assert!(matches!(made, Err(Error::Cancelled)));
}

#[test]
fn an_output_that_fails_ends_the_work() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let tree = temporary();
    strange(tree.path());
    let root = File::open(tree.path()).expect("opened");
    let mut go = |_| ControlFlow::Continue(());
    let made = create::full(root.as_fd(), &options(), Full, std::io::sink(), &mut go);
    assert!(matches!(made, Err(Error::Output(_))));
}

#[test]
fn a_directory_that_is_not_empty_is_not_restored_to() {
    let (tree, to) = (temporary(), temporary());
    write(to.path(), "there", "x");
    let made = full(tree.path());
    assert!(matches!(
        restore_to(to.path(), &[&made]),
        Err(Error::NotFresh)
    ));
}

/// Run one test of this binary as a user without rights; false when this process is that user already.
fn as_nobody(test: &str) -> bool {
    if !rustix::process::geteuid().is_root() {
        return false;
    }
    let place = temporary();
    fs::set_permissions(place.path(), fs::Permissions::from_mode(0o777)).expect("set");
    let program = place.path().join("test");
    fs::copy(std::env::current_exe().expect("itself"), &program).expect("copied");
    let status = Command::new(program)
        .args(["--exact", test])
        .current_dir(place.path())
        .env("TMPDIR", place.path())
        .uid(65534)
        .gid(65534)
        .status();
    assert!(status.expect("started").success());
    true
}

#[test]
fn what_may_not_be_read_is_noted_and_the_rest_kept() {
    if as_nobody("what_may_not_be_read_is_noted_and_the_rest_kept") {
        return;
    }
    let tree = temporary();
    for name in ["a", "closed/x", "secret", "z"] {
        write(tree.path(), name, "x");
    }
    let mode = |name, mode| {
        let path = tree.path().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("set");
    };
    mode("closed", 0);
    mode("secret", 0);
    let made = full(tree.path());
    mode("closed", 0o755);
    assert_eq!(archived(&made), ["a", "closed", "z"]);
    let notes: Vec<_> = made.created.notes.iter().map(ToString::to_string).collect();
    assert_eq!(notes, ["closed may not be read", "secret may not be read"]);
    restored(&[&made]).expect("restored");
}

#[test]
fn a_user_without_rights_gets_back_all_but_the_owners() {
    if as_nobody("a_user_without_rights_gets_back_all_but_the_owners") {
        return;
    }
    let tree = temporary();
    strange(tree.path());
    let back = restored(&[&full(tree.path())]).expect("restored");
    assert_same(tree.path(), back.path());
    for place in [tree.path(), back.path()] {
        fs::set_permissions(place.join("nothing"), fs::Permissions::from_mode(0o755)).expect("set");
    }
}
