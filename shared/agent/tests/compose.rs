//! Compose files, read by a real Docker Compose.
//!
//! The rule held: what is judged is what Compose makes of a file, in all of its spellings, and no value is ever told.
//!
//! Needs root and the Compose plugin: the host's own, the one that `TRIPHAMMER_COMPOSE_PLUGIN` names, or the one of a lab's
//! layer. Without them it says so and passes.

#![allow(
    clippy::disallowed_methods,
    reason = "it is told by the environment which Compose to use"
)]

#[path = "compose/complaints.rs"]
mod complaints;
#[path = "compose/confined.rs"]
mod confined;
#[path = "compose/forms.rs"]
mod forms;
#[path = "compose/values.rs"]
mod values;

use agent::fault::Result;
use agent::release::compose::{Engine, Resolved, resolve_by};
use protocol::release::ReleasePrepare;
use serde_json::json;
use std::path::{Path, PathBuf};

/// The plugin to test with; none, told loudly, where there is none.
fn plugin() -> Option<PathBuf> {
    let found = std::env::var("TRIPHAMMER_COMPOSE_PLUGIN")
        .map(PathBuf::from)
        .ok()
        .or_else(|| {
            let own = Path::new("/usr/libexec/docker/cli-plugins/docker-compose");
            own.is_file().then(|| own.to_path_buf())
        })
        .or_else(|| {
            let layers = std::fs::read_dir("/var/cache/triphammer").ok()?;
            layers
                .flatten()
                .map(|layer| {
                    layer
                        .path()
                        .join("usr/libexec/docker/cli-plugins/docker-compose")
                })
                .find(|path| path.is_file())
        });
    let root = rustix::process::geteuid().is_root();
    if found.is_none() || !root {
        eprintln!(
            "SKIPPED: needs root and Docker Compose; name its plugin in TRIPHAMMER_COMPOSE_PLUGIN"
        );
    }
    found.filter(|_| root)
}

fn engine() -> Option<Engine> {
    plugin().map(|plugin| Engine::at(&plugin))
}

/// What is asked for, with `compose` as its file.
fn asked(compose: &str) -> ReleasePrepare {
    serde_json::from_value(json!({"environment": "shop", "compose": compose})).expect("an order")
}

fn resolve(engine: &Engine, asked: &ReleasePrepare) -> Result<Resolved> {
    resolve_by(engine, asked)
}

/// A code and a message.
fn refusal(engine: &Engine, asked: &ReleasePrepare) -> (String, String) {
    match resolve(engine, asked) {
        Ok(_) => panic!("passed: {}", asked.compose),
        Err(error) => {
            assert_eq!(error.detail, "");
            (error.code, error.message)
        }
    }
}
