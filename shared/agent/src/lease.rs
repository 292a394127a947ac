//! Who may touch a target now: one file a target, with the highest fence seen, the call at work and the job at work.
//!
//! Promise: a lower fence is refused, a higher one ends the older call and the older job with all they started before
//! it begins, and two of them never touch one target at once. All changes of the file happen under its lock.

use crate::check;
use crate::fault::{Result, broken, busy, io_at, refused};
use crate::files;
use crate::jobs::unit::{Systemd, Units};
use crate::paths::Paths;
use crate::processes::ProcessId;
use protocol::Lease;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// SIGKILL takes effect at once unless a process hangs in the kernel, and then waiting longer does not help either.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Longer than another call needs to end an older one.
const LOCK_WITHIN: Duration = Duration::from_secs(15);
/// Waiting for a lock costs nothing, and people notice a tenth of a second.
const TRY_AGAIN: Duration = Duration::from_millis(25);

#[derive(Debug, Serialize, Deserialize)]
struct Stored {
    fence: u64,
    holder: Option<ProcessId>,
    /// The unit of the job that was started on this target last; it may have ended since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
}

/// A target held by this process, until dropped.
#[derive(Debug)]
pub struct Held {
    path: PathBuf,
    lock: PathBuf,
    own: ProcessId,
}

/// Take the lease for a call, ending an older call or job if there is one.
pub fn take(paths: &Paths, lease: &Lease) -> Result<Held> {
    take_for(paths, lease, &Systemd, None)
}

/// Take the lease to start the job of this unit, or to take it over: that one unit is not ended. The lease names it
/// from now on, so that also a job whose start was cut short is found and ended by the next holder.
pub fn take_for(
    paths: &Paths,
    lease: &Lease,
    units: &dyn Units,
    unit: Option<&str>,
) -> Result<Held> {
    check::target(&lease.target)?;
    check::id("deployment's id", &lease.deployment_id)?;
    files::directory(&paths.state(), 0o700)?;
    files::directory(&paths.leases(), 0o700)?;
    let name = escaped(&lease.target);
    let held = Held {
        path: paths.leases().join(format!("{name}.json")),
        lock: paths.leases().join(format!("{name}.lock")),
        own: ProcessId::own(),
    };
    let locked = lock(&held.lock, LOCK_WITHIN)?;
    if let Some(stored) = load(&held.path)? {
        if lease.fence < stored.fence {
            return Err(refused(
                "stale_fence",
                "A newer step works on this target; this one came too late.",
            ));
        }
        if let Some(holder) = &stored.holder {
            if lease.fence == stored.fence && *holder != held.own && holder.is_alive() {
                return Err(busy(
                    "target_busy",
                    "Another call works on this target; try again soon.",
                ));
            }
            if *holder != held.own && !holder.end(GONE_WITHIN) {
                return Err(busy(
                    "target_busy",
                    "The older call on this target does not end; try again soon.",
                ));
            }
        }
        if let Some(older) = stored.unit.as_deref().filter(|older| Some(*older) != unit) {
            if lease.fence == stored.fence && units.is_active(older)? {
                return Err(busy(
                    "target_busy",
                    "A job works on this target; try again soon.",
                ));
            }
            units.end(older)?;
        }
    }
    store(
        &held.path,
        &Stored {
            fence: lease.fence,
            holder: Some(held.own.clone()),
            unit: unit.map(str::to_string),
        },
    )?;
    drop(locked);
    Ok(held)
}

impl Drop for Held {
    /// The fence stays; only the holder is taken out. If that fails, the next call sees that this process is gone.
    fn drop(&mut self) {
        let Ok(_locked) = lock(&self.lock, LOCK_WITHIN) else {
            return;
        };
        if let Ok(Some(stored)) = load(&self.path)
            && stored.holder.as_ref() == Some(&self.own)
        {
            let _ = store(
                &self.path,
                &Stored {
                    holder: None,
                    ..stored
                },
            );
        }
    }
}

/// Does the target still belong to this unit? A unit that came up after the lease went on must not begin.
pub fn names(paths: &Paths, target: &str, unit: &str) -> Result<bool> {
    check::target(target)?;
    let name = escaped(target);
    let _locked = lock(&paths.leases().join(format!("{name}.lock")), LOCK_WITHIN)?;
    let stored = load(&paths.leases().join(format!("{name}.json")))?;
    Ok(stored.is_some_and(|stored| stored.unit.as_deref() == Some(unit)))
}

/// Hold `path` for this process alone, as long as the file stays open.
pub fn lock(path: &Path, patience: Duration) -> Result<File> {
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| io_at(path, &error))?;
    let until = Instant::now() + patience;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(file),
            Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR)
                if Instant::now() < until =>
            {
                std::thread::sleep(TRY_AGAIN)
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                return Err(busy(
                    "server_busy",
                    "Another call on this server takes long; try again soon.",
                ));
            }
            Err(error) => return Err(io_at(path, &error.into())),
        }
    }
}

