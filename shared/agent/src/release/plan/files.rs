//! The two Compose files of a release.
//!
//! Promise: all networks and volumes in them are made beforehand and outlive them; every container carries our labels; a
//! service that is replaced in place and did not change is the same to Compose as in the release before, label for label.

use super::{Decisions, limits, replicas, services_of};
use crate::release::container::{DEPLOYMENT, ENVIRONMENT, SERVICE};
use crate::release::folder::{Ports, Release};
use protocol::release::{ReleasePrepare, Update};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Keys of a service that say how it is built, chosen or counted: that is settled before Compose sees it.
const SETTLED: [&str; 6] = [
    "build",
    "profiles",
    "scale",
    "pull_policy",
    "develop",
    "extends",
];

/// Both files.
#[derive(Debug, Clone, PartialEq)]
pub struct Files {
    /// For the environment's own project.
    pub in_place: Value,
    /// For the release's.
    pub beside: Value,
    /// Why each service is in which file.
    pub decisions: Decisions,
    /// What must be there before Compose sees them.
    pub outlives: Outlives,
    /// What people should know.
    pub notes: Vec<String>,
}

/// Networks and volumes: made before a release, and never removed by one.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outlives {
    /// By name on the host; null for those of others, which must be there already.
    pub networks: BTreeMap<String, Value>,
    /// The same.
    pub volumes: BTreeMap<String, Value>,
}

/// The name on the host of a network or volume of the file. Compose names each in what it prints: by the project and the
/// key, unless the file has a name of its own, which is meant as it stands.
pub fn real_name(environment: &str, key: &str, entry: &Value) -> String {
    match entry["name"].as_str() {
        Some(own) => own.to_string(),
        None if is_external(entry) => key.to_string(),
        None => format!("{environment}_{key}"),
    }
}

fn is_external(entry: &Value) -> bool {
    match &entry["external"] {
        Value::Bool(external) => *external,
        other => !other.is_null(),
    }
}

/// The services of a file.
pub fn names_in(file: &Value) -> BTreeSet<String> {
    let all = file["services"].as_object().into_iter().flatten();
    all.filter_map(|(_, service)| Some(service["labels"][SERVICE].as_str()?.to_string()))
        .collect()
}

/// The entries of a file that make a service's containers: one, or one for each replica.
pub fn entries_of(file: &Value, service: &str) -> Vec<String> {
    let all = file["services"].as_object().into_iter().flatten();
    all.filter(|(_, entry)| entry["labels"][SERVICE] == service)
        .map(|(key, _)| key.clone())
        .collect()
}

/// Make them of a resolved model. `asked` has the images that are run; `before` is the file of services that are updated
/// in place of the release before, null when there is none.
pub fn files(
    model: &Value,
    asked: &ReleasePrepare,
    release: &Release,
    decisions: &Decisions,
    ports: &Ports,
    before: &Value,
) -> Files {
    let mut notes = Vec::new();
    let mut sides = [Update::InPlace, Update::Beside].map(|side| {
        let own = |name: &str| decisions.get(name).is_some_and(|one| one.update == side);
        let mut services = Map::new();
        for (name, service) in services_of(model).into_iter().filter(|(name, _)| own(name)) {
            let mut one = service.clone();
            SETTLED.iter().for_each(|key| {
                one.remove(*key);
            });
            if let Some(image) = asked.images.get(name) {
                one.insert("image".into(), json!(image));
            }
            limits::set(name, &mut one, &asked.limits, &mut notes);
            restart(&mut one, decisions[name].once);
            only_of_this_file(&mut one, &own);
            label(&mut one, name, release);
            copies(model, &mut services, name, one, replicas(service), ports);
        }
        wait_for_all_copies(&mut services);
        services
    });
    for (name, service) in &mut sides[0] {
        if same_contents(service, model, before) {
            keep_unchanged(service, &before["services"][name.as_str()]);
        }
    }
    let [in_place, beside] = sides;
    let in_place = file(
        model,
        release.environment(),
        release.environment(),
        in_place,
    );
    let beside = file(model, release.environment(), &release.project(), beside);
    let of = |kind: &str| {
        let all = model[kind].as_object().into_iter().flatten();
        // Compose lists a default network also where no service is in it; a volume is in the file because somebody wants it.
        let used = all.filter(|(key, _)| {
            kind == "volumes" || in_place[kind].get(key).or(beside[kind].get(key)).is_some()
        });
        used.map(|(key, entry)| {
            let made = if is_external(entry) {
                Value::Null
            } else {
                entry.clone()
            };
            (real_name(release.environment(), key, entry), made)
        })
        .collect()
    };
    Files {
        decisions: decisions.clone(),
        outlives: Outlives {
            networks: of("networks"),
            volumes: of("volumes"),
        },
        in_place,
        beside,
        notes,
    }
}

/// A container that ends by itself comes up again, also after a reboot, until somebody stops it.
fn restart(service: &mut Map<String, Value>, once: bool) {
    let policy = match service.get("restart").and_then(Value::as_str) {
        // `always` is the same, but would start what was stopped when the server boots.
        Some("always") => json!("unless-stopped"),
        Some(_) => return,
        None if once => json!("no"),
        None => json!("unless-stopped"),
    };
    service.insert("restart".into(), policy);
}

