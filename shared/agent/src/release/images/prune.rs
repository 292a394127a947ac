//! Images that nothing needs any more.
//!
//! Promise: without force. What a kept release of any environment names stays, and so does what a container uses, running
//! or not; when it cannot be told what is needed, nothing goes.

use super::engine::{Engine, Failure, read};
use super::reference::Reference;
use crate::fault::Result;
use crate::jobs::context::Context;
use crate::paths::Paths;
use crate::release::folder::Environment;
use serde::Deserialize;
use std::collections::BTreeSet;

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// References.
    pub images: Vec<String>,
    /// Bytes that came free, layers that other images share counted too.
    pub freed_bytes: u64,
    /// References of those that something needs yet.
    pub stay: BTreeSet<String>,
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
    let (stay, candidates): (Vec<&String>, Vec<&String>) =
        candidates.iter().partition(|one| needed.contains(*one));
    pruned.stay.extend(stay.into_iter().cloned());
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
            pruned.stay.insert(candidate.clone());
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
            // Someone was faster.
            Err(Failure::Said(complaint)) if complaint.status == 404 => {}
            // A container came meanwhile, or another image is built on it.
            Err(Failure::Said(complaint)) if complaint.status == 409 => {
                pruned.stay.insert(candidate.clone());
            }
            Err(failure) => return Err(failure.unexpected()),
        }
    }
    Ok(pruned)
}

/// Remove the images of this environment's releases that are gone; those that something needs yet are tried again the
/// next time.
pub fn prune_lapsed(paths: &Paths, environment: &Environment) -> Result<Pruned> {
    let lapsed = environment.lapsed()?;
    if lapsed.is_empty() {
        return Ok(Pruned::default());
    }
    let pruned = prune(paths, &lapsed)?;
    if pruned.stay != lapsed {
        environment.set_lapsed(&pruned.stay)?;
    }
    Ok(pruned)
}

/// The same before images come, because releases that fail leave theirs, and no release that ends well may ever follow to
/// prune them. What does not go is no reason to fetch or build nothing.
pub fn make_room(context: &Context, environment: &Environment) {
    match prune_lapsed(context.paths(), environment) {
        Ok(pruned) => pruned
            .images
            .iter()
            .for_each(|image| context.log(&format!("The image {image} is gone"))),
        Err(error) => context.complain(&format!(
            "Images that nothing needs any more could not be removed: {}",
            error.message
        )),
    }
}

/// What kept releases name. One that was never prepared has nothing to go back to.
fn needed(paths: &Paths) -> Result<BTreeSet<String>> {
    let mut needed = BTreeSet::new();
    for environment in Environment::all(paths)? {
        for release in environment.releases()? {
            if release.is_prepared() {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_image_that_a_kept_release_names_stays_and_is_tried_again_the_next_time() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        let kept = Environment::of(&paths, "blog").expect("a name");
        let release = kept.release("d1").expect("an id");
        let asked = json!({ "environment": "blog", "compose": "", "images": { "web": "a:1" } });
        let plan = json!({ "services": [], "volumes": [], "variables": [], "notes": [] });
        release
            .prepare(
                &serde_json::from_value(asked).expect("asked"),
                &serde_json::from_value(plan).expect("a plan"),
            )
            .expect("kept");
        let environment = Environment::of(&paths, "shop").expect("a name");
        let gone = environment.release("d0").expect("an id");
        gone.make().expect("made");
        environment
            .set_lapsed(&BTreeSet::from(["a:1".to_string()]))
            .expect("kept");
        let pruned = prune_lapsed(&paths, &environment).expect("the engine is not asked");
        assert_eq!(pruned.images, Vec::<String>::new());
        assert_eq!(pruned.stay, BTreeSet::from(["a:1".to_string()]));
        assert_eq!(environment.lapsed().expect("read"), pruned.stay);
    }
}
