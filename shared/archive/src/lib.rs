//! The files of a site as plain archives that stock programs open.
//!
//! Promise: an archive is `zstd -d | tar x`; a manifest is JSON lines in zstd; a restored tree equals its manifest, or
//! the restore fails. Memory does not grow with bytes, no link is followed, and nothing outside the root is touched.
//!
//! # The archive, `.tar.zst`
//!
//! - Independent zstd frames, each with a checksum: text at level 3 in frames of about 4 MB, content that cannot be
//!   made smaller in frames of raw blocks. Together they are one tar.
//! - POSIX tar: one member for each entry in the manifest's order, `./` first. What ustar has no room for (nanoseconds,
//!   long names, large ids and sizes) stands in PAX headers; bytes that are not UTF-8 stand as they are.
//! - The second name of a file is a hard link to the first; files with holes have GNU tar's sparse format 1.0.
//! - An incremental archive holds what is new or changed, and as its last member [`DELETIONS`]: the paths that must go
//!   before the rest is unpacked, each ended by a NUL. A directory stands for all in it.
//!
//! By hand, the full one first, and then each link:
//!
//! ```sh
//! zstd -dc link.tar.zst | tar xO .triphammer-deletions | xargs -0 -r rm -rf --   # not for the full one
//! zstd -dc link.tar.zst | tar xp --numeric-owner
//! ```
//!
//! The only thing that is not exact then is the time of a directory in which an incremental link replaced something.
//!
//! # The manifest, `.jsonl.zst`
//!
//! - First line: `format`, `version`, `link` (0 is full), `at` (when the walk began), `exclude`.
//! - A line for each entry, the root `.` first, each directory before what is in it, names sorted by bytes: `path` (or
//!   `path64`, base64, when it is not UTF-8), `kind`, `mode` (octal), `uid`, `gid`, `user`, `group`, `mtime` and `ctime`
//!   (decimal seconds), `inode`, `device`, `from` (the link whose archive holds it); for files `size`, `sha256` and, with
//!   holes, `data` (offset and length of each piece); `target` (or `target64`) of links; `unsettled` when the file
//!   changed while it was read.
//! - Last line, `end`: counts and bytes, the SHA-256 of all lines of the parent manifest, and of the list of deletions.
//!
//! # What is not kept
//!
//! Devices, sockets and fifos (noted); ACLs and extended attributes; times of access; that two names were one symbolic
//! link.

mod beneath;
mod compare;
pub mod create;
mod entry;
mod error;
mod exclude;
mod frame;
mod header;
pub mod manifest;
mod names;
mod note;
mod path;
pub mod restore;
mod source;
mod sparse;
mod survey;
mod time;
mod walk;

pub use entry::{Content, Entry, Kind, Time};
pub use error::{Error, Result};
pub use exclude::Exclude;
pub use header::DELETIONS;
pub use note::{Note, Progress, Why};
pub use path::TreePath;
pub use restore::verify;
pub use survey::{Survey, survey};
