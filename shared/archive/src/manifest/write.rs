//! Writing a manifest.
//!
//! Promise: lines go out as they come; nothing is kept but one line and what the compressor holds.

use super::{Deletions, Head, Tail, line};
use crate::error::{Error, Result};
use crate::{Entry, Kind};
use sha2::{Digest, Sha256};
use std::io::Write;

/// A manifest is small; this is where zstd is still fast.
const LEVEL: i32 = 3;

/// Takes a tree's entries in order.
pub struct Writer<W: Write> {
    out: zstd::Encoder<'static, W>,
    hash: Sha256,
    line: Vec<u8>,
    link: u32,
    tail: Tail,
}

impl<W: Write> Writer<W> {
    /// Begin with the first line.
    pub fn new(out: W, head: &Head) -> Result<Self> {
        let mut out = zstd::Encoder::new(out, LEVEL).map_err(Error::Output)?;
        out.include_checksum(true).map_err(Error::Output)?;
        let mut writer = Self {
            out,
            hash: Sha256::new(),
            line: Vec::new(),
            link: head.link,
            tail: Tail {
                entries: 0,
                tree_bytes: 0,
                archived: 0,
                archived_bytes: 0,
                parent: None,
                deletions: None,
                id: [0; 32],
            },
        };
        line::write_head(head, &mut writer.line)?;
        writer.put()?;
        Ok(writer)
    }

    /// The next entry; the caller keeps the order of [`crate::TreePath`].
    pub fn entry(&mut self, entry: &Entry) -> Result<()> {
        self.tail.entries += 1;
        self.tail.tree_bytes += entry.size();
        if entry.from == self.link {
            self.tail.archived += 1;
            self.tail.archived_bytes += entry.size();
        }
        debug_assert!(!matches!(&entry.kind, Kind::Hardlink(to) if *to >= entry.path));
        line::write_entry(entry, &mut self.line)?;
        self.put()
    }

    /// The last line; gives back what was written to.
    pub fn finish(
        mut self,
        parent: Option<[u8; 32]>,
        deletions: Option<Deletions>,
    ) -> Result<(Tail, W)> {
        self.tail.parent = parent;
        self.tail.deletions = deletions;
        line::write_tail(&self.tail, &mut self.line)?;
        self.put()?;
        let mut out = self.out.finish().map_err(Error::Output)?;
        out.flush().map_err(Error::Output)?;
        self.tail.id = self.hash.finalize().into();
        Ok((self.tail, out))
    }

    fn put(&mut self) -> Result<()> {
        self.hash.update(&self.line);
        self.out.write_all(&self.line).map_err(Error::Output)?;
        self.line.clear();
        Ok(())
    }
}
