//! Opening things beneath a directory.
//!
//! Promise: no symbolic link is followed, not even one in the middle of a path, and nothing outside is reached.

use crate::TreePath;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags, ResolveFlags};
use rustix::io::{Errno, Result};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::sync::atomic::{AtomicBool, Ordering};

/// Linux before 5.6, and some sandboxes, do not have `openat2`.
static WITHOUT_OPENAT2: AtomicBool = AtomicBool::new(false);

/// Open `path` beneath `root` with these flags; the last name is not followed either.
pub fn open(root: BorrowedFd<'_>, path: &TreePath, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    open_bytes(root, path.as_os(), flags, mode)
}

/// The directory at `path` for use in `…at` calls.
pub fn directory(root: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd> {
    let path = if path.is_empty() { b"." } else { path };
    let flags = OFlags::PATH | OFlags::DIRECTORY;
    open_bytes(root, OsStr::from_bytes(path), flags, Mode::empty())
}

fn open_bytes(root: BorrowedFd<'_>, path: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    if !WITHOUT_OPENAT2.load(Ordering::Relaxed) {
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        loop {
            match rustix::fs::openat2(root, path, flags, mode, how) {
                // A rename elsewhere on the system made the kernel unsure.
                Err(Errno::AGAIN | Errno::INTR) => {}
                Err(Errno::NOSYS | Errno::PERM) => break,
                other => return other,
            }
        }
    }
    let opened = stepwise(root, path, flags, mode);
    if opened.is_ok() {
        WITHOUT_OPENAT2.store(true, Ordering::Relaxed);
    }
    opened
}

/// Name by name, each opened without following.
fn stepwise(root: BorrowedFd<'_>, path: &OsStr, flags: OFlags, mode: Mode) -> Result<OwnedFd> {
    let mut held: Option<OwnedFd> = None;
    let mut names = path.as_bytes().split(|byte| *byte == b'/').peekable();
    while let Some(name) = names.next() {
        let at = held.as_ref().map_or(root, |dir| dir.as_fd());
        if names.peek().is_none() {
            return rustix::fs::openat(at, name, flags, mode);
        }
        let step = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        held = Some(rustix::fs::openat(at, name, step, Mode::empty())?);
    }
    Err(Errno::NOENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn no_link_is_followed_with_or_without_openat2() {
        let root = tempfile::tempdir().expect("a temporary directory");
        fs::create_dir(root.path().join("in")).expect("made");
        fs::create_dir(root.path().join("in/d")).expect("made");
        fs::write(root.path().join("in/d/f"), "x").expect("written");
        std::os::unix::fs::symlink("d", root.path().join("in/l")).expect("linked");
        let dir = fs::File::open(root.path().join("in")).expect("opened");
        for (path, opens) in [("d/f", true), ("l/f", false), ("l", false)] {
            let path = OsStr::new(path);
            let (flags, mode) = (OFlags::RDONLY | OFlags::NOFOLLOW, Mode::empty());
            let both = [
                open_bytes(dir.as_fd(), path, flags, mode),
                stepwise(dir.as_fd(), path, flags, mode),
            ];
            for opened in both {
                assert_eq!(opened.is_ok(), opens, "{path:?}");
            }
        }
    }
}
