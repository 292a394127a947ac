//! The bytes of an archive, held against what they must be.
//!
//! Promise: a header is compared, not parsed, so no archive can name, link or size anything that its manifest does not.
//! Anything else than the expected bytes, an early end, and bytes after the end are errors.

use crate::error::{Error, Result};
use crate::manifest::Deletions;
use crate::source::Source;
use crate::{Entry, Kind, TreePath, header, sparse};
use sha2::{Digest, Sha256};
use std::io::{BufReader, Read};

/// Our frames are below 8 MB; a larger window is not ours.
const WINDOW_LOG: u32 = 23;
/// Read from the archive at once.
const INPUT_BYTES: usize = 1024 * 1024;
/// Skipped at once.
const SKIP_BYTES: usize = 128 * 1024;

/// An archive being read.
pub struct Stream<R: Read> {
    decoder: zstd::Decoder<'static, BufReader<Source<R>>>,
    link: u32,
    expected: Vec<u8>,
    found: Vec<u8>,
}

impl<R: Read> Stream<R> {
    /// The archive of this link.
    pub fn new(archive: R, link: u32) -> Result<Self> {
        let input = BufReader::with_capacity(INPUT_BYTES, Source::new(archive));
        let mut decoder = zstd::Decoder::with_buffer(input).map_err(Error::Input)?;
        decoder.window_log_max(WINDOW_LOG).map_err(Error::Input)?;
        Ok(Self {
            decoder,
            link,
            expected: Vec::new(),
            found: Vec::new(),
        })
    }

    /// Here stands the header of this entry.
    pub fn header(&mut self, entry: &Entry) -> Result<()> {
        self.expected.clear();
        header::write(entry, &mut self.expected);
        self.compare(&entry.path, "another header")
    }

    /// Here stands a file's map of holes, if it has one; gives how much data follows.
    pub fn map(&mut self, entry: &Entry) -> Result<u64> {
        let stored = header::stored(entry);
        if let Kind::File(content) = &entry.kind
            && let Some(pieces) = &content.data
        {
            self.expected = sparse::block(pieces, content.size);
            self.compare(&entry.path, "another map of holes")?;
            return Ok(stored - self.expected.len() as u64);
        }
        Ok(stored)
    }

    /// Here stands data.
    pub fn fill(&mut self, path: &TreePath, into: &mut [u8]) -> Result<()> {
        let mut at = 0;
        while at < into.len() {
            match self.decoder.read(&mut into[at..]) {
                Ok(0) => return Err(self.wrong(path, "it is cut")),
                Ok(read) => at += read,
                Err(error) => return Err(self.failed(path, error)),
            }
        }
        Ok(())
    }

    /// Here stands data that nobody wants.
    pub fn skip(&mut self, path: &TreePath, mut bytes: u64) -> Result<()> {
        let mut found = std::mem::take(&mut self.found);
        found.resize(SKIP_BYTES, 0);
        while bytes > 0 {
            let some = bytes.min(SKIP_BYTES as u64);
            self.fill(path, &mut found[..some as usize])?;
            bytes -= some;
        }
        self.found = found;
        Ok(())
    }

    /// Here stand the zeros after so much data.
    pub fn padding(&mut self, entry: &Entry, data: u64) -> Result<()> {
        self.zeros(&entry.path, header::padding(data))
    }

    /// Here the archive ends, with the list of deletions if the manifest says so.
    pub fn end(&mut self, deletions: Option<&Deletions>) -> Result<()> {
        let path = TreePath::new(header::DELETIONS).expect("it is a clean name");
        if let Some(deletions) = deletions {
            self.expected.clear();
            header::write_deletions(deletions.size, &mut self.expected);
            self.compare(&path, "another header")?;
            let (mut hash, mut left) = (Sha256::new(), deletions.size);
            let mut buffer = vec![0; SKIP_BYTES];
            while left > 0 {
                let some = left.min(SKIP_BYTES as u64);
                let part = &mut buffer[..some as usize];
                self.fill(&path, part)?;
                hash.update(part);
                left -= some;
            }
            if <[u8; 32]>::from(hash.finalize()) != deletions.sha256 {
                return Err(self.wrong(&path, "another content"));
            }
            self.zeros(&path, header::padding(deletions.size))?;
        }
        let path = TreePath::root();
        self.zeros(&path, header::END.len())?;
        match self.decoder.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(self.wrong(&path, "it goes on after its end")),
            Err(error) => Err(self.failed(&path, error)),
        }
    }

    fn zeros(&mut self, path: &TreePath, count: usize) -> Result<()> {
        self.expected.clear();
        self.expected.resize(count, 0);
        self.compare(path, "no zeros after it")
    }

    fn compare(&mut self, path: &TreePath, why: &str) -> Result<()> {
        let mut found = std::mem::take(&mut self.found);
        found.resize(self.expected.len(), 0);
        self.fill(path, &mut found)?;
        self.found = found;
        if self.found == self.expected {
            Ok(())
        } else {
            Err(self.wrong(path, why))
        }
    }

    fn wrong(&self, path: &TreePath, why: impl ToString) -> Error {
        Error::Archive {
            link: self.link,
            path: path.to_string(),
            why: why.to_string(),
        }
    }

    fn failed(&self, path: &TreePath, error: std::io::Error) -> Error {
        if self.decoder.get_ref().get_ref().has_failed() {
            Error::Input(error)
        } else {
            self.wrong(path, error)
        }
    }
}
