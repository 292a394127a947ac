//! What must be installed or mended before containers can be released here.
//!
//! Promise: only looks; each line says what is wrong and what to run.

use super::{UNIT, ports, unit};
use crate::fault::first_bytes;
use crate::paths::Paths;
use crate::run::{self, As};
use crate::web::units;
use std::path::Path;

/// An engine that takes longer than this is not well.
const ANSWERS_WITHIN_SECONDS: &str = "10";
/// Of Docker's programs: a version is one.
const LINE_LIMIT_BYTES: usize = 200;
/// An image of a framework is about one, and the next one is unpacked beside it.
const FREE_ENOUGH_BYTES: u64 = 2 * 1024 * 1024 * 1024;
/// From here on Docker's client builds images with a plugin, which is a package of its own.
const CLIENT_WITHOUT_BUILDER: u32 = 23;

/// What must be installed or mended before routes can be served here; empty when nothing.
pub fn missing(paths: &Paths) -> Vec<String> {
    let mut lacks = Vec::new();
    engine(&mut lacks);
    if run::find("git").is_none() {
        lacks.push("git: it fetches sources (apt install git)".into());
    }
    if run::find("caddy").is_none() {
        // Its package starts a service of its own, which would hold the ports.
        lacks.push("caddy: the proxy in front of containers (apt install caddy, then systemctl disable --now caddy)".into());
    }
    for port in [80, 443] {
        if let Ok(Some(holder)) = ports::holder(port)
            && holder.unit.as_deref() != Some(UNIT)
        {
            lacks.push(holder.complaint(port));
        }
    }
    // Where it was not set up yet, the first route does it.
    if unit::is_there(paths) && units::is_active(UNIT).is_ok_and(|active| !active) {
        lacks.push(format!("the proxy is not running: systemctl status {UNIT}"));
    }
    lacks
}

fn engine(lacks: &mut Vec<String>) {
    let Some(docker) = run::find("docker") else {
        lacks.push("docker: install a container engine (apt install docker.io)".into());
        return;
    };
    match line(&docker, &["info", "--format", "{{.DockerRootDir}}"]) {
        None => {
            lacks.push("the container engine does not answer: systemctl status docker".into());
        }
        Some(root) => {
            let free = rustix::fs::statvfs(&root)
                .map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize));
            if free < FREE_ENOUGH_BYTES {
                lacks.push(format!(
                    "disk: only {} MB are free at {root}; make room for 2048 MB (docker system df says what takes it)",
                    free / (1024 * 1024)
                ));
            }
        }
    }
    let compose = line(&docker, &["compose", "version", "--short"]);
    if compose.as_deref().is_none_or(|text| major(text) < 2) {
        lacks.push("docker compose: version 2 is a plugin of Docker's (apt install docker-compose-plugin from Docker's own packages, docs.docker.com/engine/install; from Debian 13 on also apt install docker-compose; Debian 12 has version 1 only)".into());
    }
    let client = line(&docker, &["--version"]).unwrap_or_default();
    let client = client.strip_prefix("Docker version ").unwrap_or_default();
    if major(client) >= CLIENT_WITHOUT_BUILDER && line(&docker, &["buildx", "version"]).is_none() {
        lacks.push("docker buildx: it builds images (apt install docker-buildx-plugin from Docker's own packages, or apt install docker-buildx)".into());
    }
}

/// The first line of what a program says; none when it fails, says nothing or hangs, as Docker's does with its engine.
fn line(program: &Path, arguments: &[&str]) -> Option<String> {
    let mut command = run::command(&run::find("timeout")?, As::Root);
    command.args(["--signal=KILL", ANSWERS_WITHIN_SECONDS]);
    let seen = run::run(command.arg(program).args(arguments), b"").ok()?;
    let line = seen.output.lines().next()?.trim();
    (seen.ok && !line.is_empty()).then(|| first_bytes(line, LINE_LIMIT_BYTES))
}

/// `2` of `v2.26.1-4`; 0 when there is none.
fn major(version: &str) -> u32 {
    let digits = version.trim_start_matches('v');
    let end = digits.find(|c: char| !c.is_ascii_digit());
    digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_however_a_distribution_writes_it() {
        assert_eq!(
            ["v2.26.1", "2.26.1-4", "29.1.3, build x", "", "dev"].map(major),
            [2, 2, 29, 0, 0]
        );
    }
}
