//! Deployments as the command line begins them, and how long their steps took.

use super::figures::Quantity;
use crate::cli::{ask, run};
use crate::lab::Server;
use crate::up::Up;
use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use serde_json::Value;
use std::time::{Duration, Instant};

/// A gigabyte takes seconds.
const SETTLED_WITHIN: Duration = Duration::from_secs(900);
/// The name of the server that is measured.
pub const SERVER: &str = "bench";

/// Register the server.
pub fn servers_add(up: &Up, server: &Server) -> Result<()> {
    let key = server.key_path.display().to_string();
    run(
        up,
        &[
            "servers",
            "add",
            SERVER,
            "--host",
            &server.address,
            "--user",
            &server.user,
            "--key-file",
            &key,
            "--host-key",
            &server.host_key_fingerprint,
            "--follow",
        ],
    )
}

/// Ask for it, and give the deployment when it has completed.
pub fn completed(up: &Up, command: &[&str]) -> Result<Value> {
    let asked = ask(up, command)?;
    let id = asked["deployment"]["id"].as_str().or(asked["id"].as_str());
    let id = id.with_context(|| format!("no deployment: {asked}"))?;
    let until = Instant::now() + SETTLED_WITHIN;
    loop {
        let deployment = ask(up, &["deployments", "show", id])?;
        if deployment["settlement"] == "settled" {
            ensure!(deployment["status"] == "completed", "{deployment:#}");
            return Ok(deployment);
        }
        ensure!(
            Instant::now() < until,
            "{id} did not settle: {deployment:#}"
        );
        std::thread::sleep(Duration::from_millis(500));
    }
}

/// From the begin to the end of a step.
pub fn took(deployment: &Value, step: &str) -> Result<Quantity> {
    Ok(Quantity::seconds(length(deployment, step)?))
}

/// From the begin to the end of a step.
pub fn length(deployment: &Value, step: &str) -> Result<Duration> {
    let step = found(deployment, step)?;
    Ok((at(step, "finished_at")? - at(step, "started_at")?).to_std()?)
}

/// From the request to the end of a step.
pub fn until(deployment: &Value, step: &str) -> Result<Duration> {
    let ended = at(found(deployment, step)?, "finished_at")?;
    Ok((ended - at(deployment, "created_at")?).to_std()?)
}

fn found<'a>(deployment: &'a Value, name: &str) -> Result<&'a Value> {
    let steps = deployment["steps"].as_array().into_iter().flatten();
    let mut named = steps.filter(|step| step["name"] == name);
    named
        .next()
        .with_context(|| format!("there is no step {name}"))
}

fn at(of: &Value, which: &str) -> Result<DateTime<Utc>> {
    let text = of[which].as_str();
    Ok(text.with_context(|| format!("no {which}"))?.parse()?)
}
