//! What a look at one container means.
//!
//! Promise: pure; a container that came to its end, or that the engine had to start again, is seen at the first look.

use crate::release::container::Container;
use chrono::{DateTime, Utc};
use std::time::Duration;

/// A container without any check counts once it has stayed up for this long: most that cannot work end sooner.
const STEADY_FOR: Duration = Duration::from_secs(3);

/// What a look says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Seen {
    /// Not yet.
    Waiting(String),
    /// As far as the engine knows.
    Good(String),
    /// It ended.
    Ended(String),
}

/// What is expected of a container.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// To run to its end.
    pub once: bool,
    /// It will be asked for a page besides.
    pub is_probed: bool,
    /// The engine's restarts when it was first looked at.
    pub restarts: u32,
}

/// Judge a look.
pub fn judge(container: &Container, expected: Expected, now: DateTime<Utc>) -> Seen {
    match container.state.as_str() {
        "exited" | "dead" if expected.once && container.exit_code == 0 => {
            return Seen::Good("ended well".into());
        }
        "exited" | "dead" | "restarting" => return Seen::Ended(ended(container)),
        "running" => {}
        other => return Seen::Waiting(format!("is {other}")),
    }
    if container.restarts > expected.restarts {
        return Seen::Ended("ended, and the engine started it again".into());
    }
    match container.health.as_deref() {
        Some("healthy") => return Seen::Good("healthy".into()),
        Some("unhealthy") => return Seen::Waiting("is unhealthy by its own check".into()),
        Some(_) => return Seen::Waiting("its own check has not passed yet".into()),
        None => {}
    }
    let up = container
        .started_at
        .and_then(|at| (now - at).to_std().ok())
        .unwrap_or_default();
    if expected.is_probed || up >= STEADY_FOR {
        return Seen::Good("runs".into());
    }
    Seen::Waiting("has just started".into())
}

/// How it came to its end, for people: "ended with exit code 1".
pub fn ended(container: &Container) -> String {
    if container.out_of_memory {
        return match container.memory_bytes {
            Some(bytes) => format!(
                "was killed because it needed more than its {} MB of memory",
                bytes >> 20
            ),
            None => "was killed because the server had no memory left".into(),
        };
    }
    match container.exit_code {
        // A program ended by a signal has 128 and its number.
        137 => "was killed (exit code 137)".into(),
        code => format!("ended with exit code {code}"),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::collections::BTreeMap;

    pub fn container(state: &str) -> Container {
        Container {
            id: "a".into(),
            name: "shop-web-1".into(),
            project: "shop".into(),
            entry: "web".into(),
            service: "web".into(),
            deployment: "d1".into(),
            image: "a".into(),
            image_id: "b".into(),
            state: state.into(),
            exit_code: 0,
            out_of_memory: false,
            error: String::new(),
            restarts: 0,
            started_at: DateTime::from_timestamp(1_000, 0),
            health: None,
            memory_bytes: None,
            address: None,
            ports: BTreeMap::new(),
        }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).expect("a time")
    }

    const PLAIN: Expected = Expected {
        once: false,
        is_probed: false,
        restarts: 0,
    };

    #[test]
    fn without_a_check_it_has_to_stay_up_for_a_moment() {
        let one = container("running");
        assert!(matches!(judge(&one, PLAIN, at(1_001)), Seen::Waiting(_)));
        assert!(matches!(judge(&one, PLAIN, at(1_003)), Seen::Good(_)));
        let probed = Expected {
            is_probed: true,
            ..PLAIN
        };
        assert!(matches!(judge(&one, probed, at(1_000)), Seen::Good(_)));
    }

    #[test]
    fn an_end_is_one_whatever_the_code_unless_it_was_to_end() {
        for code in [0, 1, 137] {
            let one = Container {
                exit_code: code,
                ..container("exited")
            };
            assert!(matches!(judge(&one, PLAIN, at(2_000)), Seen::Ended(_)));
            let once = judge(
                &one,
                Expected {
                    once: true,
                    ..PLAIN
                },
                at(2_000),
            );
            assert_eq!(matches!(once, Seen::Good(_)), code == 0);
        }
    }

    #[test]
    fn a_restart_counts_only_from_the_first_look_on() {
        let one = Container {
            restarts: 2,
            ..container("running")
        };
        assert!(matches!(judge(&one, PLAIN, at(2_000)), Seen::Ended(_)));
        assert!(matches!(
            judge(
                &one,
                Expected {
                    restarts: 2,
                    ..PLAIN
                },
                at(2_000)
            ),
            Seen::Good(_)
        ));
    }

    #[test]
    fn its_own_check_decides_over_running() {
        for (health, good) in [("healthy", true), ("unhealthy", false), ("starting", false)] {
            let one = Container {
                health: Some(health.into()),
                ..container("running")
            };
            assert_eq!(
                matches!(judge(&one, PLAIN, at(2_000)), Seen::Good(_)),
                good,
                "{health}"
            );
        }
    }

    #[test]
    fn memory_is_named_as_the_cause() {
        let one = Container {
            out_of_memory: true,
            memory_bytes: Some(64 << 20),
            exit_code: 137,
            ..container("exited")
        };
        assert_eq!(
            ended(&one),
            "was killed because it needed more than its 64 MB of memory"
        );
    }
}
