//! What a build may use of the host's processors and memory.
//!
//! Promise: a build that wants more than its limits is slowed or ended by the kernel, and the services beside it go on.
//!
//! Docker 23 and newer puts a build's processes into the cgroup it is told. Older ones keep BuildKit's in a place of their
//! own and pass no limit on (measured with 20.10.24: `--memory` and `--cgroup-parent` are taken and forgotten), so there
//! the limits are put on each step's cgroup as it comes, also on one of a build that somebody else has running just then.

use crate::fault::{Result, io_at};
use protocol::release::Limits;
use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where the kernel shows cgroups.
const ROOT: &str = "/sys/fs/cgroup";
/// The kernel's own period for shares of a processor.
const PERIOD_MICROSECONDS: u64 = 100_000;
/// Of a build that was ended, the last processes go within moments; a cgroup that stays costs nothing.
const LETTING_GO: u32 = 20;
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// How the engine's builder calls the folder of a step.
const STEP: &str = "/buildkit/executor/";

/// The files of one kind of cgroup that hold a limit, and its value.
type Setting = (&'static str, String);

/// A cgroup of a build's own. Dropped, it is gone.
#[derive(Debug)]
pub struct Cgroup {
    name: String,
}

fn is_unified() -> bool {
    Path::new(ROOT).join("cgroup.controllers").exists()
}

/// By controller, what to set; memory first, and swap counts as memory.
fn settings(limits: &Limits, unified: bool) -> Vec<(&'static str, Vec<Setting>)> {
    let mut settings = Vec::new();
    let quota = limits
        .milli_cpus
        .map(|milli| u64::from(milli) * PERIOD_MICROSECONDS / 1000);
    if let Some(bytes) = limits.memory_bytes {
        settings.push(if unified {
            (
                "memory",
                vec![
                    ("memory.max", bytes.to_string()),
                    ("memory.swap.max", "0".into()),
                ],
            )
        } else {
            let bytes = bytes.to_string();
            (
                "memory",
                vec![
                    ("memory.limit_in_bytes", bytes.clone()),
                    ("memory.memsw.limit_in_bytes", bytes),
                ],
            )
        });
    }
    if let Some(quota) = quota {
        settings.push(if unified {
            (
                "cpu",
                vec![("cpu.max", format!("{quota} {PERIOD_MICROSECONDS}"))],
            )
        } else {
            let period = PERIOD_MICROSECONDS.to_string();
            (
                "cpu",
                vec![
                    ("cpu.cfs_period_us", period),
                    ("cpu.cfs_quota_us", quota.to_string()),
                ],
            )
        });
    }
    settings
}

fn set(folder: &Path, settings: &[Setting]) -> std::io::Result<()> {
    for (file, value) in settings {
        match fs::write(folder.join(file), value) {
            // A kernel without accounts of swap.
            Err(error) if error.kind() == ErrorKind::NotFound && file.contains("sw") => {}
            other => other?,
        }
    }
    Ok(())
}

impl Cgroup {
    /// With these limits; none when there is nothing to limit.
    pub fn new(deployment: &str, limits: &Limits) -> Result<Option<Self>> {
        let unified = is_unified();
        let settings = settings(limits, unified);
        if settings.is_empty() {
            return Ok(None);
        }
        let root = Path::new(ROOT);
        let name = format!("triphammer-build-{deployment}");
        let cgroup = Self { name };
        if unified {
            // systemd has switched them on where it needs them; once more does no harm.
            let _ = fs::write(root.join("cgroup.subtree_control"), "+memory +cpu");
        }
        for (controller, settings) in settings {
            let folder = if unified {
                root.join(&cgroup.name)
            } else {
                root.join(controller).join(&cgroup.name)
            };
            match fs::create_dir(&folder) {
                Err(error) if error.kind() != ErrorKind::AlreadyExists => {
                    return Err(io_at(&folder, &error));
                }
                _ => {}
            }
            set(&folder, &settings).map_err(|error| io_at(&folder, &error))?;
        }
        Ok(Some(cgroup))
    }

    /// For `--cgroup-parent`.
    pub fn parent(&self) -> String {
        format!("/{}", self.name)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for _ in 0..LETTING_GO {
            // The builder makes one of this name in every tree, and leaves an empty one inside.
            let left = trees()
                .into_iter()
                .map(|tree| tree.join(&self.name))
                .filter(|folder| {
                    let _ = fs::remove_dir(folder.join("buildkit"));
                    let _ = fs::remove_dir(folder);
                    folder.exists()
                })
                .count();
            if left == 0 {
                return;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
}

/// Where cgroups are: one tree in version 2, one for each controller in version 1.
fn trees() -> Vec<PathBuf> {
    let mut trees = vec![PathBuf::from(ROOT)];
    if !is_unified() {
        let entries = fs::read_dir(ROOT).into_iter().flatten().flatten();
        trees.extend(entries.map(|entry| entry.path()));
    }
    trees
}

/// Puts limits on steps as they come, for engines that pass none on.
#[derive(Debug)]
pub struct Steps {
    settings: Vec<(&'static str, Vec<Setting>)>,
    unified: bool,
    done: BTreeSet<PathBuf>,
}

impl Steps {
    /// With these limits; none when there is nothing to limit.
    pub fn new(limits: &Limits) -> Option<Self> {
        let unified = is_unified();
        let settings = settings(limits, unified);
        let done = BTreeSet::new();
        (!settings.is_empty()).then_some(Self {
            settings,
            unified,
            done,
        })
    }

    /// Look for new ones.
    pub fn look(&mut self) {
        for pid in steps() {
            let Ok(text) = fs::read_to_string(format!("/proc/{pid}/cgroup")) else {
                continue;
            };
            for (controller, settings) in &self.settings {
                let Some(folder) = folder(&text, controller, self.unified) else {
                    continue;
                };
                // A step that uses more already is tried again at the next look.
                if !self.done.contains(&folder) && set(&folder, settings).is_ok() {
                    self.done.insert(folder);
                }
            }
        }
    }
}

/// The cgroup of one controller, as `/proc/<pid>/cgroup` names it. Never a top one, which would limit all of the host.
fn folder(text: &str, controller: &str, unified: bool) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':');
        let (_, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let meant = if unified {
            controllers.is_empty()
        } else {
            controllers.split(',').any(|one| one == controller)
        };
        meant.then_some(path)
    })?;
    let name = path.rsplit('/').next()?;
    // The builder's ids: 25 letters and digits.
    let is_step = name.len() == 25
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit());
    let root = if unified {
        PathBuf::from(ROOT)
    } else {
        Path::new(ROOT).join(controller)
    };
    is_step.then(|| root.join(path.trim_start_matches('/')))
}

/// The first process of each step: what `runc run --bundle …/buildkit/executor/<id>` started.
fn steps() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    let pids = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    pids.filter(|pid| {
        fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(STEP))
    })
    .flat_map(children)
    .collect()
}

