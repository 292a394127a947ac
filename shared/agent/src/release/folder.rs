//! What is kept of an environment and its releases: `/var/lib/triphammer/releases/<environment>/<deployment>`.
//!
//! Promise: root's alone, because values are in it; files are written whole or not at all.

use crate::check;
use crate::fault::{Result, broken, io_at, refused};
use crate::files;
use crate::paths::Paths;
use crate::release::compose;
use crate::release::plan::Files;
use chrono::{DateTime, Utc};
use protocol::release::{ReleasePlan, ReleasePrepare};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// An environment's folder.
#[derive(Debug, Clone)]
pub struct Environment {
    name: String,
    path: PathBuf,
}

/// Which release is which.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// The routes lead to its containers.
    #[serde(default)]
    pub live: Option<String>,
    /// Was live before it; until the release is finished it may be switched back to.
    #[serde(default)]
    pub before: Option<String>,
    /// A person stopped it.
    #[serde(default)]
    pub stopped: bool,
    /// It was stopped when `before` was live.
    #[serde(default)]
    pub stopped_before: bool,
}

impl State {
    /// The release that this one replaces or has replaced.
    pub fn replaced_by(&self, deployment: &str) -> Option<&str> {
        if self.live.as_deref() == Some(deployment) {
            self.before.as_deref()
        } else {
            self.live.as_deref()
        }
    }
}

/// One release's folder.
#[derive(Debug, Clone)]
pub struct Release {
    environment: String,
    deployment: String,
    path: PathBuf,
}

/// Ports of this host, on the loopback address, by service and port of its own; one for each replica, in order.
pub type Ports = BTreeMap<String, BTreeMap<u16, Vec<u16>>>;

impl Environment {
    /// By its name, which is checked here.
    pub fn of(paths: &Paths, name: &str) -> Result<Self> {
        check::environment(name)?;
        Ok(Self {
            name: name.to_string(),
            path: paths.releases().join(name),
        })
    }

    /// Every environment of this host, by name.
    pub fn all(paths: &Paths) -> Result<Vec<Self>> {
        names(&paths.releases())?
            .iter()
            .filter(|name| check::environment(name).is_ok())
            .map(|name| Self::of(paths, name))
            .collect()
    }

    /// `shop-web-production-k3v9q2`
    pub fn name(&self) -> &str {
        &self.name
    }

    /// One of its releases.
    pub fn release(&self, deployment: &str) -> Result<Release> {
        check::id("deployment's id", deployment)?;
        Ok(Release {
            environment: self.name.clone(),
            deployment: deployment.to_string(),
            path: self.path.join(deployment),
        })
    }

    /// All releases that something is kept of, oldest first: ids count up.
    pub fn releases(&self) -> Result<Vec<Release>> {
        names(&self.path)?
            .iter()
            .filter(|name| self.path.join(name).is_dir())
            .map(|name| self.release(name))
            .collect()
    }

    /// Which release is which; of an environment that was never released, nothing is.
    pub fn state(&self) -> Result<State> {
        Ok(load(&self.path.join("state.json"))?.unwrap_or_default())
    }

    /// Keep it.
    pub fn set_state(&self, state: &State) -> Result<()> {
        files::directory(&self.path, 0o700)?;
        store(&self.path.join("state.json"), state)
    }

    /// The release that this deployment's replaces or has replaced.
    pub fn replaced_by(&self, deployment: &str) -> Result<Option<Release>> {
        let state = self.state()?;
        state
            .replaced_by(deployment)
            .map(|id| self.release(id))
            .transpose()
    }

    /// Throw all of it away.
    pub fn remove(&self) -> Result<()> {
        match std::fs::remove_dir_all(&self.path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(io_at(&self.path, &error)),
            _ => Ok(()),
        }
    }

    /// Images of releases that are gone, until they are pruned.
    pub fn lapsed(&self) -> Result<BTreeSet<String>> {
        Ok(load(&self.path.join("lapsed.json"))?.unwrap_or_default())
    }

