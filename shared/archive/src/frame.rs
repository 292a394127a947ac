//! Frames of zstd, each independent of the others.
//!
//! Promise: a stock zstd reads them one after another as one stream. What cannot be made smaller is not tried: it is
//! stored in raw blocks, as the format allows. Every frame ends with a checksum of its content.

use crate::error::{Error, Result};
use std::io::{IoSlice, Write};
use std::ops::Range;

/// Where zstd is still faster than a disk, and text is a fifth.
const LEVEL: i32 = 3;
/// Content of a frame: enough for a good ratio, and little enough to keep many in memory.
pub const FRAME_BYTES: usize = 4 * 1024 * 1024;
/// The format's limit for a block.
const BLOCK_BYTES: usize = 128 * 1024;
/// A file below this is compressed with its neighbours, whatever it is.
pub const RAW_MIN_BYTES: usize = 16 * 1024;
/// Looked at to tell whether compression pays: so many places, so many bytes in each.
const SAMPLES: usize = 8;
const SAMPLE_BYTES: usize = 2 * 1024;
/// Of 8 bits for each byte. JPEG, ZIP and the like have 7.9 and more; base64 has 6, text 5.
const DENSE_BITS: f64 = 7.7;

/// A frame ready to be written.
pub enum Frame {
    /// Compressed by zstd.
    Packed(Vec<u8>),
    /// These of the plain bytes, stored as they are; the frame's own bytes are put around them when it is written.
    Raw(Range<usize>),
}

/// Compresses one frame after another.
pub struct Packer(zstd::bulk::Compressor<'static>);

impl Packer {
    /// With our level, checksums on.
    pub fn new() -> Result<Self> {
        let mut packer = zstd::bulk::Compressor::new(LEVEL).map_err(Error::Output)?;
        packer.include_checksum(true).map_err(Error::Output)?;
        packer.include_contentsize(true).map_err(Error::Output)?;
        Ok(Self(packer))
    }

    /// One frame of all of `bytes`, into an empty buffer.
    pub fn pack(&mut self, bytes: &[u8], mut into: Vec<u8>) -> Result<Frame> {
        into.clear();
        into.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
        self.0
            .compress_to_buffer(bytes, &mut into)
            .map_err(Error::Output)?;
        Ok(Frame::Packed(into))
    }
}

/// Would compression be in vain? Told by how evenly a few samples use the 256 bytes.
pub fn is_dense(bytes: &[u8]) -> bool {
    if bytes.len() < RAW_MIN_BYTES {
        return false;
    }
    let mut counts = [0u32; 256];
    let step = (bytes.len() - SAMPLE_BYTES) / (SAMPLES - 1);
    for sample in 0..SAMPLES {
        let at = sample * step;
        for byte in &bytes[at..at + SAMPLE_BYTES] {
            counts[usize::from(*byte)] += 1;
        }
    }
    let total = (SAMPLES * SAMPLE_BYTES) as f64;
    let bits: f64 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f64::from(*count) / total)
        .map(|share| -share * share.log2())
        .sum();
    bits > DENSE_BITS
}

impl Frame {
    /// Write it, and say how long it was.
    pub fn write(&self, plain: &[u8], out: &mut impl Write) -> Result<u64> {
        match self {
            Frame::Packed(bytes) => {
                out.write_all(bytes).map_err(Error::Output)?;
                Ok(bytes.len() as u64)
            }
            Frame::Raw(range) => raw(&plain[range.clone()], out),
        }
    }
}

/// RFC 8878: magic, a descriptor that says "one segment, checksum, four bytes of content size", the size, blocks of
/// type raw with three bytes before each, and the low half of XXH64.
fn raw(bytes: &[u8], out: &mut impl Write) -> Result<u64> {
    let size = u32::try_from(bytes.len()).expect("a frame is a few megabytes");
    let mut head = vec![0x28, 0xB5, 0x2F, 0xFD, 0b1010_0100];
    head.extend_from_slice(&size.to_le_bytes());
    let sum = (xxhash_rust::xxh64::xxh64(bytes, 0) as u32).to_le_bytes();
    let marks: Vec<[u8; 3]> = blocks(bytes)
        .map(|(block, last)| {
            let mark = (block.len() as u32) << 3 | u32::from(last);
            let [a, b, c, _] = mark.to_le_bytes();
            [a, b, c]
        })
        .collect();
    let mut slices = vec![IoSlice::new(&head)];
    for ((block, _), mark) in blocks(bytes).zip(&marks) {
        slices.push(IoSlice::new(mark));
        slices.push(IoSlice::new(block));
    }
    slices.push(IoSlice::new(&sum));
    let length = slices.iter().map(|slice| slice.len() as u64).sum();
    write_all(&mut slices, out)?;
    Ok(length)
}

/// At least one, which may be empty; told is whether it is the last.
fn blocks(bytes: &[u8]) -> impl Iterator<Item = (&[u8], bool)> {
    let count = bytes.len().div_ceil(BLOCK_BYTES).max(1);
    (0..count).map(move |number| {
        let start = number * BLOCK_BYTES;
        let end = bytes.len().min(start + BLOCK_BYTES);
        (&bytes[start..end], number + 1 == count)
    })
}

fn write_all(mut slices: &mut [IoSlice<'_>], out: &mut impl Write) -> Result<()> {
    while !slices.is_empty() {
        match out.write_vectored(slices) {
            Ok(0) => return Err(Error::Output(std::io::ErrorKind::WriteZero.into())),
            Ok(written) => IoSlice::advance_slices(&mut slices, written),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return Err(Error::Output(error)),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_frame_is_read_by_zstd() {
        for size in [0, 1, 511, BLOCK_BYTES, BLOCK_BYTES + 1, FRAME_BYTES] {
            let bytes: Vec<u8> = (0..size).map(|at| (at * 7 % 251) as u8).collect();
            let mut out = Vec::new();
            let said = Frame::Raw(0..size)
                .write(&bytes, &mut out)
                .expect("written");
            assert_eq!(said, out.len() as u64);
            assert_eq!(zstd::decode_all(&out[..]).expect("read"), bytes);
            let middle = out.len() / 2;
            out[middle] ^= 1;
            assert!(size == 0 || zstd::decode_all(&out[..]).ok() != Some(bytes));
        }
    }

    #[test]
    fn text_is_not_dense_and_noise_is() {
        let mut state = 1u64;
        let mut noise = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1);
            (state >> 33) as u8
        };
        let dense: Vec<u8> = (0..100_000).map(|_| noise()).collect();
        assert!(is_dense(&dense));
        let base64: Vec<u8> = dense.iter().map(|byte| b'0' + byte % 64).collect();
        assert!(!is_dense(&base64));
        assert!(!is_dense(&[0; RAW_MIN_BYTES]));
        assert!(!is_dense(&dense[..100]));
    }
}
