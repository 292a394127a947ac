//! Containers as the engine has them.
//!
//! Promise: only what carries our labels is found; a container that goes while it is looked at is not there.

use crate::fault::{Result, broken};
use crate::release::engine;
use crate::release::mask::Mask;
use chrono::{DateTime, TimeDelta, Utc};
use protocol::release::ContainerSeen;
use serde_json::Value;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Whose it is.
pub const ENVIRONMENT: &str = "triphammer.environment";
/// What made it.
pub const DEPLOYMENT: &str = "triphammer.deployment";
/// The service of the release's file; Compose's own has another name for replicas.
pub const SERVICE: &str = "triphammer.service";
const PROJECT: &str = "com.docker.compose.project";
const ENTRY: &str = "com.docker.compose.service";

/// The engine waits longer and longer before it starts a container again, a minute at most.
const EVENTS_BEFORE: TimeDelta = TimeDelta::minutes(2);

/// One container.
#[derive(Debug, Clone, PartialEq)]
pub struct Container {
    /// 64 hex digits.
    pub id: String,
    /// `shop-k3v9q2aa-web-1`
    pub name: String,
    /// Its Compose project.
    pub project: String,
    /// The entry of Compose's file that made it: a service, or one of its replicas.
    pub entry: String,
    /// Its service in the release's file.
    pub service: String,
    /// The deployment that made it.
    pub deployment: String,
    /// As it was asked for.
    pub image: String,
    /// `sha256:…`
    pub image_id: String,
    /// `running`, `exited`, `restarting`, `created`, `dead`, `paused`
    pub state: String,
    /// Of its last end.
    pub exit_code: i64,
    /// Was it ended because it took too much memory?
    pub out_of_memory: bool,
    /// Why the engine could not start it. May hold anything.
    pub error: String,
    /// By the engine.
    pub restarts: u32,
    /// Absent before its first start.
    pub started_at: Option<DateTime<Utc>>,
    /// `healthy`, `unhealthy`, `starting`; absent without a check.
    pub health: Option<String>,
    /// Bytes it may use; none for all.
    pub memory_bytes: Option<u64>,
    /// Where it is reached from this host.
    pub address: Option<IpAddr>,
    /// Ports of its own, to ports of the loopback address.
    pub ports: BTreeMap<u16, u16>,
}

impl Container {
    /// Is it at work?
    pub fn runs(&self) -> bool {
        self.state == "running"
    }

    /// Is it of one of this environment's projects? What only carries the label is somebody else's, and left alone.
    pub fn is_of(&self, environment: &str) -> bool {
        let rest = self.project.strip_prefix(environment);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
    }

    /// For the protocol.
    pub fn seen(&self) -> ContainerSeen {
        ContainerSeen {
            service: self.service.clone(),
            container: self.name.clone(),
            deployment_id: self.deployment.clone(),
            image: self.image.clone(),
            image_id: self.image_id.clone(),
            state: self.state.clone(),
            health: self.health.clone(),
            restarts: self.restarts,
            started_at: self
                .started_at
                .map(|at| at.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)),
            exit_code: matches!(self.state.as_str(), "exited" | "dead").then_some(self.exit_code),
        }
    }
}

