//! Starting a job, or taking it over: see [`protocol::Call::JobStart`].
//!
//! Promise: two starts never make two workers. One that fails leaves nothing that a later one would not put right, and
//! no new secret. What ended with its work done is told again, never done again.

use crate::fault::{Result, unavailable};
use crate::files;
use crate::jobs::Tempo;
use crate::jobs::folder::{Folder, Over, Stored};
use crate::jobs::order;
use crate::jobs::unit::Units;
use crate::lease;
use crate::paths::Paths;
use protocol::Lease;
use protocol::job::{JobOrder, JobResult, JobStart, JobStarted};
use std::fs;
use std::time::Duration;

/// How long the folder of a job that is over is kept, for operators.
const KEEP: Duration = Duration::from_secs(7 * 24 * 3600);
/// What a job may take beyond its limit and its telling: it ends itself; this is for one that cannot.
const GRACE: Duration = Duration::from_secs(300);

/// The name of a job's unit.
pub fn unit(job: &str) -> String {
    format!("triphammer-job-{job}.service")
}

/// Start it, take it over, or have its result told again.
pub fn start(
    paths: &Paths,
    lease: &Lease,
    asked: &JobStart,
    units: &dyn Units,
) -> Result<JobStarted> {
    order::check(asked)?;
    let unit = unit(&asked.job);
    let _held = lease::take_for(paths, lease, units, Some(&unit))?;
    files::directory(&paths.jobs(), 0o700)?;
    clear_old(paths, &asked.job, units);
    let order = JobOrder {
        lease: lease.clone(),
        start: asked.clone(),
    };
    let folder = Folder::of(paths, &asked.job);
    let is_new = folder.make()?;
    let started = begin(&folder, &order, &unit, units);
    if started.is_err() && is_new {
        // The unit may have come up although its start failed.
        let _ = units.end(&unit).and_then(|()| folder.remove());
    }
    started
}

fn begin(folder: &Folder, order: &JobOrder, unit: &str, units: &dyn Units) -> Result<JobStarted> {
    let locked = folder.lock()?;
    let over = folder.over()?;
    let stored = folder.result()?;
    if units.is_active(unit)? {
        if over.is_none() {
            folder.put_order(order)?;
            return Ok(match stored {
                Some(_) => JobStarted::Finished,
                None => JobStarted::Running,
            });
        }
        // It has nothing more to do and is about to go.
        units.end(unit)?;
    }
    let started = match stored {
        Some(stored) if is_told_again(&stored, over.as_ref()) => {
            folder.reopen()?;
            JobStarted::Finished
        }
        _ => {
            folder.begin_anew()?;
            JobStarted::Started
        }
    };
    folder.put_order(order)?;
    // The worker may want the lock at once.
    drop(locked);
    let seconds = order.start.limit_seconds + (Tempo::default().tell_for + GRACE).as_secs();
    let begun = units.start(unit, folder.path(), seconds);
    // An older start that was cut short may have brought the unit up just now: it works with the order that is there.
    if let Err(error) = begun
        && !units.is_active(unit).unwrap_or(false)
    {
        // The secret goes from the disk; the error is what counts.
        let _ = folder.end(order, false);
        return Err(error);
    }
    Ok(started)
}

/// Work that is done is never done again. A failure that was heard is: the one who heard it asks for another try.
fn is_told_again(stored: &Stored, over: Option<&Over>) -> bool {
    matches!(stored.result, JobResult::Done { .. }) || !over.is_some_and(|over| over.heard)
}

/// Folders of jobs that are over go after a week. A job that died keeps its order so long, but not its secret.
fn clear_old(paths: &Paths, own: &str, units: &dyn Units) {
    let Ok(entries) = fs::read_dir(paths.jobs()) else {
        return;
    };
    for entry in entries.flatten() {
        let folder = Folder::at(&entry.path());
        let age = folder.unchanged_for();
        let job = folder.job();
        if job == own || age < Tempo::default().tell_for || order::name(&job).is_err() {
            continue;
        }
        // What cannot be cleared now is cleared by the next start.
        let _ = clear(&folder, age, &unit(&job), units);
    }
}

fn clear(folder: &Folder, age: Duration, unit: &str, units: &dyn Units) -> Result<()> {
    let is_over = folder.over()?.is_some();
    if is_over && age < KEEP {
        return Ok(());
    }
    if units.is_active(unit)? {
        return Err(unavailable("job_at_work", "The job is still at work."));
    }
    if age >= KEEP {
        return folder.remove();
    }
    let order = folder.order()?;
    folder.end(&order, false).map(|_| ())
}
