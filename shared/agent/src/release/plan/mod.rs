//! Which services are replaced beside the old ones and which in place, and the two Compose files that do it.
//!
//! Promise: pure functions over a model that Compose has resolved.

mod decide;
mod files;
mod limits;

pub use decide::{Decision, decide};
pub use files::{Files, Outlives, entries_of, files, names_in, real_name};

use crate::fault::{Result, refused};
use protocol::release::{REPLICAS_LIMIT, ReleasePlan, ReleasePrepare, ServicePlan, VolumePlan};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// Where the proxy takes HTTP and HTTPS.
const PORTS_OF_THE_PROXY: [u64; 2] = [80, 443];

/// A release's services and how each is replaced.
pub type Decisions = BTreeMap<String, Decision>;

/// The services of a model, by name.
pub fn services_of(model: &Value) -> BTreeMap<&str, &Map<String, Value>> {
    let all = model["services"].as_object().into_iter().flatten();
    all.filter_map(|(name, service)| Some((name.as_str(), service.as_object()?)))
        .collect()
}

/// Refuse what cannot be a release of this model.
pub fn check(asked: &ReleasePrepare, model: &Value) -> Result<()> {
    let services = services_of(model);
    if services.is_empty() {
        return Err(refused(
            "no_services",
            "The Compose file has no service that would run. If all of them have profiles, choose one.",
        ));
    }
    let routed = asked.routes.iter().map(|route| ("route", &route.service));
    let gated = asked.gates.keys().map(|name| ("health check", name));
    let pictured = asked.images.keys().map(|name| ("image", name));
    for (what, name) in routed.chain(gated).chain(pictured) {
        if !services.contains_key(name.as_str()) {
            let known: Vec<&str> = services.keys().copied().collect();
            return Err(refused(
                "no_such_service",
                format!(
                    "There is a {what} for the service {name}, which the Compose file does not have: it has {}.",
                    known.join(", ")
                ),
            ));
        }
    }
    for route in &asked.routes {
        crate::check::host("route's host name", &route.host)?;
        let path = route.path.as_deref().unwrap_or("/");
        if !is_path(path) || route.port == 0 {
            return Err(refused(
                "bad_route",
                format!(
                    "The route of {} must have a port above zero, and a path that begins with /.",
                    route.host
                ),
            ));
        }
    }
    let mut ways = BTreeSet::new();
    if let Some(twice) = asked
        .routes
        .iter()
        .find(|route| !ways.insert((&route.host, &route.path)))
    {
        return Err(refused(
            "bad_route",
            format!("There are two routes of {}.", twice.host),
        ));
    }
    let probes = asked
        .gates
        .iter()
        .filter_map(|(name, gate)| Some((name, gate.http.as_ref()?)));
    for (name, probe) in probes {
        let has_port =
            probe.port.is_some() || asked.routes.iter().any(|route| route.service == *name);
        if !is_path(&probe.path) || !has_port {
            return Err(refused(
                "bad_health_check",
                format!(
                    "The health check of {name} must have a path that begins with /, and a port unless the service has a route."
                ),
            ));
        }
        if let Some(host) = &probe.host {
            crate::check::host("health check's host name", host)?;
        }
    }
    services
        .iter()
        .try_for_each(|(name, service)| check_service(asked, model, name, service))
}

fn check_service(
    asked: &ReleasePrepare,
    model: &Value,
    name: &str,
    service: &Map<String, Value>,
) -> Result<()> {
    let replicas = replicas(service);
    if replicas == 0 {
        return Err(refused(
            "no_replicas",
            format!(
                "The service {name} has no replicas. Give it one, or leave it out by a profile."
            ),
        ));
    }
    if replicas > u64::from(REPLICAS_LIMIT) {
        return Err(refused(
            "too_many_replicas",
            format!(
                "The service {name} has {replicas} replicas; at most {REPLICAS_LIMIT} of a service run on one server."
            ),
        ));
    }
    let fixed = host_ports(service).iter().any(|port| !port.contains('-'));
    if replicas > 1 && (fixed || service.contains_key("container_name")) {
        return Err(refused(
            "replicas_conflict",
            format!(
                "The service {name} has {replicas} replicas, and a port of the server or a name that only one container can have."
            ),
        ));
    }
    if let Some(port) = of_the_proxy(service) {
        return Err(refused(
            "port_of_the_proxy",
            format!(
                "The service {name} publishes port {port} of the server. The proxy has it: give the service a route and leave `ports` out."
            ),
        ));
    }
    let has_image = service.contains_key("image") || asked.images.contains_key(name);
    if !has_image {
        return Err(refused(
            "no_image",
            format!("The service {name} has no image. Give it one, or build it from a Dockerfile."),
        ));
    }
    let is_routed = asked.routes.iter().any(|route| route.service == name);
    let networks = service.get("networks").and_then(Value::as_object);
    let is_internal = |key: &String| model["networks"][key.as_str()]["internal"] == true;
    let walled = networks.is_some_and(|all| !all.is_empty() && all.keys().all(is_internal));
    if is_routed && (walled || service.contains_key("network_mode")) {
        return Err(refused(
            "route_without_network",
            format!(
                "The service {name} has a route, but no network in which the proxy reaches it: give it one that is not internal."
            ),
        ));
    }
    Ok(())
}