fn children(pid: i32) -> Vec<i32> {
    let Ok(threads) = fs::read_dir(format!("/proc/{pid}/task")) else {
        return Vec::new();
    };
    let lists = threads
        .flatten()
        .filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists
        .flat_map(|list| {
            list.split_whitespace()
                .filter_map(|pid| pid.parse().ok())
                .collect::<Vec<i32>>()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_put_on_a_step_and_never_on_what_is_above_it() {
        let step = "4:memory:/docker/buildkit/3jtfddop9kiltahu7nlb6b1jf\n1:cpu,cpuacct:/x\n0::/system.slice/3jtfddop9kiltahu7nlb6b1jf\n";
        assert_eq!(
            folder(step, "memory", false),
            Some(PathBuf::from(
                "/sys/fs/cgroup/memory/docker/buildkit/3jtfddop9kiltahu7nlb6b1jf"
            ))
        );
        assert_eq!(
            folder(step, "memory", true),
            Some(PathBuf::from(
                "/sys/fs/cgroup/system.slice/3jtfddop9kiltahu7nlb6b1jf"
            ))
        );
        assert_eq!(folder(step, "cpu", false), None);
        assert_eq!(folder("4:memory:/\n", "memory", false), None);
        assert_eq!(
            folder("4:memory:/system.slice/docker.service\n", "memory", false),
            None
        );
    }

    #[test]
    fn half_a_processor_is_half_of_each_period() {
        let limits = Limits {
            milli_cpus: Some(500),
            memory_bytes: None,
            ..Limits::default()
        };
        assert_eq!(
            settings(&limits, true),
            [("cpu", vec![("cpu.max", "50000 100000".to_string())])]
        );
        assert!(settings(&Limits::default(), true).is_empty());
    }
}
