//! A chain of backups stands for each of its trees, and holds only what changed.
mod kit;

use archive::manifest::{Limits, Reader};
use archive::{Error, Exclude, Why};
use kit::*;
use std::fs;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The last of the chain is the tree, restored by us and unpacked by hand link after link.
fn assert_chain(tree: &Path, chain: &[&Made]) {
    let back = restored(chain).expect("restored");
    assert_same(tree, back.path());
    let hands = temporary();
    for made in chain {
        verified(made).expect("whole");
        let program = "tar xp --numeric-owner --warning=no-timestamp --warning=no-unknown-keyword";
        by_hand(program, hands.path(), made);
    }
    // Unpacking a file gives its directory a new time, which only a full archive sets right again.
    stamp_directories(hands.path(), tree);
    assert_same(tree, hands.path());
}

#[test]
fn nothing_changed_is_nothing_archived() {
    let tree = temporary();
    strange(tree.path());
    let first = full(tree.path());
    let second = next(tree.path(), &first);
    assert_eq!(second.created.tail.archived, 0);
    assert_eq!(second.created.deleted, 0);
    assert!(second.archive.len() < 500);
    assert_chain(tree.path(), &[&first, &second]);
}

#[test]
fn each_kind_of_change_is_archived_and_nothing_else() {
    let tree = temporary();
    for name in [
        "same",
        "content",
        "mode",
        "time",
        "old name",
        "gone",
        "dir/a",
        "dir/b",
        "turns/x/y",
        "becomes",
    ] {
        write(tree.path(), name, name);
    }
    std::os::unix::fs::symlink("same", tree.path().join("link")).expect("linked");
    let first = full(tree.path());
    write(tree.path(), "content", "another");
    write(tree.path(), "new/file", "new");
    fs::set_permissions(tree.path().join("mode"), fs::Permissions::from_mode(0o600)).expect("set");
    stamp(&tree.path().join("time"), 5, 5);
    fs::rename(tree.path().join("old name"), tree.path().join("new name")).expect("renamed");
    fs::remove_file(tree.path().join("gone")).expect("removed");
    fs::remove_dir_all(tree.path().join("dir")).expect("removed");
    fs::remove_dir_all(tree.path().join("turns")).expect("removed");
    write(tree.path(), "turns", "a file now");
    fs::remove_file(tree.path().join("becomes")).expect("removed");
    write(tree.path(), "becomes/a", "directory now");
    fs::remove_file(tree.path().join("link")).expect("removed");
    std::os::unix::fs::symlink("content", tree.path().join("link")).expect("linked");
    let second = next(tree.path(), &first);
    let changed = [
        "becomes",
        "becomes/a",
        "content",
        "link",
        "mode",
        "new",
        "new/file",
        "new name",
        "time",
        "turns",
    ];
    assert_eq!(archived(&second), changed);
    // `becomes`, `dir`, `gone`, `old name`, `turns`.
    assert_eq!(second.created.deleted, 5);
    assert_chain(tree.path(), &[&first, &second]);
}

#[test]
fn a_long_chain_gives_each_of_its_trees() {
    let tree = temporary();
    strange(tree.path());
    let mut chain = vec![full(tree.path())];
    for round in 0..4u64 {
        write(tree.path(), format!("round/{round}"), noise(50_000, round));
        write(tree.path(), "always", format!("{round}"));
        write(
            tree.path(),
            "up/text.txt",
            "changed\n".repeat(round as usize),
        );
        if round == 2 {
            fs::remove_dir_all(tree.path().join("up")).expect("removed");
            fs::remove_file(tree.path().join("holes")).expect("removed");
        }
        let before = chain.last().expect("one");
        chain.push(next(tree.path(), before));
        let all: Vec<&Made> = chain.iter().collect();
        assert_chain(tree.path(), &all);
    }
}

#[test]
fn a_changed_file_with_two_names_stays_one_file() {
    let tree = temporary();
    write(tree.path(), "a", "1");
    fs::hard_link(tree.path().join("a"), tree.path().join("b")).expect("linked");
    let first = full(tree.path());
    write(tree.path(), "a", "2");
    let second = next(tree.path(), &first);
    assert_eq!(archived(&second), ["a", "b"]);
    assert_chain(tree.path(), &[&first, &second]);
    fs::remove_file(tree.path().join("a")).expect("removed");
    let third = next(tree.path(), &second);
    assert_eq!(archived(&third), ["b"]);
    assert_chain(tree.path(), &[&first, &second, &third]);
}

#[test]
fn a_file_that_changed_about_when_the_walk_began_is_read_again() {
    let tree = temporary();
    write(tree.path(), "a", "1");
    let made = next_at(tree.path(), &full(tree.path()), 0);
    assert_eq!(archived(&made), Vec::<String>::new());
    let in_doubt = next_at(tree.path(), &made, 0);
    assert_eq!(archived(&in_doubt), ["a"]);
}

