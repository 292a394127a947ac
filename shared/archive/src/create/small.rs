//! Many small things, archived together by one thread.
//!
//! Promise: a file is in memory before its header is written, so header and content belong together. A file that
//! changes while it is read is read again; one that never rests is archived as it was last seen, and noted.

use super::{Done, Outcome, Shared};
use crate::error::{Error, Result};
use crate::frame::{FRAME_BYTES, Frame, Packer, is_dense};
use crate::walk::{self, Opened};
use crate::{Content, Entry, Kind, Note, TreePath, Why, header};
use rustix::buffer::spare_capacity;
use rustix::fd::AsFd;
use rustix::fs::Stat;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::ops::Range;

/// A file that never rests is taken as it is the third time.
const TRIES: usize = 3;
/// A file that was small when it was found is cut here, however it has grown since.
const CUT_BYTES: u64 = FRAME_BYTES as u64;
/// A buffer of a pool has room for all that comes together.
const BUFFER_BYTES: usize = FRAME_BYTES + FRAME_BYTES / 2 + 256 * 1024;
/// Packed bytes of this size go into a buffer of the pool.
const POOLED_BYTES: usize = 1024 * 1024;

/// One of many.
pub enum Item {
    /// A file to be read. `had`: the backup before had something there.
    Read {
        path: TreePath,
        opened: Option<Opened>,
        had: bool,
    },
    /// All is known; told is whether it goes into the archive.
    Ready(Box<Entry>, bool),
    Gone(TreePath),
    Note(Note),
}

struct Unit<'a> {
    shared: &'a Shared<'a>,
    plain: Vec<u8>,
    /// What of it is not worth compressing.
    dense: Vec<Range<usize>>,
    outcomes: Vec<Outcome>,
    read: u64,
}

/// Archive them.
pub fn run(shared: &Shared<'_>, items: Vec<Item>, packer: &mut Packer) -> Result<Done> {
    let mut plain = shared.buffer();
    plain.clear();
    let mut unit = Unit {
        shared,
        plain,
        dense: Vec::new(),
        outcomes: Vec::with_capacity(items.len()),
        read: 0,
    };
    for item in items {
        match item {
            Item::Gone(path) => unit.outcomes.push(Outcome::Gone(path)),
            Item::Note(note) => unit.outcomes.push(Outcome::Note(note)),
            Item::Ready(entry, archived) => {
                if archived {
                    header::write(&entry, &mut unit.plain);
                }
                unit.outcomes.push(Outcome::Entry(entry));
            }
            Item::Read { path, opened, had } => unit.file(path, opened, had)?,
        }
    }
    let frames = unit.pack(packer)?;
    Ok(Done {
        plain: unit.plain,
        frames,
        outcomes: unit.outcomes,
        read: unit.read,
    })
}

