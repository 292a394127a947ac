//! Looking at containers until each is ready, or one cannot be any more.
//!
//! Promise: a container counts as ready only while it is; an end is told at once, with its cause.

use super::judge::{Expected, Seen, ended, judge};
use super::{last_lines, probe};
use crate::fault::{Result, refused, with_detail};
use crate::jobs::context::Context;
use crate::release::container::{self, Container};
use crate::release::scene::Scene;
use chrono::{DateTime, Utc};
use protocol::AgentError;
use protocol::release::{ContainerHealth, Gate};
use std::collections::{BTreeMap, BTreeSet};
use std::thread::{scope, sleep};
use std::time::{Duration, Instant, SystemTime};

/// A look costs the engine some milliseconds; a cancel is seen between two.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// Which containers are waited for.
#[derive(Debug, Clone, Copy)]
pub enum Watch<'a> {
    /// All of these services, of a release that was just started: what the engine started again came to an end.
    Started(&'a BTreeSet<String>),
    /// All of these services, of a release that is live: what was before the first look is past.
    Live(&'a BTreeSet<String>),
    /// This one alone, which was restarted; what its neighbours went through is no matter of it.
    Restarted(&'a Container),
}

impl Watch<'_> {
    fn means(&self, container: &Container) -> bool {
        match self {
            Self::Started(services) | Self::Live(services) => services.contains(&container.service),
            Self::Restarted(one) => one.id == container.id,
        }
    }

    /// The engine's restarts that are none of what is watched.
    fn restarts_before(&self, container: &Container, deployment: &str) -> u32 {
        match self {
            // An older one that stays may have had its restarts long ago.
            Self::Started(_) if container.deployment == deployment => 0,
            _ => container.restarts,
        }
    }
}

/// One container under watch.
#[derive(Default)]
struct Watched {
    restarts: u32,
    good: u32,
    next: Option<Instant>,
    said: String,
    ready: Option<ContainerHealth>,
}

/// Wait until all of these containers are ready, each by its service's gate.
pub fn until_ready(context: &Context, scene: &Scene, watch: Watch) -> Result<Vec<ContainerHealth>> {
    let begun = Instant::now();
    let mut watched: BTreeMap<String, Watched> = BTreeMap::new();
    loop {
        context.check()?;
        let all = scene.containers()?;
        let own: Vec<&Container> = scene
            .own(&all)
            .into_iter()
            .filter(|one| watch.means(one))
            .collect();
        all_there(scene, watch, &own)?;
        let now = DateTime::<Utc>::from(SystemTime::now());
        let mut due = Vec::new();
        for container in &own {
            let deployment = scene.release.deployment();
            let one = watched
                .entry(container.id.clone())
                .or_insert_with(|| Watched {
                    restarts: watch.restarts_before(container, deployment),
                    ..Watched::default()
                });
            let gate = gate(scene, &container.service);
            let expected = Expected {
                once: scene
                    .files
                    .decisions
                    .get(&container.service)
                    .is_some_and(|one| one.once),
                is_probed: gate.http.is_some(),
                restarts: one.restarts,
            };
            match judge(container, expected, now) {
                Seen::Ended(how) => {
                    return Err(failed(context, scene, "container_exited", container, &how));
                }
                Seen::Waiting(why) => one.not_yet(why),
                Seen::Good(said) if one.next.is_none_or(|next| next <= Instant::now()) => {
                    one.next = Some(
                        Instant::now() + Duration::from_secs(u64::from(gate.interval_seconds)),
                    );
                    due.push((*container, said));
                }
                Seen::Good(_) => {}
            }
        }
        for (container, answer) in ask_all(scene, due) {
            let Some(one) = watched.get_mut(&container.id) else {
                continue;
            };
            match answer {
                Ok(said) => one.good_look(
                    context,
                    container,
                    said,
                    gate(scene, &container.service).successes,
                ),
                Err(why) => one.not_yet(why),
            }
        }
        let ready: Vec<ContainerHealth> = own
            .iter()
            .filter_map(|container| watched.get(&container.id)?.ready.clone())
            .collect();
        let count = |length: usize| u64::try_from(length).unwrap_or(u64::MAX);
        context.progress(count(ready.len()), Some(count(own.len())), "containers");
        if ready.len() == own.len() {
            return Ok(ready);
        }
        for container in &own {
            let within = gate(scene, &container.service).within_seconds;
            let one = watched.get(&container.id).filter(|one| one.ready.is_none());
            if let Some(one) = one
                && begun.elapsed() >= Duration::from_secs(u64::from(within))
            {
                let how = format!("was not ready within {within} seconds: {}", one.said);
                return Err(failed(context, scene, "not_healthy", container, &how));
            }
        }
        sleep(LOOK_AGAIN);
    }
}

impl Watched {
    fn not_yet(&mut self, why: String) {
        (self.good, self.ready, self.said) = (0, None, why);
    }

    fn good_look(&mut self, context: &Context, container: &Container, said: String, wanted: u32) {
        self.good += 1;
        self.said = format!("{said}, {} of {wanted} times", self.good);
        if self.ready.is_some() || self.good < wanted.max(1) {
            return;
        }
        let since = container
            .started_at
            .map(|at| DateTime::<Utc>::from(SystemTime::now()) - at);
        let after = since.and_then(|since| u64::try_from(since.num_milliseconds()).ok());
        context.log(&format!("{} is ready: {said}", container.name));
        self.ready = Some(ContainerHealth {
            service: container.service.clone(),
            container: container.name.clone(),
            seen: said,
            ready_after_ms: after.unwrap_or_default(),
        });
    }
}

fn gate(scene: &Scene, service: &str) -> Gate {
    scene.asked.gates.get(service).cloned().unwrap_or_default()
}

/// Each service has its containers: none at all are not "all of them".
fn all_there(scene: &Scene, watch: Watch, own: &[&Container]) -> Result<()> {
    let services = match watch {
        Watch::Started(services) | Watch::Live(services) => services,
        Watch::Restarted(_) if !own.is_empty() => return Ok(()),
        Watch::Restarted(one) => {
            return Err(refused(
                "not_healthy",
                format!(
                    "{}: its container {} is not there any more. Somebody or something removed it; deploy again.",
                    one.service, one.name
                ),
            ));
        }
    };
    for service in services {
        let planned = scene
            .plan
            .services
            .iter()
            .find(|one| one.service == *service);
        let wanted = planned.map_or(1, |one| one.replicas.max(1));
        let there = own.iter().filter(|one| one.service == *service).count();
        if there < usize::try_from(wanted).unwrap_or(usize::MAX) {
            return Err(refused(
                "not_healthy",
                format!(
                    "{service}: {there} of {wanted} containers are there. Somebody or something removed them; deploy again."
                ),
            ));
        }
    }
    Ok(())
}

/// Ask each for its page, all at once: one that hangs holds up no other.
fn ask_all<'a>(
    scene: &Scene,
    due: Vec<(&'a Container, String)>,
) -> Vec<(&'a Container, std::result::Result<String, String>)> {
    scope(|threads| {
        let asked: Vec<_> = due
            .into_iter()
            .map(|(container, said)| {
                (
                    container,
                    threads.spawn(move || ask(scene, container, said)),
                )
            })
            .collect();
        asked
            .into_iter()
            .map(|(container, thread)| {
                (
                    container,
                    thread
                        .join()
                        .unwrap_or_else(|_| Err("could not be asked".into())),
                )
            })
            .collect()
    })
}

fn ask(scene: &Scene, container: &Container, said: String) -> std::result::Result<String, String> {
    let Some(probe) = gate(scene, &container.service).http else {
        return Ok(said);
    };
    let of_route = || {
        scene
            .asked
            .routes
            .iter()
            .find(|route| route.service == container.service)
            .map(|route| route.port)
    };
    let port = probe
        .port
        .or_else(of_route)
        .ok_or("has no port to ask at")?;
    let address = probe::address(container, port).ok_or("has no address to ask at")?;
    probe::ask(&address, &probe)
}

fn failed(
    context: &Context,
    scene: &Scene,
    code: &str,
    container: &Container,
    how: &str,
) -> AgentError {
    let how = match code {
        "container_exited" if container.runs() => {
            format!("{}, and the engine started it again", before(container))
        }
        _ => scene.mask.line(how),
    };
    context.complain(&format!("{}: {} {how}", container.service, container.name));
    let lines = last_lines(context, scene, container);
    let mut detail = vec![format!(
        "{} state {}, exit code {}, restarts {}, out of memory {}",
        container.name,
        container.state,
        container.exit_code,
        container.restarts,
        container.out_of_memory
    )];
    detail.extend(lines);
    with_detail(
        refused(
            code,
            format!(
                "{}: its container {how}. Its last lines are in the log of this step.",
                container.service
            ),
        ),
        detail.join("\n"),
    )
}

/// How a container that runs again ended before.
fn before(container: &Container) -> String {
    if container.out_of_memory {
        return ended(container);
    }
    match container::last_exit_code(container) {
        Ok(Some(exit_code)) => ended(&Container {
            exit_code,
            ..container.clone()
        }),
        _ => "ended".to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::judge::tests::container;
    use super::*;

    fn replica(id: &str, restarts: u32) -> Container {
        Container {
            id: id.into(),
            restarts,
            ..container("running")
        }
    }

    fn seen(watch: Watch, container: &Container) -> Seen {
        let expected = Expected {
            once: false,
            is_probed: false,
            restarts: watch.restarts_before(container, "d1"),
        };
        let now = DateTime::from_timestamp(2_000, 0).expect("a time");
        judge(container, expected, now)
    }

    #[test]
    fn a_restart_is_an_end_only_in_a_release_that_was_just_started() {
        let web = BTreeSet::from(["web".to_string()]);
        let crashed = replica("a", 1);
        assert!(matches!(
            seen(Watch::Started(&web), &crashed),
            Seen::Ended(_)
        ));
        assert!(matches!(seen(Watch::Live(&web), &crashed), Seen::Good(_)));
        assert!(matches!(
            seen(Watch::Restarted(&crashed), &crashed),
            Seen::Good(_)
        ));
        let older = Container {
            deployment: "d0".into(),
            ..crashed
        };
        assert!(matches!(seen(Watch::Started(&web), &older), Seen::Good(_)));
    }

    #[test]
    fn who_waits_for_a_restarted_container_does_not_look_at_its_neighbours() {
        let (one, other) = (replica("a", 0), replica("b", 1));
        assert!(Watch::Restarted(&one).means(&one));
        assert!(!Watch::Restarted(&one).means(&other));
        let web = BTreeSet::from(["web".to_string()]);
        assert!(Watch::Live(&web).means(&one) && Watch::Live(&web).means(&other));
    }
}
