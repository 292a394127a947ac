//! Git, run as a user of its own with a configuration of ours and nothing else.
//!
//! Promise: a credential is in a file of that user's, in a folder that goes with the call: never in an argument list, an
//! environment or the repository's address. No hook, filter, submodule, helper or configuration of the host takes part.

use super::address::{Address, Way};
use super::scratch::Scratch;
use super::{hosts, refusal};
use crate::fault::{Result, bad_request};
use crate::files;
use crate::paths::Paths;
use crate::run::{self, Outcome};
use protocol::AgentError;
use protocol::release::GitCredential;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A server that sends less than a kilobyte a second for a minute is away.
const CONFIG: &str = "\
[protocol]
	allow = never
	version = 2
[protocol \"https\"]
	allow = always
[protocol \"http\"]
	allow = always
[protocol \"ssh\"]
	allow = always
[core]
	hooksPath = /dev/null
	fsmonitor = false
	symlinks = true
[credential]
	helper =
[http]
	lowSpeedLimit = 1000
	lowSpeedTime = 60
[transfer]
	bundleURI = false
[fetch]
	recurseSubmodules = false
[submodule]
	recurse = false
[gc]
	auto = 0
[maintenance]
	auto = false
";

/// The repository's own attributes could leave files out, change them, or ask for a program: these go before them.
const ATTRIBUTES: &str = "* -export-ignore -export-subst -filter\n";

/// Git at one repository.
#[derive(Debug)]
pub struct Git<'a> {
    paths: &'a Paths,
    /// The repository.
    pub address: &'a Address,
    has_credential: bool,
    is_first_sight: bool,
    program: PathBuf,
    scratch: Scratch,
}

impl<'a> Git<'a> {
    /// With what opens it.
    pub fn new(
        paths: &'a Paths,
        address: &'a Address,
        credential: Option<&GitCredential>,
    ) -> Result<Self> {
        let program = run::need("git", "git")?;
        let scratch = Scratch::new(paths)?;
        let mut git = Self {
            paths,
            address,
            has_credential: credential.is_some(),
            is_first_sight: false,
            program,
            scratch,
        };
        let mut config = CONFIG.to_string();
        match (address.way, credential) {
            (Way::Ssh, Some(GitCredential::Token { .. })) => {
                return Err(bad_request(
                    "A token opens https addresses only. Give the repository's https address, or a deploy key.",
                ));
            }
            (Way::Https | Way::Http, Some(GitCredential::DeployKey { .. })) => {
                return Err(bad_request(
                    "A deploy key opens ssh addresses only. Give the repository's ssh address, or a token.",
                ));
            }
            (Way::Ssh, key) => {
                run::need("ssh", "openssh-client")?;
                git.put_ssh(key)?;
            }
            (_, Some(GitCredential::Token { username, token })) => {
                config += &git.put_token(username, token)?
            }
            (_, None) => {}
        }
        git.scratch.put(".gitconfig", &config)?;
        let template = git.scratch.path().join("template");
        files::directory(&template.join("info"), 0o755)?;
        files::write(
            &template.join("info/attributes"),
            ATTRIBUTES.as_bytes(),
            0o644,
        )?;
        git.scratch.give()?;
        Ok(git)
    }

    /// Git's own store of credentials: given to this origin only, also when the server sends elsewhere.
    fn put_token(&self, username: &str, token: &str) -> Result<String> {
        let origin = self.address.origin();
        let (way, host) = origin.split_once("://").unwrap_or(("https", &origin));
        let line = format!("{way}://{}:{}@{host}\n", escaped(username), escaped(token));
        let file = self.scratch.put("credentials", &line)?;
        Ok(format!(
            "[credential \"{origin}\"]\n\thelper = store --file={}\n",
            file.display()
        ))
    }

    fn put_ssh(&mut self, key: Option<&GitCredential>) -> Result<()> {
        let pinned = hosts::pinned(self.paths, self.address)?;
        self.is_first_sight = pinned.is_empty();
        let known = self.scratch.put("known_hosts", &pinned)?;
        let identity = match key {
            Some(GitCredential::DeployKey { private_key }) => {
                // Pasted from anywhere; ssh insists on the last line's end.
                let text = private_key.replace("\r\n", "\n");
                self.scratch
                    .put("key", &format!("{}\n", text.trim()))?
                    .display()
                    .to_string()
            }
            _ => "none".into(),
        };
        // Accepting new keys also where others are known would let another kind of key through.
        let strict = if self.is_first_sight {
            "accept-new"
        } else {
            "yes"
        };
        let config = format!(
            "Host *\n\
             IdentityFile {identity}\nIdentitiesOnly yes\nIdentityAgent none\nBatchMode yes\n\
             PreferredAuthentications publickey\nForwardAgent no\nClearAllForwardings yes\nPermitLocalCommand no\n\
             UserKnownHostsFile {}\nGlobalKnownHostsFile /dev/null\nStrictHostKeyChecking {strict}\n\
             HashKnownHosts no\nUpdateHostKeys no\nCheckHostIP no\nVerifyHostKeyDNS no\n\
             ConnectTimeout 20\nServerAliveInterval 15\nServerAliveCountMax 4\n",
            known.display()
        );
        self.scratch.put("ssh_config", &config).map(|_| ())
    }

    /// Where it works; the user's.
    pub fn folder(&self) -> &Path {
        self.scratch.path()
    }

    /// Git with these arguments, not yet started.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let folder = self.scratch.path();
        let mut command = run::command(&self.program, self.scratch.user().rights());
        command
            .current_dir(folder)
            .env("HOME", folder)
            .env("XDG_CONFIG_HOME", folder.join("none"))
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ASKPASS", "")
            .env("GIT_CEILING_DIRECTORIES", folder)
            .env("GIT_LFS_SKIP_SMUDGE", "1")
            .env("GIT_SSH_VARIANT", "ssh")
            // Git gives this to a shell: the folder's name needs no quoting.
            .env(
                "GIT_SSH_COMMAND",
                format!("ssh -F {}", folder.join("ssh_config").display()),
            )
            .args(arguments);
        command
    }

    /// Run it to its end, whatever that is.
    pub fn run(&self, arguments: &[&str]) -> Result<Outcome> {
        let seen = run::run(&mut self.command(arguments), b"")?;
        if seen.ok {
            self.pin()?;
        }
        Ok(seen)
    }

    /// The host was reached: its key is the one from now on.
    pub fn pin(&self) -> Result<()> {
        if !self.is_first_sight {
            return Ok(());
        }
        hosts::pin(self.paths, self.address, &self.scratch.read("known_hosts")?)
    }

    /// What its complaint means.
    pub fn fault(&self, said: &str) -> AgentError {
        refusal::fault(self.paths, self.address, self.has_credential, said)
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}