    /// Keep them.
    pub fn set_lapsed(&self, images: &BTreeSet<String>) -> Result<()> {
        store(&self.path.join("lapsed.json"), images)
    }
}

impl Release {
    /// The environment's name.
    pub fn environment(&self) -> &str {
        &self.environment
    }

    /// Its deployment.
    pub fn deployment(&self) -> &str {
        &self.deployment
    }

    /// The folder; made by [`Release::prepare`].
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The Compose project of its containers that stand beside older ones; the environment's own is for those that do not.
    pub fn project(&self) -> String {
        let id = self.deployment.to_ascii_lowercase();
        // The end of an id is its random part.
        format!("{}-{}", self.environment, &id[id.len().saturating_sub(8)..])
    }

    /// Was it prepared for exactly this?
    pub fn was_asked(&self, asked: &ReleasePrepare) -> Result<bool> {
        let kept: Option<String> = load(&self.path.join("ask.json"))?;
        Ok(files::exists(&self.path.join("plan.json")) && kept == Some(sum(asked)?))
    }

    /// Keep what was asked, its images pinned, and what will be done.
    pub fn prepare(&self, asked: &ReleasePrepare, plan: &ReleasePlan) -> Result<()> {
        self.make()?;
        store(&self.path.join("asked.json"), asked)?;
        // Last: what has a plan is prepared.
        store(&self.path.join("plan.json"), plan)
    }

    /// Keep what was asked (its images pinned in `pinned`), its files, and what will be done.
    pub fn keep(
        &self,
        asked: &ReleasePrepare,
        pinned: &ReleasePrepare,
        files: &Files,
        plan: &ReleasePlan,
    ) -> Result<()> {
        files::remove(&self.path.join("plan.json"))?;
        for (path, file) in [
            (self.in_place(), &files.in_place),
            (self.beside(), &files.beside),
        ] {
            files::write(&path, compose::text(file).as_bytes(), 0o600)?;
        }
        store(&self.path.join("decisions.json"), &files.decisions)?;
        store(&self.path.join("outlives.json"), &files.outlives)?;
        store(&self.path.join("ask.json"), &sum(asked)?)?;
        self.prepare(pinned, plan)
    }

    /// Make the folder.
    pub fn make(&self) -> Result<()> {
        self.path
            .parent()
            .map_or(Ok(false), |parent| files::directory(parent, 0o700))?;
        files::directory(&self.path, 0o700)?;
        Ok(())
    }

    /// Is all of it here?
    pub fn is_prepared(&self) -> bool {
        files::exists(&self.path.join("plan.json"))
    }

    /// The two Compose files and what must be there for them.
    pub fn files(&self) -> Result<Files> {
        let outlives = load(&self.path.join("outlives.json"))?;
        Ok(Files {
            in_place: load(&self.in_place())?.ok_or_else(|| self.not_prepared())?,
            beside: load(&self.beside())?.ok_or_else(|| self.not_prepared())?,
            decisions: load(&self.path.join("decisions.json"))?
                .ok_or_else(|| self.not_prepared())?,
            outlives: outlives.unwrap_or_default(),
            notes: Vec::new(),
        })
    }

    /// Have services been updated in place by this release?
    pub fn has_updated(&self) -> bool {
        files::exists(&self.path.join("updated"))
    }

    /// Keep whether they have.
    pub fn set_updated(&self, has: bool) -> Result<()> {
        if has {
            return files::write(&self.path.join("updated"), b"", 0o600);
        }
        files::remove(&self.path.join("updated")).map(|_| ())
    }

    /// When routes were last led to its containers or away from them; none when they never were.
    pub fn switched_at(&self) -> Result<Option<DateTime<Utc>>> {
        let kept: Option<i64> = load(&self.path.join("switched.json"))?;
        Ok(kept.and_then(DateTime::from_timestamp_millis))
    }

    /// Keep it.
    pub fn set_switched_at(&self, at: DateTime<Utc>) -> Result<()> {
        store(&self.path.join("switched.json"), &at.timestamp_millis())
    }

