//! How long a build takes: all of it in an empty folder, and after one file changed.

use super::figures::{Figure, Group, Quantity};
use crate::build::{debug_build, local, root, run};
use anyhow::Result;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A file that few depend on, and one that all do.
const CHANGED: [(&str, &str); 2] = [
    ("one step", "functions/steps/src/bin/inspect_server.rs"),
    ("the domain", "shared/domain/src/lib.rs"),
];

/// See the module.
pub fn group() -> Result<Group> {
    let folder = local().join("bench-target");
    let measured = measure(&folder);
    let _nothing_left = std::fs::remove_dir_all(&folder);
    measured
}

fn measure(folder: &Path) -> Result<Group> {
    let clean = built(folder)?;
    let mut figures = vec![Figure::alone("clean", Quantity::seconds(clean))];
    for (what, path) in CHANGED {
        let file = std::fs::File::options()
            .append(true)
            .open(root().join(path))?;
        file.set_modified(SystemTime::now())?;
        figures.push(Figure::beside(
            format!("after a change of {what}"),
            Quantity::seconds(built(folder)?),
            "clean",
            Quantity::seconds(clean),
        ));
    }
    Ok(Group::new(
        "debug build of functions and command line",
        "Without the agent, which is built by a profile of its own.",
        figures,
    ))
}

fn built(folder: &Path) -> Result<Duration> {
    let began = Instant::now();
    run(debug_build().env("CARGO_TARGET_DIR", folder))?;
    Ok(began.elapsed())
}