fn load(path: &Path) -> Result<Option<Stored>> {
    let Some(text) = files::read(path)? else {
        return Ok(None);
    };
    // A lease that cannot be read must not open the target to anybody.
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| broken("lease_damaged", format!("{} is damaged.", path.display())))
}

fn store(path: &Path, stored: &Stored) -> Result<()> {
    let text = serde_json::to_vec(stored)
        .map_err(|_| broken("lease_damaged", "A lease could not be written."))?;
    files::write(path, &text, 0o600)
}

/// A file name for any target; two targets never share one.
fn escaped(target: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    target
        .bytes()
        .map(|b| {
            if plain(b) {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::MARK;
    use std::process::{Child, Command};

    fn lease(fence: u64) -> Lease {
        Lease {
            target: "site:01J/..".into(),
            fence,
            deployment_id: "d1".into(),
        }
    }

    fn stranger(root: &Path, fence: u64) -> (Child, ProcessId) {
        let child = Command::new("sleep")
            .arg("600")
            .env(MARK, "none")
            .spawn()
            .expect("started");
        let pid = i32::try_from(child.id()).expect("an id");
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("its stat");
        let started = text[text.rfind(')').expect("a name") + 1..]
            .split_whitespace()
            .nth(19)
            .expect("a start")
            .parse()
            .expect("a number");
        let id = ProcessId {
            pid,
            started,
            ..ProcessId::own()
        };
        let path = root.join("var/lib/triphammer/leases/site%3A01J%2F%2E%2E.json");
        store(
            &path,
            &Stored {
                fence,
                holder: Some(id.clone()),
                unit: None,
            },
        )
        .expect("stored");
        (child, id)
    }

    #[test]
    fn a_lower_fence_is_refused_and_an_equal_one_is_not() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        drop(take(&paths, &lease(5)).expect("taken"));
        drop(take(&paths, &lease(5)).expect("taken again"));
        assert_eq!(
            take(&paths, &lease(4)).expect_err("too late").code,
            "stale_fence"
        );
        drop(take(&paths, &lease(6)).expect("newer"));
    }

    #[test]
    fn the_fence_outlives_the_call() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        drop(take(&paths, &lease(9)).expect("taken"));
        assert_eq!(
            take(&paths, &lease(8)).expect_err("too late").code,
            "stale_fence"
        );
    }

    #[test]
    fn an_equal_fence_waits_for_the_living_holder_and_a_higher_one_ends_it() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        drop(take(&paths, &lease(1)).expect("taken"));
        let (mut child, id) = stranger(root.path(), 2);
        assert_eq!(
            take(&paths, &lease(2)).expect_err("held").code,
            "target_busy"
        );
        assert!(id.is_alive());
        drop(take(&paths, &lease(3)).expect("taken over"));
        assert!(!child.wait().expect("ended").success());
    }

    #[test]
    fn a_holder_that_died_does_not_keep_its_equal_out() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        drop(take(&paths, &lease(1)).expect("taken"));
        let (mut child, _) = stranger(root.path(), 2);
        child.kill().expect("killed");
        child.wait().expect("buried");
        drop(take(&paths, &lease(2)).expect("free again"));
    }

    /// Units by name, alive until they are ended.
    struct Fake(std::sync::Mutex<Vec<String>>);

    impl Units for Fake {
        fn start(&self, _: &str, _: &Path, _: u64) -> Result<()> {
            Ok(())
        }
        fn is_active(&self, unit: &str) -> Result<bool> {
            Ok(self.0.lock().expect("free").iter().any(|one| one == unit))
        }
        fn end(&self, unit: &str) -> Result<()> {
            self.0.lock().expect("free").retain(|one| one != unit);
            Ok(())
        }
    }

    #[test]
    fn a_job_is_ended_by_a_higher_fence_kept_by_its_own_start_and_in_the_way_of_its_equal() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let units = Fake(vec!["a".to_string()].into());
        drop(take_for(&paths, &lease(1), &units, Some("a")).expect("taken"));
        assert!(names(&paths, "site:01J/..", "a").expect("read"));
        drop(take_for(&paths, &lease(2), &units, Some("a")).expect("taken over"));
        assert!(units.is_active("a").expect("asked"));
        let equal = take_for(&paths, &lease(2), &units, None).expect_err("held");
        assert_eq!(equal.code, "target_busy");
        drop(take_for(&paths, &lease(3), &units, Some("b")).expect("taken"));
        assert!(!units.is_active("a").expect("asked"));
        assert!(!names(&paths, "site:01J/..", "a").expect("read"));
        let late = take_for(&paths, &lease(2), &units, Some("a")).expect_err("too late");
        assert_eq!(late.code, "stale_fence");
    }

    #[test]
    fn targets_cannot_leave_the_directory_or_meet() {
        assert_eq!(escaped("../a"), "%2E%2E%2Fa");
        assert_ne!(escaped("a:b"), escaped("a_b"));
    }
}
