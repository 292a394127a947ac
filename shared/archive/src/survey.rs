//! Looking at what a backup would hold.
//!
//! Promise: no file is opened; what is told is what an archive made right now would hold.

use crate::compare::Compare;
use crate::error::Result;
use crate::manifest::Reader;
use crate::names::Names;
use crate::walk::{Found, Step, Walk};
use crate::{Entry, Exclude, Kind, Progress, TreePath};
use rustix::fd::BorrowedFd;
use std::collections::HashMap;
use std::io::Read;
use std::ops::ControlFlow;

/// So many entries are looked at between two words to the caller.
const TELL_ENTRIES: u64 = 1000;

/// What there is, and what of it is new.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Survey {
    /// All there is.
    pub entries: u64,
    /// Bytes of all files.
    pub tree_bytes: u64,
    /// Entries that are new or changed.
    pub changed: u64,
    /// Bytes of those.
    pub changed_bytes: u64,
    /// What is gone; a directory counts as one.
    pub deleted: u64,
    /// What an archive would note and leave out.
    pub left_out: u64,
}

/// Walk, and compare with the backup before if there is one.
pub fn survey<P: Read>(
    root: BorrowedFd<'_>,
    exclude: &Exclude,
    previous: Option<Reader<P>>,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Survey> {
    let link = previous.as_ref().map_or(0, |before| before.head().link + 1);
    let names = Names::load();
    let mut compare = Compare::new(previous)?;
    let mut links: HashMap<(u64, u64), (TreePath, bool)> = HashMap::new();
    let (mut seen, mut gone) = (Survey::default(), 0);
    for step in Walk::new(root, exclude, &names, link)? {
        let Step::Found(found) = step? else {
            seen.left_out += 1;
            continue;
        };
        let Found { mut entry, stat } = *found;
        let before = compare.at(&entry.path, |_| gone += 1)?;
        let several = matches!(entry.kind, Kind::File(_)) && stat.st_nlink > 1;
        let key = several.then_some((stat.st_dev, stat.st_ino));
        let first = key.and_then(|key| links.get(&key));
        let mut stays = true;
        if let Some((path, archived)) = first {
            entry.kind = Kind::Hardlink(path.clone());
            stays = !archived;
        }
        let is_same = |before: &Entry| compare.is_unchanged(before, &entry);
        let unchanged = stays && before.as_ref().is_some_and(is_same);
        if first.is_none()
            && let Some(key) = key
        {
            links.insert(key, (entry.path.clone(), !unchanged));
        }
        if before.is_some_and(|before| entry.replaces(&before)) {
            compare.tell(entry.path.clone(), &mut |_| gone += 1);
        }
        seen.entries += 1;
        seen.tree_bytes += entry.size();
        if !unchanged {
            seen.changed += 1;
            seen.changed_bytes += entry.size();
        }
        if seen.entries % TELL_ENTRIES == 0 {
            let at = Progress {
                entries: seen.entries,
                bytes: seen.tree_bytes,
            };
            if progress(at).is_break() {
                return Err(crate::Error::Cancelled);
            }
        }
    }
    compare.rest(|_| gone += 1)?;
    seen.deleted = gone;
    Ok(seen)
}
