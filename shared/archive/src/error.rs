//! What can go wrong, by what a caller can do about it.
//!
//! Promise: no panic for what disks, people or strangers' bytes do; a path in an error is fit to be shown.

use std::io;

/// An error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The caller's own progress function said stop.
    #[error("it was cancelled")]
    Cancelled,
    /// An exclusion pattern makes no sense; the person who wrote it must change it.
    #[error("the pattern {0:?} is not understood")]
    Pattern(String),
    /// The tree cannot be read: its disk fails, or the root is not there.
    #[error("{path} cannot be read")]
    Tree {
        /// Relative to the root.
        path: String,
        /// What the system said.
        source: io::Error,
    },
    /// The archive or manifest cannot be written to where the caller wants it.
    #[error("the output cannot be written")]
    Output(#[source] io::Error),
    /// Bytes of an archive or manifest could not be fetched; another try may succeed.
    #[error("the input cannot be read")]
    Input(#[source] io::Error),
    /// A manifest is damaged, cut, or not one of ours.
    #[error("the manifest is not valid: {0}")]
    Manifest(String),
    /// A manifest of a later version: a newer program can read it.
    #[error("the manifest has version {0}, which this program does not know")]
    Version(u32),
    /// The manifests do not follow each other.
    #[error("link {link} of the chain does not follow the one before: {why}")]
    Chain {
        /// 0 is the full one.
        link: u32,
        /// What is wrong.
        why: String,
    },
    /// An archive is damaged, cut, or not the one that its manifest describes.
    #[error("the archive of link {link} is not what its manifest says, at {path}: {why}")]
    Archive {
        /// 0 is the full one.
        link: u32,
        /// Where it was seen.
        path: String,
        /// What is wrong.
        why: String,
    },
    /// More entries or bytes than the caller allows.
    #[error("it holds more than the {limit} {unit} that are allowed")]
    Limit {
        /// The caller's.
        limit: u64,
        /// `entries` or `bytes`.
        unit: &'static str,
    },
    /// The directory to restore to is not empty.
    #[error("the directory to restore to is not empty")]
    NotFresh,
    /// There is no room left, or the user's quota is used up.
    #[error("there is no room for {path}")]
    NoRoom {
        /// Relative to the root.
        path: String,
    },
    /// The restored tree cannot be written.
    #[error("{path} cannot be written")]
    Restore {
        /// Relative to the root.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// Shorthand.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn tree(path: impl ToString, source: impl Into<io::Error>) -> Self {
        Self::Tree {
            path: path.to_string(),
            source: source.into(),
        }
    }

    pub(crate) fn restore(path: impl ToString, source: impl Into<io::Error>) -> Self {
        let (path, source) = (path.to_string(), source.into());
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::NoRoom { path },
            _ => Self::Restore { path, source },
        }
    }
}
