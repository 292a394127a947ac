//! The routes lead to the new containers, or back; then the old ones are drained and go.
//!
//! Promise: one change of the proxy; until the release is finished the old containers stay as they are, and then for as
//! long as the proxy may still lead anybody to them.

use crate::fault::{Result, refused};
use crate::host::Work;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::proxy::{self, Way};
use crate::release::container::Container;
use crate::release::containers::take_away;
use crate::release::folder::{Environment, Ports, State};
use crate::release::many;
use crate::release::scene::Scene;
use crate::release::{images, observe, plan, ports, prepare};
use chrono::{DateTime, Utc};
use protocol::release::{
    EnvironmentName, FinishRelease, ReleaseFinished, Route, RouteSwitched, Tls,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// A proxy takes its new configuration up before it says so; its first connection to a container may still wait.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// Where the proxy takes plain HTTP.
const PROXY: &str = "127.0.0.1";
/// A page may take long, and the proxy's own word comes at once.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Which containers the routes lead to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reach {
    /// All.
    All,
    /// All but those at these ports.
    AllBut(BTreeSet<u16>),
    /// None: the environment is stopped.
    Nothing,
}

/// The ways of a release.
pub fn ways(scene: &Scene, reach: &Reach) -> Vec<Way> {
    let routes = scene.asked.routes.iter();
    routes
        .map(|route| {
            let ports = scene
                .ports
                .get(&route.service)
                .and_then(|all| all.get(&route.port));
            let reached = ports.into_iter().flatten().filter(|port| match reach {
                Reach::All => true,
                Reach::AllBut(left_out) => !left_out.contains(port),
                Reach::Nothing => false,
            });
            Way {
                route: route.clone(),
                upstreams: reached.map(|port| format!("127.0.0.1:{port}")).collect(),
            }
        })
        .collect()
}

/// See [`protocol::Call::RouteSwitch`].
pub fn switch(work: &Work, asked: &EnvironmentName) -> Result<RouteSwitched> {
    let scene = Scene::of(work.paths, &asked.environment, &work.lease.deployment_id)?;
    let all = scene.containers()?;
    let own = scene.own(&all);
    for service in scene.asked.routes.iter().map(|route| &route.service) {
        let wanted = scene
            .plan
            .services
            .iter()
            .find(|one| one.service == *service)
            .map_or(1, |one| one.replicas);
        let running = own
            .iter()
            .filter(|one| one.service == *service && one.runs())
            .count();
        if running < usize::try_from(wanted).unwrap_or(usize::MAX) {
            return Err(refused(
                "containers_gone",
                format!(
                    "{service}: {running} of {wanted} containers run. The routes stay as they are; deploy again."
                ),
            ));
        }
    }
    let ways = ways(&scene, &Reach::All);
    let changed = proxy::set(work.paths, scene.environment.name(), &ways)?;
    let deployment = scene.release.deployment();
    let is_new = scene.state.live.as_deref() != Some(deployment);
    if changed || is_new {
        // Before the state: what is live has its moment.
        scene.release.set_switched_at(now())?;
    }
    if is_new {
        scene.environment.set_state(&State {
            live: Some(deployment.to_string()),
            before: scene.state.live.clone(),
            stopped: false,
            stopped_before: scene.state.stopped,
        })?;
    }
    ways.iter().try_for_each(answers)?;
    Ok(RouteSwitched {
        urls: scene.asked.routes.iter().map(url).collect(),
        changed,
    })
}

/// Where people look.
fn url(route: &Route) -> String {
    let scheme = if route.tls == Tls::Off {
        "http"
    } else {
        "https"
    };
    format!(
        "{scheme}://{}{}",
        route.host,
        route.path.as_deref().unwrap_or_default()
    )
}

