//! `cargo xtask bench`: what it costs and how long it takes, measured here and written into the README.
//!
//! Promise: every figure is measured or counted in this very session, or computed from such and from prices named in
//! `cost`; beside a figure stands its aim or its peer, because a time alone says more of the machine than of us.

mod builds;
mod cost;
mod figures;
mod function;
mod history;
mod live;
mod local;
mod requests;
mod rest;
mod runtime;

use crate::build::{self, root, say};
use anyhow::{Context, Result};
use figures::Group;
use std::fs;

const BEGIN: &str = "<!-- figures:begin -->\n";
const END: &str = "<!-- figures:end -->";

/// How much is measured.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// A tenth of the samples: to see that it runs. The README stays as it is.
    pub quick: bool,
    /// Build times too: they take many minutes.
    pub builds: bool,
}

impl Options {
    /// So many samples, or a tenth of them.
    fn samples(self, many: usize) -> usize {
        if self.quick { many.div_ceil(10) } else { many }
    }
}

/// See the module.
pub async fn bench(options: Options) -> Result<()> {
    say("building the functions in release mode; the first time takes minutes");
    build::release()?;
    say("counting requests and state transitions");
    let mut groups = vec![requests::group().await?, cost::group().await?];
    say("a function by itself");
    groups.push(function::group(options).await?);
    say("histories");
    groups.push(history::group(options).await?);
    say("the local stack");
    groups.push(local::group(options).await?);
    if options.builds {
        say("builds");
        groups.push(builds::group()?);
    }
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
    if options.quick {
        say("README.md stays as it is: so few samples are no figures");
        return Ok(());
    }
    write(&text)
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

fn write(text: &str) -> Result<()> {
    let readme = root().join("README.md");
    let old = fs::read_to_string(&readme)?;
    let (before, rest) = old
        .split_once(BEGIN)
        .context("README.md has no mark for the figures")?;
    let (_, after) = rest
        .split_once(END)
        .context("README.md has no mark for the end of the figures")?;
    fs::write(&readme, format!("{before}{BEGIN}{text}{END}{after}"))?;
    say("written: README.md");
    Ok(())
}
