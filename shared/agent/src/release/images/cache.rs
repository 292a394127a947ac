//! What a build leaves with the engine's builder.
//!
//! Promise: only what was made since a moment is removed, so that a build which fails takes nothing of the others' along.

use super::engine::{Engine, Failure, escaped, read};
use crate::fault::Result;
use chrono::{DateTime, Utc};
use serde::Deserialize;
use std::thread;
use std::time::{Duration, SystemTime};

/// Parents can go only after their children: no chain of steps is longer than the engine's own limit of layers.
const PASSES: usize = 128;
/// A build that was just ended still holds what it made, for a moment.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// So often nothing came free: what is held then is held by others.
const LETTING_GO: u32 = 20;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Usage {
    #[serde(default)]
    build_cache: Option<Vec<Entry>>,
}

#[derive(Deserialize)]
struct Entry {
    #[serde(rename = "ID")]
    id: String,
    #[serde(rename = "CreatedAt", default)]
    created_at: String,
    #[serde(rename = "InUse", default)]
    in_use: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Freed {
    #[serde(default)]
    space_reclaimed: u64,
}

/// Now, as the engine writes times: RFC 3339 in UTC, to the second.
pub fn now() -> String {
    written(SystemTime::now().into())
}

fn written(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%dT%H:%M:%S").to_string()
}

/// Remove what was made since then. Bytes that came free.
pub fn prune_since(engine: &Engine, since: &str) -> Result<u64> {
    let kind = if engine.is_23() {
        "?type=build-cache"
    } else {
        ""
    };
    let mut freed = 0;
    let mut still = 0;
    for _ in 0..PASSES {
        let usage = engine.get(&format!("/system/df{kind}"), None);
        let usage: Usage = read(usage.map_err(Failure::unexpected)?)?;
        let mut entries = usage.build_cache.unwrap_or_default();
        entries.retain(|entry| entry.created_at.as_str() >= since);
        let used = entries.iter().filter(|entry| entry.in_use).count();
        let mut came_free = 0;
        for entry in entries.into_iter().filter(|entry| !entry.in_use) {
            let filters = serde_json::json!({ "id": { entry.id: true } }).to_string();
            let path = format!("/build/prune?all=1&filters={}", escaped(&filters));
            let done: Freed = read(engine.post(&path, None).map_err(Failure::unexpected)?)?;
            came_free += done.space_reclaimed;
        }
        freed += came_free;
        if came_free == 0 {
            still += 1;
            if used == 0 || still == LETTING_GO {
                break;
            }
            thread::sleep(LOOK_AGAIN);
        }
    }
    Ok(freed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_as_the_beginning_of_what_the_engine_writes_in_that_second() {
        let moment = written(DateTime::from_timestamp(1_763_769_600, 0).expect("a time"));
        assert_eq!(moment, "2025-11-22T00:00:00");
        assert!("2025-11-22T00:00:00.5Z" >= moment.as_str());
        assert!("2025-11-21T23:59:59.9Z" < moment.as_str());
    }
}
