//! The container engine, by its own command line: asked, told, and its complaints understood.
//!
//! Promise: always the engine of this host; what it complains of is told in our words, with its own only where they hold
//! no value, or are masked.

use crate::fault::{Result, broken, busy, refused, unavailable, with_detail};
use crate::jobs::context::Context;
use crate::release::mask::Mask;
use crate::run::{self, As, Outcome};
use protocol::AgentError;
use std::io::{BufRead, BufReader, Read};
use std::process::Command;
use std::thread;

/// Whatever context root's own configuration names: containers of a release run on this host.
const SOCKET: &str = "unix:///var/run/docker.sock";
/// A line of a program; the rest of a longer one is dropped.
const LINE_LIMIT_BYTES: u64 = 64 * 1024;
/// Compose's last words say why it failed.
const WORDS_KEPT: usize = 40;

/// Nobody has a word for why.
pub const REFUSED: &str = "engine_refused";

/// `docker`, not yet started.
pub fn docker() -> Result<Command> {
    let program = run::need("docker", "docker.io")?;
    let mut command = run::command(&program, As::Root);
    command.env("DOCKER_HOST", SOCKET);
    // Services that left the file are removed when the release is finished, not before.
    command.env("COMPOSE_IGNORE_ORPHANS", "1");
    Ok(command)
}

/// Run it to its end, whether it fails or not.
pub fn ask<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Outcome> {
    run::run(docker()?.args(arguments), b"")
}

/// Run it to its end; what it printed. For words of our own, which hold no value.
pub fn output<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<String> {
    let seen = ask(arguments)?;
    if seen.ok {
        return Ok(seen.output);
    }
    Err(unlogged(&seen.errors, &Mask::default()))
}

/// Run it to its end with its lines in the job's log; its complaints, masked.
pub fn stream(context: &Context, mask: &Mask, command: &mut Command) -> Result<Outcome> {
    context.check()?;
    let mut child = run::start(command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = thread::scope(|scope| {
        let said = scope.spawn(|| {
            if let Some(pipe) = stdout {
                lines(pipe, |line| context.log(&mask.line(line)));
            }
        });
        let mut words: Vec<String> = Vec::new();
        if let Some(pipe) = stderr {
            lines(pipe, |line| {
                let line = mask.line(line);
                if is_progress(&line) {
                    return context.log(line.trim());
                }
                context.complain(&line);
                words.push(line);
                let over = words.len().saturating_sub(WORDS_KEPT);
                words.drain(..over);
            });
        }
        let _ = said.join();
        words.join("\n")
    });
    let status = child
        .wait()
        .map_err(|_| broken("program_lost", "A program's end was not seen."))?;
    // A cancel ends the program, which is then seen as a failed one.
    context.check()?;
    Ok(Outcome {
        ok: status.success(),
        status: status.to_string(),
        output: String::new(),
        errors,
    })
}

fn lines(pipe: impl Read, mut each: impl FnMut(&str)) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        match (&mut pipe)
            .take(LINE_LIMIT_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(1..) => {
                let text = String::from_utf8_lossy(&line);
                if !text.trim().is_empty() {
                    each(&text);
                }
            }
            _ => return,
        }
    }
}

/// Compose says on stderr also what goes well.
fn is_progress(line: &str) -> bool {
    let mut words = line.split_whitespace();
    matches!(
        words.next(),
        Some("Container" | "Network" | "Volume" | "time=\"" | "Running")
    ) && !line.to_ascii_lowercase().contains("error")
}

/// What a complaint means that no log has: one that nobody has a word for is in `detail`, by its first line.
pub fn unlogged(complaint: &str, mask: &Mask) -> AgentError {
    let fault = fault(complaint);
    if fault.code != REFUSED {
        return fault;
    }
    let mut lines = complaint
        .lines()
        .filter(|line| !line.trim().is_empty() && !is_progress(line));
    with_detail(
        refused(
            REFUSED,
            "The container engine refused what was asked of it. Look at it: journalctl -u docker",
        ),
        mask.line(lines.next().unwrap_or_default()),
    )
}

