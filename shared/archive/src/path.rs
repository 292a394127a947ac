//! Paths inside a tree: bytes, relative, clean.
//!
//! Promise: a `TreePath` never leads out of the root, whoever made it. The order is that of a walk which sorts each
//! directory's names, so a directory comes right before all that is in it.

use std::cmp::Ordering;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// Linux takes no longer one, its NUL included.
const LENGTH_LIMIT_BYTES: usize = 4095;
/// No file system of Linux takes a longer name.
const NAME_LIMIT_BYTES: usize = 255;

/// A path relative to the root of the tree. The root itself is empty.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct TreePath(Box<[u8]>);

impl TreePath {
    /// The root.
    pub fn root() -> Self {
        Self::default()
    }

    /// None for what is absolute, unclean (`.`, `..`, empty names, NUL) or too long.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Option<Self> {
        let bytes = bytes.into();
        let clean = bytes.len() <= LENGTH_LIMIT_BYTES
            && !bytes.contains(&0)
            && bytes.split(|byte| *byte == b'/').all(|name| {
                !name.is_empty() && name != b"." && name != b".." && name.len() <= NAME_LIMIT_BYTES
            });
        (clean || bytes.is_empty()).then(|| Self(bytes.into()))
    }

    /// A name beneath this directory; None when it would be too long.
    pub fn join(&self, name: &[u8]) -> Option<Self> {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        if !self.is_root() {
            bytes.extend_from_slice(&self.0);
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name);
        (!name.is_empty()).then(|| Self::new(bytes)).flatten()
    }

    /// Is it the root itself?
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// The bytes; empty for the root.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The directory and the name in it; None for the root.
    pub fn split(&self) -> Option<(&[u8], &[u8])> {
        match self.0.iter().rposition(|byte| *byte == b'/') {
            _ if self.is_root() => None,
            Some(at) => Some((&self.0[..at], &self.0[at + 1..])),
            None => Some((b"", &self.0)),
        }
    }

    /// Is it beneath `other`, or the same?
    pub fn is_within(&self, other: &TreePath) -> bool {
        other.is_root()
            || self
                .0
                .strip_prefix(other.as_bytes())
                .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    }

    /// For system calls relative to the root's descriptor.
    pub(crate) fn as_os(&self) -> &OsStr {
        OsStr::from_bytes(if self.is_root() { b"." } else { &self.0 })
    }
}

impl Ord for TreePath {
    fn cmp(&self, other: &Self) -> Ordering {
        // The separator sorts before every byte that a name can have.
        let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
        let same = self.0.iter().zip(&other.0).take_while(|(a, b)| a == b);
        let at = same.count();
        self.0.get(at).map(key).cmp(&other.0.get(at).map(key))
    }
}

impl PartialOrd for TreePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Fit for people and logs: control characters and bytes that are not UTF-8 are escaped.
impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() {
            return f.write_str(".");
        }
        for chunk in self.0.utf8_chunks() {
            for character in chunk.valid().chars() {
                if character.is_control() {
                    write!(f, "{}", character.escape_default())?;
                } else {
                    write!(f, "{character}")?;
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> TreePath {
        TreePath::new(text).expect("clean")
    }

    #[test]
    fn what_leads_out_is_no_path() {
        for bad in [
            "/", "/a", "a/", "a//b", ".", "..", "a/..", "../a", "./a", "a/./b", "a\0b",
        ] {
            assert!(TreePath::new(bad).is_none(), "{bad:?}");
        }
        assert!(TreePath::new("x".repeat(256)).is_none());
        assert!(TreePath::new(vec!["abc"; 1100].join("/")).is_none());
        assert!(TreePath::root().join(b"a/../b").is_none());
    }

    #[test]
    fn a_directory_comes_right_before_what_is_in_it() {
        let mut paths = ["a-b", "a/c", "a", "a.php", "a/b/c", "a/b", "b"].map(path);
        paths.sort();
        let expected = ["a", "a/b", "a/b/c", "a/c", "a-b", "a.php", "b"].map(path);
        assert_eq!(paths, expected);
        assert!(TreePath::root() < path("a"));
    }

    #[test]
    fn within_means_names_and_not_letters() {
        assert!(path("a/b").is_within(&path("a")) && path("a").is_within(&path("a")));
        assert!(!path("ab").is_within(&path("a")));
    }
}
