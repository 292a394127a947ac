//! Who listens on a port of this host.
//!
//! Promise: only looks.

use super::sockets::{self, State};
use crate::fault::Result;
use std::fs;
use std::path::Path;

/// A program that listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// `nginx`
    pub program: String,
    /// `nginx.service`, if systemd keeps it.
    pub unit: Option<String>,
}

impl Holder {
    /// What is wrong and how to mend it.
    pub fn complaint(&self, port: u16) -> String {
        match (self.program.as_str(), &self.unit) {
            ("docker-proxy", _) => format!(
                "a container publishes port {port}, which the proxy needs: find it with docker ps --filter publish={port}, and give it another port"
            ),
            (_, Some(unit)) => {
                let name = unit.strip_suffix(".service").unwrap_or(unit);
                format!(
                    "{unit} holds port {port}, which the proxy needs: systemctl disable --now {name}"
                )
            }
            (program, None) => format!(
                "{program} holds port {port}, which the proxy needs: end it, or give it another port"
            ),
        }
    }
}

/// Who holds the port, on whatever address; none when it is free.
pub fn holder(port: u16) -> Result<Option<Holder>> {
    let listening: Vec<u64> = sockets::all()?
        .into_iter()
        .filter(|one| one.state == State::Listening && one.local.port() == port)
        .map(|one| one.inode)
        .collect();
    if listening.is_empty() {
        return Ok(None);
    }
    Ok(Some(process_of(&listening).unwrap_or(Holder {
        program: "another program".into(),
        unit: None,
    })))
}

fn process_of(inodes: &[u64]) -> Option<Holder> {
    let wanted: Vec<String> = inodes.iter().map(|one| format!("socket:[{one}]")).collect();
    let has = |process: &Path| {
        fs::read_dir(process.join("fd")).is_ok_and(|open| {
            open.flatten().any(|one| {
                fs::read_link(one.path())
                    .is_ok_and(|to| wanted.iter().any(|socket| to == Path::new(socket)))
            })
        })
    };
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let process = processes.map(|one| one.path()).find(|path| has(path))?;
    let program = fs::read_to_string(process.join("comm")).ok()?;
    let cgroup = fs::read_to_string(process.join("cgroup")).unwrap_or_default();
    Some(Holder {
        program: program.trim().to_string(),
        unit: unit(&cgroup),
    })
}

/// `0::/system.slice/nginx.service`; of version 1, systemd's own line is one of several.
fn unit(cgroup: &str) -> Option<String> {
    cgroup
        .lines()
        .filter_map(|line| line.rsplit('/').find(|part| part.ends_with(".service")))
        .map(str::to_string)
        .next()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn the_holder_of_a_port_is_found() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("bound");
        let port = listener.local_addr().expect("an address").port();
        assert!(holder(port).expect("looked").is_some());
        drop(listener);
        assert_eq!(holder(port).expect("looked"), None);
    }

    #[test]
    fn a_complaint_says_what_to_run() {
        let caddy = Holder {
            program: "caddy".into(),
            unit: unit("12:pids:/x\n0::/system.slice/caddy.service\n"),
        };
        assert_eq!(
            caddy.complaint(80),
            "caddy.service holds port 80, which the proxy needs: systemctl disable --now caddy"
        );
    }
}
