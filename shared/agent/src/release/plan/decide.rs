//! How each service is replaced.
//!
//! Promise: two containers of a service never write one volume, hold one port or share one name: such a service is
//! replaced in place. The others are replaced beside when somebody waits for them behind a route.

use super::{host_ports, services_of};
use protocol::release::{Route, Update};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};

/// How one service is replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decision {
    /// How.
    pub update: Update,
    /// Why, for people.
    pub because: String,
    /// It runs to its end: that it has ended well is as good as that it runs.
    pub once: bool,
    /// Services that it waits for, and until when: as in the file, where the two made of it know only their own.
    pub needs: BTreeMap<String, String>,
}

/// Of each service of the model.
pub fn decide(model: &Value, routes: &[Route]) -> BTreeMap<String, Decision> {
    let services = services_of(model);
    let mut fixed: BTreeMap<&str, String> = services
        .iter()
        .filter_map(|(name, service)| Some((*name, fixed_by(service)?)))
        .collect();
    // Who lends a part of itself is in the same file as who borrows it.
    for (name, service) in &services {
        for lender in lenders(service) {
            fixed
                .entry(name)
                .or_insert_with(|| format!("it uses a part of {lender}"));
            if let Some((lender, _)) = services.get_key_value(lender.as_str()) {
                fixed
                    .entry(lender)
                    .or_insert_with(|| format!("{name} uses a part of it"));
            }
        }
    }
    let routed: BTreeSet<&str> = routes.iter().map(|route| route.service.as_str()).collect();
    let mut beside: BTreeMap<&str, String> = services
        .keys()
        .filter(|name| routed.contains(**name) && !fixed.contains_key(**name))
        .map(|name| {
            (
                *name,
                "it has a route, and nothing that only one container can have".to_string(),
            )
        })
        .collect();
    let ends = ending(&services);
    // What must have ended before a new container starts belongs to it: a migration runs before the new code does.
    loop {
        let before = beside.len();
        let waiting: Vec<&str> = beside.keys().copied().collect();
        for waits in waiting {
            for need in needs(services[waits]).into_keys() {
                if let Some((need, _)) = services.get_key_value(need.as_str())
                    && ends.contains(need)
                    && !fixed.contains_key(need)
                {
                    beside
                        .entry(need)
                        .or_insert_with(|| format!("it runs to its end before {waits}"));
                }
            }
        }
        if beside.len() == before {
            break;
        }
    }
    services
        .iter()
        .map(|(name, service)| {
            let in_place = fixed
                .get(name)
                .cloned()
                .unwrap_or_else(|| "it has no route".to_string());
            let (update, because) = match beside.remove(name) {
                Some(because) => (Update::Beside, because),
                None => (Update::InPlace, in_place),
            };
            let may_end = matches!(
                service.get("restart").and_then(Value::as_str),
                Some(policy) if policy == "no" || policy.starts_with("on-failure")
            );
            let once = ends.contains(name) || (may_end && !routed.contains(name));
            let needs = needs(service);
            (
                name.to_string(),
                Decision {
                    update,
                    because,
                    once,
                    needs,
                },
            )
        })
        .collect()
}

fn needs(service: &Map<String, Value>) -> BTreeMap<String, String> {
    let all = service.get("depends_on").and_then(Value::as_object);
    let condition = |need: &Value| need["condition"].as_str().unwrap_or_default().to_string();
    all.into_iter()
        .flatten()
        .map(|(name, need)| (name.clone(), condition(need)))
        .collect()
}

/// Named volumes that it uses, read or written.
pub fn named_volumes(service: &Map<String, Value>) -> Vec<String> {
    let mounts = service
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let names: BTreeSet<String> = mounts
        .filter(|mount| mount["type"] == "volume")
        .filter_map(|mount| Some(mount["source"].as_str()?.to_string()))
        .collect();
    names.into_iter().collect()
}

/// Those that somebody waits for to end well.
fn ending<'a>(services: &BTreeMap<&'a str, &'a Map<String, Value>>) -> BTreeSet<&'a str> {
    let all = services
        .values()
        .filter_map(|service| service.get("depends_on")?.as_object());
    all.flatten()
        .filter(|(_, need)| need["condition"] == "service_completed_successfully")
        .map(|(name, _)| name.as_str())
        .collect()
}

/// What only one container at a time can have; none when nothing is.
fn fixed_by(service: &Map<String, Value>) -> Option<String> {
    let text = |name: &str| service.get(name).and_then(Value::as_str);
    if let Some(port) = host_ports(service).first() {
        return Some(format!("it publishes the server's port {port}"));
    }
    if let Some(name) = text("container_name") {
        return Some(format!("it has the fixed name {name}"));
    }
    if let Some(mode) = text("network_mode").filter(|mode| *mode != "none" && *mode != "bridge") {
        return Some(format!("it uses the network of {mode}"));
    }
    let networks = service
        .get("networks")
        .and_then(Value::as_object)
        .into_iter()
        .flatten();
    for (network, own) in networks {
        for kind in ["ipv4_address", "ipv6_address", "mac_address"] {
            if let Some(address) = own[kind].as_str().filter(|address| !address.is_empty()) {
                return Some(format!(
                    "it has the fixed address {address} in the network {network}"
                ));
            }
        }
    }
    if let Some(address) = text("mac_address") {
        return Some(format!("it has the fixed address {address}"));
    }
    let mounts = service
        .get("volumes")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    mounts
        .filter(|mount| mount["read_only"] != true)
        .find_map(|mount| {
            let target = mount["target"].as_str().unwrap_or_default();
            let source = mount["source"].as_str().filter(|source| !source.is_empty());
            match (mount["type"].as_str(), source) {
                (Some("tmpfs"), _) => None,
                (Some("volume"), Some(volume)) => Some(format!("it has the volume {volume}")),
                (Some("volume"), None) => Some(format!(
                    "it keeps data in {target}, a volume without a name"
                )),
                (Some("bind"), Some(folder)) => {
                    Some(format!("it may write to the server's {folder}"))
                }
                // A kind that is not known here may be written, too.
                _ => Some(format!("it may write to {target}")),
            }
        })
}

/// Services whose namespaces or volumes it uses.
fn lenders(service: &Map<String, Value>) -> Vec<String> {
    let modes = ["network_mode", "pid", "ipc"];
    let of_mode = |name: &&str| {
        let mode = service.get(*name)?.as_str()?;
        Some(mode.strip_prefix("service:")?.to_string())
    };
    let volumes = service
        .get("volumes_from")
        .and_then(Value::as_array)
        .into_iter()
        .flatten();
    let of_volumes = volumes.filter_map(|from| {
        let from = from.as_str()?;
        (!from.starts_with("container:"))
            .then(|| from.split(':').next().unwrap_or(from).to_string())
    });
    modes.iter().filter_map(of_mode).chain(of_volumes).collect()
}
