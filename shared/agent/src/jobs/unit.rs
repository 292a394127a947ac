//! The systemd unit a job lives in: a named cgroup with a deadline, which outlives the SSH connection.
//!
//! Promise: a unit that was ended is gone with all it started before `end` returns. No secret is in its arguments or
//! its environment, and what it runs is found by the path that an upgrade replaces.

use crate::fault::{Result, broken, busy, missing_software, unavailable, with_detail};
use crate::run::{self, As};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// SIGKILL works at once; the rest is systemd taking note.
const GONE_WITHIN: Duration = Duration::from_secs(15);
/// What systemd itself waits after SIGKILL before it gives a unit up.
const STOP_SECONDS: u32 = 10;
/// Between two looks at a unit that is going.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Where the kernel shows a cgroup: of version 2, and of systemd's own tree in version 1.
const CGROUPS: [&str; 3] = [
    "/sys/fs/cgroup",
    "/sys/fs/cgroup/systemd",
    "/sys/fs/cgroup/unified",
];
/// How the kernel ends the link of a binary that was replaced.
const REPLACED: &str = " (deleted)";

/// What keeps jobs alive, and ends them. A test has its own.
pub trait Units: Sync {
    /// Start the job of this folder under this name; an error when such a unit is there already.
    fn start(&self, unit: &str, folder: &Path, seconds: u64) -> Result<()>;
    /// Is it there?
    fn is_active(&self, unit: &str) -> Result<bool>;
    /// End it with all it started, and wait until it is seen gone. A unit that is not there is gone.
    fn end(&self, unit: &str) -> Result<()>;
}

/// The host's own.
#[derive(Debug, Clone, Copy)]
pub struct Systemd;

impl Units for Systemd {
    fn start(&self, unit: &str, folder: &Path, seconds: u64) -> Result<()> {
        let binary = own_path()?;
        let mut command = run::command(&program("systemd-run")?, As::Root);
        command
            .args(["--quiet", "--collect", "--no-ask-password"])
            .arg(format!("--unit={unit}"))
            .arg("--description=Triphammer job")
            .args(
                properties(seconds)
                    .iter()
                    .map(|one| format!("--property={one}")),
            )
            .arg("--")
            .arg(binary)
            .arg("job")
            .arg(folder);
        let seen = run::run(&mut command, b"")?;
        if seen.ok {
            return Ok(());
        }
        let error = unavailable(
            "job_not_started",
            "systemd did not start the job. Look at it: systemctl status.",
        );
        // systemd-run speaks of the unit and its properties only; nothing secret was given to it.
        Err(with_detail(
            error,
            format!("{}: {}", seen.status, seen.errors.trim()),
        ))
    }

    fn is_active(&self, unit: &str) -> Result<bool> {
        Ok(show(unit)?.active)
    }

    fn end(&self, unit: &str) -> Result<()> {
        let before = show(unit)?;
        if !before.active && before.is_empty() {
            return Ok(());
        }
        // KillSignal is SIGKILL, so stopping is killing the whole cgroup and waiting for it.
        run::run(
            run::command(&program("systemctl")?, As::Root).args(["stop", "--quiet", "--", unit]),
            b"",
        )?;
        let until = Instant::now() + GONE_WITHIN;
        while show(unit)?.active || !before.is_empty() {
            if Instant::now() >= until {
                return Err(busy(
                    "target_busy",
                    "The older job on this target does not end; try again soon.",
                ));
            }
            thread::sleep(LOOK_AGAIN);
        }
        Ok(())
    }
}

/// Killed as a whole and at once, never restarted, gentle to the sites beside it, and without core dumps, which would
/// hold the secret.
fn properties(seconds: u64) -> Vec<String> {
    vec![
        "Type=exec".into(),
        "KillMode=control-group".into(),
        "KillSignal=SIGKILL".into(),
        format!("TimeoutStopSec={STOP_SECONDS}"),
        format!("RuntimeMaxSec={seconds}"),
        "Restart=no".into(),
        "LimitCORE=0".into(),
        "NoNewPrivileges=yes".into(),
        "Nice=10".into(),
        "OOMScoreAdjust=500".into(),
    ]
}

struct Shown {
    active: bool,
    cgroup: String,
}

impl Shown {
    /// No process in its cgroup, in whichever tree that is.
    fn is_empty(&self) -> bool {
        self.cgroup.is_empty()
            || CGROUPS.iter().all(|root| {
                let path = format!("{root}{}/cgroup.procs", self.cgroup);
                fs::read_to_string(path).map_or(true, |text| text.trim().is_empty())
            })
    }
}

fn show(unit: &str) -> Result<Shown> {
    let mut command = run::command(&program("systemctl")?, As::Root);
    command.args(["show", "--property=ActiveState,ControlGroup", "--", unit]);
    let seen = run::run(&mut command, b"")?;
    let value = |name: &str| {
        let line = |line: &str| Some(line.strip_prefix(name)?.strip_prefix('=')?.to_string());
        seen.output.lines().find_map(line)
    };
    match value("ActiveState") {
        Some(state) if seen.ok => Ok(Shown {
            active: !matches!(state.as_str(), "inactive" | "failed"),
            cgroup: value("ControlGroup").unwrap_or_default(),
        }),
        _ => Err(with_detail(
            unavailable(
                "systemd_unreachable",
                "systemd on this server does not answer. Look at it: systemctl status.",
            ),
            seen.status,
        )),
    }
}

fn program(name: &str) -> Result<PathBuf> {
    run::find(name).ok_or_else(|| missing_software("systemd", "use a system that runs systemd"))
}

/// Where this binary stands, also when it was replaced there meanwhile.
fn own_path() -> Result<PathBuf> {
    let link = fs::read_link("/proc/self/exe")
        .map_err(|_| broken("agent_lost", "The agent does not find its own binary."))?;
    let text = link.display().to_string();
    Ok(text.strip_suffix(REPLACED).map_or(link, PathBuf::from))
}
