//! Trees with all that is strange, and a way to say whether two trees are the same.
//!
//! Promise: everything a restore must bring back is compared, field by field.
#![allow(dead_code, reason = "each test binary uses some of it")]

use archive::manifest::{Limits, Reader};
use archive::{Error, Exclude, create, restore};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::collections::{BTreeMap, HashMap};
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use tempfile::TempDir;

/// After all times of a test's tree, so that nothing is in doubt.
pub const LATER: i64 = 1 << 40;

/// An archive and its manifest.
#[derive(Clone)]
pub struct Made {
    pub archive: Vec<u8>,
    pub manifest: Vec<u8>,
    pub created: create::Created,
}

pub fn temporary() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

pub fn options() -> create::Options {
    create::Options {
        at_seconds: LATER,
        ..Default::default()
    }
}

pub fn full(root: &Path) -> Made {
    try_full(root, &options()).expect("archived")
}

pub fn excluding(root: &Path, patterns: &[&str]) -> Made {
    let exclude = Exclude::new(patterns).expect("understood");
    let options = create::Options {
        exclude,
        ..options()
    };
    try_full(root, &options).expect("archived")
}

pub fn try_full(root: &Path, options: &create::Options) -> Result<Made, Error> {
    let root = File::open(root).expect("opened");
    let (mut archive, mut manifest) = (Vec::new(), Vec::new());
    let mut go = |_| ControlFlow::Continue(());
    create::full(root.as_fd(), options, &mut archive, &mut manifest, &mut go).map(|created| Made {
        archive,
        manifest,
        created,
    })
}

pub fn next(root: &Path, before: &Made) -> Made {
    next_at(root, before, LATER)
}

pub fn next_at(root: &Path, before: &Made, at_seconds: i64) -> Made {
    let root = File::open(root).expect("opened");
    let (mut archive, mut manifest) = (Vec::new(), Vec::new());
    let before = Reader::new(&before.manifest[..], Limits::default()).expect("a manifest");
    let mut go = |_| ControlFlow::Continue(());
    let options = create::Options {
        at_seconds,
        ..Default::default()
    };
    let (to, list) = (&mut archive, &mut manifest);
    let created = create::incremental(root.as_fd(), &options, before, to, list, &mut go);
    Made {
        created: created.expect("archived"),
        archive,
        manifest,
    }
}

/// Restore a chain to a fresh directory.
pub fn restored(chain: &[&Made]) -> Result<TempDir, Error> {
    let to = temporary();
    restore_to(to.path(), chain).map(|()| to)
}

pub fn restore_to(to: &Path, chain: &[&Made]) -> Result<(), Error> {
    let root = File::open(to).expect("opened");
    let links = chain.iter().map(|made| restore::Link {
        archive: Cursor::new(made.archive.clone()),
        manifest: Cursor::new(made.manifest.clone()),
    });
    let mut go = |_| ControlFlow::Continue(());
    let options = restore::Options::default();
    restore::restore(root.as_fd(), links.collect(), &options, &mut go).map(drop)
}

pub fn verified(made: &Made) -> Result<(), Error> {
    let manifest = Reader::new(&made.manifest[..], Limits::default())?;
    let mut go = |_| ControlFlow::Continue(());
    archive::verify(&made.archive[..], manifest, 2, &mut go).map(drop)
}

/// All entries of a manifest.
pub fn entries(made: &Made) -> Vec<archive::Entry> {
    let mut reader = Reader::new(&made.manifest[..], Limits::default()).expect("a manifest");
    let mut all = Vec::new();
    while let Some(entry) = reader.next_entry().expect("an entry") {
        all.push(entry);
    }
    all
}

/// Members of an archive that stand for things of the tree, without the root's.
pub fn archived(made: &Made) -> Vec<String> {
    let link = Reader::new(&made.manifest[..], Limits::default());
    let link = link.expect("a manifest").head().link;
    let all = entries(made).into_iter();
    all.filter(|entry| entry.from == link && !entry.path.is_root())
        .map(|entry| entry.path.to_string())
        .collect()
}

/// What one thing of a tree looks like.
#[derive(Debug, PartialEq, Eq)]
pub struct Seen {
    mode: u32,
    owner: (u32, u32),
    mtime: (i64, i64),
    content: Vec<u8>,
    /// The first path of the same file.
    first: PathBuf,
    holes: bool,
}

