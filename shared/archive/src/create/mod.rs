//! Making an archive and its manifest.
//!
//! Promise: each file is read once, unless it changes meanwhile; memory does not grow with the tree; the bytes that are
//! written follow from the tree alone, however many threads there are.
//!
//! One thread walks and decides, several read, hash and compress, and the caller's own writes in order.

mod large;
mod plan;
mod small;
mod write;

use crate::error::{Error, Result};
use crate::frame::Packer;
use crate::manifest::{Head, Reader, Tail, Writer};
use crate::names::Names;
use crate::{Entry, Exclude, Note, Progress, TreePath};
use rustix::fd::BorrowedFd;
use std::io::{Read, Write};
use std::ops::ControlFlow;
use std::sync::mpsc::{self, Receiver, SyncSender};
use std::sync::{Mutex, PoisonError};
use std::thread;

/// More would wait for the writer, and each holds some megabytes.
const THREADS_LIMIT: usize = 8;

/// How to make one.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// What to leave out.
    pub exclude: Exclude,
    /// Now, by the clock that the tree's times come from: seconds since 1970. Files that changed about then or later
    /// are read again by the next backup.
    pub at_seconds: i64,
    /// How many threads read and compress; 0 for as many as there are processors, at most 8.
    pub threads: usize,
}

/// What was made.
#[derive(Debug, Clone)]
pub struct Created {
    /// The manifest's last line, with its id.
    pub tail: Tail,
    /// What the archive weighs.
    pub archive_bytes: u64,
    /// Things that are gone since the backup before; a directory counts as one.
    pub deleted: u64,
    /// The first of what people should know.
    pub notes: Vec<Note>,
    /// How many notes there were.
    pub noted: u64,
}

/// Archive a whole tree.
pub fn full(
    root: BorrowedFd<'_>,
    options: &Options,
    archive: impl Write,
    manifest: impl Write,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Created> {
    run(
        root,
        options,
        None::<Reader<std::io::Empty>>,
        (archive, manifest),
        progress,
    )
}

/// Archive what has changed since `previous`.
pub fn incremental<P: Read + Send>(
    root: BorrowedFd<'_>,
    options: &Options,
    previous: Reader<P>,
    archive: impl Write,
    manifest: impl Write,
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Created> {
    run(root, options, Some(previous), (archive, manifest), progress)
}

fn run<P: Read + Send>(
    root: BorrowedFd<'_>,
    options: &Options,
    previous: Option<Reader<P>>,
    (archive, manifest): (impl Write, impl Write),
    progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
) -> Result<Created> {
    let link = previous.as_ref().map_or(0, |before| before.head().link + 1);
    let head = Head {
        link,
        at_seconds: options.at_seconds,
        exclude: options.exclude.patterns().to_vec(),
    };
    let manifest = Writer::new(manifest, &head)?;
    let names = Names::load();
    let workers = threads(options.threads);
    let shared = Shared {
        root,
        names: &names,
        link,
        pool: Mutex::default(),
    };
    let (jobs, waiting) = mpsc::channel::<Order>();
    let (order, ordered) = mpsc::sync_channel(2 * workers + 1);
    let waiting = Mutex::new(waiting);
    thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| work(&shared, &waiting));
        }
        let lane = Lane { jobs, order };
        let shared = &shared;
        let planner = scope.spawn(move || plan::run(shared, &options.exclude, previous, lane));
        let written = write::run(shared, ordered, archive, manifest, progress);
        let planned = planner
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        written?.finish(planned?)
    })
}

/// As many as asked for, or as there are processors.
pub(crate) fn threads(asked: usize) -> usize {
    match asked {
        0 => thread::available_parallelism().map_or(1, usize::from),
        some => some,
    }
    .min(THREADS_LIMIT)
}

/// What all threads see.
struct Shared<'a> {
    root: BorrowedFd<'a>,
    names: &'a Names,
    link: u32,
    /// Buffers that are used again: fresh ones cost a page fault for every 4 KB.
    pool: Mutex<Vec<Vec<u8>>>,
}

impl Shared<'_> {
    /// A buffer with anything in it.
    fn buffer(&self) -> Vec<u8> {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.pop().unwrap_or_default()
    }

    fn give_back(&self, buffer: Vec<u8>) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        pool.push(buffer);
    }
}

/// Work for a thread.
enum Job {
    Small(Vec<small::Item>),
    Chunk(large::Chunk),
}

/// A job, and where its end is waited for.
struct Order {
    job: Job,
    done: SyncSender<Result<Done>>,
}

/// What became of a job, ready to be written.
struct Done {
    plain: Vec<u8>,
    frames: Vec<crate::frame::Frame>,
    outcomes: Vec<Outcome>,
    /// Bytes of files that were read.
    read: u64,
}

/// What the writer tells the manifest and the caller.
enum Outcome {
    Entry(Box<Entry>),
    Gone(TreePath),
    Note(Note),
}

/// Where jobs go: to the workers, and in order to the writer.
struct Lane {
    jobs: mpsc::Sender<Order>,
    order: SyncSender<Receiver<Result<Done>>>,
}

/// The writer has given up, and says why itself.
struct Over;

impl Lane {
    fn submit(&self, job: Job) -> Result<(), Over> {
        let (done, slot) = mpsc::sync_channel(1);
        // First its place in the order: there it waits while too much is under way.
        self.order.send(slot).map_err(|_| Over)?;
        self.jobs.send(Order { job, done }).map_err(|_| Over)
    }
}

fn work(shared: &Shared<'_>, waiting: &Mutex<Receiver<Order>>) {
    let mut packer = None;
    loop {
        let next = waiting
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .recv();
        let Ok(Order { job, done }) = next else {
            return;
        };
        let packer = match &mut packer {
            Some(packer) => Ok(packer),
            none => Packer::new().map(|new| none.insert(new)),
        };
        let result = match (packer, job) {
            (Ok(packer), Job::Small(items)) => small::run(shared, items, packer),
            (Ok(packer), Job::Chunk(chunk)) => large::run(shared, &chunk, packer),
            (Err(error), _) => Err(error),
        };
        // Nobody waits any more when the writer has given up.
        let _ = done.send(result);
    }
}

/// A worker ended without a word, which only a panic can bring about; the scope passes it on.
fn lost() -> Error {
    Error::Output(std::io::Error::other("a thread was lost"))
}
