//! No damaged, cut or hostile archive or manifest is taken, and none makes a panic.
mod kit;

use archive::manifest::{Limits, Reader};
use archive::{Error, restore};
use kit::*;
use std::fs::{self, File};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::os::fd::AsFd;

fn small_tree() -> (tempfile::TempDir, Made) {
    let tree = temporary();
    write(tree.path(), "dir/text", "some text\n".repeat(300));
    write(tree.path(), "dir/noise", noise(20_000, 1));
    std::os::unix::fs::symlink("text", tree.path().join("dir/link")).expect("linked");
    let made = full(tree.path());
    (tree, made)
}

/// Refused by verify and by restore.
fn assert_refused(made: &Made, what: &str) {
    for refused in [verified(made), restored(&[made]).map(drop)] {
        let expected = matches!(
            refused,
            Err(Error::Archive { .. } | Error::Manifest(_) | Error::Version(_))
        );
        assert!(expected, "{what}: {refused:?}");
    }
}

#[test]
fn an_archive_cut_anywhere_is_refused() {
    let (_tree, made) = small_tree();
    let length = made.archive.len();
    let ends = (0..400)
        .chain((400..length - 400).step_by(997))
        .chain(length - 400..length);
    for end in ends {
        let archive = made.archive[..end].to_vec();
        assert_refused(
            &Made {
                archive,
                ..made.clone()
            },
            &format!("cut at {end}"),
        );
    }
}

#[test]
fn a_manifest_cut_anywhere_is_refused() {
    let (_tree, made) = small_tree();
    for end in 0..made.manifest.len() {
        let manifest = made.manifest[..end].to_vec();
        assert_refused(
            &Made {
                manifest,
                ..made.clone()
            },
            &format!("cut at {end}"),
        );
    }
}

#[test]
fn a_flipped_bit_is_refused_wherever_it_is() {
    let (_tree, made) = small_tree();
    for at in (0..made.archive.len()).step_by(211) {
        let mut archive = made.archive.clone();
        archive[at] ^= 1 << (at % 8);
        let refused = verified(&Made {
            archive,
            ..made.clone()
        });
        // Zstd has bits that mean nothing; what comes out is right then.
        let known = matches!(refused, Err(Error::Archive { .. }));
        assert!(known || (refused.is_ok() && at < 12), "{at}: {refused:?}");
    }
    for at in 0..made.manifest.len() {
        let mut manifest = made.manifest.clone();
        manifest[at] ^= 1 << (at % 8);
        let refused = verified(&Made {
            manifest,
            ..made.clone()
        });
        let known = matches!(refused, Err(Error::Manifest(_) | Error::Archive { .. }));
        assert!(known || refused.is_ok(), "{at}: {refused:?}");
    }
}

#[test]
fn bytes_after_the_end_are_refused() {
    let (_tree, made) = small_tree();
    let more = zstd::encode_all(&b"more"[..], 1).expect("packed");
    for tail in [b"x".to_vec(), more] {
        let archive = [made.archive.clone(), tail.clone()].concat();
        assert_refused(
            &Made {
                archive,
                ..made.clone()
            },
            "archive",
        );
        let manifest = [made.manifest.clone(), tail].concat();
        assert_refused(
            &Made {
                manifest,
                ..made.clone()
            },
            "manifest",
        );
    }
}

/// The archive with its tar changed and packed again.
fn with_tar(made: &Made, change: impl FnOnce(&mut Vec<u8>)) -> Made {
    let mut tar = zstd::decode_all(&made.archive[..]).expect("unpacked");
    change(&mut tar);
    let archive = zstd::encode_all(&tar[..], 1).expect("packed");
    Made {
        archive,
        ..made.clone()
    }
}

