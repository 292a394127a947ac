//! A site's backup, from its server to the store, beside what a person would run for the same.
//!
//! Promise: the whole way: a booted server, the API, the agent, the local store; the peers read the same files and the
//! same database in the same run, and restic sends to the same store.

use super::deployments::{completed, servers_add, took};
use super::figures::{Figure, Group, Quantity};
use crate::build::{root, run as shell, say};
use crate::cli::{ask, run};
use crate::lab::Lab;
use crate::ministack::{MiniStack, free_port};
use crate::setup;
use crate::up::{self, Up};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

/// Its stack and its lab.
const NAME: &str = "bench-backups";
/// The site.
const SITE: &str = "large";
/// The tables of a grown shop: 90,000 posts of 3.3 KB are a dump of 300 MB.
const POSTS: u32 = 90_000;

/// See the module.
pub async fn group(quick: bool) -> Result<Group> {
    setup::ensure(&[("restic", "restic"), ("zstd", "zstd")])?;
    let measured = on_a_server(quick).await;
    MiniStack::stop(&up::state(NAME))?;
    Lab::down(NAME)?;
    let _nothing_left = std::fs::remove_dir_all(up::state(NAME));
    measured
}

async fn on_a_server(quick: bool) -> Result<Group> {
    let up = up::up(NAME, free_port()?).await?;
    let lab = Lab::up(NAME, 1, 0)?;
    let (mebibytes, posts) = if quick {
        (64, POSTS / 16)
    } else {
        (1024, POSTS)
    };
    let (tree, said) = site(&up, &lab, mebibytes, posts)?;

    say("a full backup");
    let full = completed(&up, &["backups", "create", SITE])?;
    say("another, with 1 % changed");
    peers(&["touch", &tree.display().to_string(), "1"])?;
    let second = completed(&up, &["backups", "create", SITE])?;
    say("its way back");
    let newest = ask(&up, &["backups", "list", SITE])?["items"][0]["id"].clone();
    let newest = newest.as_str().context("no backup is listed")?;
    let back = completed(&up, &["backups", "restore", SITE, newest, "--yes"])?;

    say("the peers");
    let restic = Restic::new(&up);
    restic.run(&["init", "-q"])?;
    let backup = ["backup", "-q", &tree.display().to_string()];
    let restic_full = restic.run(&backup)?;
    peers(&["touch", &tree.display().to_string(), "2"])?;
    let restic_second = restic.run(&backup)?;
    let target = up::state(NAME).join("restored");
    let restic_back = restic.run(&[
        "restore",
        "-q",
        "latest",
        "--target",
        &target.display().to_string(),
    ])?;
    let tar = timed(Command::new("bash").args([
        "-o",
        "pipefail",
        "-c",
        &format!(
            "tar cf - -C {} . | zstd -3 -T0 -qf -o {}",
            tree.display(),
            up::state(NAME).join("tar.zst").display()
        ),
    ]))?;
    let dumped = format!(
        "mariadb-dump --single-transaction --quick --hex-blob --routines --triggers --events {SITE} | zstd -3 -T0 -qf -o /var/tmp/dump.zst"
    );
    let began = Instant::now();
    lab.exec("srv1", &["bash", "-o", "pipefail", "-c", &dumped])?;
    let dump = Quantity::seconds(began.elapsed());
    let began = Instant::now();
    lab.exec(
        "srv1",
        &[
            "bash",
            "-o",
            "pipefail",
            "-c",
            "mariadb -e 'CREATE DATABASE plain'; zstd -dc /var/tmp/dump.zst | mariadb plain",
        ],
    )?;
    let load = Quantity::seconds(began.elapsed());

    Ok(Group::new(
        "a site's backup to the store",
        format!(
            "{said}, and a database of {posts} long rows, on a booted server; the store is the local one on the same cores. Each step is timed from its begin to its end, with its job's way to the server and the read-back of what was sent. The local store reads all of an object for each range that is asked of it, and a restore asks for 8 MB at a time: its download measures that."
        ),
        vec![
            Figure::beside(
                "archive files, full, into the store",
                took(&full, "archive_files")?,
                "restic backup into the same store",
                restic_full,
            ),
            Figure::beside(
                "the same",
                took(&full, "archive_files")?,
                "tar | zstd -3 -T0 to disk",
                tar,
            ),
            Figure::beside(
                "archive files, 1 % changed",
                took(&second, "archive_files")?,
                "the full one",
                took(&full, "archive_files")?,
            ),
            Figure::beside(
                "the same",
                took(&second, "archive_files")?,
                "restic",
                restic_second,
            ),
            Figure::beside(
                "back up the database, into the store",
                took(&full, "backup_database")?,
                "mariadb-dump | zstd -3 -T0 to disk",
                dump,
            ),
            Figure::beside(
                "download and check the files and the dump beside the site",
                took(&back, "download_backup")?,
                "restic restore from the same store, files alone",
                restic_back,
            ),
            Figure::beside(
                "load and swap the database",
                took(&back, "restore_database")?,
                "zstd -dc | mariadb",
                load,
            ),
            Figure::alone("swap the files", took(&back, "restore_files")?),
        ],
    ))
}

