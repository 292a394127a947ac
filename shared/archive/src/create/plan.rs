//! Deciding what goes into the archive.
//!
//! Promise: what is unchanged is not opened. Names of one file become hard links of the first; a link goes into the
//! archive whenever its file does, so that an archive unpacked by hand over the one before links the new file.

use super::large::{self, Large};
use super::small::Item;
use super::{Job, Lane, Over, Shared};
use crate::compare::Compare;
use crate::error::{Error, Result};
use crate::frame::FRAME_BYTES;
use crate::manifest::{Reader, Tail};
use crate::walk::{self, Found, Opened, Step, Walk};
use crate::{Entry, Exclude, Kind, Note, TreePath, Why, sparse};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io::Read;

/// Larger files are read in chunks by several threads.
pub const SMALL_BYTES: u64 = 2 * 1024 * 1024;
/// So many entries are handed over together at most, so that small ones keep all threads busy.
const ITEMS: usize = 256;
/// So many open files are handed over together at most.
const OPEN_FILES: usize = 16;
/// A header with its extension, for counting how much is together.
const HEADER_BYTES: u64 = 1536;

struct Planner<'a, R: Read> {
    shared: &'a Shared<'a>,
    compare: Compare<R>,
    lane: Lane,
    items: Vec<Item>,
    weight: u64,
    held: usize,
    /// Files with several names: the first name, and whether the archive holds it.
    links: HashMap<(u64, u64), (TreePath, bool)>,
}

enum Stop {
    Over,
    Failed(Error),
}

impl From<Over> for Stop {
    fn from(_: Over) -> Self {
        Stop::Over
    }
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Stop::Failed(error)
    }
}

/// Walk and hand out work; gives how the manifest before ended.
pub fn run<R: Read>(
    shared: &Shared<'_>,
    exclude: &Exclude,
    previous: Option<Reader<R>>,
    lane: Lane,
) -> Result<Option<Tail>> {
    let mut planner = Planner {
        shared,
        compare: Compare::new(previous)?,
        lane,
        items: Vec::new(),
        weight: 0,
        held: 0,
        links: HashMap::new(),
    };
    let walk = Walk::new(shared.root, exclude, shared.names, shared.link)?;
    match planner.all(walk) {
        Ok(()) => {}
        Err(Stop::Failed(error)) => return Err(error),
        Err(Stop::Over) => return Ok(None),
    }
    let Planner {
        compare,
        mut items,
        lane,
        ..
    } = planner;
    let tail = compare.rest(|path| items.push(Item::Gone(path)))?;
    let _ = lane.submit(Job::Small(items));
    Ok(tail)
}

impl<R: Read> Planner<'_, R> {
    fn all(&mut self, walk: Walk<'_>) -> Result<(), Stop> {
        for step in walk {
            match step? {
                Step::Note(note) => self.items.push(Item::Note(note)),
                Step::Found(found) => self.decide(*found)?,
            }
            if self.items.len() >= ITEMS
                || self.weight >= FRAME_BYTES as u64
                || self.held >= OPEN_FILES
            {
                self.hand_over()?;
            }
        }
        Ok(())
    }

    fn hand_over(&mut self) -> Result<(), Over> {
        (self.weight, self.held) = (0, 0);
        let items = std::mem::take(&mut self.items);
        if items.is_empty() {
            return Ok(());
        }
        self.lane.submit(Job::Small(items))
    }

    fn decide(&mut self, found: Found) -> Result<(), Stop> {
        let Found { mut entry, stat } = found;
        let items = &mut self.items;
        let before = self
            .compare
            .at(&entry.path, |path| items.push(Item::Gone(path)))?;
        let is_file = matches!(entry.kind, Kind::File(_));
        let several = (is_file && stat.st_nlink > 1).then_some((stat.st_dev, stat.st_ino));
        let first = several.and_then(|key| self.links.get(&key));
        let mut stays = true;
        if let Some((path, archived)) = first {
            entry.kind = Kind::Hardlink(path.clone());
            stays = !archived;
        }
        if let Some(before) = &before {
            if stays && self.compare.is_unchanged(before, &entry) {
                if first.is_none()
                    && let Some(key) = several
                {
                    self.links.insert(key, (entry.path.clone(), false));
                }
                // What `stat` shows now, with what was found out then.
                entry.kind = before.kind.clone();
                entry.from = before.from;
                self.items.push(Item::Ready(Box::new(entry), false));
                return Ok(());
            }
            if entry.replaces(before) {
                let items = &mut self.items;
                let path = entry.path.clone();
                self.compare
                    .tell(path, &mut |path| items.push(Item::Gone(path)));
            }
        }
        let had = before.is_some();
        self.weight += HEADER_BYTES;
        if !matches!(entry.kind, Kind::File(_)) {
            self.items.push(Item::Ready(Box::new(entry), true));
            return Ok(());
        }
        let (size, holes) = (entry.size(), sparse::is_likely(&stat));
        if several.is_none() && size <= SMALL_BYTES && !holes {
            self.weight += size;
            let path = entry.path;
            let opened = None;
            self.items.push(Item::Read { path, opened, had });
            return Ok(());
        }
        // Opened here, so that it cannot vanish once others link to it or its header is written.
        let Some(opened) = self.open(&entry.path, had)? else {
            return Ok(());
        };
        if let Some(key) = several {
            self.links.insert(key, (entry.path.clone(), true));
        }
        if opened.stat.st_size as u64 <= SMALL_BYTES && !sparse::is_likely(&opened.stat) {
            self.weight += size;
            self.held += 1;
            let (path, opened) = (entry.path, Some(opened));
            self.items.push(Item::Read { path, opened, had });
            return Ok(());
        }
        self.large(entry, opened)
    }

    fn open(&mut self, path: &TreePath, had: bool) -> Result<Option<Opened>> {
        let why = match walk::open_file(self.shared.root, path) {
            Ok(Some(opened)) => return Ok(Some(opened)),
            Ok(None) => Why::Vanished,
            Err(Errno::ACCESS | Errno::PERM) => Why::Unreadable,
            Err(errno) => return Err(Error::tree(path, errno)),
        };
        let path = path.clone();
        self.items.extend(had.then(|| Item::Gone(path.clone())));
        self.items.push(Item::Note(Note { path, why }));
        Ok(None)
    }

    fn large(&mut self, entry: Entry, opened: Opened) -> Result<(), Stop> {
        self.hand_over()?;
        let large = Large::new(self.shared, entry.path, opened);
        for chunk in large::chunks(large) {
            self.lane.submit(Job::Chunk(chunk))?;
        }
        Ok(())
    }
}
