//! What is on the disk about a job: its order, its result, and whether it is over.
//!
//! Promise: root's alone, each file whole or not there. The order changes, and the job ends, under one lock: so a job
//! that ends has seen the last order, or the start that brought it sees that the job has ended.

use crate::fault::{Result, broken, io_at};
use crate::paths::Paths;
use crate::{files, lease};
use protocol::job::{JobOrder, JobResult, LogLine};
use rustix::fs::{FlockOperation, flock};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What is done under the lock takes milliseconds, or a start of a unit.
const LOCK_WITHIN: Duration = Duration::from_secs(30);
/// Numbers of log lines that each attempt has to itself.
const LINES_OF_AN_ATTEMPT: u64 = 1 << 32;

/// A job's folder.
#[derive(Debug, Clone)]
pub struct Folder {
    path: PathBuf,
}

/// A result as it waits to be told, with the last lines of the log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Stored {
    /// How it ended.
    pub result: JobResult,
    /// Goes with it.
    pub log: Vec<LogLine>,
}

/// Written when a job has nothing more to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Over {
    /// Was the result heard?
    pub heard: bool,
}

impl Folder {
    /// Of a job by name, which was checked.
    pub fn of(paths: &Paths, job: &str) -> Self {
        Self::at(&paths.jobs().join(job))
    }

    /// At a path.
    pub fn at(path: &Path) -> Self {
        Self {
            path: path.to_path_buf(),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The job's name.
    pub fn job(&self) -> String {
        let name = self.path.file_name().unwrap_or_default();
        name.to_string_lossy().into_owned()
    }

    /// Make it; says whether it is new.
    pub fn make(&self) -> Result<bool> {
        files::directory(&self.path, 0o700)
    }

    /// Remove it with all that is in it.
    pub fn remove(&self) -> Result<()> {
        fs::remove_dir_all(&self.path).map_err(|error| io_at(&self.path, &error))
    }

    /// Nobody else changes the order or ends the job as long as this is held.
    pub fn lock(&self) -> Result<File> {
        lease::lock(&self.path.join("lock"), LOCK_WITHIN)
    }

    /// Be the one worker of this job as long as this is held; absent when there is one.
    pub fn work(&self) -> Result<Option<File>> {
        let path = self.path.join("worker");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| io_at(&path, &error))?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(error) => Err(io_at(&path, &error.into())),
        }
    }

    /// The order as it stands now.
    pub fn order(&self) -> Result<JobOrder> {
        self.load("order.json")?
            .ok_or_else(|| broken("job_lost", "The job's order is not on the server any more."))
    }

    /// Replace the order. Under the lock.
    pub fn put_order(&self, order: &JobOrder) -> Result<()> {
        self.store("order.json", order)
    }

    /// The result, when there is one.
    pub fn result(&self) -> Result<Option<Stored>> {
        self.load("result.json")
    }

    /// Keep the result: it is on the disk when this returns.
    pub fn put_result(&self, stored: &Stored) -> Result<()> {
        self.store("result.json", stored)
    }

    /// Is the job over?
    pub fn over(&self) -> Result<Option<Over>> {
        self.load("over.json")
    }

    /// The job has nothing more to do, unless there is another order than the one it spoke with. The secret goes.
    pub fn end(&self, spoken: &JobOrder, heard: bool) -> Result<bool> {
        let _locked = self.lock()?;
        let mut order = self.order()?;
        if !same(&order, spoken) {
            return Ok(false);
        }
        self.store("over.json", &Over { heard })?;
        order.start.callback.secret.clear();
        self.put_order(&order)?;
        Ok(true)
    }

    /// The worker is to tell the result again. Under the lock.
    pub fn reopen(&self) -> Result<()> {
        files::remove(&self.path.join("over.json")).map(|_| ())
    }

    /// Nothing was done yet, but the log's lines go on counting. Under the lock.
    pub fn begin_anew(&self) -> Result<()> {
        let attempts: u64 = self.load("attempts.json")?.unwrap_or(0);
        self.store("attempts.json", &(attempts + 1))?;
        files::remove(&self.path.join("result.json"))?;
        self.reopen()
    }

    /// The number of this attempt's first line; higher than any of an attempt before.
    pub fn first_line(&self) -> Result<u64> {
        let attempts: u64 = self.load("attempts.json")?.unwrap_or(1);
        Ok(attempts.saturating_sub(1) * LINES_OF_AN_ATTEMPT)
    }

    /// Since when nothing changed in it.
    pub fn unchanged_for(&self) -> Duration {
        let changed = fs::metadata(&self.path).and_then(|meta| meta.modified());
        changed.map_or(Duration::ZERO, |at| {
            SystemTime::now().duration_since(at).unwrap_or_default()
        })
    }

    fn load<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let path = self.path.join(name);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        // The parser's message may quote the secret: it is not passed on.
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|_| broken("job_damaged", format!("{} is damaged.", path.display())))
    }

    fn store<T: Serialize>(&self, name: &str, what: &T) -> Result<()> {
        let text = serde_json::to_vec(what)
            .map_err(|_| broken("job_damaged", "A job's file could not be written."))?;
        files::write(&self.path.join(name), &text, 0o600)
    }
}

/// Does a report under one of them count as one under the other?
pub fn same(one: &JobOrder, other: &JobOrder) -> bool {
    one.lease.fence == other.lease.fence
        && one.start.callback.secret == other.start.callback.secret
        && one.start.callback.url == other.start.callback.url
}
