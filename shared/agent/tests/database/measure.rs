//! How fast a dump and a restore are, beside the programs a person would use.
//!
//! Not a test: `cargo test --release -p agent --test database -- --ignored --nocapture measured`.

use crate::fixture::{DEPLOYMENT, Host, SHOP, lease};
use agent::database::{Restore, Server, dump};
use agent::paths::Paths;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

/// Bytes of dump, about.
const POSTS: u32 = 90_000;

/// The process that is measured: its peak memory is its own.
#[test]
#[ignore = "started by the measurement"]
fn worker() {
    let Some(root) = std::env::var_os("MEASURE_ROOT") else {
        return;
    };
    let root = Path::new(&root);
    let server = Server::at(&root.join("run/sock"));
    let file = root.join("dump.zst");
    let began = Instant::now();
    if std::env::var_os("MEASURE_DUMP").is_some() {
        let mut out = File::create(&file).expect("made");
        let seen =
            dump(&server, SHOP, &mut out, &mut |_| ControlFlow::Continue(())).expect("dumped");
        print!("dump of {} MB: ", seen.dump_bytes / 1_000_000);
    } else {
        let lease = lease(DEPLOYMENT);
        let paths = Paths::under(&root.join("agent"));
        let restore = Restore::new(&server, &paths, &lease, SHOP).expect("a name");
        let size = fs::metadata(&file).expect("there").len();
        restore
            .load(&mut File::open(&file).expect("there"), size, &mut |_| {
                ControlFlow::Continue(())
            })
            .expect("loaded");
        print!("load: ");
    }
    let status = fs::read_to_string("/proc/self/status").expect("Linux");
    let peak = status
        .lines()
        .find(|line| line.starts_with("VmHWM"))
        .unwrap_or_default();
    println!("{:.1} s, {peak}", began.elapsed().as_secs_f32());
}

#[test]
#[ignore = "a measurement of minutes"]
fn measured() {
    let host = Host::with(&["--innodb-buffer-pool-size=256M"]);
    host.script(
        SHOP,
        &format!(
            "CREATE TABLE posts (id INT PRIMARY KEY AUTO_INCREMENT, title VARCHAR(200), body MEDIUMTEXT, at DATETIME, KEY (title), KEY (at)); \
             INSERT INTO posts SELECT seq, CONCAT('A title ', MD5(seq)), REPEAT(CONCAT('Some words \\'quoted\\' of ', MD5(seq * 7), '\\n'), 60), NOW() FROM seq_1_to_{POSTS};"
        ),
    );
    let root = host
        .socket()
        .ancestors()
        .nth(2)
        .expect("a root")
        .to_path_buf();
    let run = |what: &str| {
        let status = Command::new(std::env::current_exe().expect("this test"))
            .args(["--exact", "measure::worker", "--ignored", "--nocapture"])
            .env("MEASURE_ROOT", &root)
            .env(what, "1")
            .status();
        assert!(status.expect("started").success());
    };
    let shell = |what: &str, text: String| {
        let began = Instant::now();
        let status = Command::new("bash")
            .args(["-o", "pipefail", "-c", &text])
            .status();
        assert!(status.expect("started").success());
        println!("{what}: {:.1} s", began.elapsed().as_secs_f32());
    };
    let socket = format!("--no-defaults --socket={}", host.socket().display());
    let plain = root.join("plain.zst");
    let plain = plain.display();
    for _ in 0..2 {
        shell(
            "mariadb-dump | zstd",
            format!(
                "mariadb-dump {socket} --single-transaction --quick --hex-blob --routines --triggers --events --net-buffer-length=1M {SHOP} | zstd -q -f -3 -T0 -o {plain}"
            ),
        );
        run("MEASURE_DUMP");
        host.sql("DROP DATABASE IF EXISTS plain; CREATE DATABASE plain;");
        shell(
            "zstd | mariadb",
            format!("zstd -dc {plain} | mariadb {socket} plain"),
        );
        run("MEASURE_LOAD");
        host.back();
    }
}
