//! What a tree looks like, for comparing two.
//!
//! Promise: everything a restore must bring back is seen: kinds, modes, owners, times, contents, links, holes.

use super::stamp;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
    // Two names of one symbolic link come back as two links that say the same.
    let key = if meta.is_file() {
        meta.ino()
    } else {
        u64::MAX - all.len() as u64
    };
    let first = firsts.entry(key).or_insert(at.to_path_buf());
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

/// Give all directories of a tree the times of those of another.
pub fn stamp_directories(root: &Path, like: &Path) {
    for (path, seen) in look(like) {
        if fs::symlink_metadata(root.join(&path)).is_ok_and(|meta| meta.is_dir()) {
            stamp(&root.join(path), seen.mtime.0, seen.mtime.1);
        }
    }
}
