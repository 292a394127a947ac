//! The files of a site as plain archives that stock programs open.
//!
//! Promise: an archive is `zstd -d | tar x`; a manifest is JSON lines in zstd; a restored tree equals its manifest, or
//! the restore fails. Memory does not grow with bytes, no link is followed, and nothing outside the root is touched.

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
mod time;
mod walk;

pub use entry::{Content, Entry, Kind, Time};
pub use error::{Error, Result};
pub use exclude::Exclude;
pub use header::DELETIONS;
pub use note::{Note, Progress, Why};
pub use path::TreePath;
pub use restore::verify;
