//! The proxy without systemd: a network of its own, another root for all paths, and a Caddy that the test starts.

use crate::proofs;
use agent::paths::Paths;
use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// Run the proofs in a network in which nothing but the loopback is.
pub fn in_own_network(caddy: &str) {
    let own = std::env::current_exe().expect("a path");
    let status = Command::new("unshare")
        .args(["--net", "--"])
        .arg(own)
        .args(["inside", caddy])
        .status();
    assert!(status.expect("run").success());
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Within that network.
pub fn own(caddy: &str) {
    let up = Command::new("ip")
        .args(["link", "set", "lo", "up"])
        .status();
    assert!(up.expect("run").success());
    // What the agent's set-up does on a server.
    std::fs::write("/proc/sys/net/ipv4/tcp_migrate_req", "1").expect("Linux 5.14 or newer");
    let root = tempfile::tempdir().expect("a temporary directory");
    let paths = Paths::under(root.path());
    std::fs::create_dir_all(paths.absolute("/run/triphammer-proxy")).expect("made");
    let first = root.path().join("first.json");
    let socket = paths.absolute("/run/triphammer-proxy/admin.sock");
    let text = format!(
        r#"{{"admin":{{"listen":"unix/{}","origins":["triphammer"]}}}}"#,
        socket.display()
    );
    std::fs::write(&first, text).expect("written");
    let _running = Running(start(caddy, &first, root.path()));
    let until = Instant::now() + Duration::from_secs(20);
    while !socket.exists() {
        assert!(Instant::now() < until, "Caddy does not start");
        std::thread::sleep(Duration::from_millis(50));
    }
    proofs::all(&paths);
}

fn start(caddy: &str, configuration: &Path, home: &Path) -> Child {
    Command::new(caddy)
        .args(["run", "--config"])
        .arg(configuration)
        .env_clear()
        .env("HOME", home)
        .spawn()
        .expect("started")
}
