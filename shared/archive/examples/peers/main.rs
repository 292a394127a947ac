//! Ours beside tar with zstd, tar with gzip, restic and borg, in one run.
//!
//! Promise: all get the same tree, warm, in turn; what is printed are medians, ratios to ours, and the peak memory of the
//! largest process. `peers run <folder> [MiB] [rounds]`; needs `/usr/bin/time` and the peers. `peers tree <folder> <MiB>` and
//! `peers touch <folder> <round>` make the tree alone, and change 1 % of it.

mod tree;

use archive::manifest::{Limits, Reader};
use archive::{create, restore};
use std::fs::{self, File};
use std::io::BufWriter;
use std::ops::ControlFlow;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::UNIX_EPOCH;

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// What a program took.
#[derive(Clone, Copy)]
struct Taken {
    wall: f64,
    cpu: f64,
    rss_mb: f64,
}

fn main() -> Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words[..] {
        ["run", folder] => run(Path::new(folder), 1024, 3),
        ["run", folder, size] => run(Path::new(folder), size.parse()?, 3),
        ["run", folder, size, rounds] => run(Path::new(folder), size.parse()?, rounds.parse()?),
        ["tree", folder, size] => {
            let (files, bytes) = tree::make(Path::new(folder), size.parse()?)?;
            println!("{files} files, {} MB", bytes / 1_000_000);
            Ok(())
        }
        ["touch", folder, round] => Ok(tree::touch(Path::new(folder), round.parse()?)?),
        ["full", tree, to] => full(tree, to),
        ["incremental", tree, before, to] => incremental(tree, before, to),
        ["restore", to, ref chain @ ..] => restore_to(to, chain),
        ["verify", from] => verify(from),
        _ => Err("run <folder> [MiB] [rounds]".into()),
    }
}

fn options(tree: &str) -> Result<create::Options> {
    // The clock is read off a file that is made now.
    let stamp = Path::new(tree).with_extension("now");
    File::create(&stamp)?;
    let at = fs::metadata(&stamp)?
        .modified()?
        .duration_since(UNIX_EPOCH)?;
    Ok(create::Options {
        at_seconds: i64::try_from(at.as_secs())?,
        ..Default::default()
    })
}

fn full(tree: &str, to: &str) -> Result<()> {
    let (archive, manifest) = outputs(to)?;
    let root = File::open(tree)?;
    let mut go = |_| ControlFlow::Continue(());
    create::full(root.as_fd(), &options(tree)?, archive, manifest, &mut go)?;
    Ok(())
}

fn incremental(tree: &str, before: &str, to: &str) -> Result<()> {
    let (archive, manifest) = outputs(to)?;
    let root = File::open(tree)?;
    let before = Reader::new(File::open(format!("{before}.manifest"))?, Limits::default())?;
    let mut go = |_| ControlFlow::Continue(());
    let options = options(tree)?;
    create::incremental(root.as_fd(), &options, before, archive, manifest, &mut go)?;
    Ok(())
}

fn outputs(to: &str) -> Result<(File, BufWriter<File>)> {
    let manifest = File::create(format!("{to}.manifest"))?;
    Ok((
        File::create(format!("{to}.tar.zst"))?,
        BufWriter::new(manifest),
    ))
}

fn restore_to(to: &str, chain: &[&str]) -> Result<()> {
    fs::create_dir(to)?;
    let mut links = Vec::new();
    for name in chain {
        links.push(restore::Link {
            archive: File::open(format!("{name}.tar.zst"))?,
            manifest: File::open(format!("{name}.manifest"))?,
        });
    }
    let mut go = |_| ControlFlow::Continue(());
    restore::restore(File::open(to)?.as_fd(), links, &Default::default(), &mut go)?;
    Ok(())
}

fn verify(from: &str) -> Result<()> {
    let manifest = Reader::new(File::open(format!("{from}.manifest"))?, Limits::default())?;
    let mut go = |_| ControlFlow::Continue(());
    archive::verify(File::open(format!("{from}.tar.zst"))?, manifest, 0, &mut go)?;
    Ok(())
}

struct Bench {
    folder: PathBuf,
    rows: Vec<(String, Vec<Taken>)>,
}

impl Bench {
    /// Run a shell line in the folder and keep what it took under this name.
    fn take(&mut self, name: &str, line: &str) -> Result<()> {
        let log = self.folder.join("time");
        let status = Command::new("/usr/bin/time")
            .args(["-f", "%e %U %S %M", "-o"])
            .arg(&log)
            .args(["bash", "-o", "pipefail", "-c", line])
            .current_dir(&self.folder)
            .envs([
                ("RESTIC_PASSWORD", "x"),
                ("RESTIC_CACHE_DIR", "restic-cache"),
            ])
            .envs([
                ("BORG_BASE_DIR", "borg-base"),
                ("BORG_UNKNOWN_UNENCRYPTED_REPO_ACCESS_IS_OK", "yes"),
            ])
            .envs([("BORG_RELOCATED_REPO_ACCESS_IS_OK", "yes")])
            .stdout(Stdio::null())
            .status()?;
        if !status.success() {
            return Err(format!("{name} failed: {line}").into());
        }
        let said = fs::read_to_string(&log)?;
        let numbers: Vec<f64> = said.split_whitespace().flat_map(str::parse).collect();
        let [wall, user, system, rss] = numbers[..] else {
            return Err(format!("not understood: {said}").into());
        };
        let taken = Taken {
            wall,
            cpu: user + system,
            rss_mb: rss / 1024.0,
        };
        match self.rows.iter_mut().find(|(known, _)| known == name) {
            Some((_, all)) => all.push(taken),
            None => self.rows.push((name.to_string(), vec![taken])),
        }
        Ok(())
    }

