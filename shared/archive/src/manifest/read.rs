//! Reading a manifest.
//!
//! Promise: what comes out is a tree: the root first, sorted, each thing in a directory that was there before it. A cut
//! or altered manifest is an error at the latest when its end is asked for. Memory is one line and one path.

use super::{Head, LINE_LIMIT_BYTES, Tail, line};
use crate::error::{Error, Result};
use crate::source::Source;
use crate::{Entry, Kind, TreePath};
use line::{Line, bad};
use sha2::{Digest, Sha256};
use std::io::{self, BufRead, BufReader, Read};

/// Windows of 8 MB at most; our own manifests have 2 MB.
const WINDOW_LOG: u32 = 23;
/// Read from the inner reader at once.
const BUFFER_BYTES: usize = 128 * 1024;

/// What a tree may hold before it is refused.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Entries of one manifest.
    pub entries: u64,
    /// Bytes of all files of one manifest, holes included.
    pub bytes: u64,
}

impl Default for Limits {
    /// Ten million entries and 16 TiB: no site has them.
    fn default() -> Self {
        Self {
            entries: 10_000_000,
            bytes: 16 << 40,
        }
    }
}

/// Gives a manifest's entries in order.
pub struct Reader<R: Read> {
    input: BufReader<zstd::Decoder<'static, BufReader<Source<R>>>>,
    hash: Sha256,
    line: Vec<u8>,
    limits: Limits,
    head: Head,
    /// The directories that the next entry may stand in.
    open: Vec<TreePath>,
    last: Option<TreePath>,
    seen: Tail,
    tail: Option<Tail>,
}

impl<R: Read> Reader<R> {
    /// Reads the first line.
    pub fn new(input: R, limits: Limits) -> Result<Self> {
        let buffered = BufReader::with_capacity(BUFFER_BYTES, Source::new(input));
        let mut decoder = zstd::Decoder::with_buffer(buffered).map_err(Error::Input)?;
        decoder.window_log_max(WINDOW_LOG).map_err(Error::Input)?;
        let mut reader = Self {
            input: BufReader::with_capacity(BUFFER_BYTES, decoder),
            hash: Sha256::new(),
            line: Vec::new(),
            limits,
            head: Head {
                link: 0,
                at_seconds: 0,
                exclude: Vec::new(),
            },
            open: Vec::new(),
            last: None,
            seen: Tail {
                entries: 0,
                tree_bytes: 0,
                archived: 0,
                archived_bytes: 0,
                parent: None,
                deletions: None,
                id: [0; 32],
            },
            tail: None,
        };
        reader.next_line()?;
        reader.head = line::read_head(&reader.line)?;
        Ok(reader)
    }

    /// The first line.
    pub fn head(&self) -> &Head {
        &self.head
    }

    /// The last line, once all entries were given.
    pub fn tail(&self) -> Option<&Tail> {
        self.tail.as_ref()
    }

    /// The next entry; None when the last line was reached and all is as it says.
    pub fn next_entry(&mut self) -> Result<Option<Entry>> {
        if self.tail.is_some() {
            return Ok(None);
        }
        self.next_line()?;
        match line::read_line(&self.line)? {
            Line::Entry(entry) => {
                self.place(&entry)?;
                Ok(Some(*entry))
            }
            Line::Tail(tail) => {
                self.close(tail)?;
                Ok(None)
            }
        }
    }

    /// Read on to the end, and give the last line.
    pub fn finish(mut self) -> Result<Tail> {
        while self.next_entry()?.is_some() {}
        self.tail.ok_or_else(|| bad("it has no last line"))
    }

    fn next_line(&mut self) -> Result<()> {
        self.line.clear();
        let limit = LINE_LIMIT_BYTES as u64;
        let read = (&mut self.input)
            .take(limit)
            .read_until(b'\n', &mut self.line);
        read.map_err(|error| self.refused(error))?;
        if self.line.last() != Some(&b'\n') {
            return Err(bad("it is cut, or a line is too long"));
        }
        self.hash.update(&self.line);
        self.line.pop();
        Ok(())
    }

    /// What the decoder finds wrong is about the manifest; a source that failed is not.
    fn refused(&self, error: io::Error) -> Error {
        if self.input.get_ref().get_ref().get_ref().has_failed() {
            Error::Input(error)
        } else {
            bad(error)
        }
    }

    fn place(&mut self, entry: &Entry) -> Result<()> {
        let path = &entry.path;
        match (&self.last, path.is_root()) {
            (None, true) if entry.kind == Kind::Directory => {}
            (Some(last), false) if last < path => {}
            _ => return Err(bad(format!("{path} is not where it belongs"))),
        }
        let beneath = |open: &mut Vec<TreePath>| {
            while let Some(top) = open.last() {
                if path.is_within(top) {
                    return path.split().is_some_and(|(dir, _)| dir == top.as_bytes());
                }
                open.pop();
            }
            path.is_root()
        };
        if !beneath(&mut self.open) {
            return Err(bad(format!("{path} is in no directory")));
        }
        if entry.from > self.head.link {
            return Err(bad(format!("{path} is in an archive that comes later")));
        }
        if entry.kind == Kind::Directory {
            self.open.push(path.clone());
        }
        self.last = Some(path.clone());
        let seen = &mut self.seen;
        seen.entries += 1;
        seen.tree_bytes = seen.tree_bytes.saturating_add(entry.size());
        if entry.from == self.head.link {
            seen.archived += 1;
            seen.archived_bytes = seen.archived_bytes.saturating_add(entry.size());
        }
        for (has, limit, unit) in [
            (seen.entries, self.limits.entries, "entries"),
            (seen.tree_bytes, self.limits.bytes, "bytes"),
        ] {
            if has > limit {
                return Err(Error::Limit { limit, unit });
            }
        }
        Ok(())
    }

    fn close(&mut self, said: Tail) -> Result<()> {
        let seen = Tail {
            parent: said.parent,
            deletions: said.deletions.clone(),
            ..self.seen.clone()
        };
        if said != seen || self.last.is_none() {
            return Err(bad("it does not hold what its last line says"));
        }
        let full = self.head.link == 0;
        if said.parent.is_none() != full || said.deletions.is_none() != full {
            return Err(bad("a full one has no parent, and every other has one"));
        }
        let more = match self.input.fill_buf() {
            Ok(more) => !more.is_empty(),
            Err(error) => return Err(self.refused(error)),
        };
        if more {
            return Err(bad("something follows its last line"));
        }
        let id = std::mem::take(&mut self.hash).finalize().into();
        self.tail = Some(Tail { id, ..said });
        Ok(())
    }
}