/// Services of the other file are started and waited for by us.
fn only_of_this_file(service: &mut Map<String, Value>, own: &impl Fn(&str) -> bool) {
    if let Some(Value::Object(needs)) = service.get_mut("depends_on") {
        needs.retain(|name, _| own(name));
    }
    if let Some(Value::Array(links)) = service.get_mut("links") {
        links.retain(|link| {
            let name = link.as_str().and_then(|link| link.split(':').next());
            name.is_some_and(own)
        });
    }
}

fn label(service: &mut Map<String, Value>, name: &str, release: &Release) {
    let labels = service.entry("labels").or_insert_with(|| json!({}));
    if !labels.is_object() {
        *labels = json!({});
    }
    labels[ENVIRONMENT] = json!(release.environment());
    labels[DEPLOYMENT] = json!(release.deployment());
    labels[SERVICE] = json!(name);
}

/// A routed service has an entry for each replica, because each has a port of its own; the others are counted.
fn copies(
    model: &Value,
    services: &mut Map<String, Value>,
    name: &str,
    service: Map<String, Value>,
    replicas: u64,
    ports: &Ports,
) {
    let Some(published) = ports.get(name) else {
        let mut service = service;
        if replicas > 1 {
            service.insert("scale".into(), json!(replicas));
        }
        services.insert(name.into(), Value::Object(service));
        return;
    };
    for copy in 0..usize::try_from(replicas).unwrap_or(1) {
        let mut one = service.clone();
        let all = one.entry("ports").or_insert_with(|| json!([]));
        for (inside, outside) in published {
            if let (Some(all), Some(port)) = (all.as_array_mut(), outside.get(copy)) {
                all.push(json!({
                    "mode": "ingress", "host_ip": "127.0.0.1", "target": inside,
                    "published": port.to_string(), "protocol": "tcp",
                }));
            }
        }
        if copy > 0 {
            answer_to(&mut one, name);
        }
        services.insert(copy_name(model, name, copy), Value::Object(one));
    }
}

/// `web`, `web-2`, `web-3`; never the name of another service.
fn copy_name(model: &Value, name: &str, copy: usize) -> String {
    if copy == 0 {
        return name.to_string();
    }
    let mut own = format!("{name}-{}", copy + 1);
    while model["services"].get(&own).is_some() {
        own.push('x');
    }
    own
}

/// In every network of its own, this is one of the containers behind the service's name.
fn answer_to(service: &mut Map<String, Value>, name: &str) {
    let networks = service
        .entry("networks")
        .or_insert_with(|| json!({ "default": null }));
    for (_, own) in networks.as_object_mut().into_iter().flatten() {
        if own.is_null() {
            *own = json!({});
        }
        let mut aliases = own["aliases"].as_array().cloned().unwrap_or_default();
        aliases.push(json!(name));
        own["aliases"] = Value::Array(aliases);
    }
}

fn wait_for_all_copies(services: &mut Map<String, Value>) {
    let copies: Vec<(String, String)> = services
        .iter()
        .filter_map(|(key, service)| {
            Some((
                service["labels"][SERVICE].as_str()?.to_string(),
                key.clone(),
            ))
        })
        .filter(|(name, key)| name != key)
        .collect();
    for service in services.values_mut() {
        let Some(Value::Object(needs)) = service.get_mut("depends_on") else {
            continue;
        };
        for (name, key) in &copies {
            if let Some(condition) = needs.get(name).cloned() {
                needs.insert(key.clone(), condition);
            }
        }
    }
}

/// What a service only names Compose does not compare: a config's or secret's text stands beside the services.
fn same_contents(service: &Value, model: &Value, before: &Value) -> bool {
    ["configs", "secrets"].into_iter().all(|kind| {
        let named = service[kind].as_array().into_iter().flatten();
        let mut keys = named.filter_map(|one| one["source"].as_str().or(one.as_str()));
        keys.all(|key| model[kind][key] == before[kind][key])
    })
}

/// The label of the deployment that made it is part of what Compose compares: a service that did not change keeps it.
fn keep_unchanged(service: &mut Value, before: &Value) {
    let made_by = before["labels"][DEPLOYMENT].clone();
    if made_by.is_null() {
        return;
    }
    let mut as_before = service.clone();
    as_before["labels"][DEPLOYMENT] = made_by;
    if as_before == *before {
        *service = as_before;
    }
}

fn file(model: &Value, environment: &str, project: &str, services: Map<String, Value>) -> Value {
    let mut file = json!({ "name": project, "services": services });
    for kind in ["networks", "volumes"] {
        let all = model[kind].as_object().into_iter().flatten();
        let made: Map<String, Value> = all
            .filter(|(key, _)| uses(&file, kind, key))
            .map(|(key, entry)| {
                let name = real_name(environment, key, entry);
                (key.clone(), json!({ "name": name, "external": true }))
            })
            .collect();
        file[kind] = Value::Object(made);
    }
    for kind in ["configs", "secrets"] {
        let all = model[kind].as_object().into_iter().flatten();
        let used: Map<String, Value> = all
            .filter(|(key, _)| uses(&file, kind, key))
            .map(|(key, entry)| (key.clone(), entry.clone()))
            .collect();
        if !used.is_empty() {
            file[kind] = Value::Object(used);
        }
    }
    file
}

fn uses(file: &Value, kind: &str, key: &str) -> bool {
    let mut services = file["services"].as_object().into_iter().flatten();
    services.any(|(_, service)| match &service[kind] {
        Value::Object(all) => all.contains_key(key),
        Value::Array(all) => all.iter().any(|one| one["source"] == key),
        // A service that names no network is in the default one.
        Value::Null => kind == "networks" && key == "default" && service["network_mode"].is_null(),
        _ => false,
    })
}
