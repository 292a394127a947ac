//! Files with holes.
//!
//! Promise: a file's map is exact when it is made, and a map that is not sorted, whole and within its file is refused.
//! In the archive a file with holes has GNU tar's format 1.0, which GNU tar and bsdtar extract with its holes.

use crate::error::Result;
use rustix::fd::AsFd;
use rustix::fs::{SeekFrom, Stat, seek};
use rustix::io::Errno;
use sha2::{Digest, Sha256};

/// What a hole reads as.
static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];

/// A file in more pieces is archived whole, holes as zeros; its map would be no small thing.
pub const PIECES_LIMIT: usize = 10_000;
/// Holes of smaller files are not worth a map.
const SIZE_MIN_BYTES: u64 = 64 * 1024;

/// May it have holes? Told by `stat` alone.
pub fn is_likely(stat: &Stat) -> bool {
    let size = stat.st_size as u64;
    size >= SIZE_MIN_BYTES && (stat.st_blocks as u64).saturating_mul(512) < size
}

/// Where the data is; None when there is no hole, or no telling.
pub fn map(file: impl AsFd, size: u64) -> Option<Vec<(u64, u64)>> {
    let (mut pieces, mut at) = (Vec::new(), 0);
    while at < size {
        let start = match seek(&file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // No data from here on.
            Err(Errno::NXIO) => break,
            Err(_) => return None,
        };
        if start >= size {
            break;
        }
        let end = seek(&file, SeekFrom::Hole(start)).ok()?.min(size);
        if end <= start || pieces.len() == PIECES_LIMIT {
            return None;
        }
        pieces.push((start, end - start));
        at = end;
    }
    (pieces != [(0, size)]).then_some(pieces)
}

/// Hash a hole from `at` on, and be where it ends.
pub fn hash_hole(hash: &mut Sha256, at: &mut u64, end: u64) {
    while *at < end {
        let some = (end - *at).min(ZEROS.len() as u64);
        hash.update(&ZEROS[..some as usize]);
        *at += some;
    }
}

/// Is it a map of a file of this size?
pub fn check(pieces: &[(u64, u64)], size: u64) -> Result<()> {
    let mut free = 0;
    for (offset, length) in pieces {
        let end = offset.checked_add(*length);
        match end {
            Some(end) if *offset >= free && *length > 0 && end <= size => free = end,
            _ => return Err(crate::Error::Manifest("a map of holes is wrong".into())),
        }
    }
    if pieces.len() > PIECES_LIMIT {
        return Err(crate::Error::Manifest("a map of holes is too long".into()));
    }
    Ok(())
}

/// The map as it stands before the data in the archive: decimal lines, filled up to whole blocks.
pub fn block(pieces: &[(u64, u64)], size: u64) -> Vec<u8> {
    // GNU tar ends a map with an empty piece where the file ends.
    let open = pieces.last().is_none_or(|(at, length)| at + length < size);
    let mut text = format!("{}\n", pieces.len() + usize::from(open));
    for (offset, length) in pieces {
        text += &format!("{offset}\n{length}\n");
    }
    if open {
        text += &format!("{size}\n0\n");
    }
    let mut bytes = text.into_bytes();
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}
