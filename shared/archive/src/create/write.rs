//! Writing what the threads have made, in order.
//!
//! Promise: the archive's end is written only when all that comes before it is; a caller who stops, or whose output
//! fails, has all threads ended before it hears so.

use super::{Created, Done, Outcome, Shared, lost};
use crate::error::{Error, Result};
use crate::frame::{FRAME_BYTES, Frame, Packer};
use crate::manifest::{Deletions, Tail, Writer};
use crate::{Note, Progress, TreePath, header};
use sha2::{Digest, Sha256};
use std::io::Write;
use std::ops::ControlFlow;
use std::sync::mpsc::Receiver;

/// So many notes are kept; the others are counted.
const NOTES_LIMIT: usize = 1000;

/// All entries are written, and the end is not.
pub struct Written<A: Write, M: Write> {
    archive: A,
    archive_bytes: u64,
    manifest: Writer<M>,
    gone: Vec<TreePath>,
    notes: Vec<Note>,
    noted: u64,
}

/// Write until no more jobs come.
pub fn run<A: Write, M: Write>(
    shared: &Shared<'_>,
    ordered: Receiver<Receiver<Result<Done>>>,
    archive: A,
    manifest: Writer<M>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Written<A, M>> {
    let mut written = Written {
        archive,
        archive_bytes: 0,
        manifest,
        gone: Vec::new(),
        notes: Vec::new(),
        noted: 0,
    };
    let mut at = Progress::default();
    for slot in ordered {
        let done = slot.recv().map_err(|_| lost())??;
        for frame in &done.frames {
            written.archive_bytes += frame.write(&done.plain, &mut written.archive)?;
        }
        for outcome in done.outcomes {
            match outcome {
                Outcome::Entry(entry) => {
                    written.manifest.entry(&entry)?;
                    at.entries += 1;
                }
                Outcome::Gone(path) => written.gone.push(path),
                Outcome::Note(note) => {
                    written.noted += 1;
                    if written.notes.len() < NOTES_LIMIT {
                        written.notes.push(note);
                    }
                }
            }
        }
        at.bytes += done.read;
        shared.give_back(done.plain);
        for frame in done.frames {
            if let Frame::Packed(buffer) = frame
                && buffer.capacity() > FRAME_BYTES / 4
            {
                shared.give_back(buffer);
            }
        }
        if progress(at).is_break() {
            return Err(Error::Cancelled);
        }
    }
    Ok(written)
}

impl<A: Write, M: Write> Written<A, M> {
    /// The list of deletions when there was a backup before, the end of the archive, the end of the manifest.
    pub fn finish(mut self, before: Option<Tail>) -> Result<Created> {
        let mut plain = Vec::new();
        let deletions = before.as_ref().map(|_| {
            let mut list = Vec::new();
            for path in &self.gone {
                list.extend_from_slice(path.as_bytes());
                list.push(0);
            }
            let size = list.len() as u64;
            header::write_deletions(size, &mut plain);
            plain.extend_from_slice(&list);
            plain.resize(plain.len() + header::padding(size), 0);
            Deletions {
                size,
                sha256: Sha256::digest(&list).into(),
            }
        });
        plain.extend_from_slice(&header::END);
        let mut packer = Packer::new()?;
        for some in plain.chunks(FRAME_BYTES) {
            let frame = packer.pack(some, Vec::new())?;
            self.archive_bytes += frame.write(&[], &mut self.archive)?;
        }
        self.archive.flush().map_err(Error::Output)?;
        let parent = before.map(|tail| tail.id);
        let (tail, _) = self.manifest.finish(parent, deletions)?;
        Ok(Created {
            tail,
            archive_bytes: self.archive_bytes,
            deleted: self.gone.len() as u64,
            notes: self.notes,
            noted: self.noted,
        })
    }
}