/// The server, the site, its tree and its rows; where the tree is on this machine, and what it has.
fn site(up: &Up, lab: &Lab, mebibytes: u32, posts: u32) -> Result<(PathBuf, String)> {
    let server = lab.servers.first().context("the lab has no server")?;
    servers_add(up, server)?;
    run(
        up,
        &[
            "sites",
            "create",
            SITE,
            "--server",
            "bench",
            "--title",
            "Large",
            "--admin-email",
            "admin@example.com",
            "--follow",
        ],
    )?;
    let public = format!("home/{SITE}/public");
    let tree = lab.root("srv1").join(&public).join("tree");
    let said = peers(&["tree", &tree.display().to_string(), &mebibytes.to_string()])?;
    lab.exec(
        "srv1",
        &[
            "chown",
            "-R",
            &format!("{SITE}:{SITE}"),
            &format!("/{public}"),
        ],
    )?;
    let rows = format!(
        "CREATE TABLE long_posts (id INT PRIMARY KEY AUTO_INCREMENT, title VARCHAR(200), body MEDIUMTEXT, KEY (title)); INSERT INTO long_posts SELECT seq, MD5(seq), REPEAT(CONCAT('Some words of ', MD5(seq * 7), ' '), 70) FROM seq_1_to_{posts};"
    );
    lab.exec("srv1", &["mariadb", SITE, "-e", &rows])?;
    // Warm, like everything that is measured.
    shell(Command::new("bash").args([
        "-c",
        &format!("sync; tar cf - -C {} . | cat > /dev/null", tree.display()),
    ]))?;
    Ok((tree, said.trim().to_string()))
}

/// The example that makes the tree.
fn peers(words: &[&str]) -> Result<String> {
    crate::build::read(
        Command::new(env!("CARGO"))
            .current_dir(root())
            .args(["run", "--release", "--quiet", "--example", "peers", "--"])
            .args(words),
    )
}

/// restic, with a repository in the local store.
struct Restic {
    repository: String,
    cache: PathBuf,
}

impl Restic {
    fn new(up: &Up) -> Self {
        Self {
            repository: format!("s3:{}/bench-restic", up.endpoint),
            cache: up::state(NAME).join("restic-cache"),
        }
    }

    fn run(&self, words: &[&str]) -> Result<Quantity> {
        timed(
            Command::new("restic")
                .args(words)
                .env("RESTIC_REPOSITORY", &self.repository)
                .env("RESTIC_PASSWORD", "x")
                .env("RESTIC_CACHE_DIR", &self.cache)
                .env("AWS_ACCESS_KEY_ID", "test")
                .env("AWS_SECRET_ACCESS_KEY", "test"),
        )
    }
}

fn timed(command: &mut Command) -> Result<Quantity> {
    let began = Instant::now();
    shell(command)?;
    Ok(Quantity::seconds(began.elapsed()))
}
