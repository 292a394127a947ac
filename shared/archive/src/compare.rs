//! A walk beside the manifest of the backup before.
//!
//! Promise: a file is taken as unchanged only when nothing that `stat` shows differs and it could not have changed
//! unseen. Both come sorted, so neither is held in memory.

use crate::error::Result;
use crate::manifest::{Reader, Tail};
use crate::{Entry, Kind, Time, TreePath};
use std::io::Read;

/// A change this soon before the earlier walk may have been followed by one with the same times: file systems count in
/// ticks, and network file systems have clocks of their own.
const DOUBT_SECONDS: i64 = 2;

/// The backup before, if there is one.
pub struct Compare<R: Read> {
    reader: Option<Reader<R>>,
    next: Option<Entry>,
    /// All beneath it is gone with it.
    gone: Option<TreePath>,
    settled: Time,
}

impl<R: Read> Compare<R> {
    /// With the manifest before.
    pub fn new(mut reader: Option<Reader<R>>) -> Result<Self> {
        let next = match &mut reader {
            Some(reader) => reader.next_entry()?,
            None => None,
        };
        let at = reader.as_ref().map_or(0, |reader| reader.head().at_seconds);
        Ok(Self {
            reader,
            next,
            gone: None,
            settled: Time {
                seconds: at.saturating_sub(DOUBT_SECONDS),
                nanos: 0,
            },
        })
    }

    /// What stood at `path` before. Told on the way is what is gone by now: a directory stands for all in it.
    pub fn at(&mut self, path: &TreePath, mut gone: impl FnMut(TreePath)) -> Result<Option<Entry>> {
        while let Some(before) = self.take(|next| next.path <= *path)? {
            if before.path == *path {
                return Ok(Some(before));
            }
            self.tell(before.path, &mut gone);
        }
        Ok(None)
    }

    /// What stood at `path` is gone, or another sort of thing stands there.
    pub fn tell(&mut self, path: TreePath, gone: &mut impl FnMut(TreePath)) {
        if self.gone.as_ref().is_none_or(|top| !path.is_within(top)) {
            self.gone = Some(path.clone());
            gone(path);
        }
    }

    /// All that is left is gone; gives how the manifest ended.
    pub fn rest(mut self, mut gone: impl FnMut(TreePath)) -> Result<Option<Tail>> {
        while let Some(before) = self.take(|_| true)? {
            self.tell(before.path, &mut gone);
        }
        self.reader.map(Reader::finish).transpose()
    }

    fn take(&mut self, wanted: impl FnOnce(&Entry) -> bool) -> Result<Option<Entry>> {
        let (Some(reader), true) = (&mut self.reader, self.next.as_ref().is_some_and(wanted))
        else {
            return Ok(None);
        };
        let following = reader.next_entry()?;
        Ok(std::mem::replace(&mut self.next, following))
    }

    /// Need what stands there now not be read? `now` has no checksum yet.
    pub fn is_unchanged(&self, before: &Entry, now: &Entry) -> bool {
        if !before.same_header(now) {
            return false;
        }
        match now.kind {
            Kind::File(_) => {
                !before.unsettled
                    && before.inode == now.inode
                    && before.ctime == now.ctime
                    && before.ctime < self.settled
            }
            _ => true,
        }
    }
}
