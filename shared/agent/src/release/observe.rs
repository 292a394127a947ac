//! What of an environment runs here, and what is not as its release has it.
//!
//! Promise: only looks.

use crate::fault::Result;
use crate::paths::Paths;
use crate::proxy;
use crate::release::container::{self, Container, ENVIRONMENT};
use crate::release::engine;
use crate::release::folder::Environment;
use crate::release::images;
use crate::release::scene::Scene;
use crate::release::switch::{Reach, ways};
use protocol::release::{EnvironmentName, Observed, RouteSeen};
use std::collections::BTreeMap;

/// See [`protocol::Call::EnvironmentObserve`].
pub fn observe(paths: &Paths, asked: &EnvironmentName) -> Result<Observed> {
    let environment = Environment::of(paths, &asked.environment)?;
    let all = container::of_environment(environment.name())?;
    let state = environment.state()?;
    let scene = Scene::live(paths, environment.name())?;
    let routes = match &scene {
        Some(scene) if !scene.asked.routes.is_empty() => proxy::seen(paths, environment.name())?,
        _ => Vec::new(),
    };
    let mut drift = Vec::new();
    if let Some(scene) = &scene {
        drift.extend(drift_of_services(scene, &all)?);
        drift.extend(strangers(scene, &all));
        drift.extend(drift_of_routes(scene, &routes));
    }
    let filter = format!("label={ENVIRONMENT}={}", environment.name());
    let volumes = engine::output(["volume", "ls", "--quiet", "--filter", &filter])?;
    Ok(Observed {
        can_return_to: can_return_to(&environment, state.live.as_deref())?,
        current: state.live,
        containers: all.iter().map(Container::seen).collect(),
        routes,
        volumes: volumes.lines().map(str::to_string).collect(),
        drift,
    })
}

/// Releases other than the live one whose images are all here.
fn can_return_to(environment: &Environment, live: Option<&str>) -> Result<Vec<String>> {
    let mut known: BTreeMap<String, bool> = BTreeMap::new();
    let mut all = Vec::new();
    for release in environment.releases()? {
        if Some(release.deployment()) == live || !release.is_prepared() {
            continue;
        }
        let mut is_whole = true;
        for service in release.plan()?.services {
            let is_here = match known.get(&service.image) {
                Some(is_here) => *is_here,
                None => {
                    let is_here = images::present(&service.image)?.is_some();
                    known.insert(service.image, is_here);
                    is_here
                }
            };
            is_whole &= is_here;
        }
        if is_whole {
            all.push(release.deployment().to_string());
        }
    }
    Ok(all)
}

fn drift_of_services(scene: &Scene, all: &[Container]) -> Result<Vec<String>> {
    let own = scene.own(all);
    let mut drift = Vec::new();
    for planned in &scene.plan.services {
        let name = &planned.service;
        let once = scene.files.decisions.get(name).is_some_and(|one| one.once);
        let mine: Vec<&&Container> = own.iter().filter(|one| one.service == *name).collect();
        let good = mine
            .iter()
            .filter(|one| one.runs() || (once && one.exit_code == 0))
            .count();
        let wanted = usize::try_from(planned.replicas).unwrap_or(usize::MAX);
        if scene.state.stopped {
            if mine.iter().any(|one| one.runs()) {
                drift.push(format!("{name}: runs, though the environment is stopped"));
            }
        } else if good < wanted {
            drift.push(format!("{name}: {good} of {wanted} containers run"));
        } else if mine.len() > wanted {
            drift.push(format!(
                "{name}: {} containers where {wanted} are wanted",
                mine.len()
            ));
        }
        let unhealthy = mine
            .iter()
            .filter(|one| one.runs() && one.health.as_deref() == Some("unhealthy"))
            .count();
        if unhealthy > 0 {
            drift.push(format!(
                "{name}: {unhealthy} of {wanted} containers are unhealthy"
            ));
        }
        let image = images::present(&planned.image)?;
        match &image {
            None => drift.push(format!("{name}: its image is not on this server any more; a container that is lost cannot be made again")),
            Some(image) if mine.iter().any(|one| one.image_id != image.id) => {
                drift.push(format!("{name}: runs another image than its release has"));
            }
            Some(_) => {}
        }
        let wanted_label = |one: &Container| {
            let file = if scene.names_in_place().contains(name) {
                &scene.files.in_place
            } else {
                &scene.files.beside
            };
            file["services"][one.entry.as_str()]["labels"][container::DEPLOYMENT]
                .as_str()
                .map(str::to_string)
        };
        if mine
            .iter()
            .any(|one| wanted_label(one).as_deref() != Some(one.deployment.as_str()))
        {
            drift.push(format!("{name}: is as another release has it"));
        }
    }
    Ok(drift)
}

/// Containers with the environment's label that are not the live release's. While the release before may still be
/// switched back to, its own are none.
fn strangers(scene: &Scene, all: &[Container]) -> Vec<String> {
    let own: Vec<&str> = scene
        .own(all)
        .into_iter()
        .map(|one| one.id.as_str())
        .collect();
    let before = scene.state.before.as_deref();
    all.iter()
        .filter(|one| !own.contains(&one.id.as_str()) && Some(one.deployment.as_str()) != before)
        .map(|one| format!("{}: a container that the release does not have", one.name))
        .collect()
}

fn drift_of_routes(scene: &Scene, seen: &[RouteSeen]) -> Vec<String> {
    let reach = if scene.state.stopped {
        Reach::Nothing
    } else {
        Reach::All
    };
    let wanted = ways(scene, &reach);
    let mut drift = Vec::new();
    for way in &wanted {
        let route = &way.route;
        let place = format!(
            "{}{}",
            route.host,
            route.path.as_deref().unwrap_or_default()
        );
        match seen
            .iter()
            .find(|one| one.host == route.host && one.path == route.path)
        {
            None => drift.push(format!("{place}: the proxy does not have this route")),
            Some(one) if sorted(&one.upstreams) != sorted(&way.upstreams) => {
                drift.push(format!(
                    "{place}: the route leads elsewhere than to the release's containers"
                ));
            }
            Some(_) => {}
        }
    }
    let known = |one: &RouteSeen| {
        wanted
            .iter()
            .any(|way| way.route.host == one.host && way.route.path == one.path)
    };
    drift.extend(
        seen.iter()
            .filter(|one| !known(one))
            .map(|one| format!("{}: a route that the release does not have", one.host)),
    );
    drift
}

fn sorted(upstreams: &[String]) -> Vec<&String> {
    let mut all: Vec<&String> = upstreams.iter().collect();
    all.sort();
    all
}
