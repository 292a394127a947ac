//! A release under load, beside `docker compose up -d` by hand on the same engine.
//!
//! Promise: both start the same small images, each new to the engine; both are over when the new container answers.

use super::deployments::{self, SERVER, completed, servers_add};
use super::figures::{Figure, Group, Quantity, Times};
use crate::build::{self, say};
use crate::cli::run;
use crate::lab::Lab;
use crate::load::Load;
use crate::ministack::{MiniStack, free_port};
use crate::up;
use anyhow::{Context, Result};
use serde_json::Value;
use std::time::{Duration, Instant};

/// Its stack and its lab.
const NAME: &str = "bench-releases";
const HOST: &str = "shop.example.com";
const ENVIRONMENT: &str = "shop/web/production";
const ROUNDS: usize = 9;
/// What comes before a release is live.
const STEPS: &[(&str, &str)] = &[
    (
        "prepare_release",
        "prepare: judge the Compose file, freeze, write the project",
    ),
    ("pull_images", "pull"),
    ("create_volumes", "volumes"),
    ("start_containers", "start"),
    ("await_health", "health"),
    ("switch_route", "switch the route"),
];
/// By hand: another image in the file, up, and asked until it answers.
const BY_HAND: &str = r"
cd /root/by-hand
sed -i 's|image: .*|image: '$1'|' compose.yaml
began=$(date +%s%N)
docker compose up -d --quiet-pull 2> up.log || { cat up.log >&2; exit 1; }
until curl -sf -o /dev/null http://127.0.0.1:8099/health; do sleep 0.02; done
echo $((($(date +%s%N) - began) / 1000))
";

/// See the module.
pub async fn group(quick: bool) -> Result<Group> {
    let measured = on_a_docker_host(if quick { 2 } else { ROUNDS }).await;
    MiniStack::stop(&up::state(NAME))?;
    Lab::down(NAME)?;
    let _nothing_left = std::fs::remove_dir_all(up::state(NAME));
    measured
}

async fn on_a_docker_host(rounds: usize) -> Result<Group> {
    let load = build::load()?;
    let app = build::sample_app()?;
    let up = up::up(NAME, free_port()?).await?;
    let lab = Lab::up(NAME, 0, 1)?;
    let server = lab.servers.first().context("the lab has no server")?;
    let image = |name: &str| -> Result<String> {
        let image = format!("registry.test:5000/{name}");
        lab.app_image(&app, &image, &[("VERSION", name)])?;
        Ok(image)
    };
    servers_add(&up, server)?;
    let first = image("ours:first")?;
    run(&up, &["projects", "create", "shop"])?;
    let gate = ["--gate", "app=/health"];
    run(
        &up,
        &[
            &["services", "create", "shop/web", "--image", &first],
            &gate[..],
        ]
        .concat(),
    )?;
    let route = format!("{HOST}=8080");
    completed(
        &up,
        &[
            "environments",
            "create",
            ENVIRONMENT,
            "--server",
            SERVER,
            "--route",
            &route,
            "--tls",
            "off",
            "--drain",
            "2",
        ],
    )?;
    let by_hand = |image: &str| -> Result<Duration> {
        let said = lab.exec(&server.name, &["bash", "-ec", BY_HAND, "by-hand", image])?;
        Ok(Duration::from_micros(said.trim().parse()?))
    };
    lab.exec(
        &server.name,
        &[
            "bash",
            "-ec",
            "mkdir /root/by-hand; printf 'services:\\n  app:\\n    image: none\\n    ports: [\"127.0.0.1:8099:8080\"]\\n' > /root/by-hand/compose.yaml",
        ],
    )?;
    by_hand(&image("theirs:first")?)?;

    say("releases, rollbacks, and the same by hand");
    let began = Instant::now();
    let load = Load::begin(&load, &server.address, HOST)?;
    let mut releases = Vec::new();
    let mut rollbacks = Vec::new();
    let mut theirs = Times::default();
    for round in 0..rounds {
        let next = image(&format!("ours:{round}"))?;
        releases.push(completed(&up, &["deploy", ENVIRONMENT, "--image", &next])?);
        if round % 2 == 1 {
            rollbacks.push(completed(&up, &["rollback", ENVIRONMENT, "--yes"])?);
        }
        theirs.push(by_hand(&image(&format!("theirs:{round}"))?)?);
    }
    let seen = load.stop()?;
    let within = began.elapsed();
    figures(&releases, &rollbacks, &theirs, &seen, within)
}

fn figures(
    releases: &[Value],
    rollbacks: &[Value],
    theirs: &Times,
    seen: &crate::load::Seen,
    within: Duration,
) -> Result<Group> {
    let times = |of: &[Value], what: &dyn Fn(&Value) -> Result<Duration>| -> Result<Quantity> {
        let times: Times = of
            .iter()
            .map(what)
            .collect::<Result<Vec<_>>>()?
            .into_iter()
            .collect();
        Ok(Quantity::seconds(times.percentile(50)))
    };
    let live = |release: &Value| deployments::until(release, "switch_route");
    let between = |release: &Value| -> Result<Duration> {
        let mut between = live(release)?;
        for (step, _) in STEPS {
            between = between.saturating_sub(deployments::length(release, step)?);
        }
        Ok(between)
    };
    let released = times(releases, &live)?;
    let mut figures = vec![Figure::beside(
        "release: from the request to live",
        released,
        "docker compose up -d by hand, until it answers",
        Quantity::seconds(theirs.percentile(50)),
    )];
    for (step, title) in STEPS {
        let took = times(releases, &|release| deployments::length(release, step))?;
        figures.push(Figure::alone(format!("of it: {title}"), took));
    }
    figures.push(Figure::alone(
        "of it: between the steps, and before the first",
        times(releases, &between)?,
    ));
    figures.push(Figure::beside(
        "rollback: from the request to switched",
        times(rollbacks, &live)?,
        "the release",
        released,
    ));
    for (step, title) in [
        (
            "finish_release",
            "after it: drain and remove what was replaced",
        ),
        ("observe_containers", "after it: the observed view"),
    ] {
        let took = times(releases, &|release| deployments::length(release, step))?;
        figures.push(Figure::alone(title, took));
    }
    let failed = u32::try_from(seen.failed.len()).unwrap_or(u32::MAX);
    figures.push(Figure::alone(
        format!(
            "failed requests, of {} during {} switches",
            seen.asked,
            releases.len() + rollbacks.len()
        ),
        Quantity::count(failed),
    ));
    Ok(Group::new(
        "a release",
        format!(
            "Medians of {}; a small static image, new to the engine each time, on a booted Docker host; everything on the same cores, with {:.0} requests a second all the while. By hand the old container is stopped before the new one starts and nothing is judged, kept or recorded. {} requests on kept connections that the proxy had closed were sent again, as RFC 9112 asks.",
            releases.len(),
            seen.asked as f64 / within.as_secs_f64(),
            seen.again,
        ),
        figures,
    ))
}
