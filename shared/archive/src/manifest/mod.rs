//! Manifests: what a tree was, as JSON lines in zstd.
//!
//! Promise: `zstd -dc | jq` reads one. Writing is deterministic; reading is strict, bounded, and never panics.

mod line;
mod read;
mod write;

pub use read::{Limits, Reader};
pub use write::Writer;

/// The version that is written, and the only one that is read.
pub const VERSION: u32 = 1;
/// In the first line, so that a stranger's file is known as one.
pub const FORMAT: &str = "triphammer-manifest";
/// Room for the longest path in base64 and for [`crate::sparse::PIECES_LIMIT`] pieces.
pub(crate) const LINE_LIMIT_BYTES: usize = 1024 * 1024;

/// The first line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Its place in the chain; 0 is a full one.
    pub link: u32,
    /// When the walk began, seconds since 1970. What changed about then or later may have changed unseen.
    pub at_seconds: i64,
    /// Patterns of what was left out.
    pub exclude: Vec<String>,
}

/// The last line, and what follows from all of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tail {
    /// Lines between the first and the last.
    pub entries: u64,
    /// Bytes of all files.
    pub tree_bytes: u64,
    /// Entries that are in the archive of this link.
    pub archived: u64,
    /// Bytes of those.
    pub archived_bytes: u64,
    /// The manifest it follows, by its id; absent for link 0.
    pub parent: Option<[u8; 32]>,
    /// The list of deletions at the archive's end; absent when there is none.
    pub deletions: Option<Deletions>,
    /// SHA-256 of all lines: what a child names as its parent. Not in the line.
    pub id: [u8; 32],
}

/// What is known of the list of deletions in an incremental archive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deletions {
    /// Its length.
    pub size: u64,
    /// Of its bytes.
    pub sha256: [u8; 32],
}
