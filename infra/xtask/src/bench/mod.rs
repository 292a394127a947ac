//! `cargo xtask bench`: what it costs and how long it takes, measured here and written into the README.
//!
//! Promise: every figure is measured or counted in this very session, or computed from such and from prices named in
//! `cost`; beside a figure stands its aim or its peer, because a time alone says more of the machine than of us.

mod archives;
mod backups;
#[cfg(feature = "bench")]
mod builds;
#[cfg(feature = "bench")]
mod cost;
mod deployments;
#[cfg_attr(
    not(feature = "bench"),
    allow(dead_code, reason = "the other groups are not built")
)]
mod figures;
#[cfg(feature = "bench")]
mod function;
#[cfg(feature = "bench")]
mod history;
#[cfg(feature = "bench")]
mod live;
#[cfg(feature = "bench")]
mod local;
mod releases;
#[cfg(feature = "bench")]
mod requests;
#[cfg(feature = "bench")]
mod rest;
#[cfg(feature = "bench")]
mod runtime;
#[cfg(feature = "bench")]
mod whole;

#[cfg(feature = "bench")]
pub use whole::{Options, bench};

use crate::build::{root, say};
use anyhow::{Context, Result};
use figures::Group;
use std::fs;

/// Archives and backups, ours and those of the peers.
pub async fn archives(quick: bool) -> Result<()> {
    say("archives, ours and those of the peers");
    let archives = archives::group(quick)?;
    say("a site's backup to the store, beside the peers");
    let backups = backups::group(quick).await?;
    told("archives", &[archives, backups], quick)
}

/// Releases to a Docker host, beside the same by hand.
pub async fn releases(quick: bool) -> Result<()> {
    say("releases under load");
    told("releases", &[releases::group(quick).await?], quick)
}

/// Print them, and write them into their part of the README.
fn told(part: &str, groups: &[Group], quick: bool) -> Result<()> {
    let text = format!(
        "Measured by `cargo xtask bench` on {}.\n\n{}",
        machine()?,
        groups
            .iter()
            .map(Group::markdown)
            .collect::<Vec<_>>()
            .join("\n")
    );
    println!("{text}");
    if quick {
        say("README.md stays as it is: so few samples are no figures");
        return Ok(());
    }
    write(part, &text)
}

/// `2 shared cores, 24 GB`
fn machine() -> Result<String> {
    let cores = std::thread::available_parallelism()?;
    let memory = fs::read_to_string("/proc/meminfo")?;
    let kilobytes: f64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .context("/proc/meminfo has no MemTotal")?
        .parse()?;
    Ok(format!(
        "{cores} shared cores, {:.0} GB",
        kilobytes / 1024.0 / 1024.0
    ))
}

fn write(part: &str, text: &str) -> Result<()> {
    let begin = format!("<!-- {part}:begin -->\n");
    let end = format!("<!-- {part}:end -->");
    let readme = root().join("README.md");
    let old = fs::read_to_string(&readme)?;
    let (before, rest) = old
        .split_once(&begin)
        .context("README.md has no mark for the figures")?;
    let (_, after) = rest
        .split_once(&end)
        .context("README.md has no mark for the end of the figures")?;
    fs::write(&readme, format!("{before}{begin}{text}{end}{after}"))?;
    say("written: README.md");
    Ok(())
}
