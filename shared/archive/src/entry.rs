//! One thing of a tree, as a manifest knows it.
//!
//! Promise: an entry says all that a restore needs but the bytes, and all that shows whether a file has changed since.

use crate::TreePath;
use rustix::fs::Stat;

/// What a tree holds at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where.
    pub path: TreePath,
    /// What.
    pub kind: Kind,
    /// Permissions with setuid, setgid and sticky bits: `0o7777` at most.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// The owner's name in `/etc/passwd`; empty when it has none.
    pub user: String,
    /// The group's name in `/etc/group`; empty when it has none.
    pub group: String,
    /// When its content changed.
    pub mtime: Time,
    /// When anything about it changed.
    pub ctime: Time,
    /// Its inode.
    pub inode: u64,
    /// Its device.
    pub device: u64,
    /// The link of the chain whose archive holds it.
    pub from: u32,
    /// It changed while it was read, so the next backup reads it again.
    pub unsettled: bool,
}

/// What stands at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A plain file.
    File(Content),
    /// A symbolic link and what it says, which may be anything.
    Symlink(Vec<u8>),
    /// Another name of the file at an earlier path.
    Hardlink(TreePath),
}

/// What a file holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Content {
    /// Bytes, holes included.
    pub size: u64,
    /// Of all bytes, holes read as zeros.
    pub sha256: [u8; 32],
    /// Offset and length of what is not a hole, when the file has holes.
    pub data: Option<Vec<(u64, u64)>>,
}

/// Seconds since 1970, and nanoseconds after them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Time {
    /// May be negative.
    pub seconds: i64,
    /// Below a billion; counts forward for negative seconds too.
    pub nanos: u32,
}

impl Entry {
    /// What `stat` says, with names from nowhere and without content.
    pub(crate) fn of(path: TreePath, kind: Kind, stat: &Stat, from: u32) -> Self {
        Self {
            path,
            kind,
            mode: stat.st_mode & 0o7777,
            uid: stat.st_uid,
            gid: stat.st_gid,
            user: String::new(),
            group: String::new(),
            mtime: mtime(stat),
            ctime: ctime(stat),
            inode: stat.st_ino,
            device: stat.st_dev,
            from,
            unsettled: false,
        }
    }

    /// Bytes of a file; 0 for all else.
    pub fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.size,
            _ => 0,
        }
    }

    /// Is its mark in an archive the same as the other's?
    pub(crate) fn same_header(&self, other: &Self) -> bool {
        let kinds = match (&self.kind, &other.kind) {
            (Kind::File(a), Kind::File(b)) => a.size == b.size,
            (a, b) => a == b,
        };
        kinds
            && self.path == other.path
            && (self.mode, self.uid, self.gid, self.mtime)
                == (other.mode, other.uid, other.gid, other.mtime)
            && (&self.user, &self.group) == (&other.user, &other.group)
    }

    /// A new thing of another sort stands where the other stood.
    pub(crate) fn replaces(&self, other: &Self) -> bool {
        let sort = |kind: &Kind| match kind {
            Kind::Directory => 0,
            Kind::File(_) | Kind::Hardlink(_) => 1,
            Kind::Symlink(_) => 2,
        };
        sort(&self.kind) != sort(&other.kind)
    }
}

pub(crate) fn mtime(stat: &Stat) -> Time {
    Time {
        seconds: stat.st_mtime,
        nanos: stat.st_mtime_nsec as u32,
    }
}

pub(crate) fn ctime(stat: &Stat) -> Time {
    Time {
        seconds: stat.st_ctime,
        nanos: stat.st_ctime_nsec as u32,
    }
}
