//! Making a tree from a chain of archives, and verifying an archive.
//!
//! Promise: the tree equals the last manifest, or the restore fails; nothing of an archive is believed, each byte of it
//! must be what its manifest says. What a later link replaces is not written at all. The caller throws the directory
//! away after an error, and syncs it before anything relies on it.

mod chain;
mod crew;
mod sink;
mod skeleton;
mod stream;

use crate::error::{Error, Result};
use crate::manifest::{Limits, Reader, Tail};
use crate::{Entry, Kind, Progress};
use crew::Crew;
use rustix::fd::BorrowedFd;
use std::io::{Read, Seek};
use std::ops::ControlFlow;
use stream::Stream;

/// One backup of a chain.
pub struct Link<A: Read, M: Read + Seek> {
    /// As `create` wrote it.
    pub archive: A,
    /// As `create` wrote it; read more than once.
    pub manifest: M,
}

/// How to restore.
#[derive(Debug, Clone)]
pub struct Options {
    /// What the last tree may hold.
    pub limits: Limits,
    /// Give files their owners; only root can.
    pub owners: bool,
    /// How many threads write; 0 for as many as there are processors, at most 8.
    pub threads: usize,
}

impl Default for Options {
    /// Owners when this is root.
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            owners: rustix::process::geteuid().is_root(),
            threads: 0,
        }
    }
}

/// The callers' progress function.
type Tell<'a> = &'a mut dyn FnMut(Progress) -> ControlFlow<()>;

/// Make the tree of the chain's last link in the empty directory `root`; the full one comes first.
pub fn restore<A: Read, M: Read + Seek>(
    root: BorrowedFd<'_>,
    mut chain: Vec<Link<A, M>>,
    options: &Options,
    progress: Tell<'_>,
) -> Result<Tail> {
    skeleton::check_fresh(root)?;
    let checked = chain::check(&mut chain, options.limits)?;
    let Some((mut last, earlier)) = chain.pop().map(|last| (last, chain)) else {
        return Err(Error::Chain {
            link: 0,
            why: "it is empty".into(),
        });
    };
    skeleton::directories(root, chain::rewound(&mut last.manifest, options.limits)?)?;
    let mut at = Progress::default();
    crew::with(Some(root), options, |crew| {
        for (number, mut link) in earlier.into_iter().enumerate() {
            let here = chain::rewound(&mut link.manifest, options.limits)?;
            let end = chain::rewound(&mut last.manifest, options.limits)?;
            let mut wanted = chain::Wanted::new(end, number as u32);
            let mut stream = Stream::new(link.archive, number as u32)?;
            pour(
                &mut stream,
                here,
                crew,
                (&mut at, &mut *progress),
                |entry| wanted.is_wanted(entry),
            )?;
            wanted.finish()?;
        }
        let here = chain::rewound(&mut last.manifest, options.limits)?;
        let mut stream = Stream::new(last.archive, here.head().link)?;
        pour(&mut stream, here, crew, (&mut at, &mut *progress), |_| {
            Ok(true)
        })?;
        Ok(())
    })?;
    let finishing = chain::rewound(&mut last.manifest, options.limits)?;
    skeleton::finish(root, finishing, options.owners)?;
    Ok(checked)
}

/// Is the archive whole, and the one that the manifest describes? Touches no disk.
pub fn verify<A: Read, M: Read>(
    archive: A,
    manifest: Reader<M>,
    threads: usize,
    progress: Tell<'_>,
) -> Result<Tail> {
    let mut stream = Stream::new(archive, manifest.head().link)?;
    let options = Options {
        threads,
        ..Options::default()
    };
    let mut at = Progress::default();
    crew::with(None, &options, |crew| {
        pour(&mut stream, manifest, crew, (&mut at, progress), |_| {
            Ok(true)
        })
    })
}

fn go_on(said: ControlFlow<()>) -> Result<()> {
    match said {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}

/// Take an archive apart as its manifest says; files that are wanted go to the crew.
fn pour<A: Read, M: Read>(
    stream: &mut Stream<A>,
    mut manifest: Reader<M>,
    crew: &Crew<'_>,
    (at, progress): (&mut Progress, Tell<'_>),
    mut is_wanted: impl FnMut(&Entry) -> Result<bool>,
) -> Result<Tail> {
    let link = manifest.head().link;
    while let Some(entry) = manifest.next_entry()? {
        if entry.from != link {
            continue;
        }
        stream.header(&entry)?;
        let wanted = is_wanted(&entry)?;
        at.entries += u64::from(wanted);
        if matches!(entry.kind, Kind::File(_)) {
            let data = stream.map(&entry)?;
            if wanted {
                crew.file(link, &entry, data, stream, |part| {
                    at.bytes += part;
                    go_on(progress(*at))
                })?;
            } else {
                stream.skip(&entry.path, data)?;
            }
            stream.padding(&entry, data)?;
        }
        go_on(progress(*at))?;
    }
    let tail = manifest.finish()?;
    stream.end(tail.deletions.as_ref())?;
    Ok(tail)
}