/// Is it the container that answers, rather than the proxy with an error of its own? Names with a certificate are
/// answered with a redirect, or not at all until they have one: that is no matter of the containers.
fn answers(way: &Way) -> Result<()> {
    let route = &way.route;
    if route.tls != Tls::Off {
        return Ok(());
    }
    let until = Instant::now() + ANSWERS_WITHIN;
    loop {
        let seen = match look(PROXY, route) {
            Look::Status(status @ (502 | 503)) => {
                // An application may say so itself, in its maintenance for one.
                let says = |upstream: &String| look(upstream, route) == Look::Status(status);
                if way.upstreams.iter().any(says) {
                    return Ok(());
                }
                format!("answers {status} by itself")
            }
            // A page that takes its time is at work.
            Look::Status(_) | Look::Late => return Ok(()),
            Look::Nothing => "does not answer".to_string(),
        };
        if Instant::now() >= until {
            return Err(refused(
                "proxy_not_answering",
                format!(
                    "The proxy does not pass {} on: it {seen}. Look at it: journalctl -u {}",
                    route.host,
                    proxy::UNIT
                ),
            ));
        }
        std::thread::sleep(LOOK_AGAIN);
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Look {
    Status(u16),
    Late,
    Nothing,
}

/// What answers the route's name and path at this address.
fn look(address: &str, route: &Route) -> Look {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_idle_connections(0)
        .proxy(None)
        .timeout_global(Some(ANSWER_WITHIN))
        .user_agent("triphammer")
        .build()
        .into();
    let path = route.path.as_deref().unwrap_or("/");
    let request = agent.get(format!("http://{address}{path}"));
    match request.header("Host", &route.host).call() {
        Ok(answer) => Look::Status(answer.status().as_u16()),
        Err(ureq::Error::Timeout(_)) => Look::Late,
        Err(_) => Look::Nothing,
    }
}

/// See [`protocol::Call::RouteSwitchBack`].
pub fn back(work: &mut Work, asked: &EnvironmentName) -> Result<()> {
    let environment = Environment::of(work.paths, &asked.environment)?;
    let state = environment.state()?;
    let deployment = work.lease.deployment_id.as_str();
    let was_live = state.live.as_deref() == Some(deployment);
    let old = state.replaced_by(deployment).map(str::to_string);
    let stopped = if was_live {
        state.stopped_before
    } else {
        state.stopped
    };
    let ways = match &old {
        Some(old) => {
            let reach = if stopped { Reach::Nothing } else { Reach::All };
            ways(&Scene::of(work.paths, environment.name(), old)?, &reach)
        }
        None => Vec::new(),
    };
    // Also when the state says nothing of a switch: it is written after the proxy was changed.
    let changed = proxy::set(work.paths, environment.name(), &ways)?;
    if changed {
        work.did("the routes lead where they led before");
    }
    let release = environment.release(deployment)?;
    if (changed || was_live) && release.is_prepared() {
        release.set_switched_at(now())?;
    }
    if was_live {
        environment.set_state(&State {
            live: old,
            before: None,
            stopped,
            stopped_before: false,
        })?;
    }
    Ok(())
}

/// See [`protocol::job::Work::FinishRelease`].
pub fn finish(context: &Context, asked: &FinishRelease) -> Result<Finished> {
    let scene = Scene::of(context.paths(), &asked.environment, context.deployment_id())?;
    if scene.state.live.as_deref() != Some(scene.release.deployment()) {
        return Err(refused(
            "not_live",
            "The routes do not lead to this release: there is nothing to finish.",
        ));
    }
    let all = scene.containers()?;
    let own: BTreeSet<&str> = scene
        .own(&all)
        .into_iter()
        .map(|one| one.id.as_str())
        .collect();
    let old: Vec<&Container> = all
        .iter()
        .filter(|one| one.is_of(scene.environment.name()) && !own.contains(one.id.as_str()))
        .collect();
    let upstreams = upstreams(&old, &scene.ports);
    if !upstreams.is_empty() {
        context.log("Waiting until the old containers have answered what they were asked");
        wait(
            context,
            proxy::old_routes_last(scene.release.switched_at()?, now()),
        )?;
        let left = proxy::drain(
            &upstreams,
            Duration::from_secs(u64::from(asked.drain_seconds)),
        )?;
        if left > 0 {
            context.complain(&format!(
                "{left} requests were still under way after {} seconds",
                asked.drain_seconds
            ));
        }
    }
    context.check()?;
    take_away(&old, None)?;
    let removed: Vec<String> = old.iter().map(|one| one.name.clone()).collect();
    removed
        .iter()
        .for_each(|name| context.log(&format!("{name} is gone")));
    scene.environment.set_state(&State {
        before: None,
        stopped_before: false,
        ..scene.state.clone()
    })?;
    let pruned = tidy(context, &scene, &asked.keep)?;
    let name = EnvironmentName {
        environment: asked.environment.clone(),
    };
    let observed = observe::observe(context.paths(), &name)?;
    let summary = format!(
        "{} and {} are gone",
        many(removed.len(), "old container"),
        many(pruned.images.len(), "image")
    );
    Finished::new(
        ReleaseFinished {
            removed,
            pruned: pruned.images,
            freed_bytes: pruned.freed_bytes,
            observed,
        },
        summary,
    )
}

/// Where containers are reached that go, other than at ports which stay in use.
pub fn upstreams(going: &[&Container], stay: &Ports) -> Vec<String> {
    let stay = ports::all(stay);
    let ports = going.iter().flat_map(|one| one.ports.values());
    ports
        .filter(|port| !stay.contains(port))
        .map(|port| format!("127.0.0.1:{port}"))
        .collect()
}

/// The host's own time.
pub fn now() -> DateTime<Utc> {
    DateTime::from(SystemTime::now())
}

fn wait(context: &Context, time: Duration) -> Result<()> {
    let until = Instant::now() + time;
    loop {
        context.check()?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(LOOK_AGAIN.min(left));
    }
}

/// Folders that nobody goes back to, checkouts, and images that nothing needs.
fn tidy(context: &Context, scene: &Scene, keep: &[String]) -> Result<images::Pruned> {
    for release in scene.environment.releases()? {
        let stays = release.deployment() == scene.release.deployment()
            || keep.iter().any(|id| id == release.deployment());
        if !stays {
            prepare::lapse(&scene.environment, &release)?;
            release.remove()?;
        } else if !release.is_prepared() || !needs_checkout(&release.files()?, &release.checkout())
        {
            remove_checkout(&release.checkout())?;
        }
    }
    let pruned = images::prune_lapsed(context.paths(), &scene.environment)?;
    pruned
        .images
        .iter()
        .for_each(|image| context.log(&format!("The image {image} is gone")));
    Ok(pruned)
}

/// Does a service mount a file of it?
fn needs_checkout(files: &plan::Files, checkout: &Path) -> bool {
    let services = [&files.in_place, &files.beside]
        .into_iter()
        .filter_map(|file| file["services"].as_object());
    let mounts = services
        .flatten()
        .filter_map(|(_, service)| service["volumes"].as_array())
        .flatten();
    let sources = mounts.filter_map(|mount| mount["source"].as_str());
    let kinds = [&files.in_place, &files.beside]
        .into_iter()
        .flat_map(|file| [&file["configs"], &file["secrets"]]);
    let of_files = kinds
        .filter_map(Value::as_object)
        .flatten()
        .filter_map(|(_, entry)| entry["file"].as_str());
    sources
        .chain(of_files)
        .any(|source| Path::new(source).starts_with(checkout))
}

fn remove_checkout(path: &Path) -> Result<()> {
    match std::fs::remove_dir_all(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(crate::fault::io_at(path, &error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::health::container;
    use std::collections::BTreeMap;

    #[test]
    fn only_ports_that_go_with_their_containers_are_waited_for() {
        let at = |ports: &[(u16, u16)]| Container {
            ports: ports.iter().copied().collect(),
            ..container("running")
        };
        let (web, db) = (at(&[(80, 20_001), (81, 20_002)]), at(&[]));
        let going = [&web, &db];
        assert_eq!(
            upstreams(&going, &Ports::new()),
            ["127.0.0.1:20001", "127.0.0.1:20002"]
        );
        let kept = BTreeMap::from([(81, vec![20_002, 20_003])]);
        let stay = Ports::from([("web".to_string(), kept)]);
        assert_eq!(upstreams(&going, &stay), ["127.0.0.1:20001"]);
    }

    #[test]
    fn a_release_knows_when_routes_were_led_to_it_also_after_the_agent_ended() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = crate::paths::Paths::under(root.path());
        let release = || {
            let environment = Environment::of(&paths, "shop").expect("a name");
            environment.release("d1").expect("an id")
        };
        release().make().expect("made");
        assert_eq!(release().switched_at().expect("read"), None);
        let at = DateTime::from_timestamp_millis(1_763_769_600_123).expect("a time");
        release().set_switched_at(at).expect("kept");
        assert_eq!(release().switched_at().expect("read"), Some(at));
    }
}