/// All of an environment, by service and name.
pub fn of_environment(environment: &str) -> Result<Vec<Container>> {
    let filter = format!("label={ENVIRONMENT}={environment}");
    let ids = engine::output(["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter])?;
    let ids: Vec<&str> = ids.lines().collect();
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let seen = engine::ask(["container", "inspect"].into_iter().chain(ids))?;
    // One that went meanwhile fails the call, and all others are printed nevertheless.
    if !seen.ok && !seen.errors.contains("No such container") {
        return Err(engine::unlogged(&seen.errors, &Mask::default()));
    }
    let all: Vec<Value> = serde_json::from_str(&seen.output).map_err(|_| {
        broken(
            "engine_not_understood",
            "The container engine's answer was not understood.",
        )
    })?;
    let mut all: Vec<Container> = all.iter().filter_map(read).collect();
    all.sort_by(|a, b| (&a.service, &a.name).cmp(&(&b.service, &b.name)));
    Ok(all)
}

/// How a container that runs again ended before: the engine forgets that in the container, and keeps it as an event.
pub fn last_exit_code(container: &Container) -> Result<Option<i64>> {
    let Some(started) = container.started_at else {
        return Ok(None);
    };
    let since = (started - EVENTS_BEFORE).timestamp().to_string();
    let until = started.timestamp().saturating_add(1).to_string();
    let of = format!("container={}", container.id);
    let words = [
        "events",
        "--since",
        &since,
        "--until",
        &until,
        "--filter",
        &of,
        "--filter",
        "event=die",
    ];
    let format = ["--format", "{{.Actor.Attributes.exitCode}}"];
    let seen = engine::output(words.into_iter().chain(format))?;
    Ok(seen.lines().last().and_then(|code| code.parse().ok()))
}

/// Does an image bring a health check? None when it is not here.
pub fn has_health_check(image: &str) -> Result<Option<bool>> {
    let seen = engine::ask([
        "image",
        "inspect",
        "--format",
        "{{json .Config.Healthcheck}}",
        image,
    ])?;
    let known = serde_json::from_str::<Value>(&seen.output);
    Ok(known
        .ok()
        .filter(|_| seen.ok)
        .map(|check| check["Test"][0].as_str().is_some_and(|word| word != "NONE")))
}

/// Folders that an image keeps in volumes of their own; none when it is not here.
pub fn volumes_of_image(image: &str) -> Result<Vec<String>> {
    let format = "{{json .Config.Volumes}}";
    let seen = engine::ask(["image", "inspect", "--format", format, image])?;
    let volumes = serde_json::from_str::<BTreeMap<String, Value>>(seen.output.trim());
    Ok(volumes.unwrap_or_default().into_keys().collect())
}

fn read(seen: &Value) -> Option<Container> {
    let labels = &seen["Config"]["Labels"];
    let label = |name: &str| labels[name].as_str().unwrap_or_default().to_string();
    let state = &seen["State"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let networks = seen["NetworkSettings"]["Networks"].as_object();
    Some(Container {
        id: seen["Id"].as_str()?.to_string(),
        name: text(&seen["Name"]).trim_start_matches('/').to_string(),
        project: label(PROJECT),
        entry: label(ENTRY),
        service: label(SERVICE),
        deployment: label(DEPLOYMENT),
        image: text(&seen["Config"]["Image"]),
        image_id: text(&seen["Image"]),
        state: text(&state["Status"]),
        exit_code: state["ExitCode"].as_i64().unwrap_or_default(),
        out_of_memory: state["OOMKilled"].as_bool().unwrap_or_default(),
        error: text(&state["Error"]),
        restarts: seen["RestartCount"]
            .as_u64()
            .and_then(|count| u32::try_from(count).ok())
            .unwrap_or_default(),
        started_at: state["StartedAt"]
            .as_str()
            .and_then(|at| DateTime::parse_from_rfc3339(at).ok())
            .map(|at| at.to_utc())
            // The engine's word for never is the year 1.
            .filter(|at| at.timestamp() > 0),
        health: state["Health"]["Status"]
            .as_str()
            .filter(|word| !matches!(*word, "" | "none"))
            .map(str::to_string),
        memory_bytes: seen["HostConfig"]["Memory"]
            .as_u64()
            .filter(|bytes| *bytes > 0),
        address: networks.and_then(|all| {
            all.values()
                .find_map(|network| network["IPAddress"].as_str()?.parse().ok())
        }),
        ports: ports(&seen["NetworkSettings"]["Ports"]),
    })
}

/// `{"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}]}`
fn ports(seen: &Value) -> BTreeMap<u16, u16> {
    let all = seen.as_object().into_iter().flatten();
    all.filter_map(|(inside, bound)| {
        let inside = inside.strip_suffix("/tcp")?.parse().ok()?;
        let outside = bound.as_array()?.iter().find_map(|one| {
            (one["HostIp"] == "127.0.0.1").then(|| one["HostPort"].as_str()?.parse().ok())?
        })?;
        Some((inside, outside))
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_container_is_read_as_the_engine_tells_it() {
        let seen = json!({
            "Id": "ab", "Name": "/shop-web-1", "Image": "sha256:1", "RestartCount": 2,
            "State": {"Status": "exited", "ExitCode": 137, "OOMKilled": true, "Error": "",
                "StartedAt": "2026-11-21T17:00:00.123456789Z", "Health": {"Status": "unhealthy"}},
            "Config": {"Image": "a@sha256:2", "Labels": {"triphammer.service": "web", "triphammer.deployment": "d1"}},
            "HostConfig": {"Memory": 1024},
            "NetworkSettings": {"Networks": {"a": {"IPAddress": ""}, "b": {"IPAddress": "172.18.0.2"}},
                "Ports": {"80/tcp": [{"HostIp": "127.0.0.1", "HostPort": "20001"}], "90/tcp": null, "53/udp": null}},
        });
        let read = read(&seen).expect("read");
        assert_eq!(
            (read.name.as_str(), read.service.as_str(), read.restarts),
            ("shop-web-1", "web", 2)
        );
        assert_eq!((read.out_of_memory, read.memory_bytes), (true, Some(1024)));
        assert_eq!(read.ports, BTreeMap::from([(80, 20001)]));
        assert_eq!(
            read.address.map(|at| at.to_string()).as_deref(),
            Some("172.18.0.2")
        );
        let told = read.seen();
        assert_eq!(told.started_at.as_deref(), Some("2026-11-21T17:00:00.123Z"));
        assert_eq!(
            (told.exit_code, told.health.as_deref()),
            (Some(137), Some("unhealthy"))
        );
    }

    #[test]
    fn a_container_that_never_started_has_no_start() {
        let seen = json!({"Id": "ab", "State": {"Status": "created", "StartedAt": "0001-01-01T00:00:00Z"}});
        let read = read(&seen).expect("read");
        assert_eq!((read.started_at, read.seen().exit_code), (None, None));
    }
}