pub fn look(root: &Path) -> BTreeMap<PathBuf, Seen> {
    let (mut all, mut firsts) = (BTreeMap::new(), HashMap::new());
    see(root, Path::new(""), &mut all, &mut firsts);
    all
}

fn see(
    root: &Path,
    at: &Path,
    all: &mut BTreeMap<PathBuf, Seen>,
    firsts: &mut HashMap<u64, PathBuf>,
) {
    let path = root.join(at);
    let meta = fs::symlink_metadata(&path).expect("there");
    let content = if meta.is_symlink() {
        fs::read_link(&path)
            .expect("read")
            .as_os_str()
            .as_bytes()
            .to_vec()
    } else if meta.is_file() {
        fs::read(&path).expect("read")
    } else {
        Vec::new()
    };
    let first = firsts.entry(meta.ino()).or_insert(at.to_path_buf());
    let seen = Seen {
        mode: meta.mode(),
        owner: (meta.uid(), meta.gid()),
        mtime: (meta.mtime(), meta.mtime_nsec()),
        holes: meta.is_file() && meta.blocks() * 512 < meta.len(),
        first: first.clone(),
        content,
    };
    all.insert(at.to_path_buf(), seen);
    if meta.is_dir() {
        let mut names: Vec<_> = fs::read_dir(&path)
            .expect("listed")
            .map(|found| found.expect("listed").file_name())
            .collect();
        names.sort();
        for name in names {
            see(root, &at.join(name), all, firsts);
        }
    }
}

pub fn assert_same(a: &Path, b: &Path) {
    let (a, b) = (look(a), look(b));
    for (path, seen) in &a {
        let other = b.get(path).unwrap_or_else(|| panic!("{path:?} is missing"));
        let same = seen == other;
        assert!(same, "{path:?}: {:?} and {:?}", short(seen), short(other));
    }
    assert_eq!(
        a.len(),
        b.len(),
        "{:?}",
        b.keys().find(|key| !a.contains_key(*key))
    );
}

fn short(seen: &Seen) -> String {
    let content = format!("{} bytes", seen.content.len());
    format!(
        "{:o} {:?} {:?} {content} {:?} {}",
        seen.mode, seen.owner, seen.mtime, seen.first, seen.holes
    )
}

/// Bytes that cannot be compressed.
pub fn noise(size: usize, seed: u64) -> Vec<u8> {
    let mut state = seed | 1;
    let mut one = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (state >> 56) as u8
    };
    (0..size).map(|_| one()).collect()
}

pub fn write(root: &Path, name: impl AsRef<Path>, content: impl AsRef<[u8]>) {
    let path = root.join(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, content).expect("written");
}

/// Give a thing a time of its own, with nanoseconds.
pub fn stamp(path: &Path, seconds: i64, nanos: i64) {
    let time = Timespec {
        tv_sec: seconds,
        tv_nsec: nanos,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("stamped");
}

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

/// Unpack by hand over `to`, as the documentation says: first what is gone, then the rest.
pub fn by_hand(program: &str, to: &Path, made: &Made) {
    let list = pipe(
        "tar xO --occurrence .triphammer-deletions 2>/dev/null || true",
        to,
        made,
    );
    let mut remove = Command::new("xargs")
        .args(["-0", "-r", "rm", "-rf", "--"])
        .current_dir(to)
        .stdin(Stdio::piped())
        .spawn()
        .expect("started");
    remove
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&list)
        .expect("sent");
    assert!(remove.wait().expect("ended").success());
    pipe(program, to, made);
    let _ = fs::remove_file(to.join(archive::DELETIONS));
}

/// Run a program on the plain tar.
fn pipe(program: &str, within: &Path, made: &Made) -> Vec<u8> {
    let mut file = tempfile::tempfile().expect("a file");
    file.write_all(&made.archive).expect("written");
    std::io::Seek::rewind(&mut file).expect("rewound");
    let done = Command::new("bash")
        .args(["-o", "pipefail", "-c", &format!("zstd -dqc | ({program})")])
        .current_dir(within)
        .env("LC_ALL", "C.UTF-8")
        .stdin(file)
        .output()
        .expect("started");
    let said = String::from_utf8_lossy(&done.stderr).to_string();
    assert!(done.status.success(), "{program}: {said}");
    assert_eq!(said, "", "{program}");
    done.stdout
}
