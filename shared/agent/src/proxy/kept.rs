//! The routes as they are kept: `proxy/routes/<environment>.json`, and `proxy/caddy.json`, which Caddy starts with.
//!
//! Promise: changed under one lock of the server, so two environments never lose each other's; the same routes make the
//! same bytes.

use super::{Way, config};
use crate::check;
use crate::fault::{Result, bad_request, broken, io_at, refused};
use crate::files;
use crate::lease;
use crate::paths::Paths;
use crate::release::folder;
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::time::Duration;

/// A change takes tenths of a second, the first one some seconds because Caddy is started; many may come at once.
const LOCK_WITHIN: Duration = Duration::from_secs(60);

/// The routes of all environments of this server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Kept(BTreeMap<String, Vec<Way>>);

/// Nobody else changes routes as long as this lives.
#[derive(Debug)]
pub struct Locked {
    _file: File,
}

/// Hold the proxy for this process alone.
pub fn lock(paths: &Paths) -> Result<Locked> {
    files::directory(&paths.state(), 0o700)?;
    files::directory(&paths.proxy(), 0o700)?;
    files::directory(&routes(paths), 0o700)?;
    let file = lease::lock(&paths.proxy().join("lock"), LOCK_WITHIN)?;
    Ok(Locked { _file: file })
}

/// What Caddy starts with.
pub fn start_file(paths: &Paths) -> PathBuf {
    paths.proxy().join("caddy.json")
}

fn routes(paths: &Paths) -> PathBuf {
    paths.proxy().join("routes")
}

fn file(paths: &Paths, environment: &str) -> PathBuf {
    routes(paths).join(format!("{environment}.json"))
}

impl Kept {
    /// As they are on the disk.
    pub fn read(paths: &Paths) -> Result<Self> {
        let folder = routes(paths);
        let mut all = BTreeMap::new();
        let entries = match std::fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(io_at(&folder, &error)),
        };
        for entry in entries {
            let entry = entry.map_err(|error| io_at(&folder, &error))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            // A half-written neighbour ends otherwise.
            let Some(environment) = name.strip_suffix(".json") else {
                continue;
            };
            if check::environment(environment).is_ok()
                && let Some(ways) = folder::load::<Vec<Way>>(&entry.path())?
            {
                all.insert(environment.to_string(), ways);
            }
        }
        Ok(Self(all))
    }

    /// One environment's.
    pub fn of(&self, environment: &str) -> &[Way] {
        self.0.get(environment).map_or(&[], Vec::as_slice)
    }

    /// Every route with its environment.
    pub fn all(&self) -> impl Iterator<Item = (&str, &Way)> {
        self.0
            .iter()
            .flat_map(|(environment, ways)| ways.iter().map(move |way| (environment.as_str(), way)))
    }

    /// One environment's become these; a route that another one has is refused.
    pub fn change(&mut self, environment: &str, ways: &[Way]) -> Result<()> {
        for way in ways {
            let same =
                |other: &Way| other.route.host == way.route.host && other.path() == way.path();
            let mut others = self.all().filter(|(name, _)| *name != environment);
            if let Some((holder, _)) = others.find(|(_, other)| same(other)) {
                return Err(refused(
                    "host_taken",
                    format!(
                        "{}{} leads to the environment {holder} on this server already. Remove that route first, or choose another host name or path.",
                        way.route.host,
                        way.path()
                    ),
                ));
            }
        }
        let mut ways = ways.to_vec();
        ways.sort_by_key(|way| (way.route.host.clone(), way.path()));
        if ways.is_empty() {
            self.0.remove(environment);
        } else {
            self.0.insert(environment.to_string(), ways);
        }
        Ok(())
    }

    /// Keep them; true when the disk had others.
    pub fn store(&self, paths: &Paths, _locked: &Locked) -> Result<bool> {
        let on_disk = Self::read(paths)?;
        let mut changed = false;
        for environment in on_disk.0.keys().chain(self.0.keys()) {
            let ways = self.of(environment);
            if ways == on_disk.of(environment) {
                continue;
            }
            let file = file(paths, environment);
            if ways.is_empty() {
                files::remove(&file)?;
                files::sync_parent(&file).map_err(|error| io_at(&file, &error))?;
            } else {
                folder::store(&file, &ways)?;
            }
            changed = true;
        }
        changed |= self.store_start_file(paths)?;
        Ok(changed)
    }

    /// Keep what Caddy starts with; true when it was another.
    pub fn store_start_file(&self, paths: &Paths) -> Result<bool> {
        let path = start_file(paths);
        let text = self.text(paths)?;
        if files::read(&path)?.as_deref() == Some(&text) {
            return Ok(false);
        }
        files::write(&path, text.as_bytes(), 0o600)?;
        Ok(true)
    }

    /// Caddy's whole configuration.
    pub fn configuration(&self, paths: &Paths) -> Result<Value> {
        let path = paths.proxy().join(config::CERTIFICATE_AUTHORITY);
        let authority = match files::read(&path)? {
            None => None,
            Some(text) => Some(
                serde_json::from_str(&text)
                    .map_err(|_| bad_request(format!("{} is no JSON object.", path.display())))?,
            ),
        };
        Ok(config::whole(self, &super::admin::socket(paths), authority))
    }

    /// The same as text.
    pub fn text(&self, paths: &Paths) -> Result<String> {
        serde_json::to_string_pretty(&self.configuration(paths)?).map_err(|_| {
            broken(
                "reply_lost",
                "The proxy's configuration could not be written.",
            )
        })
    }
}
