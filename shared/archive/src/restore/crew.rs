//! The threads that hash and write files.
//!
//! Promise: what waits for them is bounded, the first error ends them all, and nobody is left when the work is over.

use super::sink::{self, Sink};
use super::stream::Stream;
use super::{Options, Result};
use crate::create::threads;
use crate::{Entry, Error};
use rustix::fd::BorrowedFd;
use std::io::Read;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A file with more data goes to one thread part by part.
const WHOLE_BYTES: u64 = 1024 * 1024;
/// A part of a large file.
const PART_BYTES: u64 = 1024 * 1024;
/// So many files wait at most: with the parts, some 40 MB.
const WAITING_FILES: usize = 32;
/// So many parts of one file wait at most.
const WAITING_PARTS: usize = 4;

/// What the archive's reader hands files to.
pub struct Crew<'a> {
    jobs: SyncSender<Job>,
    shared: &'a Shared<'a>,
}

struct Shared<'a> {
    root: Option<BorrowedFd<'a>>,
    owners: bool,
    failed: Mutex<Option<Error>>,
    pool: Mutex<Vec<Vec<u8>>>,
}

struct Job {
    link: u32,
    entry: Entry,
    data: Data,
}

enum Data {
    Whole(Vec<u8>),
    Parts(Receiver<Vec<u8>>),
}

/// Run `body` with a crew, and wait until all files are done. A crew's error counts more than what it made of `body`.
pub fn with<T>(
    root: Option<BorrowedFd<'_>>,
    options: &Options,
    body: impl FnOnce(&Crew<'_>) -> Result<T>,
) -> Result<T> {
    let shared = Shared {
        root,
        owners: options.owners,
        failed: Mutex::default(),
        pool: Mutex::default(),
    };
    let (jobs, waiting) = mpsc::sync_channel(WAITING_FILES);
    let waiting = Mutex::new(waiting);
    let done = thread::scope(|scope| {
        for _ in 0..threads(options.threads) {
            scope.spawn(|| work(&shared, &waiting));
        }
        let shared = &shared;
        body(&Crew { jobs, shared })
    });
    let failed = shared.failed.into_inner();
    match failed.unwrap_or_else(PoisonError::into_inner) {
        Some(error) => Err(error),
        None => done,
    }
}

impl Crew<'_> {
    /// Hand over a file whose data stands next in the stream; `told` hears of each part, and may end it.
    pub fn file<R: Read>(
        &self,
        link: u32,
        entry: &Entry,
        data: u64,
        stream: &mut Stream<R>,
        mut told: impl FnMut(u64) -> Result<()>,
    ) -> Result<()> {
        let path = &entry.path;
        let job = |data| Job {
            link,
            entry: entry.clone(),
            data,
        };
        if data <= WHOLE_BYTES {
            let mut whole = self.shared.buffer(data);
            stream.fill(path, &mut whole)?;
            told(data)?;
            return self.send(&self.jobs, job(Data::Whole(whole)));
        }
        let (parts, coming) = mpsc::sync_channel(WAITING_PARTS);
        self.send(&self.jobs, job(Data::Parts(coming)))?;
        let mut left = data;
        while left > 0 {
            let mut part = self.shared.buffer(left.min(PART_BYTES));
            stream.fill(path, &mut part)?;
            left -= part.len() as u64;
            told(part.len() as u64)?;
            self.send(&parts, part)?;
        }
        Ok(())
    }

    fn send<T>(&self, to: &SyncSender<T>, what: T) -> Result<()> {
        // A thread that failed takes no more; why is told by `with`.
        to.send(what).map_err(|_| Error::Cancelled)?;
        match self.shared.has_failed() {
            true => Err(Error::Cancelled),
            false => Ok(()),
        }
    }
}

impl Shared<'_> {
    fn buffer(&self, size: u64) -> Vec<u8> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        let mut buffer = pool.pop().unwrap_or_default();
        buffer.resize(size as usize, 0);
        buffer
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(buffer);
    }

    fn has_failed(&self) -> bool {
        let failed = self.failed.lock();
        failed.unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn fail(&self, error: Error) {
        let failed = self.failed.lock();
        failed
            .unwrap_or_else(PoisonError::into_inner)
            .get_or_insert(error);
    }

    fn file(&self, job: Job) -> Result<()> {
        let Some(content) = sink::content(&job.entry) else {
            return Ok(());
        };
        let mut sink = Sink::new(self.root, job.link, &job.entry, content)?;
        let mut left = content.data.as_ref().map_or(content.size, |pieces| {
            pieces.iter().map(|(_, length)| length).sum()
        });
        match job.data {
            Data::Whole(data) => {
                sink.take(&data)?;
                left -= data.len() as u64;
                self.give_back(data);
            }
            Data::Parts(parts) => {
                for part in parts {
                    sink.take(&part)?;
                    left -= part.len() as u64;
                    self.give_back(part);
                }
            }
        }
        // The stream failed in the middle of it, and says why itself.
        if left > 0 {
            return Ok(());
        }
        sink.finish(self.owners)
    }
}

fn work(shared: &Shared<'_>, waiting: &Mutex<Receiver<Job>>) {
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(job) = next else {
            return;
        };
        // What is handed over after a failure is dropped, so that nobody waits for room.
        if !shared.has_failed()
            && let Err(error) = shared.file(job)
        {
            shared.fail(error);
        }
    }
}
