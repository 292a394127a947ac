//! An environment stopped, started again, restarted, with the release that is live.
//!
//! Promise: what was interrupted is completed by a repeat; the proxy is told before the containers go, and after they
//! came; a server to which nothing was released has nothing to do, which is no failure.

use super::up;
use crate::fault::{Result, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::proxy;
use crate::release::container::Container;
use crate::release::engine;
use crate::release::health::{self, Watch};
use crate::release::observe;
use crate::release::scene::Scene;
use crate::release::switch;
use protocol::release::EnvironmentName;
use std::collections::BTreeSet;
use std::time::Duration;

/// Requests that a container is at may end before it is stopped; longer ones are cut by its own grace.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// See [`protocol::job::Work::StopEnvironment`].
pub fn stop(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let Some(scene) = Scene::live(context.paths(), &asked.environment)? else {
        return nothing_here(context, asked);
    };
    context.log(&format!("Stopping {}", asked.environment));
    // First: a repeat, and whoever looks meanwhile, knows what is wanted.
    let mut state = scene.state.clone();
    state.stopped = true;
    scene.environment.set_state(&state)?;
    proxy::set(
        context.paths(),
        scene.environment.name(),
        &switch::ways(&scene, &switch::Reach::Nothing),
    )?;
    for project in [scene.beside(), scene.in_place()] {
        if !project.is_empty() {
            let seen = scene.stream(context, &mut project.stop()?)?;
            if !seen.ok {
                return Err(engine::fault(&seen.errors));
            }
        }
    }
    Finished::new(observe::observe(context.paths(), asked)?, "Stopped")
}

/// See [`protocol::job::Work::StartEnvironment`].
pub fn start_again(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let Some(scene) = Scene::live(context.paths(), &asked.environment)? else {
        return nothing_here(context, asked);
    };
    context.log(&format!("Starting {}", asked.environment));
    up(context, &scene, &scene.in_place(), &[])?;
    health::until_ready(context, &scene, Watch::Live(&scene.names_in_place()))?;
    up(context, &scene, &scene.beside(), &[])?;
    health::until_ready(context, &scene, Watch::Live(&scene.names_beside()))?;
    proxy::set(
        context.paths(),
        scene.environment.name(),
        &switch::ways(&scene, &switch::Reach::All),
    )?;
    let mut state = scene.state.clone();
    state.stopped = false;
    scene.environment.set_state(&state)?;
    Finished::new(observe::observe(context.paths(), asked)?, "Started")
}

/// See [`protocol::job::Work::RestartEnvironment`].
pub fn restart(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let Some(scene) = Scene::live(context.paths(), &asked.environment)? else {
        return nothing_here(context, asked);
    };
    if scene.state.stopped {
        return Err(refused(
            "environment_stopped",
            "The environment is stopped: there is nothing to restart. Start it.",
        ));
    }
    context.log(&format!("Restarting {}", asked.environment));
    if is_short(&scene)? {
        context.log("A container is gone: it is made again");
        for project in [scene.in_place(), scene.beside()] {
            up(context, &scene, &project, &[])?;
        }
    }
    let all = scene.containers()?;
    let own = scene.own(&all);
    let names: BTreeSet<String> = own.iter().map(|one| one.service.clone()).collect();
    // What others wait for is restarted before them.
    let names = scene
        .names_in_place()
        .into_iter()
        .chain(scene.names_beside())
        .filter(|name| names.contains(name));
    for name in names {
        if scene.files.decisions.get(&name).is_some_and(|one| one.once) {
            continue;
        }
        let own: Vec<&Container> = own
            .iter()
            .filter(|one| one.service == name)
            .copied()
            .collect();
        if own.len() == 1 {
            context.log(&format!(
                "{name} has one container: it is away while that restarts"
            ));
        }
        for container in &own {
            one(context, &scene, container, own.len() > 1)?;
        }
    }
    proxy::set(
        context.paths(),
        scene.environment.name(),
        &switch::ways(&scene, &switch::Reach::All),
    )?;
    Finished::new(observe::observe(context.paths(), asked)?, "Restarted")
}

/// A release that not every server had to take may have left this one out: nothing to stop or start is no failure of it.
fn nothing_here(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let summary = "Nothing of it runs on this server";
    context.log(summary);
    Finished::new(observe::observe(context.paths(), asked)?, summary)
}

/// Does a service have fewer containers than its release gave it? Somebody removed one by hand.
fn is_short(scene: &Scene) -> Result<bool> {
    let all = scene.containers()?;
    let own = scene.own(&all);
    let is_short = |service: &String, wanted: u32| {
        let there = own.iter().filter(|one| one.service == *service).count();
        there < usize::try_from(wanted).unwrap_or(usize::MAX)
    };
    let mut services = scene.plan.services.iter();
    Ok(services.any(|one| is_short(&one.service, one.replicas)))
}

/// Restart one container; where others serve meanwhile, the proxy leaves it out until it is ready. However that ends, all
/// are reached again: what serves is no matter of a restart that fails or is cancelled.
fn one(context: &Context, scene: &Scene, container: &Container, has_others: bool) -> Result<()> {
    if !(has_others && scene.ports.contains_key(&container.service)) {
        return again(context, scene, container);
    }
    let reach = |reach: &switch::Reach| {
        let ways = switch::ways(scene, reach);
        proxy::set(context.paths(), scene.environment.name(), &ways)
    };
    let left_out: BTreeSet<u16> = container.ports.values().copied().collect();
    let upstreams: Vec<String> = left_out
        .iter()
        .map(|port| format!("127.0.0.1:{port}"))
        .collect();
    let without = switch::Reach::AllBut(left_out);
    with_way_back(
        || {
            reach(&without)?;
            proxy::drain(&upstreams, DRAIN_WITHIN)?;
            again(context, scene, container)
        },
        || reach(&switch::Reach::All).map(|_| ()),
    )
}

/// The way back is gone however the act ends; of two causes the first is the one to tell.
fn with_way_back(
    act: impl FnOnce() -> Result<()>,
    back: impl FnOnce() -> Result<()>,
) -> Result<()> {
    let done = act();
    let back = back();
    done.and(back)
}

/// Restart it, until it is ready.
fn again(context: &Context, scene: &Scene, container: &Container) -> Result<()> {
    let mut command = engine::docker()?;
    command.args(["restart", &container.id]);
    let seen = scene.stream(context, &mut command)?;
    if !seen.ok {
        return Err(engine::fault(&seen.errors));
    }
    health::until_ready(context, scene, Watch::Restarted(container)).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn however_a_restart_ends_all_are_reached_again_and_its_own_cause_is_told() {
        for (act, back, told) in [
            (None, None, None),
            (Some("container_exited"), None, Some("container_exited")),
            (Some("cancelled"), Some("proxy_down"), Some("cancelled")),
            (None, Some("proxy_down"), Some("proxy_down")),
        ] {
            let ends = |code: Option<&str>| code.map_or(Ok(()), |code| Err(refused(code, "")));
            let mut is_back = false;
            let done = with_way_back(
                || ends(act),
                || {
                    is_back = true;
                    ends(back)
                },
            );
            assert!(is_back);
            assert_eq!(done.err().map(|fault| fault.code).as_deref(), told);
        }
    }
}
