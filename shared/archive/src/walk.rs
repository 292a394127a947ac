//! Walking a tree.
//!
//! Promise: no link is followed; names come sorted, so the same tree gives the same walk. What vanishes meanwhile is
//! left out, what cannot be kept is noted, and one directory's names are all that is held of each level.

use crate::error::{Error, Result};
use crate::header::DELETIONS;
use crate::names::Names;
use crate::{Entry, Exclude, Kind, Note, TreePath, Why, beneath};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::vec;

/// What stands at a path, by `stat` alone: a file's content is not known yet.
pub struct Found {
    /// A file's kind has its size and no checksum.
    pub entry: Entry,
    /// All that `stat` said.
    pub stat: Stat,
}

/// One step of a walk.
pub enum Step {
    /// A thing to keep.
    Found(Box<Found>),
    /// A thing that is left out, and why.
    Note(Note),
}

/// A walk in progress.
pub struct Walk<'a> {
    root: BorrowedFd<'a>,
    exclude: &'a Exclude,
    names: &'a Names,
    link: u32,
    levels: Vec<vec::IntoIter<Step>>,
}

impl<'a> Walk<'a> {
    /// Begin at the root, which is the first thing found.
    pub fn new(
        root: BorrowedFd<'a>,
        exclude: &'a Exclude,
        names: &'a Names,
        link: u32,
    ) -> Result<Self> {
        let stat = rustix::fs::fstat(root).map_err(|error| Error::tree(".", error))?;
        let mut walk = Self {
            root,
            exclude,
            names,
            link,
            levels: Vec::new(),
        };
        let found = walk.found(TreePath::root(), Kind::Directory, stat);
        walk.levels = vec![vec![found].into_iter()];
        Ok(walk)
    }

    fn found(&self, path: TreePath, kind: Kind, stat: Stat) -> Step {
        let mut entry = Entry::of(path, kind, &stat, self.link);
        entry.user = self.names.user(entry.uid);
        entry.group = self.names.group(entry.gid);
        Step::Found(Box::new(Found { entry, stat }))
    }

    /// All that is in a directory, sorted.
    fn list(&self, path: &TreePath) -> Result<Vec<Step>, Errno> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        let opened = beneath::open(self.root, path, flags, Mode::empty())?;
        let mut names = Vec::new();
        let mut listing = Dir::new(opened)?;
        while let Some(found) = listing.read() {
            let found = found?;
            let name = found.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort_unstable();
        let dir = listing.fd()?;
        let steps = names.iter().filter_map(|name| self.look(dir, path, name));
        Ok(steps.collect())
    }

    /// What a name in a directory is; None when it is left out or gone.
    fn look(&self, dir: BorrowedFd<'_>, parent: &TreePath, name: &[u8]) -> Option<Step> {
        let note = |path: TreePath, why| Some(Step::Note(Note { path, why }));
        let Some(path) = parent.join(name) else {
            return note(parent.clone(), Why::TooLong);
        };
        if self.exclude.matches(&path) {
            return None;
        }
        if path.as_bytes() == DELETIONS.as_bytes() {
            return note(path, Why::Reserved);
        }
        let stat = match rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => stat,
            Err(Errno::NOENT) => return None,
            Err(_) => return note(path, Why::Unreadable),
        };
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Directory => Kind::Directory,
            FileType::RegularFile => Kind::File(crate::Content {
                size: stat.st_size as u64,
                ..Default::default()
            }),
            FileType::Symlink => match rustix::fs::readlinkat(dir, name, Vec::new()) {
                Ok(target) => Kind::Symlink(target.into_bytes()),
                Err(_) => return None,
            },
            _ => return note(path, Why::Special),
        };
        Some(self.found(path, kind, stat))
    }
}

impl Iterator for Walk<'_> {
    type Item = Result<Step>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let step = self.levels.last_mut()?.next();
            let Some(step) = step else {
                self.levels.pop();
                continue;
            };
            if let Step::Found(found) = &step
                && found.entry.kind == Kind::Directory
            {
                let path = &found.entry.path;
                let inside = match self.list(path) {
                    Ok(inside) => inside,
                    Err(errno @ (Errno::IO | Errno::NFILE | Errno::MFILE | Errno::NOMEM)) => {
                        return Some(Err(Error::tree(path, errno)));
                    }
                    Err(errno) if path.is_root() => return Some(Err(Error::tree(".", errno))),
                    Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => {
                        let path = path.clone();
                        let why = Why::Vanished;
                        return Some(Ok(Step::Note(Note { path, why })));
                    }
                    Err(_) => vec![Step::Note(Note {
                        path: path.clone(),
                        why: Why::Unreadable,
                    })],
                };
                self.levels.push(inside.into_iter());
            }
            return Some(Ok(step));
        }
    }
}

/// A read-only descriptor of a plain file, whatever stands there now; None when it is gone or something else.
pub fn open_file(root: BorrowedFd<'_>, path: &TreePath) -> Result<Option<Opened>, Errno> {
    // Not blocking: a fifo may have taken the file's place.
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = match beneath::open(root, path, flags, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::NXIO | Errno::XDEV) => {
            return Ok(None);
        }
        Err(errno) => return Err(errno),
    };
    let stat = rustix::fs::fstat(file.as_fd())?;
    let plain = FileType::from_raw_mode(stat.st_mode) == FileType::RegularFile;
    Ok(plain.then_some(Opened { file, stat }))
}

/// A file that is open, and what it was then.
pub struct Opened {
    /// Read only.
    pub file: rustix::fd::OwnedFd,
    /// Right after it was opened.
    pub stat: Stat,
}
