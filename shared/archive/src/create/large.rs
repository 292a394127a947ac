//! One large file, archived in chunks by several threads.
//!
//! Promise: the header's size is kept whatever happens to the file: what is missing becomes zeros, what is more is left
//! out, and both are noted. Chunks are read and compressed side by side, and hashed one after another.

use super::small::{entry, is_same};
use super::{Done, Outcome, Shared};
use crate::error::{Error, Result};
use crate::frame::{FRAME_BYTES, Frame, Packer, is_dense};
use crate::walk::Opened;
use crate::{Entry, Kind, Note, TreePath, Why, header, sparse};
use rustix::fd::AsFd;
use rustix::fs::Stat;
use rustix::io::Errno;
use sha2::{Digest, Sha256};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// A file that is open until its last chunk is done.
pub struct Large {
    file: rustix::fd::OwnedFd,
    stat: Stat,
    /// Without a checksum.
    entry: Entry,
    hashing: Mutex<Hashing>,
    turn: Condvar,
}

/// What the chunks pass on to each other.
struct Hashing {
    next: usize,
    at: u64,
    hash: Sha256,
    changed: bool,
    failed: bool,
}

/// Some of a file's data.
pub struct Chunk {
    large: Arc<Large>,
    number: usize,
    pieces: Vec<(u64, u64)>,
    last: bool,
}

impl Large {
    /// As it is now.
    pub fn new(shared: &Shared<'_>, path: TreePath, opened: Opened) -> Self {
        let Opened { file, stat } = opened;
        let mut entry = entry(shared, &path, stat.st_size as u64, &stat);
        if let Kind::File(content) = &mut entry.kind
            && sparse::is_likely(&stat)
        {
            content.data = sparse::map(&file, content.size);
        }
        Self {
            file,
            stat,
            entry,
            hashing: Mutex::new(Hashing {
                next: 0,
                at: 0,
                hash: Sha256::new(),
                changed: false,
                failed: false,
            }),
            turn: Condvar::new(),
        }
    }
}

/// The whole file, at most a frame's worth of data in each chunk; one chunk when there is no data.
pub fn chunks(large: Large) -> impl Iterator<Item = Chunk> {
    let mut pieces = match &large.entry.kind {
        Kind::File(content) => match &content.data {
            Some(pieces) => pieces.clone(),
            None => vec![(0, content.size)],
        },
        _ => Vec::new(),
    };
    pieces.retain(|(_, length)| *length > 0);
    pieces.reverse();
    let large = Arc::new(large);
    let mut number = 0;
    std::iter::from_fn(move || {
        if number > 0 && pieces.is_empty() {
            return None;
        }
        let (mut some, mut room) = (Vec::new(), FRAME_BYTES as u64);
        while room > 0
            && let Some((offset, length)) = pieces.pop()
        {
            let part = length.min(room);
            some.push((offset, part));
            room -= part;
            if part < length {
                pieces.push((offset + part, length - part));
            }
        }
        number += 1;
        Some(Chunk {
            large: large.clone(),
            number: number - 1,
            pieces: some,
            last: pieces.is_empty(),
        })
    })
}

/// Archive a chunk.
pub fn run(shared: &Shared<'_>, chunk: &Chunk, packer: &mut Packer) -> Result<Done> {
    let large = &chunk.large;
    let failed = |errno: Errno| {
        lock(&large.hashing).failed = true;
        large.turn.notify_all();
        Error::tree(&large.entry.path, errno)
    };
    let mut head = Vec::new();
    if chunk.number == 0 {
        header::write(&large.entry, &mut head);
        if let Kind::File(content) = &large.entry.kind
            && let Some(pieces) = &content.data
        {
            head.extend_from_slice(&sparse::block(pieces, content.size));
        }
    }
    let data: u64 = chunk.pieces.iter().map(|(_, length)| length).sum();
    let end = head.len() + data as usize;
    let filler = if chunk.last {
        header::padding(header::stored(&large.entry))
    } else {
        0
    };
    // What is in it from before is overwritten, so it need not be emptied.
    let mut plain = shared.buffer();
    plain.resize(end + filler, 0);
    plain[..head.len()].copy_from_slice(&head);
    plain[end..].fill(0);
    let (mut at, mut short) = (head.len(), false);
    for (offset, length) in &chunk.pieces {
        let piece = &mut plain[at..at + *length as usize];
        short |= !fill(&large.file, *offset, piece).map_err(failed)?;
        at += *length as usize;
    }
    let after = rustix::fs::fstat(&large.file).map_err(failed)?;
    let changed = short || !is_same(&large.stat, &after);
    let outcomes = chunk.hash(&plain[head.len()..end], changed)?;
    let frame = if is_dense(&plain) {
        Frame::Raw(0..plain.len())
    } else {
        packer.pack(&plain, shared.buffer())?
    };
    Ok(Done {
        plain,
        frames: vec![frame],
        outcomes,
        read: data,
    })
}

impl Chunk {
    /// Wait for the chunk before, and go on where it ended. The last one knows the entry.
    fn hash(&self, data: &[u8], changed: bool) -> Result<Vec<Outcome>> {
        let large = &self.large;
        let mut state = large
            .turn
            .wait_while(lock(&large.hashing), |state| {
                !state.failed && state.next != self.number
            })
            .unwrap_or_else(PoisonError::into_inner);
        if state.failed {
            // The chunk that failed comes earlier in the order, and says why.
            return Err(super::lost());
        }
        let mut data = data;
        for (offset, length) in &self.pieces {
            state.zeros_until(*offset);
            let (piece, rest) = data.split_at(*length as usize);
            state.hash.update(piece);
            state.at += length;
            data = rest;
        }
        state.changed |= changed;
        state.next += 1;
        large.turn.notify_all();
        if !self.last {
            return Ok(Vec::new());
        }
        let mut entry = large.entry.clone();
        state.zeros_until(entry.size());
        if let Kind::File(content) = &mut entry.kind {
            content.sha256 = std::mem::take(&mut state.hash).finalize().into();
        }
        entry.unsettled = state.changed;
        let note = state.changed.then(|| {
            Outcome::Note(Note {
                path: entry.path.clone(),
                why: Why::Changed,
            })
        });
        let mut outcomes = vec![Outcome::Entry(Box::new(entry))];
        outcomes.extend(note);
        Ok(outcomes)
    }
}

impl Hashing {
    /// A hole is zeros.
    fn zeros_until(&mut self, offset: u64) {
        sparse::hash_hole(&mut self.hash, &mut self.at, offset);
    }
}

fn lock(hashing: &Mutex<Hashing>) -> std::sync::MutexGuard<'_, Hashing> {
    hashing.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Read at an offset until the buffer is full; zeros for what is missing, and then false.
fn fill(file: impl AsFd, offset: u64, buffer: &mut [u8]) -> Result<bool, Errno> {
    let mut at = 0;
    while at < buffer.len() {
        match rustix::io::pread(&file, &mut buffer[at..], offset + at as u64) {
            Ok(0) => {
                buffer[at..].fill(0);
                return Ok(false);
            }
            Ok(got) => at += got,
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(true)
}
