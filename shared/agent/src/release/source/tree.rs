//! The checkout as it is put together: entry by entry, beside its place.
//!
//! Promise: files, folders and links, with modes of ours and root as their owner, all beneath one folder and never more
//! than the limits. Links come last, so that nothing is ever written through one.

use crate::fault::{Result, broken, io_at, refused};
use cap_std::ambient_authority;
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use protocol::AgentError;
use protocol::text::bytes;
use std::ffi::OsString;
use std::fs;
use std::io::{self, ErrorKind, Read, Write};
use std::path::{Component, Path, PathBuf};

/// Five times the largest kernels and monorepos that are deployed from one checkout.
pub const ENTRIES_LIMIT: u64 = 500_000;
/// What a host's disk still takes beside its images.
pub const BYTES_LIMIT: u64 = 8 * 1024 * 1024 * 1024;
/// No source tree is deeper.
const DEPTH_LIMIT: usize = 100;
/// Every file system takes it.
const PATH_LIMIT: usize = 4096;
/// The kernel follows no longer link.
const TARGET_LIMIT: usize = 4095;
/// As much as is copied at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// May a link lead out of the tree?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Links {
    /// As a repository has them; nothing of ours follows them.
    Kept,
    /// Such a tree is refused.
    Inside,
}

/// A tree that is put together.
#[derive(Debug)]
pub struct Tree {
    path: PathBuf,
    dir: Dir,
    links: Links,
    bytes_limit: u64,
    entries: u64,
    files: u64,
    bytes: u64,
    later: Vec<(PathBuf, Later)>,
}

#[derive(Debug)]
enum Later {
    Link(OsString),
    Same(PathBuf),
}

impl Tree {
    /// In an empty folder that is made here, whatever was there before.
    pub fn new(path: &Path, links: Links, bytes_limit: u64) -> Result<Self> {
        remove(path)?;
        let at = |error: &io::Error| io_at(path, error);
        fs::create_dir(path).map_err(|error| at(&error))?;
        let dir = Dir::open_ambient_dir(path, ambient_authority()).map_err(|error| at(&error))?;
        Ok(Self {
            path: path.to_path_buf(),
            dir,
            links,
            bytes_limit: bytes_limit.min(BYTES_LIMIT),
            entries: 0,
            files: 0,
            bytes: 0,
            later: Vec::new(),
        })
    }

    /// Entries so far.
    pub fn entries(&self) -> u64 {
        self.entries
    }

    fn enter(&mut self, path: &Path) -> Result<PathBuf> {
        self.entries += 1;
        if self.entries > ENTRIES_LIMIT {
            return Err(source(format!("it has more than {ENTRIES_LIMIT} files")));
        }
        beneath(path)
    }

