//! A Compose project of a release: its file, and the programs that act on it.
//!
//! Promise: Compose builds nothing, pulls nothing, and reads no file or variable that is not the release's own.

use crate::fault::Result;
use crate::processes::MARK;
use crate::release::container::{self, Container};
use crate::release::engine;
use crate::release::folder::Release;
use protocol::release::ReleasePrepare;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// Variables that mean something to the programs themselves.
const RESERVED: [&str; 4] = ["PATH", "HOME", "LC_ALL", MARK];
/// The same, by how they begin.
const RESERVED_BEGINNINGS: [&str; 5] = ["DOCKER_", "COMPOSE_", "LD_", "GODEBUG", "BUILDX_"];

/// The engine ends what it was asked before its client was killed; that takes no longer than a container's stop does
/// after its signal.
const LOOK_AGAIN: Duration = Duration::from_millis(500);
const LOOKS: u32 = 3;

/// One of a release's two projects.
#[derive(Debug, Clone)]
pub struct Project {
    name: String,
    file: PathBuf,
    folder: PathBuf,
    /// The entries of its file.
    entries: Vec<String>,
    variables: BTreeMap<String, String>,
}

impl Project {
    /// Of the services that are updated in place.
    pub fn in_place(release: &Release, asked: &ReleasePrepare, file: &Value) -> Self {
        Self::of(
            release,
            release.environment().to_string(),
            release.in_place(),
            asked,
            file,
        )
    }

    /// Of those that stand beside older ones.
    pub fn beside(release: &Release, asked: &ReleasePrepare, file: &Value) -> Self {
        Self::of(release, release.project(), release.beside(), asked, file)
    }

    fn of(
        release: &Release,
        name: String,
        path: PathBuf,
        asked: &ReleasePrepare,
        file: &Value,
    ) -> Self {
        let entries = file["services"].as_object().into_iter().flatten();
        Self {
            name,
            file: path,
            folder: release.path().to_path_buf(),
            entries: entries.map(|(name, _)| name.clone()).collect(),
            variables: variables(asked, file),
        }
    }

    /// Compose would refuse a file without services.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Its name, which containers carry.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Make its containers what the file says, all of them or only those of these entries.
    pub fn up(&self, entries: &[String]) -> Result<Command> {
        let mut command = self.compose()?;
        command.args([
            "up",
            "--detach",
            "--no-build",
            "--pull",
            "never",
            "--quiet-pull",
        ]);
        if !entries.is_empty() {
            // Others that they wait for are as they should be already, or not meant.
            command.arg("--no-deps").arg("--").args(entries);
        }
        Ok(command)
    }

    /// Mend what is left where Compose was killed while it replaced a container: the new one stands beside the old one
    /// under a passing name, and has it yet when the old one is gone.
    pub fn settle(&self, environment: &str) -> Result<()> {
        let mut looks = 0;
        loop {
            let all = container::of_environment(environment)?;
            let own: Vec<&Container> = all.iter().filter(|one| one.project == self.name).collect();
            let passing: Vec<(&Container, &str)> = own
                .iter()
                .filter_map(|one| Some((*one, lasting_name(&one.name)?)))
                .collect();
            if passing.is_empty() {
                return Ok(());
            }
            looks += 1;
            if looks <= LOOKS {
                // What the engine was asked last it may still be doing.
                sleep(LOOK_AGAIN);
                continue;
            }
            for (new, name) in passing {
                if own.iter().any(|one| one.name == name) {
                    engine::output(["rm", "--force", &new.id])?;
                } else {
                    engine::output(["rename", &new.id, name])?;
                }
            }
            return Ok(());
        }
    }

    /// Stop its containers, those that others wait for last.
    pub fn stop(&self) -> Result<Command> {
        let mut command = self.compose()?;
        command.arg("stop");
        Ok(command)
    }

    fn compose(&self) -> Result<Command> {
        let mut command = engine::docker()?;
        command.envs(&self.variables);
        command.args(["compose", "--ansi", "never", "--project-name", &self.name]);
        command.arg("--project-directory").arg(&self.folder);
        command
            .args(["--env-file", "/dev/null", "--file"])
            .arg(&self.file);
        Ok(command)
    }
}

/// `shop-db-1` of `ac2305817c15_shop-db-1`: Compose's passing name has the beginning of the old container's id.
fn lasting_name(name: &str) -> Option<&str> {
    let (id, name) = name.split_once('_')?;
    (id.len() == 12 && id.bytes().all(|b| b.is_ascii_hexdigit())).then_some(name)
}

/// Values that Compose itself puts into containers as files: it reads them from its own environment, which only root sees.
fn variables(asked: &ReleasePrepare, file: &Value) -> BTreeMap<String, String> {
    let kinds = ["configs", "secrets"]
        .into_iter()
        .filter_map(|kind| file[kind].as_object());
    let names = kinds
        .flatten()
        .filter_map(|(_, entry)| entry["environment"].as_str());
    names
        .filter(|name| {
            !RESERVED.contains(name)
                && !RESERVED_BEGINNINGS
                    .iter()
                    .any(|beginning| name.starts_with(beginning))
        })
        .filter_map(|name| Some((name.to_string(), asked.values.get(name)?.clone())))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_passing_name_is_known_by_the_id_in_it() {
        assert_eq!(lasting_name("ac2305817c15_shop-db-1"), Some("shop-db-1"));
        assert_eq!(lasting_name("shop-my_db-1"), None);
    }

    #[test]
    fn only_values_that_files_name_reach_compose_and_none_that_commands_programs() {
        let asked = json!({"environment": "shop", "compose": "", "values": {"TOKEN": "t", "OTHER": "o", "DOCKER_HOST": "d", "PATH": "p"}});
        let asked: ReleasePrepare = serde_json::from_value(asked).expect("asked");
        let file = json!({"secrets": {"a": {"environment": "TOKEN"}, "b": {"environment": "DOCKER_HOST"}, "c": {"environment": "PATH"}}});
        assert_eq!(
            variables(&asked, &file),
            BTreeMap::from([("TOKEN".to_string(), "t".to_string())])
        );
    }
}
