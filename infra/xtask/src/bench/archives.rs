//! Archives of a tree beside those of the peers, and their way back: the example `peers` of the crate, in one run.

use super::figures::{Figure, Group, Quantity, Unit};
use crate::build::{local, read, root};
use crate::setup;
use anyhow::{Context, Result};
use std::collections::BTreeMap;
use std::process::Command;

/// Programs, and the Debian packages that have them.
const PEERS: [(&str, &str); 4] = [
    ("time", "time"),
    ("zstd", "zstd"),
    ("restic", "restic"),
    ("borg", "borgbackup"),
];
/// What the agent may take at most.
const MEMORY_AIM_MB: f64 = 256.0;

/// Seconds and megabytes of each work, by its name.
type Rows = BTreeMap<String, (f64, f64)>;

/// See the module.
pub fn group(quick: bool) -> Result<Group> {
    setup::ensure(&PEERS)?;
    let folder = local().join("bench-archives");
    let measured = measure(&folder, quick);
    let _nothing_left = std::fs::remove_dir_all(&folder);
    measured
}

fn measure(folder: &std::path::Path, quick: bool) -> Result<Group> {
    let (size, rounds) = if quick { ("64", "1") } else { ("1024", "3") };
    let said = read(
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args([
                "run",
                "--release",
                "--quiet",
                "--example",
                "peers",
                "--",
                "run",
            ])
            .arg(folder)
            .args([size, rounds]),
    )?;
    let tree = said.lines().next().unwrap_or_default();
    let rows = rows(&said);
    let took = |name: &str| {
        let row = rows
            .get(name)
            .with_context(|| format!("{name} was not measured"))?;
        Ok::<_, anyhow::Error>(*row)
    };
    let mut figures = Vec::new();
    for (ours, what, peers) in [
        (
            "ours full",
            "full archive",
            &[
                "tar | zstd -3 -T0",
                "restic backup",
                "borg create lz4",
                "tar czf",
            ][..],
        ),
        (
            "ours 1 % changed",
            "archive after 1 % changed",
            &["ours full", "restic 1 % changed", "borg 1 % changed"],
        ),
        (
            "ours restore full and incremental",
            "restore of both",
            &["restic restore", "borg extract", "zstd -d | tar x", "cp -a"],
        ),
    ] {
        let (seconds, _) = took(ours)?;
        for peer in peers {
            let (other, _) = took(peer)?;
            figures.push(Figure::beside(
                what,
                Quantity(seconds, Unit::Seconds),
                peer.replace("ours full", "the full one"),
                Quantity(other, Unit::Seconds),
            ));
        }
    }
    for (ours, what) in [
        ("ours full", "memory of a full archive"),
        ("ours restore full and incremental", "memory of a restore"),
    ] {
        let (_, megabytes) = took(ours)?;
        figures.push(Figure::aim(
            what,
            Quantity(megabytes, Unit::Megabytes),
            MEMORY_AIM_MB,
        ));
    }
    Ok(Group::new(
        "archives of a tree",
        format!("{tree}, read from the page cache and written to disk; medians of {rounds}."),
        figures,
    ))
}

/// `| work | wall | CPU | RSS MB | to ours |`
fn rows(said: &str) -> Rows {
    let row = |line: &str| {
        let line = line.strip_prefix("| ")?.strip_suffix(" |")?;
        // A name may hold a bar itself; the numbers are the last four.
        let words: Vec<&str> = line.rsplitn(5, " | ").collect();
        let [_, rss, _, wall, name] = words[..] else {
            return None;
        };
        Some((name.to_string(), (wall.parse().ok()?, rss.parse().ok()?)))
    };
    said.lines().filter_map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_read_also_when_a_name_holds_a_bar() {
        let said = "9 files, 1 MB\n| work | wall | CPU | RSS MB | to ours |\n|---|---|---|---|---|\n| ours full | 2.77 | 5.00 | 59 | 1.00 |\n| tar | zstd -3 -T0 | 3.78 | 6.00 | 40 | 1.36 |";
        let rows = rows(said);
        assert_eq!(rows.len(), 2);
        assert_eq!(rows["tar | zstd -3 -T0"], (3.78, 40.0));
    }
}
