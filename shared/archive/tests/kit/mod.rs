//! Trees with all that is strange, and a way to say whether two trees are the same.
//!
//! Promise: everything a restore must bring back is compared, field by field.
#![allow(dead_code, unused_imports, reason = "each test binary uses some of it")]

mod look;
mod strange;

pub use look::{assert_same, look, stamp_directories};
pub use strange::strange;

use archive::manifest::{Limits, Reader};
use archive::{Error, Exclude, create, restore};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
use std::fs::{self, File};
use std::io::{Cursor, Write};
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::Path;
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
