//! A tree of all that is strange.
//!
//! Promise: each thing in it has broken some program that makes archives.

use super::{noise, stamp, write};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A tree of all that is strange; `root` exists and is empty.
pub fn strange(root: &Path) {
    let name = |bytes: &[u8]| PathBuf::from(std::ffi::OsStr::from_bytes(bytes));
    write(root, "wp-config.php", "<?php\n");
    write(root, "empty", "");
    write(root, "-rf", "dash");
    write(root, "new\nline", "newline");
    write(root, "tab\tand \x07bell", "control");
    write(root, "Ü ñ 文.txt", "unicode");
    write(root, name(b"bad \xff\xfe name"), "not UTF-8");
    write(
        root,
        name(
            &[
                b"deep/".repeat(30).as_slice(),
                b"\xff".repeat(200).as_slice(),
            ]
            .concat(),
        ),
        "both",
    );
    write(root, "long/".repeat(60) + "end", "long path");
    write(root, "n".repeat(100), "exactly a hundred");
    write(root, "n".repeat(255), "the longest name");
    write(root, "a-b/x", "1");
    write(root, "a/x", "2");
    write(root, "a.php", "3");
    write(root, ".htaccess", "deny");
    write(root, "up/photo.jpg", noise(700_000, 3));
    write(root, "up/text.txt", "some text\n".repeat(100_000));
    write(root, "up/large.zip", noise(9_500_001, 5));
    write(
        root,
        "up/large.sql",
        "INSERT INTO wp_posts;\n".repeat(400_000),
    );
    write(root, "up/block", noise(512 * 64, 7));
    fs::create_dir_all(root.join("nothing/in/it")).expect("made");
    symlink("../elsewhere", root.join("a/dangling")).expect("linked");
    symlink("/etc/passwd", root.join("a/absolute")).expect("linked");
    symlink("x".repeat(300), root.join("a/long")).expect("linked");
    symlink(name(b"to \xff\n"), root.join("a/bytes")).expect("linked");
    fs::hard_link(root.join("up/photo.jpg"), root.join("up/again.jpg")).expect("linked");
    fs::hard_link(root.join("up/photo.jpg"), root.join("z")).expect("linked");
    fs::hard_link(root.join("up/large.zip"), root.join("z".repeat(120))).expect("linked");
    for (name, size, data) in [
        ("holes", 5_000_000, vec![100_000u64, 3_000_000]),
        ("hole at the end", 1 << 20, vec![0]),
        ("only a hole", 1 << 21, vec![]),
    ] {
        let file = File::create(root.join(name)).expect("made");
        file.set_len(size).expect("sized");
        for at in data {
            file.write_all_at(&noise(5000, at), at).expect("written");
        }
    }
    for (name, mode) in [
        ("a", 0o2775),
        ("a-b", 0o1777),
        ("a.php", 0o640),
        ("nothing", 0o500),
    ] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).expect("set");
    }
    if rustix::process::geteuid().is_root() {
        for (name, uid, gid) in [
            ("a.php", 33, 33),
            ("a/x", 12345, 54321),
            ("-rf", 3_000_000, 3_000_000),
        ] {
            std::os::unix::fs::lchown(root.join(name), Some(uid), Some(gid)).expect("owned");
        }
        std::os::unix::fs::lchown(root.join("a/long"), Some(33), Some(33)).expect("owned");
        fs::set_permissions(root.join("a/x"), fs::Permissions::from_mode(0o4750)).expect("set");
    }
    stamp(&root.join("empty"), 0, 0);
    stamp(&root.join("-rf"), -5, 250_000_000);
    stamp(&root.join("a.php"), 1 << 33, 1);
    stamp(&root.join("a/dangling"), 1_000_000_000, 123_456_789);
    stamp(&root.join("up"), 1_000_000_001, 5);
    stamp(root, 1_234_567_890, 987_654_321);
}
