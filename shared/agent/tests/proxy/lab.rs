//! A lab with one Docker host, on which this very binary runs the proofs.

use std::fs::File;
use std::path::Path;
use std::process::{Command, Stdio};

const ON_SERVER: &str = "/root/proxy-proofs";

struct Lab(String);

impl Lab {
    fn command(&self, verb: &str) -> Command {
        let lab = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/lab/lab");
        let mut command = Command::new(lab);
        command.args([verb, &self.0]);
        command
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let _ = self.command("down").status();
    }
}

pub fn proofs() {
    let lab = Lab(format!("proxy-{}", std::process::id()));
    let up = lab.command("up").args(["0", "1"]).status().expect("run");
    assert!(up.success());
    let exec = |words: &[&str], input: Stdio| {
        let mut command = lab.command("exec");
        let status = command.arg("docker1").args(words).stdin(input).status();
        assert!(status.expect("run").success(), "{words:?}");
    };
    let own = File::open("/proc/self/exe").expect("open");
    exec(
        &["install", "-m", "755", "/dev/stdin", ON_SERVER],
        own.into(),
    );
    exec(&[ON_SERVER, "on-server"], Stdio::null());
}