/// What the engine's or Compose's complaint means, of which the job's log has every line; complaints that nobody has a word
/// for are in `detail` no further than their kind.
pub fn fault(complaint: &str) -> AgentError {
    let lower = complaint.to_ascii_lowercase();
    let says = |any: &[&str]| any.iter().any(|word| lower.contains(word));
    if says(&[
        "cannot connect to the docker daemon",
        "error during connect",
        "is the docker daemon running",
        "docker.sock: connect",
    ]) {
        return unavailable(
            "engine_away",
            "The container engine does not answer: systemctl status docker",
        );
    }
    if says(&["no space left on device", "disk quota exceeded"]) {
        return refused(
            "disk_full",
            "The disk has too little room for containers. Make room in /var/lib/docker, then try again.",
        );
    }
    if says(&["port is already allocated", "address already in use"]) {
        let message = match port(complaint) {
            Some(port) => format!(
                "Port {port} of this server is in use. Find out by what (ss -ltnp), then stop it or choose another port."
            ),
            None => "A port of this server that the release publishes is in use.".to_string(),
        };
        return refused("port_in_use", message);
    }
    if says(&["no such image", "pull access denied", "manifest unknown"]) {
        return refused(
            "image_missing",
            "An image of the release is not on this server any more. Deploy again.",
        );
    }
    if says(&[
        "is already in progress",
        "is already in use by container",
        "is marked for removal",
        "no such container",
    ]) {
        return busy(
            "engine_busy",
            "The container engine is still at something that was asked of it before. Try again soon.",
        );
    }
    if says(&[
        "'compose' is not a docker command",
        "unknown command: docker compose",
        "unknown shorthand flag: 'p'",
    ]) {
        return crate::fault::missing_software(
            "Docker Compose",
            "apt install docker-compose-plugin",
        );
    }
    if says(&[
        "all predefined address pools have been fully subnetted",
        "could not find an available",
    ]) {
        return refused(
            "no_networks_left",
            "The container engine has no addresses left for another network. Remove unused ones (docker network prune), or give it more: default-address-pools in /etc/docker/daemon.json",
        );
    }
    if says(&["pool overlaps with other one on this address space"]) {
        return refused(
            "network_overlaps",
            "A network of the Compose file has addresses that another network of this server has (docker network ls). Choose another `subnet` for it, or leave its `ipam` out.",
        );
    }
    if says(&["has active endpoints"]) {
        return refused(
            "network_in_use",
            "A network of the environment has containers that are not its own: it stays. Find them (docker network inspect) and disconnect or remove them, then try again.",
        );
    }
    if says(&["volume is in use"]) {
        return refused(
            "volume_in_use",
            "A volume of the environment is used by a container that is not its own: it stays. Find that (docker ps --all --filter volume=NAME) and remove it, then try again.",
        );
    }
    with_detail(
        refused(
            REFUSED,
            "The container engine refused what was asked of it. The log of this step has its words.",
        ),
        format!("{} lines of complaints", complaint.lines().count()),
    )
}

/// The port in `Bind for 127.0.0.1:20001 failed: port is already allocated`, or `listen tcp4 0.0.0.0:80: bind: …`.
fn port(complaint: &str) -> Option<u16> {
    let line = complaint.lines().find(|line| {
        line.contains("port is already allocated") || line.contains("address already in use")
    })?;
    let mut found = None;
    for part in line.split(':').skip(1) {
        let digits: String = part.chars().take_while(char::is_ascii_digit).collect();
        // An address's port is followed by nothing, or a space.
        let rest = &part[digits.len()..];
        if (rest.is_empty() || rest.starts_with(' '))
            && let Ok(port) = digits.parse()
        {
            found = Some(port);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_have_codes() {
        for (complaint, code) in [
            (
                "Error response from daemon: driver failed programming external connectivity on endpoint a-web-1 (2f): Bind for 0.0.0.0:8080 failed: port is already allocated",
                "port_in_use",
            ),
            (
                "Error response from daemon: driver failed: Error starting userland proxy: listen tcp4 127.0.0.1:20001: bind: address already in use",
                "port_in_use",
            ),
            (
                "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
                "engine_away",
            ),
            (
                "Error response from daemon: No such image: a:1",
                "image_missing",
            ),
            ("write /x: no space left on device", "disk_full"),
            (
                "Error response from daemon: Pool overlaps with other one on this address space",
                "network_overlaps",
            ),
            (
                "Error response from daemon: error while removing network: network shop_default id 3c has active endpoints",
                "network_in_use",
            ),
            (
                "Error response from daemon: remove shop_data: volume is in use - [3c]",
                "volume_in_use",
            ),
            ("something with hunter22", "engine_refused"),
        ] {
            let fault = fault(complaint);
            assert_eq!(fault.code, code, "{complaint}");
            assert!(!format!("{fault:?}").contains("hunter22"));
        }
    }

    #[test]
    fn a_log_is_spoken_of_only_where_there_is_one_and_elsewhere_the_words_are_masked() {
        let complaint = " Container shop-web-1  Creating\n\nbad option hunter22\nand more";
        let values = [("A".to_string(), "hunter22".to_string())];
        let unlogged = unlogged(complaint, &Mask::of(&values.into()));
        assert_eq!(
            (unlogged.code.as_str(), unlogged.detail.as_str()),
            (REFUSED, "bad option ***")
        );
        assert!(!unlogged.message.contains("log of this step"));
        assert!(fault(complaint).message.contains("log of this step"));
    }

    #[test]
    fn the_port_in_use_is_named() {
        for (complaint, named) in [
            (
                "x\nBind for 0.0.0.0:8080 failed: port is already allocated",
                Some(8080),
            ),
            (
                "listen tcp4 127.0.0.1:20001: bind: address already in use",
                Some(20001),
            ),
            (
                "Bind for :::443 failed: port is already allocated",
                Some(443),
            ),
            ("port is already allocated", None),
        ] {
            assert_eq!(port(complaint), named, "{complaint}");
        }
    }

    #[test]
    fn what_goes_well_is_no_complaint() {
        assert!(is_progress(" Container shop-web-1  Started"));
        assert!(!is_progress(" Container shop-web-1  Error"));
        assert!(!is_progress("no such service"));
    }
}