impl Unit<'_> {
    fn file(&mut self, path: TreePath, opened: Option<Opened>, had: bool) -> Result<()> {
        let opened = match opened {
            Some(opened) => Ok(Some(opened)),
            None => walk::open_file(self.shared.root, &path),
        };
        let why = match opened {
            Ok(Some(opened)) => return self.archive(path, &opened),
            Ok(None) => Why::Vanished,
            Err(Errno::ACCESS | Errno::PERM) => Why::Unreadable,
            Err(errno) => return Err(Error::tree(path, errno)),
        };
        if had {
            self.outcomes.push(Outcome::Gone(path.clone()));
        }
        self.outcomes.push(Outcome::Note(Note { path, why }));
        Ok(())
    }

    fn archive(&mut self, path: TreePath, opened: &Opened) -> Result<()> {
        let start = self.plain.len();
        let mut stat = opened.stat;
        for tried in 1.. {
            let size = (stat.st_size as u64).min(CUT_BYTES);
            let mut entry = entry(self.shared, &path, size, &stat);
            header::write(&entry, &mut self.plain);
            let content = self.plain.len();
            let got = read(&opened.file, size as usize, &mut self.plain)
                .map_err(|errno| Error::tree(&path, errno))?;
            let after = rustix::fs::fstat(&opened.file);
            let after = after.map_err(|errno| Error::tree(&path, errno))?;
            let settled =
                got as u64 == size && is_same(&stat, &after) && size == stat.st_size as u64;
            if !settled && tried < TRIES {
                self.plain.truncate(start);
                stat = after;
                continue;
            }
            let bytes = &self.plain[content..];
            if let Kind::File(known) = &mut entry.kind {
                known.sha256 = Sha256::digest(bytes).into();
            }
            if is_dense(bytes) {
                self.dense.push(content..self.plain.len());
            }
            self.read += size;
            self.plain
                .resize(self.plain.len() + header::padding(size), 0);
            entry.unsettled = !settled;
            if tried > 1 || !settled {
                let why = if settled {
                    Why::ReadAgain
                } else {
                    Why::Changed
                };
                let path = path.clone();
                self.outcomes.push(Outcome::Note(Note { path, why }));
            }
            self.outcomes.push(Outcome::Entry(Box::new(entry)));
            break;
        }
        Ok(())
    }

    /// Frames of what is dense, and of what is not.
    fn pack(&mut self, packer: &mut Packer) -> Result<Vec<Frame>> {
        let (mut frames, mut at) = (Vec::new(), 0);
        for dense in std::mem::take(&mut self.dense) {
            self.pack_text(at..dense.start, packer, &mut frames)?;
            at = dense.end;
            frames.push(Frame::Raw(dense));
        }
        self.pack_text(at..self.plain.len(), packer, &mut frames)?;
        Ok(frames)
    }

    fn pack_text(
        &self,
        range: Range<usize>,
        packer: &mut Packer,
        frames: &mut Vec<Frame>,
    ) -> Result<()> {
        if range.is_empty() {
            return Ok(());
        }
        let into = if range.len() >= POOLED_BYTES {
            self.shared.buffer()
        } else {
            Vec::new()
        };
        frames.push(packer.pack(&self.plain[range], into)?);
        Ok(())
    }
}

/// A file's entry as `stat` shows it, with no checksum yet.
pub fn entry(shared: &Shared<'_>, path: &TreePath, size: u64, stat: &Stat) -> Entry {
    let content = Content {
        size,
        ..Default::default()
    };
    let mut entry = Entry::of(path.clone(), Kind::File(content), stat, shared.link);
    entry.user = shared.names.user(entry.uid);
    entry.group = shared.names.group(entry.gid);
    entry
}

/// Could the content be another now?
pub fn is_same(before: &Stat, after: &Stat) -> bool {
    let all = |stat: &Stat| {
        let times = (
            stat.st_mtime,
            stat.st_mtime_nsec,
            stat.st_ctime,
            stat.st_ctime_nsec,
        );
        (stat.st_size, times)
    };
    all(before) == all(after)
}

/// Append `size` bytes from the start of a file, zeros for what it does not have; says how many it had.
fn read(file: impl AsFd, size: usize, into: &mut Vec<u8>) -> Result<usize, Errno> {
    let start = into.len();
    let room = if start == 0 { BUFFER_BYTES } else { 0 };
    into.reserve(room.max(size + header::BLOCK));
    while into.len() < start + size {
        let at = (into.len() - start) as u64;
        match rustix::io::pread(&file, spare_capacity(into), at) {
            Ok(0) => break,
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    let got = into.len() - start;
    into.resize(start + size, 0);
    // More than the size it had means that it grew.
    Ok(got)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn a_file_that_is_shorter_or_longer_than_it_was_is_told() {
        let mut file = tempfile::tempfile().expect("a file");
        file.write_all(b"0123456789").expect("written");
        for (size, got, content) in [
            (10, 10, &b"0123456789"[..]),
            (12, 10, b"0123456789\0\0"),
            (0, 0, b""),
        ] {
            let mut into = b"before".to_vec();
            assert_eq!(read(&file, size, &mut into), Ok(got));
            assert_eq!(&into[6..], content);
        }
        let mut into = Vec::new();
        assert_eq!(read(&file, 4, &mut into), Ok(10));
        assert_eq!(into, b"0123");
    }
}