    /// Not measured.
    fn aside(&self, line: &str) -> Result<()> {
        let status = Command::new("bash")
            .args(["-c", line])
            .current_dir(&self.folder)
            .stdout(Stdio::null())
            .status()?;
        status
            .success()
            .then_some(())
            .ok_or_else(|| format!("failed: {line}").into())
    }

    fn print(&self) {
        println!("| work | wall | CPU | RSS MB | to ours |\n|---|---|---|---|---|");
        let mut ours = f64::NAN;
        for (name, all) in &self.rows {
            let median = |of: fn(&Taken) -> f64| {
                let mut values: Vec<f64> = all.iter().map(of).collect();
                values.sort_by(f64::total_cmp);
                values[values.len() / 2]
            };
            let wall = median(|taken| taken.wall);
            if name.starts_with("ours") {
                ours = wall;
            }
            let (cpu, rss) = (median(|taken| taken.cpu), median(|taken| taken.rss_mb));
            println!(
                "| {name} | {wall:.2} | {cpu:.2} | {rss:.0} | {:.2} |",
                wall / ours
            );
        }
    }
}

fn run(folder: &Path, mebibytes: u64, rounds: u64) -> Result<()> {
    fs::create_dir_all(folder)?;
    let tree = folder.join("tree");
    if !tree.exists() {
        let (files, bytes) = tree::make(&tree, mebibytes)?;
        println!("{files} files, {} MB", bytes / 1_000_000);
    }
    let mut bench = Bench {
        folder: folder.to_path_buf(),
        rows: Vec::new(),
    };
    bench.aside("sync; sleep 3; tar cf - tree | cat > /dev/null")?;
    let clean = "rm -rf full.* incr.* tar.* out-* restic-* borg-*; sync";
    bench.aside(clean)?;
    for round in 0..rounds {
        if round > 0 {
            bench.aside("rm -f full.* incr.* tar.*; sync")?;
        }
        backups(&mut bench, &tree, round)?;
        restores(&mut bench, round)?;
    }
    bench.print();
    println!("\n{}", sizes(folder)?);
    bench.aside(clean)
}

fn us() -> Result<String> {
    Ok(std::env::current_exe()?.display().to_string())
}

fn backups(bench: &mut Bench, tree: &Path, round: u64) -> Result<()> {
    let us = us()?;
    bench.take("ours full", &format!("{us} full tree full"))?;
    bench.take(
        "tar | zstd -3 -T0",
        "tar cf - tree | zstd -3 -T0 -q > tar.zst",
    )?;
    if round == 0 {
        bench.take("tar czf", "tar czf tar.gz tree")?;
    }
    let (restic, borg) = (format!("restic-{round}"), format!("borg-{round}"));
    bench.aside(&format!(
        "rm -f tar.gz; RESTIC_PASSWORD=x restic init -q -r {restic}; BORG_BASE_DIR=borg-base borg init -e none {borg}"
    ))?;
    let backup = format!("restic -q -r {restic} backup tree");
    bench.take("restic backup", &backup)?;
    bench.take("borg create lz4", &format!("borg create {borg}::1 tree"))?;
    tree::touch(tree, round)?;
    bench.aside("sync; sleep 3")?;
    bench.take(
        "ours 1 % changed",
        &format!("{us} incremental tree full incr"),
    )?;
    bench.take("restic 1 % changed", &backup)?;
    bench.take("borg 1 % changed", &format!("borg create {borg}::2 tree"))?;
    bench.aside("sync")
}

/// Nothing is removed before the end: ext4 makes files slowly for minutes after many were removed.
fn restores(bench: &mut Bench, round: u64) -> Result<()> {
    let us = us()?;
    let line = format!("{us} restore out-ours-{round} full incr");
    bench.take("ours restore full and incremental", &line)?;
    bench.aside(&format!(
        "diff -r --no-dereference tree out-ours-{round}; sync"
    ))?;
    bench.take("cp -a", &format!("cp -a tree out-copy-{round}"))?;
    let (tar, borg) = (format!("out-tar-{round}"), format!("out-borg-{round}"));
    bench.aside(&format!("sync; mkdir {tar} {borg}"))?;
    bench.take(
        "zstd -d | tar x",
        &format!("zstd -dqc tar.zst | tar x -C {tar}"),
    )?;
    bench.aside("sync")?;
    let line = format!("restic -q -r restic-{round} restore latest --target out-restic-{round}");
    bench.take("restic restore", &line)?;
    bench.aside("sync")?;
    let line = format!("BORG_BASE_DIR=../borg-base borg extract ../borg-{round}::2");
    bench.take("borg extract", &format!("cd {borg}; {line}"))?;
    bench.aside("sync")?;
    bench.take("ours verify full", &format!("{us} verify full"))?;
    bench.take("sha256sum of the archive", "sha256sum full.tar.zst")
}

fn sizes(folder: &Path) -> Result<String> {
    let mut said = Vec::new();
    for name in [
        "full.tar.zst",
        "full.manifest",
        "incr.tar.zst",
        "incr.manifest",
        "tar.zst",
    ] {
        let size = fs::metadata(folder.join(name))?.len() as f64 / 1e6;
        said.push(format!("{name} {size:.1} MB"));
    }
    Ok(said.join(", "))
}