/// The manifest with its lines changed and packed again.
fn with_lines(made: &Made, change: impl FnOnce(&mut Vec<String>)) -> Made {
    let text = zstd::decode_all(&made.manifest[..]).expect("unpacked");
    let text = String::from_utf8(text).expect("JSON is UTF-8");
    let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
    change(&mut lines);
    let text = lines.join("\n") + "\n";
    let manifest = zstd::encode_all(text.as_bytes(), 1).expect("packed");
    Made {
        manifest,
        ..made.clone()
    }
}

fn find(tar: &[u8], what: &[u8]) -> usize {
    tar.windows(what.len())
        .position(|some| some == what)
        .expect("it is there")
}

#[test]
fn a_hostile_tar_is_refused_before_anything_leaves_the_tree() {
    let (_tree, made) = small_tree();
    assert_taken(&with_tar(&made, |_| {}));
    for (from, to) in [
        (&b"dir/text"[..], &b"../text\0"[..]),
        (b"dir/text", b"/tmp/txt"),
        (b"dir/text", b"dir/link"),
        (b"dir/noise", b"dir/link/"),
        (b"some text", b"evil text"),
    ] {
        let hostile = with_tar(&made, |tar| {
            let at = find(tar, from);
            tar[at..at + to.len()].copy_from_slice(to);
        });
        assert_refused(&hostile, &String::from_utf8_lossy(to));
    }
    for kind in [b'1', b'2', b'3', b'4', b'6', b'x', b'L'] {
        let hostile = with_tar(&made, |tar| {
            let at = find(tar, b"dir/text");
            tar[at + 156] = kind;
        });
        assert_refused(&hostile, "kind");
    }
    // A member more, one less, and one twice.
    assert_refused(&with_tar(&made, |tar| drop(tar.drain(..1024))), "less");
    assert_refused(
        &with_tar(&made, |tar| tar.splice(..0, [0; 512]).for_each(drop)),
        "more",
    );
    let twice = with_tar(&made, |tar| {
        let first = tar[..1536].to_vec();
        tar.splice(..0, first).for_each(drop);
    });
    assert_refused(&twice, "twice");
}

fn assert_taken(made: &Made) {
    verified(made).expect("whole");
    restored(&[made]).expect("restored");
}

#[test]
fn a_hostile_manifest_is_refused() {
    let (_tree, made) = small_tree();
    assert_taken(&with_lines(&made, |_| {}));
    for (from, to) in [
        ("\"path\":\"dir/text\"", "\"path\":\"../text\""),
        ("\"path\":\"dir/text\"", "\"path\":\"/etc/text\""),
        ("\"path\":\"dir/text\"", "\"path\":\"dir/link/text\""),
        ("\"path\":\"dir/text\"", "\"path\":\"other/text\""),
        ("\"path\":\"dir/text\"", "\"path\":\"dir/noise\""),
        ("\"path\":\"dir/text\"", "\"path\":\"dir/aaa\""),
        ("\"path\":\"dir/text\"", "\"path\":\"dir/text\\u0000\""),
        (
            "\"path\":\"dir/text\"",
            "\"path\":\"dir/text\",\"path64\":\"eA==\"",
        ),
        ("\"path\":\"dir/text\"", "\"extra\":1,\"path\":\"dir/text\""),
        ("\"size\":3000", "\"size\":18446744073709551615"),
        ("\"size\":3000", "\"size\":-1"),
        ("\"size\":3000", "\"size\":3000,\"target\":\"x\""),
        ("\"size\":3000", "\"size\":3000,\"data\":[[0,4000]]"),
        ("\"size\":3000", "\"size\":3000,\"data\":[[10,10],[5,5]]"),
        (
            "\"size\":3000",
            "\"size\":3000,\"data\":[[18446744073709551615,2]]",
        ),
        ("\"target\":\"text\"", "\"target\":\"\""),
        ("\"kind\":\"symlink\"", "\"kind\":\"device\""),
        ("\"kind\":\"symlink\"", "\"kind\":\"hardlink\""),
        ("\"mode\":\"", "\"mode\":\"9"),
        ("\"mode\":\"", "\"mode\":\"1777777"),
        ("\"from\":0", "\"from\":1"),
        ("\"entries\":", "\"entries\":1"),
        ("\"version\":1", "\"version\":2"),
        ("\"link\":0", "\"link\":1"),
        ("triphammer-manifest", "another"),
    ] {
        let hostile = with_lines(&made, |lines| {
            let line = lines.iter_mut().find(|line| line.contains(from));
            let line = line.unwrap_or_else(|| panic!("{from}"));
            *line = line.replacen(from, to, 1);
        });
        let refused = verified(&hostile);
        let expected = matches!(
            refused,
            Err(Error::Manifest(_) | Error::Version(2) | Error::Limit { .. })
        );
        assert!(expected, "{to}: {refused:?}");
        assert!(restored(&[&hostile]).is_err(), "{to}");
    }
    let longer = with_lines(&made, |lines| lines[1] += &" ".repeat(2 << 20));
    assert_refused(&longer, "a long line");
    let twice = with_lines(&made, |lines| lines.insert(2, lines[2].clone()));
    assert_refused(&twice, "a line twice");
}

