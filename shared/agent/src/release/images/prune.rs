//! Images that nothing needs any more.
//!
//! Promise: without force. What a kept release of any environment names stays, and so does what a container uses, running
//! or not; when it cannot be told what is needed, nothing goes.

use super::engine::{Engine, Failure, read};
use super::reference::Reference;
use crate::fault::Result;
use crate::paths::Paths;
use crate::release::folder::{Environment, Release};
use serde::Deserialize;
use std::collections::BTreeSet;

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// References.
    pub images: Vec<String>,
    /// Bytes that came free, layers that other images share counted too.
    pub freed_bytes: u64,
}

#[derive(Deserialize)]
struct Container {
    #[serde(rename = "ImageID")]
    image_id: String,
}

#[derive(Deserialize)]
struct Gone {
    #[serde(rename = "Deleted")]
    deleted: Option<String>,
}

/// Remove these images, which only releases of ours used, unless a kept release of any environment of this host needs
/// them or a container uses them.
pub fn prune(paths: &Paths, candidates: &BTreeSet<String>) -> Result<Pruned> {
    let mut pruned = Pruned::default();
    let needed = needed(paths)?;
    let candidates: Vec<&String> = candidates
        .iter()
        .filter(|one| !needed.contains(*one))
        .collect();
    if candidates.is_empty() {
        return Ok(pruned);
    }
    let engine = Engine::host()?;
    let all = engine
        .get("/containers/json?all=1", None)
        .map_err(Failure::unexpected)?;
    let used: Vec<Container> = read(all)?;
    for candidate in candidates {
        let reference = Reference::parse(candidate)?.asked();
        let Some(found) = engine.image(&reference)? else {
            continue;
        };
        if used.iter().any(|container| container.image_id == found.id) {
            continue;
        }
        match engine.delete(&format!("/images/{reference}?force=false")) {
            Ok(answer) => {
                let gone: Vec<Gone> = read(answer)?;
                if gone
                    .iter()
                    .any(|one| one.deleted.as_deref() == Some(&found.id))
                {
                    pruned.freed_bytes += found.size_bytes;
                }
                pruned.images.push(candidate.clone());
            }
            // 409: a container came meanwhile, or another image is built on it. 404: someone was faster.
            Err(Failure::Said(complaint)) if matches!(complaint.status, 404 | 409) => {}
            Err(failure) => return Err(failure.unexpected()),
        }
    }
    Ok(pruned)
}

/// What kept releases name. One that was never prepared has nothing to go back to.
fn needed(paths: &Paths) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for environment in Environment::all(paths)? {
        for release in environment.releases()? {
            if is_prepared(&release) {
                needed.extend(
                    release
                        .plan()?
                        .services
                        .into_iter()
                        .map(|service| service.image),
                );
                needed.extend(release.asked()?.images.into_values());
            }
        }
    }
    Ok(needed)
}

fn is_prepared(release: &Release) -> bool {
    release.path().join("plan.json").exists()
}