    fn parent(&self, path: &Path) -> Result<()> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => self
                .dir
                .create_dir_all(parent)
                .map_err(|error| self.at(path, &error)),
            _ => Ok(()),
        }
    }

    fn at(&self, path: &Path, error: &io::Error) -> AgentError {
        match error.kind() {
            ErrorKind::AlreadyExists | ErrorKind::NotADirectory | ErrorKind::IsADirectory => {
                source(format!("it names {} twice", shown(path)))
            }
            ErrorKind::PermissionDenied | ErrorKind::InvalidInput => {
                source(format!("its path {} is none", shown(path)))
            }
            _ => io_at(&self.path, error),
        }
    }

    /// A folder.
    pub fn folder(&mut self, path: &Path) -> Result<()> {
        let path = self.enter(path)?;
        if path.as_os_str().is_empty() {
            return Ok(());
        }
        self.dir
            .create_dir_all(&path)
            .map_err(|error| self.at(&path, &error))
    }

    /// A file, of exactly so many bytes where that is known.
    pub fn file(
        &mut self,
        path: &Path,
        executable: bool,
        size: Option<u64>,
        mut from: impl Read,
    ) -> Result<()> {
        let path = self.enter(path)?;
        self.parent(&path)?;
        let mode = if executable { 0o755 } else { 0o644 };
        let mut options = OpenOptions::new();
        options.write(true).create_new(true).mode(mode);
        let mut into = self
            .dir
            .open_with(&path, &options)
            .map_err(|error| self.at(&path, &error))?;
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut written = 0;
        loop {
            let read = match from.read(&mut chunk) {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(damaged(&error)),
            };
            written += read as u64;
            self.bytes += read as u64;
            if self.bytes > self.bytes_limit {
                return Err(source(format!(
                    "it unpacks to more than {}, the most that is taken of one that is packed so small",
                    bytes(self.bytes_limit)
                )));
            }
            into.write_all(&chunk[..read])
                .map_err(|error| io_at(&self.path, &error))?;
        }
        if size.is_some_and(|size| size != written) {
            return Err(source("it ends too early".into()));
        }
        self.files += 1;
        Ok(())
    }

    /// A link.
    pub fn link(&mut self, path: &Path, target: OsString) -> Result<()> {
        let path = self.enter(path)?;
        if target.is_empty() || target.len() > TARGET_LIMIT {
            return Err(source(format!("its link {} leads nowhere", shown(&path))));
        }
        if self.links == Links::Inside && leads_out(&path, Path::new(&target)) {
            return Err(source(format!("its link {} leads out of it", shown(&path))));
        }
        self.later.push((path, Later::Link(target)));
        Ok(())
    }

    /// A second name of a file.
    pub fn same(&mut self, path: &Path, as_this: &Path) -> Result<()> {
        let path = self.enter(path)?;
        self.later.push((path, Later::Same(beneath(as_this)?)));
        Ok(())
    }

    /// Make the links; files and bytes of all.
    pub fn finish(mut self) -> Result<(u64, u64)> {
        let mut later = std::mem::take(&mut self.later);
        // Second names first: they are of files, and must not be of what a link leads to.
        later.sort_by_key(|(_, one)| matches!(one, Later::Link(_)));
        for (path, one) in &later {
            self.parent(path)?;
            let done = match one {
                Later::Link(target) => self.dir.symlink_contents(target, path),
                Later::Same(other) => self.dir.hard_link(other, &self.dir, path),
            };
            done.map_err(|error| match error.kind() {
                ErrorKind::NotFound => source(format!(
                    "its {} is the same as a file that it has not",
                    shown(path)
                )),
                _ => self.at(path, &error),
            })?;
            self.files += 1;
        }
        Ok((self.files, self.bytes))
    }
}

/// Throw a tree away, if it is there; links in it are not followed.
pub fn remove(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_at(path, &error)),
        _ => Ok(()),
    }
}

/// The tree takes its place; with `strip`, when all of it is in one folder, that folder does.
pub fn publish(from: &Path, to: &Path, strip: bool) -> Result<()> {
    remove(to)?;
    let mut top = from.to_path_buf();
    if strip {
        let entries = fs::read_dir(from).map_err(|error| io_at(from, &error))?;
        let entries: Vec<_> = entries.flatten().collect();
        if let [only] = &entries[..]
            && only.file_type().is_ok_and(|kind| kind.is_dir())
        {
            top = only.path();
        }
    }
    fs::rename(&top, to).map_err(|error| io_at(to, &error))?;
    remove(from)
}

fn beneath(path: &Path) -> Result<PathBuf> {
    let refuse = |why: &str| Err(source(format!("its path {} {why}", shown(path))));
    if path.as_os_str().len() > PATH_LIMIT {
        return refuse("is too long");
    }
    let mut clean = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => clean.push(name),
            Component::CurDir => {}
            _ => return refuse("leads out of it"),
        }
    }
    if clean.components().count() > DEPTH_LIMIT {
        return refuse("is too deep");
    }
    Ok(clean)
}

/// By its words alone: a way through another link is not followed here.
fn leads_out(path: &Path, target: &Path) -> bool {
    let mut depth = path.components().count() - 1;
    for part in target.components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::CurDir => {}
            Component::ParentDir if depth > 0 => depth -= 1,
            _ => return true,
        }
    }
    false
}

/// For people: the beginning of a path, without what a terminal would obey.
fn shown(path: &Path) -> String {
    let text: String = path
        .to_string_lossy()
        .chars()
        .filter(|c| !c.is_control())
        .take(120)
        .collect();
    format!("{text:?}")
}

/// The source cannot be taken.
pub fn source(why: String) -> AgentError {
    refused(
        "source_refused",
        format!("The source cannot be taken: {why}."),
    )
}

/// It is not what it should be, or the job's own way to it failed.
pub fn damaged(error: &io::Error) -> AgentError {
    crate::jobs::meant(error, |error| match error.kind() {
        ErrorKind::BrokenPipe => broken("program_lost", "A program ended too early."),
        kind => source(format!("it is damaged ({kind})")),
    })
}
