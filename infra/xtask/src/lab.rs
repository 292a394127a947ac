//! Booted test servers, by `infra/lab/lab`.
//!
//! Promise: a thin door; what it does is said there.

use crate::build::{read, root, run};
use crate::setup::{has, may_install};
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

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
    /// `srv1`, `docker1` or `hub`.
    pub name: String,
    /// What it is for.
    #[serde(default)]
    pub kind: Kind,
    /// Its address.
    pub address: String,
    /// Who may log in.
    pub user: String,
    /// With this key.
    pub key_path: PathBuf,
    /// `SHA256:…`
    pub host_key_fingerprint: String,
}

/// What a server is for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// WordPress sites.
    #[default]
    Web,
    /// Containers.
    Docker,
    /// Registries and git repositories, for the others.
    Hub,
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
    /// Boot so many web servers and Docker hosts, unless they run; a hub comes with Docker hosts.
    pub fn up(name: &str, servers: usize, docker_hosts: usize) -> Result<Self> {
        run(&mut lab(&[
            "up",
            name,
            &servers.to_string(),
            &docker_hosts.to_string(),
        ]))?;
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

    /// Its servers of this kind.
    pub fn of(&self, kind: Kind) -> impl Iterator<Item = &Server> {
        self.servers
            .iter()
            .filter(move |server| server.kind == kind)
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

    /// Commit a folder's contents to a repository of the hub, which is made unless it is there; the commit's name.
    pub fn commit(&self, repository: &str, branch: &str, folder: &Path) -> Result<String> {
        let mut tar = Command::new("tar")
            .arg("-C")
            .arg(folder)
            .args(["-c", "."])
            .stdout(Stdio::piped())
            .spawn()?;
        let mut make = lab(&["hub", &self.name, "make-repository", repository, branch]);
        make.stdin(tar.stdout.take().context("tar has no output")?);
        let commit = read(&mut make)?;
        if !tar.wait()?.success() {
            bail!("{} could not be read", folder.display());
        }
        Ok(commit.trim().to_string())
    }

    /// Push an image of the sample application; its digest.
    pub fn app_image(
        &self,
        binary: &Path,
        image: &str,
        environment: &[(&str, &str)],
    ) -> Result<String> {
        let mut push = lab(&["app-image", &self.name]);
        push.arg(binary).arg(image);
        push.args(
            environment
                .iter()
                .map(|(key, value)| format!("{key}={value}")),
        );
        Ok(read(&mut push)?.trim().to_string())
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
