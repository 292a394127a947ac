//! Booted test servers, by `infra/lab/lab`.
//!
//! Promise: a thin door; what it does is said there.

use crate::build::{read, root, run};
use crate::setup::{has, may_install};
use anyhow::{Result, bail};
use serde::Deserialize;
use std::path::PathBuf;
use std::process::Command;

/// A set of servers.
#[derive(Debug, Deserialize)]
pub struct Lab {
    /// Its name.
    pub name: String,
    /// Its servers.
    pub servers: Vec<Server>,
}

/// A server.
#[derive(Debug, Deserialize)]
pub struct Server {
    /// `srv1`
    pub name: String,
    /// Its address.
    pub address: String,
    /// Who may log in.
    pub user: String,
    /// With this key.
    pub key_path: PathBuf,
    /// `SHA256:…`
    pub host_key_fingerprint: String,
}

fn lab(arguments: &[&str]) -> Command {
    let mut command = Command::new(root().join("infra/lab/lab"));
    command.args(arguments);
    command
}

/// Why this machine cannot boot servers, in a few words.
pub fn can_boot() -> Result<(), String> {
    if !has("apt-get") {
        return Err("it is no Debian or Ubuntu".to_string());
    }
    if !may_install() {
        return Err("that needs root".to_string());
    }
    if !std::path::Path::new("/etc/apt/sources.list.d/debian.sources").exists() {
        return Err(
            "it has no Debian package source in /etc/apt/sources.list.d/debian.sources".to_string(),
        );
    }
    if !std::fs::read_to_string("/proc/filesystems")
        .is_ok_and(|systems| systems.contains("overlay"))
    {
        return Err("its kernel has no overlay file system".to_string());
    }
    Ok(())
}

impl Lab {
    /// Boot, unless it runs.
    pub fn up(name: &str, servers: usize) -> Result<Self> {
        run(&mut lab(&["up", name, &servers.to_string()]))?;
        Self::open(name)
    }

    /// One that runs.
    pub fn open(name: &str) -> Result<Self> {
        Ok(serde_json::from_str(&read(&mut lab(&["info", name]))?)?)
    }

    /// Stop it, and leave nothing.
    pub fn down(name: &str) -> Result<()> {
        run(&mut lab(&["down", name]))
    }

    /// A server's root folder, as this machine sees it.
    pub fn root(&self, server: &str) -> PathBuf {
        let labs = std::env::var_os("TRIPHAMMER_LABS");
        let labs = labs.map_or_else(|| PathBuf::from("/var/tmp/triphammer/labs"), PathBuf::from);
        labs.join(&self.name).join(server).join("root")
    }

    /// Run a command as root on a server.
    pub fn exec(&self, server: &str, command: &[&str]) -> Result<String> {
        let mut arguments = vec!["exec", &self.name, server];
        arguments.extend(command);
        read(&mut lab(&arguments))
    }

    /// All that must be as before, as text.
    pub fn snapshot(&self, server: &str) -> Result<String> {
        let text = read(&mut lab(&["snapshot", &self.name, server]))?;
        if text.lines().count() < 100 {
            bail!("the snapshot of {server} is too short to be one: {text}");
        }
        Ok(text)
    }

    /// A WordPress site set up by hand.
    pub fn neighbour(&self, server: &str, domain: &str) -> Result<()> {
        run(&mut lab(&["neighbour", &self.name, server, domain]))
    }

    /// Things of this name that are not ours.
    pub fn namesake(&self, server: &str, name: &str) -> Result<()> {
        run(&mut lab(&["namesake", &self.name, server, name]))
    }

    /// A fault, as `lab fault` names them: `["power-cut", "srv1"]`.
    pub fn fault(&self, fault: &[&str]) -> Result<()> {
        let mut arguments = vec!["fault", &self.name];
        arguments.extend(fault);
        run(&mut lab(&arguments))
    }
}