#[test]
fn what_is_excluded_later_is_gone() {
    let tree = temporary();
    write(tree.path(), "cache/a", "1");
    write(tree.path(), "b", "1");
    let first = full(tree.path());
    fs::remove_dir_all(tree.path().join("cache")).expect("removed");
    let second = next(tree.path(), &first);
    assert_eq!(second.created.deleted, 1);
    assert_chain(tree.path(), &[&first, &second]);
}

#[test]
fn a_chain_with_a_link_missing_doubled_or_swapped_is_refused() {
    let tree = temporary();
    write(tree.path(), "a", "1");
    let first = full(tree.path());
    write(tree.path(), "a", "22");
    let second = next(tree.path(), &first);
    write(tree.path(), "a", "333");
    let third = next(tree.path(), &second);
    let other = next(tree.path(), &first);
    let chains: [&[&Made]; 7] = [
        &[],
        &[&second],
        &[&first, &third],
        &[&first, &first, &second],
        &[&second, &first],
        &[&first, &second, &second],
        &[&first, &other, &third],
    ];
    for chain in chains {
        let refused = restored(chain).map(drop);
        assert!(matches!(refused, Err(Error::Chain { .. })), "{refused:?}");
    }
    restored(&[&first, &second, &third]).expect("restored");
}

#[test]
fn an_archive_of_another_backup_is_refused() {
    let tree = temporary();
    write(tree.path(), "a", "1");
    write(tree.path(), "b", "x");
    let first = full(tree.path());
    write(tree.path(), "a", "2");
    let second = next(tree.path(), &first);
    for chain in [
        [
            first.clone(),
            Made {
                archive: first.archive.clone(),
                ..second.clone()
            },
        ],
        [
            Made {
                archive: second.archive.clone(),
                ..first.clone()
            },
            second.clone(),
        ],
    ] {
        let refused = restored(&[&chain[0], &chain[1]]).map(drop);
        assert!(matches!(refused, Err(Error::Archive { .. })), "{refused:?}");
    }
}

#[test]
fn a_file_in_motion_never_spoils_the_archive() {
    use std::sync::atomic::{AtomicBool, Ordering};
    let tree = temporary();
    write(tree.path(), "large", noise(6_000_000, 1));
    for number in 0..50 {
        write(
            tree.path(),
            format!("small/{number}"),
            noise(30_000, number),
        );
    }
    let over = AtomicBool::new(false);
    let mut notes = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0u64.. {
                if over.load(Ordering::Relaxed) {
                    return;
                }
                let large = fs::File::options()
                    .write(true)
                    .open(tree.path().join("large"));
                large
                    .expect("opened")
                    .set_len(3_000_000 + round % 7 * 500_000)
                    .expect("sized");
                let small = tree.path().join(format!("small/{}", round % 50));
                match round % 3 {
                    0 => {
                        fs::write(&small, noise((round % 60_000) as usize, round)).expect("written")
                    }
                    1 => drop(fs::remove_file(&small)),
                    _ => drop(fs::create_dir(&small)),
                }
                let _ = fs::remove_dir(&small);
            }
        });
        let mut before: Option<Made> = None;
        for _ in 0..10 {
            let made = match &before {
                None => full(tree.path()),
                Some(before) => next(tree.path(), before),
            };
            verified(&made).expect("whole");
            if before.is_none() {
                restored(&[&made]).expect("restored");
                before = Some(made.clone());
            }
            notes.extend(made.created.notes);
        }
        over.store(true, Ordering::Relaxed);
    });
    assert!(
        notes.iter().any(|note| note.why == Why::Changed),
        "{notes:?}"
    );
}

#[test]
fn a_survey_says_what_the_archive_then_holds() {
    let tree = temporary();
    strange(tree.path());
    let survey = |before: Option<&Made>| {
        let root = fs::File::open(tree.path()).expect("opened");
        let before = before
            .map(|made| Reader::new(&made.manifest[..], Limits::default()).expect("a manifest"));
        let mut go = |_| ControlFlow::Continue(());
        archive::survey(root.as_fd(), &Exclude::default(), before, &mut go).expect("surveyed")
    };
    let first = full(tree.path());
    fs::remove_dir_all(tree.path().join("a-b")).expect("removed");
    write(tree.path(), "up/photo.jpg", "changed");
    write(tree.path(), "new/one", "new");
    let seen = survey(Some(&first));
    let second = next(tree.path(), &first);
    let tail = second.created.tail;
    assert_eq!(
        (seen.entries, seen.tree_bytes),
        (tail.entries, tail.tree_bytes)
    );
    assert_eq!(
        (seen.changed, seen.changed_bytes),
        (tail.archived, tail.archived_bytes)
    );
    assert_eq!((seen.deleted, seen.left_out), (1, 0));
    let all = survey(None);
    assert_eq!(
        (all.changed, all.changed_bytes),
        (tail.entries, tail.tree_bytes)
    );
}
