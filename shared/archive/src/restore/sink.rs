//! One file as it is restored or verified.
//!
//! Promise: its checksum is taken of what is written, and a file whose checksum differs is an error. It is made anew:
//! what stands at its path already is never written to.

use crate::error::{Error, Result};
use crate::{Content, Entry, Kind, beneath, sparse};
use rustix::fd::{BorrowedFd, OwnedFd};
use rustix::fs::{Gid, Mode, OFlags, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// A file that takes its data in order.
pub struct Sink<'a> {
    link: u32,
    entry: &'a Entry,
    content: &'a Content,
    file: Option<OwnedFd>,
    hash: Sha256,
    /// Where the next byte belongs.
    at: u64,
    /// The piece of data it belongs to, and where that one ends.
    piece: usize,
    end: u64,
}

impl<'a> Sink<'a> {
    /// Beneath `root`, or nowhere.
    pub fn new(
        root: Option<BorrowedFd<'_>>,
        link: u32,
        entry: &'a Entry,
        content: &'a Content,
    ) -> Result<Self> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let mode = Mode::RUSR | Mode::WUSR;
        let file = root
            .map(|root| beneath::open(root, &entry.path, flags, mode))
            .transpose()
            .map_err(|errno| Error::restore(&entry.path, errno))?;
        let mut sink = Self {
            link,
            entry,
            content,
            file,
            hash: Sha256::new(),
            at: 0,
            piece: 0,
            end: content.size,
        };
        if content.data.is_some() {
            sink.end = 0;
            sink.next_piece();
        }
        Ok(sink)
    }

    /// The next of its data.
    pub fn take(&mut self, mut data: &[u8]) -> Result<()> {
        while !data.is_empty() {
            if self.at == self.end {
                self.next_piece();
            }
            let some = data.len().min((self.end - self.at) as usize);
            let (now, later) = data.split_at(some);
            self.hash.update(now);
            if let Some(file) = &self.file {
                write(file, now, self.at).map_err(|errno| self.failed(errno))?;
            }
            self.at += some as u64;
            data = later;
        }
        Ok(())
    }

    /// All its data is there.
    pub fn finish(mut self, owners: bool) -> Result<()> {
        self.zeros_until(self.content.size);
        let sum: [u8; 32] = std::mem::take(&mut self.hash).finalize().into();
        if sum != self.content.sha256 {
            return Err(Error::Archive {
                link: self.link,
                path: self.entry.path.to_string(),
                why: "another content".into(),
            });
        }
        let Some(file) = &self.file else {
            return Ok(());
        };
        let sized = match self.content.data {
            Some(_) => rustix::fs::ftruncate(file, self.content.size),
            None => Ok(()),
        };
        sized
            .and_then(|()| dress(file, self.entry, owners))
            .map_err(|errno| self.failed(errno))
    }

    /// To the next piece; what lies before it is a hole.
    fn next_piece(&mut self) {
        let pieces = self.content.data.as_deref().unwrap_or_default();
        let (start, length) = match pieces.get(self.piece) {
            Some(piece) => *piece,
            None => (self.content.size, 0),
        };
        self.piece += 1;
        self.zeros_until(start);
        self.end = start + length;
    }

    fn zeros_until(&mut self, offset: u64) {
        sparse::hash_hole(&mut self.hash, &mut self.at, offset);
    }

    fn failed(&self, errno: Errno) -> Error {
        Error::restore(&self.entry.path, errno)
    }
}

fn write(file: &OwnedFd, mut data: &[u8], mut at: u64) -> Result<(), Errno> {
    while !data.is_empty() {
        match rustix::io::pwrite(file, data, at) {
            Ok(written) => {
                at += written as u64;
                data = &data[written..];
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

/// Give an open file or directory its owner, mode and times, in this order: a new owner takes setuid away, and a
/// change of mode leaves the times alone.
pub fn dress(file: &OwnedFd, entry: &Entry, owners: bool) -> Result<(), Errno> {
    if owners {
        let (user, group) = (Uid::from_raw(entry.uid), Gid::from_raw(entry.gid));
        rustix::fs::fchown(file, Some(user), Some(group))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(entry.mode))?;
    rustix::fs::futimens(file, &times(entry))
}

/// The time of access is no part of a tree; it becomes that of the change.
pub fn times(entry: &Entry) -> Timestamps {
    let time = Timespec {
        tv_sec: entry.mtime.seconds,
        tv_nsec: entry.mtime.nanos.into(),
    };
    Timestamps {
        last_access: time,
        last_modification: time,
    }
}

/// A file's content; only files come here.
pub fn content(entry: &Entry) -> Option<&Content> {
    match &entry.kind {
        Kind::File(content) => Some(content),
        _ => None,
    }
}
