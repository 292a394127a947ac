//! A stream of unknown length as an object of the store.
//!
//! Promise: the object is complete only after `finish`, and then it is what was written, by its SHA-256. Buffers take
//! at most [`BUFFERS_LIMIT_BYTES`], however long the stream is and however long the store is away.

use crate::fault::{Result, refused};
use crate::jobs::as_io;
use crate::jobs::line::Line;
use crate::jobs::parts::Parts;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use protocol::job::{PARTS_LIMIT, Part, Say, Sealed};
use sha2::{Digest, Sha256};
use std::io::{self, Write};
use std::sync::Arc;

/// All buffers of one upload together. With them the agent stays below 256 MB.
pub const BUFFERS_LIMIT_BYTES: usize = 128 * 1024 * 1024;
/// S3's own limit.
const NUMBERS: u32 = 10_000;
/// A small object is sent in one, and S3 wants at least 5 MiB of all parts but the last.
const FIRST_PART_BYTES: usize = 8 * 1024 * 1024;
/// One at a time fits the buffers.
const LAST_PART_BYTES: usize = BUFFERS_LIMIT_BYTES;
/// After so many parts they become twice as large: 10,000 of them carry 1.1 TB.
const PARTS_OF_A_SIZE: u32 = 500;

/// How large the part of this number becomes, counted from 1.
fn part_bytes(number: u32) -> usize {
    let doublings = ((number - 1) / PARTS_OF_A_SIZE).min(16);
    (FIRST_PART_BYTES << doublings).min(LAST_PART_BYTES)
}

/// An object on its way. Dropped without `finish`, it never becomes one.
#[derive(Debug)]
pub struct Upload {
    parts: Arc<Parts>,
    number: u32,
    part_bytes: Option<usize>,
    current: Vec<u8>,
    sum: Sha256,
    size_bytes: u64,
}

impl Upload {
    /// Begin the object of this name.
    pub fn new(line: &Arc<Line>, object: &str) -> Self {
        Self::with_parts_of(line, object, None)
    }

    /// With parts of one size, for tests.
    pub fn with_parts_of(line: &Arc<Line>, object: &str, part_bytes: Option<usize>) -> Self {
        let parts = Parts::new(line, object);
        Self {
            parts,
            number: 1,
            part_bytes,
            current: Vec::new(),
            sum: Sha256::new(),
            size_bytes: 0,
        }
    }

    /// Bytes that the store has, for the progress.
    pub fn sent_bytes(&self) -> u64 {
        self.parts
            .state()
            .sent
            .iter()
            .map(|sent| sent.part.size_bytes)
            .sum()
    }

    /// Send the rest and have the object completed; what it is then.
    pub fn finish(mut self) -> Result<Sealed> {
        // An empty object has one empty part.
        if !self.current.is_empty() || self.number == 1 {
            self.seal()?;
        }
        let sealed = Sealed {
            size_bytes: self.size_bytes,
            sha256: hex::encode(std::mem::take(&mut self.sum).finalize()),
        };
        let mut parts = self.parts.wait_until(|state| state.unsent == 0)?;
        let mut sent = std::mem::take(&mut parts.sent);
        drop(parts);
        sent.sort_by_key(|sent| sent.part.number);
        self.parts.line.ask(&Say::Complete {
            object: self.parts.object.clone(),
            parts: sent,
            sealed: sealed.clone(),
        })?;
        Ok(sealed)
    }

    /// Make room for the next part; this is where the writer waits for the store.
    fn begin_part(&mut self) -> Result<()> {
        if self.number > NUMBERS {
            return Err(refused(
                "object_too_large",
                "The backup is larger than 1.1 TB, which is more than one object may hold.",
            ));
        }
        let next = self.part_bytes.unwrap_or_else(|| part_bytes(self.number));
        let parts = self.parts.wait_until(|state| {
            state.held == 0
                || (state.held + next <= BUFFERS_LIMIT_BYTES && state.ready.len() < PARTS_LIMIT)
        })?;
        drop(parts);
        self.current = Vec::with_capacity(next);
        Ok(())
    }

    fn seal(&mut self) -> Result<()> {
        let bytes = std::mem::take(&mut self.current);
        let part = Part {
            number: self.number,
            size_bytes: bytes.len() as u64,
            sha256: STANDARD.encode(Sha256::digest(&bytes)),
        };
        self.number += 1;
        self.parts.push(part, bytes);
        Ok(())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        self.parts.line.check().map_err(as_io)?;
        if self.current.capacity() == 0 {
            self.begin_part().map_err(as_io)?;
        }
        let taken = bytes
            .len()
            .min(self.current.capacity() - self.current.len());
        self.current.extend_from_slice(&bytes[..taken]);
        self.sum.update(&bytes[..taken]);
        self.size_bytes += taken as u64;
        if self.current.len() == self.current.capacity() {
            self.seal().map_err(as_io)?;
        }
        Ok(taken)
    }

    /// Parts are sent when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        let mut state = self.parts.state();
        state.closed = true;
        state.ready.clear();
        drop(state);
        self.parts.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::job::{COMPLETE_LIMIT_BYTES, PartSent};

    #[test]
    fn ten_thousand_parts_carry_a_terabyte_and_none_is_larger_than_the_buffers() {
        let all: u64 = (1..=NUMBERS).map(|number| part_bytes(number) as u64).sum();
        assert!(all > 1_100_000_000_000, "{all}");
        assert_eq!(part_bytes(1), FIRST_PART_BYTES);
        assert_eq!(part_bytes(NUMBERS), BUFFERS_LIMIT_BYTES);
    }

    #[test]
    fn a_completion_of_ten_thousand_parts_fits_its_limit() {
        let part = |number| Part {
            number,
            size_bytes: LAST_PART_BYTES as u64,
            sha256: STANDARD.encode([0xff; 32]),
        };
        let etag = format!("\"{}\"", "f".repeat(64));
        let say = Say::Complete {
            object: "database".into(),
            parts: (1..=NUMBERS)
                .map(|number| PartSent {
                    part: part(number),
                    etag: etag.clone(),
                })
                .collect(),
            sealed: Sealed {
                size_bytes: u64::MAX,
                sha256: "f".repeat(64),
            },
        };
        let weight = serde_json::to_vec(&say).expect("written").len();
        assert!(weight < COMPLETE_LIMIT_BYTES - 1024, "{weight}");
    }
}