    /// What was asked, its images pinned.
    pub fn asked(&self) -> Result<ReleasePrepare> {
        load(&self.path.join("asked.json"))?.ok_or_else(|| self.not_prepared())
    }

    /// What will be done.
    pub fn plan(&self) -> Result<ReleasePlan> {
        load(&self.path.join("plan.json"))?.ok_or_else(|| self.not_prepared())
    }

    /// The ports its routed containers are published at.
    pub fn ports(&self) -> Result<Ports> {
        Ok(load(&self.path.join("ports.json"))?.unwrap_or_default())
    }

    /// Keep them.
    pub fn set_ports(&self, ports: &Ports) -> Result<()> {
        store(&self.path.join("ports.json"), ports)
    }

    /// The Compose file of containers that stand beside older ones.
    pub fn beside(&self) -> PathBuf {
        self.path.join("beside.json")
    }

    /// The Compose file of containers that are updated in place.
    pub fn in_place(&self) -> PathBuf {
        self.path.join("in_place.json")
    }

    /// Where its source is checked out.
    pub fn checkout(&self) -> PathBuf {
        self.path.join("checkout")
    }

    /// Throw it away; false when it was not there.
    pub fn remove(&self) -> Result<bool> {
        match std::fs::remove_dir_all(&self.path) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(io_at(&self.path, &error)),
        }
    }

    fn not_prepared(&self) -> protocol::AgentError {
        refused(
            "not_prepared",
            format!(
                "This server has nothing of the release {} any more. Deploy again.",
                self.deployment
            ),
        )
    }
}

/// Keep a value as JSON.
pub fn store(path: &Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec_pretty(value)
        .map_err(|_| broken("reply_lost", "A file of the agent's could not be written."))?;
    files::write(path, &text, 0o600)
}

/// A value that was kept so; none when it was not.
pub fn load<T: DeserializeOwned>(path: &Path) -> Result<Option<T>> {
    let Some(text) = files::read(path)? else {
        return Ok(None);
    };
    // The parser's words may quote a value: they are not passed on.
    let read = serde_json::from_str(&text);
    read.map(Some).map_err(|_| {
        broken(
            "state_damaged",
            format!("The agent's own file {} is damaged.", path.display()),
        )
    })
}

/// Of what was asked: it holds secrets, and so does the folder.
fn sum(asked: &ReleasePrepare) -> Result<String> {
    let text = serde_json::to_vec(asked)
        .map_err(|_| broken("reply_lost", "A release could not be written."))?;
    Ok(hex::encode(Sha256::digest(&text)))
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = match std::fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(io_at(folder, &error)),
    };
    let mut names: Vec<String> = entries
        .flatten()
        .filter(|entry| entry.path().is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_compose_file_holds_no_character_that_yaml_refuses_or_folds_and_is_read_as_it_was() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let environment = Environment::of(&paths, "shop").expect("a name");
        let release = environment.release("d1").expect("an id");
        let file = json!({ "services": { "web": { "environment": { "A": "\u{7f}\u{85}\u{2028}\u{feff}\n$$" } } } });
        let files = Files {
            in_place: file.clone(),
            beside: file,
            decisions: BTreeMap::new(),
            outlives: Default::default(),
            notes: Vec::new(),
        };
        let asked = json!({ "environment": "shop", "compose": "" });
        let asked: ReleasePrepare = serde_json::from_value(asked).expect("asked");
        let plan = json!({ "services": [], "volumes": [], "variables": [], "notes": [] });
        let plan = serde_json::from_value(plan).expect("a plan");
        release.make().expect("made");
        release.keep(&asked, &asked, &files, &plan).expect("kept");
        for path in [release.in_place(), release.beside()] {
            let text = std::fs::read_to_string(path).expect("read");
            assert!(!text.contains(['\u{7f}', '\u{85}', '\u{2028}', '\u{feff}']));
        }
        assert_eq!(release.files().expect("read"), files);
    }
}
