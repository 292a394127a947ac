//! All of a tree but its files: directories first, then links, then what directories look like.
//!
//! Promise: directories are the caller's alone until the end. A link is made only when no file is written any more, so
//! nothing can be written through it.

use super::sink;
use crate::error::{Error, Result};
use crate::manifest::Reader;
use crate::{Entry, Kind, TreePath, beneath};
use rustix::fd::BorrowedFd;
use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Uid};
use rustix::io::Errno;
use std::io::Read;

/// Only an empty directory is fresh.
pub fn check_fresh(root: BorrowedFd<'_>) -> Result<()> {
    let failed = |errno: Errno| Error::restore(".", errno);
    for found in Dir::read_from(root).map_err(failed)? {
        let found = found.map_err(failed)?;
        if !matches!(found.file_name().to_bytes(), b"." | b"..") {
            return Err(Error::NotFresh);
        }
    }
    Ok(())
}

/// Make all directories.
pub fn directories<M: Read>(root: BorrowedFd<'_>, mut manifest: Reader<M>) -> Result<()> {
    while let Some(entry) = manifest.next_entry()? {
        if entry.kind == Kind::Directory
            && let Some((parent, name)) = entry.path.split()
        {
            beneath::directory(root, parent)
                .and_then(|parent| rustix::fs::mkdirat(parent, name, Mode::RWXU))
                .map_err(|errno| Error::restore(&entry.path, errno))?;
        }
    }
    Ok(())
}

/// Make all links, and give directories their owners, modes and times.
pub fn finish<M: Read>(root: BorrowedFd<'_>, mut manifest: Reader<M>, owners: bool) -> Result<()> {
    let mut open: Vec<Entry> = Vec::new();
    while let Some(entry) = manifest.next_entry()? {
        while let Some(done) = open.pop_if(|top| !entry.path.is_within(&top.path)) {
            dress(root, &done, owners)?;
        }
        let failed = |errno: Errno| Error::restore(&entry.path, errno);
        match &entry.kind {
            Kind::Directory => open.push(entry),
            Kind::File(_) => {}
            Kind::Symlink(target) => symlink(root, &entry, target, owners).map_err(failed)?,
            Kind::Hardlink(target) => hardlink(root, &entry.path, target).map_err(failed)?,
        }
    }
    while let Some(done) = open.pop() {
        dress(root, &done, owners)?;
    }
    Ok(())
}

fn dress(root: BorrowedFd<'_>, entry: &Entry, owners: bool) -> Result<()> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY;
    beneath::open(root, &entry.path, flags, Mode::empty())
        .and_then(|directory| sink::dress(&directory, entry, owners))
        .map_err(|errno| Error::restore(&entry.path, errno))
}

fn symlink(root: BorrowedFd<'_>, entry: &Entry, target: &[u8], owners: bool) -> Result<(), Errno> {
    let (parent, name) = entry.path.split().ok_or(Errno::EXIST)?;
    let parent = beneath::directory(root, parent)?;
    rustix::fs::symlinkat(target, &parent, name)?;
    if owners {
        let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        let itself = AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(&parent, name, Some(user), Some(group), itself)?;
    }
    let itself = AtFlags::SYMLINK_NOFOLLOW;
    rustix::fs::utimensat(&parent, name, &sink::times(entry), itself)
}

fn hardlink(root: BorrowedFd<'_>, path: &TreePath, target: &TreePath) -> Result<(), Errno> {
    let (from, old) = target.split().ok_or(Errno::NOENT)?;
    let (to, new) = path.split().ok_or(Errno::EXIST)?;
    let (from, to) = (
        beneath::directory(root, from)?,
        beneath::directory(root, to)?,
    );
    let stat = rustix::fs::statat(&from, old, AtFlags::SYMLINK_NOFOLLOW)?;
    if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
        return Err(Errno::NOENT);
    }
    rustix::fs::linkat(&from, old, &to, new, AtFlags::empty())
}
