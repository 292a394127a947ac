//! Where bytes come from.
//!
//! Promise: a source that fails is told from bytes that are wrong, since only the first is worth another try.

use std::io::{ErrorKind, Read, Result};

/// A reader that remembers whether it failed.
pub struct Source<R> {
    inner: R,
    failed: bool,
}

impl<R> Source<R> {
    /// Around any reader.
    pub fn new(inner: R) -> Self {
        Self {
            inner,
            failed: false,
        }
    }

    /// Was an error its own?
    pub fn has_failed(&self) -> bool {
        self.failed
    }
}

impl<R: Read> Read for Source<R> {
    fn read(&mut self, into: &mut [u8]) -> Result<usize> {
        let read = self.inner.read(into);
        self.failed |= read
            .as_ref()
            .is_err_and(|error| error.kind() != ErrorKind::Interrupted);
        read
    }
}
