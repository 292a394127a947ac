//! An object of the store as a stream.
//!
//! Promise: the last bytes come out only when all of it was what was sealed, by length and SHA-256: whoever has read to
//! the end has read the true object. It is fetched in stretches, so a reader that takes its time keeps no connection waiting.

use crate::fault::{Result, refused};
use crate::jobs::as_io;
use crate::jobs::line::{Backoff, Line};
use crate::jobs::parts::{away, denied};
use crate::jobs::store::{Got, Range, Store};
use protocol::job::{Say, Sealed, Url};
use sha2::{Digest, Sha256};
use std::io::{self, Read};
use std::sync::Arc;
use std::time::Instant;

/// Held in memory; large enough that asking for the next one does not count.
const STRETCH_BYTES: u64 = 8 * 1024 * 1024;
/// S3 has no such object.
const NOT_THERE: u16 = 404;

/// An object as it comes.
#[derive(Debug)]
pub struct Download {
    line: Arc<Line>,
    store: Store,
    object: String,
    sealed: Sealed,
    stretch: u64,
    url: Option<Url>,
    buffer: Vec<u8>,
    /// How much of the buffer was read.
    read: usize,
    /// How much of the object was fetched.
    fetched: u64,
    sum: Sha256,
}

impl Download {
    /// Of the object of this name, which was sealed so.
    pub fn new(line: &Arc<Line>, object: &str, sealed: &Sealed) -> Self {
        Self::with_stretch(line, object, sealed, STRETCH_BYTES)
    }

    /// In stretches of this size, for tests.
    pub fn with_stretch(line: &Arc<Line>, object: &str, sealed: &Sealed, stretch: u64) -> Self {
        Self {
            store: Store::new(&line.tempo),
            line: Arc::clone(line),
            object: object.to_string(),
            sealed: sealed.clone(),
            stretch,
            url: None,
            buffer: Vec::new(),
            read: 0,
            fetched: 0,
            sum: Sha256::new(),
        }
    }

    /// Read what is left and check it: for a reader whose own format ended before the object did.
    pub fn finish(mut self) -> Result<()> {
        loop {
            self.read = self.buffer.len();
            if !self.fetch()? {
                return Ok(());
            }
        }
    }

    /// Fetch the next stretch; false at the end.
    fn fetch(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.read = 0;
        let is_empty = self.sealed.size_bytes == 0;
        if self.fetched == self.sealed.size_bytes && !is_empty {
            return Ok(false);
        }
        let to = (self.fetched + self.stretch).min(self.sealed.size_bytes);
        self.fill(to)?;
        self.sum.update(&self.buffer);
        if to == self.sealed.size_bytes {
            let found = hex::encode(self.sum.clone().finalize());
            if !found.eq_ignore_ascii_case(&self.sealed.sha256) {
                self.buffer.clear();
                return Err(refused(
                    "object_damaged",
                    format!(
                        "The stored {} is not what was backed up: its SHA-256 differs. Restore from another backup.",
                        self.object
                    ),
                ));
            }
        }
        // Only now: after an error the next read fails again, and never looks like the end.
        self.fetched = to;
        Ok(!is_empty)
    }

    fn fill(&mut self, to: u64) -> Result<()> {
        let mut backoff = Backoff::new(&self.line.tempo);
        let mut refusals = 0;
        let mut heard = Instant::now();
        loop {
            let from = self.fetched + self.buffer.len() as u64;
            if from == to {
                return Ok(());
            }
            let url = match self.url.take() {
                Some(url) => Some(url),
                None => {
                    let asking = Instant::now();
                    let url = self.ask()?;
                    // The callback's absence is not the store's.
                    heard += asking.elapsed();
                    url
                }
            };
            let of = self.sealed.size_bytes;
            let range = Range { from, to, of };
            let buffer = &mut self.buffer;
            let got = url
                .as_ref()
                .map_or(Got::Refused(0), |url| self.store.get(url, range, buffer));
            if self.fetched + self.buffer.len() as u64 > from {
                heard = Instant::now();
                backoff = Backoff::new(&self.line.tempo);
            }
            let may_again = refusals < self.line.tempo.refusals;
            match got {
                Got::All => {
                    self.url = url;
                    return Ok(());
                }
                Got::Cut { why } if heard.elapsed() >= self.line.tempo.store_away => {
                    return Err(away(why));
                }
                Got::Cut { .. } => self.url = url,
                Got::OtherLength => {
                    return Err(refused(
                        "object_damaged",
                        format!(
                            "The stored {} is not what was backed up: its length differs. Restore from another backup.",
                            self.object
                        ),
                    ));
                }
                Got::Expired | Got::Refused(_) if may_again => refusals += 1,
                Got::Expired => return Err(denied(403)),
                Got::Refused(NOT_THERE) => {
                    return Err(refused(
                        "object_missing",
                        format!("The backup's {} is not in the store any more.", self.object),
                    ));
                }
                Got::Refused(status) => return Err(denied(status)),
            }
            self.line.wait(backoff.wait())?;
        }
    }

    fn ask(&self) -> Result<Option<Url>> {
        let reply = self.line.ask(&Say::Fetch {
            object: self.object.clone(),
        })?;
        Ok(reply.urls.into_iter().next())
    }
}

impl Read for Download {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.line.check().map_err(as_io)?;
        if into.is_empty() {
            return Ok(0);
        }
        if self.read == self.buffer.len() && !self.fetch().map_err(as_io)? {
            return Ok(0);
        }
        let taken = into.len().min(self.buffer.len() - self.read);
        into[..taken].copy_from_slice(&self.buffer[self.read..self.read + taken]);
        self.read += taken;
        Ok(taken)
    }
}
