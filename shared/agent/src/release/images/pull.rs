//! Fetching the images of a prepared release.
//!
//! Promise: by digest, so that a tag which moved meanwhile changes nothing; what is here already is not asked for.

use super::engine::{Engine, Failure, escaped, events};
use super::reference::Reference;
use super::{login, prune, registry};
use crate::fault::{Result, broken, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::release::folder::Environment;
use protocol::release::{ImagePresent, ImagesPulled, PullImages, RegistryLogin};
use protocol::text::bytes;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// One word of the engine's.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    progress_detail: Option<Detail>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
struct Detail {
    #[serde(default)]
    current: Option<u64>,
    #[serde(default)]
    total: Option<u64>,
}

/// Layers on their way.
#[derive(Debug, Default)]
struct Layers(BTreeMap<String, Layer>);

#[derive(Debug, Default)]
struct Layer {
    done: u64,
    /// Known once its download began.
    total: Option<u64>,
    over: bool,
}

impl Layers {
    fn note(&mut self, id: &str, status: &str, detail: Option<&Detail>) {
        let layer = match status {
            "Pulling fs layer" | "Waiting" | "Downloading" | "Verifying Checksum"
            | "Download complete" | "Already exists" | "Extracting" | "Pull complete" => {
                self.0.entry(id.to_string()).or_default()
            }
            _ => return,
        };
        match status {
            "Downloading" => {
                let number = |one: Option<u64>| one.filter(|one| *one > 0);
                layer.done = detail
                    .and_then(|one| number(one.current))
                    .unwrap_or(layer.done);
                layer.total = detail.and_then(|one| number(one.total)).or(layer.total);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete"
            | "Already exists" => {
                layer.over = true;
                layer.done = layer.total.unwrap_or(layer.done);
            }
            _ => {}
        }
    }

    fn done(&self) -> u64 {
        self.0.values().map(|layer| layer.done).sum()
    }

    /// Known when each layer's is, or it is over.
    fn total(&self) -> Option<u64> {
        self.0
            .values()
            .map(|layer| layer.total.or(layer.over.then_some(layer.done)))
            .sum()
    }
}

/// See [`protocol::job::Work::PullImages`].
pub fn pull(context: &Context, asked: &PullImages) -> Result<Finished> {
    let environment = Environment::of(context.paths(), &asked.environment)?;
    let release = environment.release(context.deployment_id())?;
    let (prepared, plan) = (release.asked()?, release.plan()?);
    let engine = Engine::of(context)?;
    let room = engine.info()?.docker_root_dir;
    prune::make_room(context, &environment);
    let mut images: Vec<ImagePresent> = Vec::new();
    let mut fetched = 0;
    for service in plan.services {
        let is_known = images.iter().any(|one| one.image == service.image);
        if is_known || prepared.built.contains(&service.service) {
            continue;
        }
        context.check()?;
        let reference = Reference::parse(&service.image)?;
        let found = match engine.image(&reference.asked())? {
            Some(found) => {
                context.log(&format!(
                    "{}: {} is here already",
                    service.service, service.image
                ));
                found
            }
            None => {
                context.log(&format!("{}: fetching {}", service.service, service.image));
                let pulling = Pulling {
                    context,
                    engine: &engine,
                    room: room.clone(),
                };
                pulling.fetch(&reference, &prepared.registries)?;
                fetched += 1;
                engine.image(&reference.asked())?.ok_or_else(|| {
                    broken(
                        "image_lost",
                        format!("Docker fetched {} and does not have it.", service.image),
                    )
                })?
            }
        };
        images.push(found.present(&service.image));
    }
    let size = images.iter().map(|one| one.size_bytes).sum();
    let summary = match (images.len(), fetched) {
        (0, _) => "There is nothing to fetch".to_string(),
        (all, 0) => format!("All {all} images are here already, {}", bytes(size)),
        (all, fetched) => format!(
            "Fetched {fetched} of {all} images, {} on the disk",
            bytes(size)
        ),
    };
    Finished::new(ImagesPulled { images }, summary)
}

/// One fetch.
pub struct Pulling<'a> {
    /// The job.
    pub context: &'a Context,
    /// From whom.
    pub engine: &'a Engine,
    /// Where the engine keeps images.
    pub room: PathBuf,
}

impl Pulling<'_> {
    /// Fetch it by its digest.
    fn fetch(&self, reference: &Reference, logins: &[RegistryLogin]) -> Result<()> {
        let Some(digest) = &reference.digest else {
            return Err(refused(
                "image_not_found",
                format!(
                    "The image {} is not on this server, and it comes from no registry. Deploy again.",
                    reference.tagged()
                ),
            ));
        };
        self.fetch_as(reference, digest, logins)
    }

    /// Fetch it by this tag or digest.
    pub fn fetch_as(
        &self,
        reference: &Reference,
        which: &str,
        logins: &[RegistryLogin],
    ) -> Result<()> {
        let path = format!(
            "/images/create?fromImage={}&tag={}",
            escaped(&reference.name),
            escaped(which)
        );
        let auth = login::header(reference, logins);
        let result = self.engine.post(&path, auth.as_deref());
        // A cancel ends the connection, which is then seen as an engine that went.
        self.context.check()?;
        let failed = |failure: Failure| registry::failed(reference, failure, &self.room);
        let answer = result.map_err(failed)?;
        let mut layers = Layers::default();
        let told = events(answer, |event: Event| {
            self.on(&mut layers, reference, &event)
        });
        self.context.check()?;
        told
    }

    fn on(&self, layers: &mut Layers, reference: &Reference, event: &Event) -> Result<()> {
        if let Some(said) = &event.error {
            return Err(registry::fault(
                reference,
                registry::trouble_of(reference, said),
                &self.room,
            ));
        }
        let (Some(id), Some(status)) = (&event.id, &event.status) else {
            return Ok(());
        };
        layers.note(id, status, event.progress_detail.as_ref());
        if matches!(status.as_str(), "Pull complete" | "Already exists") {
            self.context
                .log(&format!("{id}: {}", status.to_lowercase()));
        }
        self.context
            .progress(layers.done(), layers.total(), "bytes");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_total_is_told_once_all_layers_are_known() {
        let mut layers = Layers::default();
        let some = |current, total| Detail {
            current: Some(current),
            total: Some(total),
        };
        layers.note("1.2", "Pulling from lab/app", None);
        layers.note("a", "Pulling fs layer", None);
        layers.note("b", "Pulling fs layer", None);
        layers.note("a", "Downloading", Some(&some(10, 100)));
        assert_eq!((layers.done(), layers.total()), (10, None));
        layers.note("b", "Already exists", None);
        assert_eq!((layers.done(), layers.total()), (10, Some(100)));
        layers.note("a", "Download complete", None);
        // Unpacking counts bytes of its own.
        layers.note("a", "Extracting", Some(&some(5, 300)));
        assert_eq!((layers.done(), layers.total()), (100, Some(100)));
    }
}
