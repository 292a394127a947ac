//! Containers, by Compose: started, removed, taken back, stopped, started again, and all of an environment gone.
//!
//! Promise: only those with the environment's labels; a repeat finds what is there.

mod clear;
mod lifecycle;
mod undo;

pub use clear::clear;
pub use lifecycle::{restart, start_again, stop};
pub use undo::{back, remove, take_away};

use crate::fault::{Result, first_bytes, refused, with_detail};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::release::container::{self, Container};
use crate::release::engine;
use crate::release::health::{self, Watch};
use crate::release::images;
use crate::release::many;
use crate::release::plan;
use crate::release::project::Project;
use crate::release::scene::Scene;
use protocol::release::{ContainersStarted, EnvironmentName};
use protocol::{AgentError, AgentErrorKind};
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::Duration;

/// What an interrupted act of the engine's leaves passes within seconds.
const TRIES: u32 = 5;
/// Between two.
const TRY_AGAIN: Duration = Duration::from_secs(2);

/// See [`protocol::job::Work::StartContainers`].
pub fn start(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let scene = Scene::of(context.paths(), &asked.environment, context.deployment_id())?;
    context.log(&format!("Starting the containers of {}", asked.environment));
    for service in &scene.plan.services {
        if images::present(&service.image)?.is_none() {
            return Err(image_missing(&service.service));
        }
    }
    let replaced = scene.replaced()?;
    if let Some(replaced) = &replaced
        && scene.state.stopped
    {
        context.log("The environment was stopped: what is not replaced beside is started first");
        up(context, replaced, &replaced.in_place(), &[])?;
    }
    let before = replaced
        .as_ref()
        .map(Scene::names_in_place)
        .unwrap_or_default();
    let early = early(&scene, &before);
    if !early.is_empty() {
        let entries: Vec<String> = early
            .iter()
            .flat_map(|name| plan::entries_of(&scene.files.in_place, name))
            .collect();
        up(context, &scene, &scene.in_place(), &entries)?;
        let early = waited_for(&scene, &early);
        health::until_ready(context, &scene, Watch::Started(&early))?;
    }
    tell_of_lost_data(context, &scene)?;
    up(context, &scene, &scene.beside(), &[])?;
    let project = scene.release.project();
    let all = scene.containers()?;
    let beside = all.iter().filter(|one| one.project == project).count();
    let started = ContainersStarted {
        beside: u32::try_from(beside).unwrap_or(u32::MAX),
        in_place: scene.names_in_place().into_iter().collect(),
    };
    let summary = match (beside, early.len()) {
        (0, early) => format!("{} started", many(early, "service")),
        (beside, 0) => format!("{} started beside the old ones", many(beside, "container")),
        (beside, early) => format!(
            "{} and {} started",
            many(early, "service"),
            many(beside, "container")
        ),
    };
    Finished::new(started, summary)
}

/// An image may keep data in a volume that the file does not name: each container beside the old ones has a new one.
fn tell_of_lost_data(context: &Context, scene: &Scene) -> Result<()> {
    for name in scene.names_beside() {
        let entry = &scene.files.beside["services"][name.as_str()];
        let mounts = entry["volumes"].as_array().into_iter().flatten();
        let mounted: BTreeSet<&str> = mounts
            .filter_map(|mount| mount["target"].as_str())
            .collect();
        for path in container::volumes_of_image(entry["image"].as_str().unwrap_or_default())? {
            if !mounted.contains(path.as_str()) {
                context.complain(&format!(
                    "{name}: its image keeps data in {path}, which is empty again after each release. Give it a volume there to keep it."
                ));
            }
        }
    }
    Ok(())
}

/// Services that are updated in place and are not there yet: nothing is replaced by starting them. Those that wait for
/// one which stands beside are left for later.
fn early(scene: &Scene, before: &BTreeSet<String>) -> BTreeSet<String> {
    let beside = scene.names_beside();
    let mut late = beside.clone();
    loop {
        let known = late.len();
        for (name, decision) in &scene.files.decisions {
            if decision.needs.keys().any(|need| late.contains(need)) && !beside.contains(name) {
                late.insert(name.clone());
            }
        }
        if late.len() == known {
            break;
        }
    }
    let names = scene.names_in_place().into_iter();
    names
        .filter(|name| !before.contains(name) && !late.contains(name))
        .collect()
}

/// Those of them that a service beside waits for, to be healthy or to have ended.
fn waited_for(scene: &Scene, early: &BTreeSet<String>) -> BTreeSet<String> {
    let beside = scene.names_beside();
    let waiting = scene
        .files
        .decisions
        .iter()
        .filter(|(name, _)| beside.contains(*name));
    let needs = waiting.flat_map(|(_, decision)| &decision.needs);
    needs
        .filter(|(need, condition)| early.contains(*need) && *condition != "service_started")
        .map(|(need, _)| need.clone())
        .collect()
}

/// Make a project's containers what its file says; all, or those of these entries.
pub fn up(context: &Context, scene: &Scene, project: &Project, entries: &[String]) -> Result<()> {
    if project.is_empty() {
        return Ok(());
    }
    let mut tries = 0;
    let fault = loop {
        project.settle(scene.environment.name())?;
        let seen = scene.stream(context, &mut project.up(entries)?)?;
        if seen.ok {
            return Ok(());
        }
        let fault = engine::fault(&seen.errors);
        tries += 1;
        if fault.kind != AgentErrorKind::Busy || tries >= TRIES {
            break fault;
        }
        sleep(TRY_AGAIN);
    };
    if fault.code != engine::REFUSED {
        return Err(fault);
    }
    // The engine is asked which one it was: its words are for people, and change.
    let all = scene.containers()?;
    let broken = all
        .iter()
        .filter(|one| one.project == project.name())
        .find(|one| is_broken(scene, one));
    match broken {
        Some(container) => Err(not_started(context, scene, container)),
        None => Err(fault),
    }
}

fn is_broken(scene: &Scene, container: &Container) -> bool {
    let once = scene
        .files
        .decisions
        .get(&container.service)
        .is_some_and(|one| one.once);
    match container.state.as_str() {
        "exited" => !once || container.exit_code != 0,
        "dead" | "restarting" => true,
        "created" => !container.error.is_empty(),
        _ => container.health.as_deref() == Some("unhealthy"),
    }
}

fn not_started(context: &Context, scene: &Scene, container: &Container) -> AgentError {
    let why = if container.state == "created" {
        let words = scene.mask.line(&container.error);
        format!("could not be started: {}", first_bytes(&words, 300))
    } else if container.runs() {
        "is not healthy".to_string()
    } else {
        health::ended(container)
    };
    let lines = health::last_lines(context, scene, container);
    with_detail(
        refused(
            "container_not_started",
            format!(
                "{}: its container {why}. Its last lines are in the log of this step.",
                container.service
            ),
        ),
        lines.join("\n"),
    )
}

fn image_missing(service: &str) -> AgentError {
    refused(
        "image_missing",
        format!(
            "The image of {service} is not on this server. Deploy again, which fetches or builds it."
        ),
    )
}
