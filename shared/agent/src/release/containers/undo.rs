//! What a release started goes, and what it updated in place is as before.
//!
//! Promise: by the marks of this deployment alone; what it was asked is answered, for some seconds; volumes stay; undo of
//! nothing is a success.

use super::{TRIES, TRY_AGAIN};
use crate::fault::{Result, refused};
use crate::host::Work;
use crate::paths::Paths;
use crate::proxy;
use crate::release::container::{self, Container};
use crate::release::engine;
use crate::release::folder::{Environment, Ports, Release};
use crate::release::mask::Mask;
use crate::release::project::Project;
use crate::release::scene::{Scene, has_entry};
use crate::release::switch;
use protocol::AgentErrorKind;
use protocol::release::EnvironmentName;
use serde_json::Value;
use std::collections::BTreeSet;
use std::thread::sleep;
use std::time::{Duration, Instant};

/// What failed to become ready has no long work to end, and an undo is to take seconds.
const UNDO_GRACE_SECONDS: &str = "10";

/// The call has 45 seconds, and stopping the containers takes the grace of them.
const DRAIN_WITHIN: Duration = Duration::from_secs(15);

/// See [`protocol::Call::ContainersRemove`].
pub fn remove(work: &mut Work, asked: &EnvironmentName) -> Result<()> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let release = environment.release(&work.lease.deployment_id)?;
    let state = environment.state()?;
    if state.live.as_deref() == Some(release.deployment()) {
        return Err(refused(
            "still_live",
            "The routes lead to the containers of this release: switch them back first.",
        ));
    }
    let replaced = environment.replaced_by(release.deployment())?;
    let stay = match &replaced {
        Some(replaced) => replaced.files()?.in_place,
        None => Value::Null,
    };
    let all = container::of_environment(environment.name())?;
    let own: Vec<&Container> = all
        .iter()
        .filter(|one| one.deployment == release.deployment())
        .filter(|one| {
            one.project == release.project()
                || (one.project == environment.name() && !has_entry(&stay, one))
        })
        .collect();
    let stay = match &replaced {
        Some(replaced) => replaced.ports()?,
        None => Ports::new(),
    };
    drain(&release, &switch::upstreams(&own, &stay));
    take_away(&own, Some(UNDO_GRACE_SECONDS))?;
    if !own.is_empty() {
        work.did(format!("{} containers are gone", own.len()));
    }
    match replaced {
        Some(replaced) if state.stopped => stop_again(work.paths, &environment, &replaced),
        _ => Ok(()),
    }
}

/// Requests that came while the routes led here may end. They are no reason to keep what is undone: what cannot be seen is
/// not waited for.
fn drain(release: &Release, upstreams: &[String]) {
    if upstreams.is_empty() {
        return;
    }
    let until = Instant::now() + DRAIN_WITHIN;
    if let Ok(Some(at)) = release.switched_at() {
        sleep(proxy::old_routes_last(Some(at), switch::now()));
    }
    let _ = proxy::drain(upstreams, until.saturating_duration_since(Instant::now()));
}

/// A person had stopped the environment; the release started a part of it.
fn stop_again(paths: &Paths, environment: &Environment, replaced: &Release) -> Result<()> {
    let scene = Scene::of(paths, environment.name(), replaced.deployment())?;
    let project = scene.in_place();
    if project.is_empty() {
        Ok(())
    } else {
        scene.run(&mut project.stop()?)
    }
}

/// See [`protocol::Call::ServicesBack`].
pub fn back(work: &mut Work, asked: &EnvironmentName) -> Result<()> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let release = environment.release(&work.lease.deployment_id)?;
    if !release.has_updated() {
        return Ok(());
    }
    if let Some(replaced) = environment.replaced_by(release.deployment())? {
        let scene = Scene::of(work.paths, environment.name(), replaced.deployment())?;
        let project = scene.in_place();
        if !project.is_empty() {
            let before = ids(&environment)?;
            up(&scene, &project)?;
            let all = container::of_environment(environment.name())?;
            let own = all.iter().filter(|one| one.project == project.name());
            for container in own.filter(|one| has_entry(&scene.files.in_place, one)) {
                let once = scene
                    .files
                    .decisions
                    .get(&container.service)
                    .is_some_and(|one| one.once);
                let is_good = container.runs() || (once && container.exit_code == 0);
                if !is_good {
                    return Err(refused(
                        "service_not_back",
                        format!(
                            "{} is back as it was before the release, but does not run ({}). Look at it: docker logs {}",
                            container.service, container.state, container.name
                        ),
                    ));
                }
                if !before.contains(&container.id) {
                    work.did(format!("{} is as before the release", container.service));
                }
            }
        }
    }
    release.set_updated(false)
}

/// As [`super::up`] does it, for a call: without a log.
fn up(scene: &Scene, project: &Project) -> Result<()> {
    let mut tries = 0;
    loop {
        project.settle(scene.environment.name())?;
        tries += 1;
        match scene.run(&mut project.up(&[])?) {
            Err(fault) if fault.kind == AgentErrorKind::Busy && tries < TRIES => sleep(TRY_AGAIN),
            ended => return ended,
        }
    }
}

fn ids(environment: &Environment) -> Result<BTreeSet<String>> {
    let all = container::of_environment(environment.name())?;
    Ok(all.into_iter().map(|one| one.id).collect())
}

/// Stop containers, each with its own grace unless another is given, and remove them; never their volumes.
pub fn take_away(containers: &[&Container], grace_seconds: Option<&str>) -> Result<()> {
    if containers.is_empty() {
        return Ok(());
    }
    let ids: Vec<&str> = containers.iter().map(|one| one.id.as_str()).collect();
    let mut stop = vec!["stop"];
    if let Some(seconds) = grace_seconds {
        stop.extend(["--time", seconds]);
    }
    for words in [&stop[..], &["rm", "--force"]] {
        let seen = engine::ask(words.iter().chain(&ids).copied())?;
        // What somebody else removed meanwhile is gone, as was wanted.
        let others = seen
            .errors
            .lines()
            .filter(|line| !line.contains("No such container"))
            .count();
        if !seen.ok && others > 0 {
            return Err(engine::unlogged(&seen.errors, &Mask::default()));
        }
    }
    Ok(())
}