#[test]
fn more_than_the_caller_allows_is_refused_before_anything_is_made() {
    let (_tree, made) = small_tree();
    for limits in [
        Limits {
            entries: 3,
            ..Limits::default()
        },
        Limits {
            bytes: 22_999,
            ..Limits::default()
        },
    ] {
        let to = temporary();
        let root = File::open(to.path()).expect("opened");
        let options = restore::Options {
            limits,
            ..Default::default()
        };
        let link = restore::Link {
            archive: &made.archive[..],
            manifest: Cursor::new(&made.manifest),
        };
        let mut go = |_| ControlFlow::Continue(());
        let refused = restore::restore(root.as_fd(), vec![link], &options, &mut go);
        assert!(matches!(refused, Err(Error::Limit { .. })), "{refused:?}");
        assert_eq!(fs::read_dir(to.path()).expect("listed").count(), 0);
    }
}

#[test]
fn a_source_that_fails_is_told_from_a_damaged_archive() {
    struct Breaks<'a>(&'a [u8], std::io::ErrorKind);
    impl std::io::Read for Breaks<'_> {
        fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
            match self.0.read(into)? {
                0 => Err(self.1.into()),
                read => Ok(read),
            }
        }
    }
    let (_tree, made) = small_tree();
    for kind in [
        std::io::ErrorKind::Other,
        std::io::ErrorKind::ConnectionReset,
    ] {
        let half = Breaks(&made.archive[..made.archive.len() / 2], kind);
        let manifest = Reader::new(&made.manifest[..], Limits::default()).expect("a manifest");
        let mut go = |_| ControlFlow::Continue(());
        let failed = archive::verify(half, manifest, 1, &mut go);
        assert!(matches!(failed, Err(Error::Input(_))), "{failed:?}");
        let half = Breaks(&made.manifest[..made.manifest.len() / 2], kind);
        let failed = Reader::new(half, Limits::default()).and_then(Reader::finish);
        assert!(matches!(failed, Err(Error::Input(_))), "{failed:?}");
    }
}

#[test]
fn a_caller_who_says_stop_is_heard_in_the_middle_of_a_file() {
    let tree = temporary();
    write(tree.path(), "large", noise(5_000_000, 1));
    let made = full(tree.path());
    let mut stop = |at: archive::Progress| match at.bytes {
        0..2_000_000 => ControlFlow::Continue(()),
        _ => ControlFlow::Break(()),
    };
    let manifest = Reader::new(&made.manifest[..], Limits::default()).expect("a manifest");
    let stopped = archive::verify(&made.archive[..], manifest, 2, &mut stop);
    assert!(matches!(stopped, Err(Error::Cancelled)), "{stopped:?}");
}
