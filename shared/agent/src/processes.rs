//! Processes by what `/proc` says of them.
//!
//! Promise: a process is ended only when it is surely the one meant. Its id alone is not enough: ids are used again.

use rustix::process::{Pid, Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs;
use std::time::{Duration, Instant};

/// How often a process that was ended is looked for again.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// The variable that every child of a call carries, so that it is found after its parent is gone.
pub const MARK: &str = "TRIPHAMMER_CALL";

/// A process that cannot be mistaken for a later one of the same id.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProcessId {
    /// Its id.
    pub pid: i32,
    /// When it started, in the kernel's ticks since boot.
    pub started: u64,
    /// Which boot, since ticks begin again.
    pub boot: String,
}

impl ProcessId {
    /// This very process.
    pub fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self {
            pid,
            started: stat(pid).map_or(0, |stat| stat.started),
            boot: boot(),
        }
    }

    /// Still there, and not merely unburied?
    pub fn is_alive(&self) -> bool {
        self.boot == boot()
            && stat(self.pid).is_some_and(|stat| stat.started == self.started && !stat.dead)
    }

    /// What its children carry in [`MARK`].
    pub fn mark(&self) -> String {
        format!("{}.{}.{}", self.pid, self.started, self.boot)
    }

    /// End it and whatever it started; true when all of it is gone before `patience` is over.
    pub fn end(&self, patience: Duration) -> bool {
        let until = Instant::now() + patience;
        loop {
            let alive = self.is_alive();
            // The parent first: then no new child can come.
            let rest = if alive {
                vec![self.pid]
            } else {
                self.children()
            };
            if rest.is_empty() {
                return true;
            }
            rest.iter().for_each(|pid| kill(*pid));
            if Instant::now() >= until {
                return false;
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// End what it started, but not itself; false when nothing was left.
    pub fn end_children(&self) -> bool {
        let rest = self.children();
        rest.iter().for_each(|pid| kill(*pid));
        !rest.is_empty()
    }

    /// Living processes that carry its mark, itself left out.
    pub fn children(&self) -> Vec<i32> {
        let entry = format!("{MARK}={}", self.mark()).into_bytes();
        let carries = |pid: i32| {
            fs::read(format!("/proc/{pid}/environ"))
                .is_ok_and(|all| all.split(|b| *b == 0).any(|one| one == entry))
        };
        all()
            .into_iter()
            .filter(|pid| {
                *pid != self.pid && carries(*pid) && stat(*pid).is_some_and(|stat| !stat.dead)
            })
            .collect()
    }
}

/// End all processes of a user; true when none is left before `patience` is over.
pub fn end_all_of(uid: u32, patience: Duration) -> bool {
    let until = Instant::now() + patience;
    loop {
        let rest: Vec<i32> = all()
            .into_iter()
            .filter(|pid| runs_as(*pid, uid) && stat(*pid).is_some_and(|stat| !stat.dead))
            .collect();
        if rest.is_empty() {
            return true;
        }
        rest.iter().for_each(|pid| kill(*pid));
        if Instant::now() >= until {
            return false;
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

fn runs_as(pid: i32, uid: u32) -> bool {
    let Ok(status) = fs::read_to_string(format!("/proc/{pid}/status")) else {
        return false;
    };
    let line = status.lines().find_map(|line| line.strip_prefix("Uid:"));
    line.is_some_and(|ids| ids.split_whitespace().any(|id| id.parse() == Ok(uid)))
}

fn kill(pid: i32) {
    if let Some(pid) = Pid::from_raw(pid) {
        // Gone already is what was wanted.
        let _ = kill_process(pid, Signal::KILL);
    }
}

fn all() -> Vec<i32> {
    let Ok(entries) = fs::read_dir("/proc") else {
        return Vec::new();
    };
    entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .collect()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
        .unwrap_or_default()
        .trim()
        .to_string()
}

struct Stat {
    started: u64,
    dead: bool,
}

fn stat(pid: i32) -> Option<Stat> {
    parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// `proc_pid_stat(5)`: the name stands in brackets and may hold anything, so fields are counted after the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let fields: Vec<&str> = text[text.rfind(')')? + 1..].split_whitespace().collect();
    Some(Stat {
        started: fields.get(19)?.parse().ok()?,
        dead: matches!(*fields.first()?, "Z" | "X"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let text = "7 (a) b) (c) Z 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 0 0";
        let stat = parse_stat(text).expect("parsed");
        assert!(stat.dead);
        assert_eq!(stat.started, 4711);
    }

    #[test]
    fn a_process_of_the_same_id_but_another_start_is_not_the_one() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        assert!(
            !ProcessId {
                started: own.started + 1,
                ..own.clone()
            }
            .is_alive()
        );
        assert!(
            !ProcessId {
                boot: "another".into(),
                ..own
            }
            .is_alive()
        );
    }

    #[test]
    fn children_of_a_dead_parent_are_found_by_their_mark_and_ended() {
        let gone = ProcessId {
            pid: 1,
            started: 1,
            boot: boot() + "-test",
        };
        let mut child = Command::new("sleep")
            .arg("600")
            .env(MARK, gone.mark())
            .spawn()
            .expect("started");
        let pid = i32::try_from(child.id()).expect("an id");
        // The mark is seen once the child runs its own program.
        while !gone.children().contains(&pid) {
            std::thread::yield_now();
        }
        assert!(gone.end(Duration::from_secs(10)));
        assert!(!child.wait().expect("ended").success());
    }
}
