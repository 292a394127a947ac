//! Docker Compose itself, asked what it makes of a file.
//!
//! Promise: it runs as nobody, without a network, in an empty folder, for a bounded time, with no variable of the file in
//! its environment; the file goes in by its standard input.

use super::complaint;
use crate::accounts;
use crate::fault::{Result, broken, missing_software, unavailable};
use crate::files;
use crate::paths::Paths;
use crate::run::{self, As};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Where Docker looks for its plugins on a whole host.
const DIRECTORIES: [&str; 4] = [
    "/usr/local/lib/docker/cli-plugins",
    "/usr/local/libexec/docker/cli-plugins",
    "/usr/lib/docker/cli-plugins",
    "/usr/libexec/docker/cli-plugins",
];
/// A file takes a twentieth of a second here; a loaded host some seconds.
const WITHIN_SECONDS: &str = "30";
/// What `timeout` says when the time was over: 128 and SIGKILL.
const TIMED_OUT: [&str; 2] = ["exit status: 137", "signal: 9 (SIGKILL)"];
/// Debian's own, should the host have no user of that name.
const NOBODY: u32 = 65534;

/// The host's Compose.
#[derive(Debug, Clone)]
pub struct Engine {
    plugin: PathBuf,
}

impl Engine {
    /// The plugin of this host; version 1 is none.
    pub fn host() -> Result<Self> {
        Self::among(DIRECTORIES.iter().map(Path::new))
    }

    fn among<'a>(mut directories: impl Iterator<Item = &'a Path>) -> Result<Self> {
        directories
            .find_map(|directory| {
                let plugin = directory.join("docker-compose");
                plugin.is_file().then_some(Self { plugin })
            })
            .ok_or_else(missing)
    }

    /// This one.
    pub fn at(plugin: &Path) -> Self {
        Self {
            plugin: plugin.to_path_buf(),
        }
    }

    /// `docker compose config --format json` of a file that has no variables left. `known` are the names in it, which
    /// alone may be told.
    pub fn config(
        &self,
        file: &str,
        project: &str,
        profiles: &[String],
        known: &complaint::Known,
    ) -> Result<Value> {
        let paths = Paths::host();
        let empty = paths.empty();
        files::directory(&empty, 0o555)?;
        let (uid, gid) = accounts::user(&paths, "nobody")?
            .filter(|user| user.uid != 0)
            .map_or((NOBODY, NOBODY), |user| (user.uid, user.gid));
        let mut command = run::command(&run::need("timeout", "coreutils")?, As::Root);
        command
            .args(["--signal=KILL", WITHIN_SECONDS])
            .arg(run::need("unshare", "util-linux")?)
            .args(["--net", "--ipc", "--"])
            .arg(run::need("setpriv", "util-linux")?)
            .args([
                format!("--reuid={uid}"),
                format!("--regid={gid}"),
                "--clear-groups".into(),
                "--bounding-set=-all".into(),
                "--inh-caps=-all".into(),
                "--no-new-privs".into(),
                "--".into(),
            ])
            .arg(&self.plugin)
            .args(["--ansi", "never", "--project-name", project])
            .arg("--project-directory")
            .arg(&empty)
            .args(["--env-file", "/dev/null", "--file", "-"]);
        for profile in profiles {
            command.args(["--profile", profile]);
        }
        command
            .args(["config", "--format", "json", "--no-path-resolution"])
            .env("HOME", &empty)
            .env("DOCKER_CONFIG", &empty)
            .current_dir(&empty);
        let seen = run::run(&mut command, file.as_bytes())?;
        if seen.ok {
            return serde_json::from_str(&seen.output).map_err(|_| {
                broken(
                    "compose_not_understood",
                    "What Docker Compose made of the file was not understood.",
                )
            });
        }
        if TIMED_OUT.contains(&seen.status.as_str()) {
            return Err(unavailable(
                "compose_too_slow",
                format!("Docker Compose did not read the file within {WITHIN_SECONDS} seconds."),
            ));
        }
        if seen.errors.contains("unknown flag") {
            return Err(missing());
        }
        if let Some(program) = ["unshare: ", "setpriv: ", "timeout: "]
            .iter()
            .find(|program| seen.errors.starts_with(**program))
        {
            return Err(broken(
                "compose_not_confined",
                format!(
                    "Docker Compose could not be run without rights: {} failed on this server.",
                    program.trim_end_matches(": ")
                ),
            ));
        }
        Err(complaint::explain(&seen.errors, known))
    }
}

fn missing() -> protocol::AgentError {
    missing_software(
        "Docker Compose 2.20 or newer, the plugin of Docker (docker-compose 1 is not enough)",
        "apt install docker-compose-plugin from Docker's repository, or docker-compose-v2 on Ubuntu, or docker-compose on Debian 13",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_without_the_plugin_is_told_what_to_install() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let error = Engine::among([root.path()].into_iter()).expect_err("none is there");
        assert_eq!(error.code, "missing_software");
        assert!(error.message.contains("docker-compose-plugin"));
        std::fs::write(root.path().join("docker-compose"), "").expect("written");
        assert!(Engine::among([root.path()].into_iter()).is_ok());
    }
}