fn is_path(path: &str) -> bool {
    path.starts_with('/') && path.len() <= 1024 && path.bytes().all(|b| b.is_ascii_graphic())
}

/// How many containers a service wants.
pub fn replicas(service: &Map<String, Value>) -> u64 {
    let of_deploy = || service.get("deploy")?.get("replicas")?.as_u64();
    service
        .get("scale")
        .and_then(Value::as_u64)
        .or_else(of_deploy)
        .unwrap_or(1)
}

/// A port that it publishes and the proxy listens at; on whatever address, for the proxy listens on all of them.
fn of_the_proxy(service: &Map<String, Value>) -> Option<u64> {
    let all = service.get("ports").and_then(Value::as_array)?;
    let mut tcp = all
        .iter()
        .filter(|port| port["protocol"].as_str().unwrap_or("tcp") == "tcp");
    tcp.find_map(|port| {
        let published = match &port["published"] {
            Value::String(text) => text.parse().ok()?,
            other => other.as_u64()?,
        };
        PORTS_OF_THE_PROXY.contains(&published).then_some(published)
    })
}

/// Ports of the server that it publishes, for people: `127.0.0.1:80:8080/tcp`.
pub fn host_ports(service: &Map<String, Value>) -> Vec<String> {
    let all = service
        .get("ports")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    all.filter_map(|port| {
        let word = |name: &str| match &port[name] {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            _ => String::new(),
        };
        let (published, target) = (word("published"), word("target"));
        if matches!(published.as_str(), "" | "0") {
            return None;
        }
        let address = match word("host_ip") {
            address if address.is_empty() => address,
            address => address + ":",
        };
        let protocol = port["protocol"].as_str().unwrap_or("tcp");
        Some(format!("{address}{published}:{target}/{protocol}"))
    })
    .collect()
}

/// Ports of the loopback address that routed services need: by service and port of its own, how many.
pub fn wanted_ports(
    asked: &ReleasePrepare,
    model: &Value,
) -> BTreeMap<String, BTreeMap<u16, usize>> {
    let services = services_of(model);
    let mut wanted: BTreeMap<String, BTreeMap<u16, usize>> = BTreeMap::new();
    for route in &asked.routes {
        let replicas = services
            .get(route.service.as_str())
            .map_or(1, |service| replicas(service));
        let count = usize::try_from(replicas).unwrap_or(1);
        wanted
            .entry(route.service.clone())
            .or_default()
            .insert(route.port, count);
    }
    wanted
}

/// What people see of it. `asked` has the file's own references, `pinned` what is run.
pub fn plan(
    model: &Value,
    environment: &str,
    asked: &BTreeMap<String, String>,
    pinned: &BTreeMap<String, String>,
    decisions: &Decisions,
    existing_volumes: &BTreeSet<String>,
) -> ReleasePlan {
    let services = services_of(model);
    let named = |name: &str, images: &BTreeMap<String, String>| {
        let in_file = services
            .get(name)
            .and_then(|service| service.get("image")?.as_str());
        images
            .get(name)
            .map(String::as_str)
            .or(in_file)
            .unwrap_or_default()
            .to_string()
    };
    let volumes = model["volumes"].as_object().into_iter().flatten();
    ReleasePlan {
        services: services
            .iter()
            .filter_map(|(name, service)| {
                let decision = decisions.get(*name)?;
                Some(ServicePlan {
                    service: name.to_string(),
                    asked: named(name, asked),
                    image: named(name, pinned),
                    update: decision.update,
                    because: decision.because.clone(),
                    replicas: u32::try_from(replicas(service)).unwrap_or(1),
                    host_ports: host_ports(service),
                    volumes: decide::named_volumes(service),
                    has_health_check: has_health_check(service),
                })
            })
            .collect(),
        volumes: volumes
            .map(|(key, entry)| {
                let volume = real_name(environment, key, entry);
                VolumePlan {
                    name: key.clone(),
                    exists: existing_volumes.contains(&volume),
                    volume,
                }
            })
            .collect(),
        variables: Vec::new(),
        notes: Vec::new(),
    }
}

fn has_health_check(service: &Map<String, Value>) -> bool {
    let check = service.get("healthcheck");
    check.is_some_and(|check| check["disable"] != true && check["test"][0] != "NONE")
}

#[cfg(test)]
mod tests;
