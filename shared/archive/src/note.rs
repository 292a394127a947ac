//! What people should know about a walk, and how far it is.
//!
//! Promise: whatever is not archived as it stood is noted; only what was excluded is left out in silence.

use crate::TreePath;
use std::fmt;

/// Something that is not as people may expect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Where.
    pub path: TreePath,
    /// What.
    pub why: Why,
}

/// The kinds of notes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It was there a moment ago. It is not in the archive.
    Vanished,
    /// It may not be read. It is not in the archive; of a directory, what is in it.
    Unreadable,
    /// A device, a socket or a fifo. It is not in the archive.
    Special,
    /// Its name is the one of the list of deletions. It is not in the archive.
    Reserved,
    /// Something in it has too long a path. It is not in the archive.
    TooLong,
    /// It changed while it was read, and was read again: it is whole.
    ReadAgain,
    /// It changed all the while it was read: what is archived may be of several moments.
    Changed,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = &self.path;
        match self.why {
            Why::Vanished => write!(f, "{path} vanished meanwhile"),
            Why::Unreadable => write!(f, "{path} may not be read"),
            Why::Special => write!(f, "{path} is a device, a socket or a fifo"),
            Why::Reserved => write!(f, "{path} has a reserved name"),
            Why::TooLong => write!(f, "something in {path} has too long a path"),
            Why::ReadAgain => write!(f, "{path} changed meanwhile and was read again"),
            Why::Changed => write!(f, "{path} changed all the while it was read"),
        }
    }
}

/// How far it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Entries that are done.
    pub entries: u64,
    /// Bytes of files that are done.
    pub bytes: u64,
}
