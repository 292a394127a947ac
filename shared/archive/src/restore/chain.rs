//! The manifests of a chain, one after another.
//!
//! Promise: each names the one before it by checksum, so a missing, doubled, swapped or foreign link is seen before
//! anything is written. Manifests are read again rather than kept.

use super::Link;
use crate::error::{Error, Result};
use crate::manifest::{Limits, Reader, Tail};
use crate::{Entry, Kind};
use std::io::{Read, Seek, SeekFrom};

/// Read all manifests; gives the last line of the last.
pub fn check<A: Read, M: Read + Seek>(chain: &mut [Link<A, M>], limits: Limits) -> Result<Tail> {
    let mut before: Option<Tail> = None;
    for (number, link) in chain.iter_mut().enumerate() {
        let number = number as u32;
        let reader = rewound(&mut link.manifest, limits)?;
        let said = reader.head().link;
        let broken = |why: &str| {
            Err(Error::Chain {
                link: number,
                why: why.into(),
            })
        };
        if said != number {
            return broken(&format!("it is link {said}"));
        }
        let tail = reader.finish()?;
        if tail.parent != before.as_ref().map(|tail| tail.id) {
            return broken("it was made after another backup");
        }
        before = Some(tail);
    }
    before.ok_or_else(|| Error::Chain {
        link: 0,
        why: "it is empty".into(),
    })
}

/// A manifest from its start.
pub fn rewound<M: Read + Seek>(manifest: &mut M, limits: Limits) -> Result<Reader<&mut M>> {
    manifest.seek(SeekFrom::Start(0)).map_err(Error::Input)?;
    Reader::new(manifest, limits)
}

/// What the last tree still has of one link's archive.
pub struct Wanted<M: Read> {
    last: Reader<M>,
    next: Option<Entry>,
    begun: bool,
    link: u32,
}

impl<M: Read> Wanted<M> {
    /// By the last manifest.
    pub fn new(last: Reader<M>, link: u32) -> Self {
        Self {
            last,
            next: None,
            begun: false,
            link,
        }
    }

    /// Is this entry of the link's archive in the last tree? Entries come in order.
    pub fn is_wanted(&mut self, entry: &Entry) -> Result<bool> {
        if !self.begun {
            self.begun = true;
            self.advance()?;
        }
        match &self.next {
            Some(next) if next.path < entry.path => Err(self.missing(next)),
            Some(next) if next.path == entry.path => {
                if !is_same(next, entry) {
                    return Err(self.missing(next));
                }
                self.advance()?;
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Nothing may be left.
    pub fn finish(mut self) -> Result<()> {
        if !self.begun {
            self.advance()?;
        }
        match &self.next {
            Some(next) => Err(self.missing(next)),
            None => Ok(()),
        }
    }

    /// To the next entry of the last manifest that is in this link's archive.
    fn advance(&mut self) -> Result<()> {
        loop {
            self.next = self.last.next_entry()?;
            if self.next.as_ref().is_none_or(|next| next.from == self.link) {
                return Ok(());
            }
        }
    }

    fn missing(&self, next: &Entry) -> Error {
        Error::Chain {
            link: self.link,
            why: format!(
                "it has not the {} that the last link takes from it",
                next.path
            ),
        }
    }
}

fn is_same(a: &Entry, b: &Entry) -> bool {
    let content = match (&a.kind, &b.kind) {
        (Kind::File(a), Kind::File(b)) => a == b,
        _ => true,
    };
    content && a.same_header(b)
}
