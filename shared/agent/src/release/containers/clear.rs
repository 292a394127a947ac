//! All that an environment has on this host goes.
//!
//! Promise: by its labels and its own folder alone; routes first, so that nobody is led to what is gone; what was
//! interrupted is completed by a repeat; named volumes stay unless it was said that they go.

use super::take_away;
use crate::fault::Result;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::proxy;
use crate::release::container::{self, Container, ENVIRONMENT};
use crate::release::engine;
use crate::release::folder::Environment;
use crate::release::{images, prepare};
use protocol::release::{EnvironmentRemoved, RemoveEnvironment};

/// See [`protocol::job::Work::RemoveEnvironment`].
pub fn clear(context: &Context, asked: &RemoveEnvironment) -> Result<Finished> {
    let paths = context.paths();
    let environment = Environment::of(paths, &asked.environment)?;
    let name = environment.name();
    context.log(&format!("Removing {name}"));
    if proxy::set(paths, name, &[])? {
        context.log("Its routes are gone");
    }
    let all = container::of_environment(name)?;
    let own: Vec<&Container> = all.iter().filter(|one| one.is_of(name)).collect();
    take_away(&own, None)?;
    let containers: Vec<String> = own.iter().map(|one| one.name.clone()).collect();
    let networks = labelled("network", name)?;
    remove(context, "network", &networks)?;
    let all_volumes = labelled("volume", name)?;
    let (volumes, volumes_kept) = if asked.delete_volumes {
        (all_volumes, Vec::new())
    } else {
        (Vec::new(), all_volumes)
    };
    remove(context, "volume", &volumes)?;
    for volume in &volumes_kept {
        context.log(&format!("The volume {volume} is kept"));
    }
    for release in environment.releases()? {
        prepare::lapse(&environment, &release)?;
        release.remove()?;
    }
    let pruned = images::prune(paths, &environment.lapsed()?)?;
    environment.remove()?;
    let mut summary = format!(
        "{} containers and {} images are gone",
        containers.len(),
        pruned.images.len()
    );
    if !volumes.is_empty() {
        summary.push_str(&format!(", with the volumes {}", volumes.join(", ")));
    }
    if !volumes_kept.is_empty() {
        summary.push_str(&format!("; kept: the volumes {}", volumes_kept.join(", ")));
    }
    let removed = EnvironmentRemoved {
        containers,
        networks,
        images: pruned.images,
        volumes,
        volumes_kept,
    };
    Finished::new(removed, summary)
}

/// The names of networks or volumes that carry the environment's label.
fn labelled(kind: &str, environment: &str) -> Result<Vec<String>> {
    let filter = format!("label={ENVIRONMENT}={environment}");
    let format = "{{.Name}}";
    let names = engine::output([kind, "ls", "--filter", &filter, "--format", format])?;
    Ok(names.lines().map(str::to_string).collect())
}

fn remove(context: &Context, kind: &str, names: &[String]) -> Result<()> {
    for name in names {
        engine::output([kind, "rm", "--", name])?;
        context.log(&format!("The {kind} {name} is gone"));
    }
    Ok(())
}
