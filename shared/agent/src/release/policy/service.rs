//! One service of a Compose file.
//!
//! Promise: a key that is not known is refused; one whose value decides is judged by it, and unknown values are refused.

use super::keys::{HARMLESS, JUDGED, REFUSED};
use super::{Found, host_path, is_nothing, object, shown};
use protocol::release::Allowance::{
    self, Devices, External, HostNamespaces, Privileged, SecurityOptions,
};
use serde_json::Value;

/// Log drivers that keep a log on this server, with the engine's own files.
const LOG_DRIVERS: [&str; 4] = ["", "json-file", "local", "none"];
const LOG_OPTIONS: [&str; 10] = [
    "compress",
    "env",
    "env-regex",
    "labels",
    "labels-regex",
    "max-buffer-size",
    "max-file",
    "max-size",
    "mode",
    "tag",
];
/// The security options that only take rights away.
const HARDENING: [&str; 3] = [
    "no-new-privileges",
    "no-new-privileges:true",
    "no-new-privileges=true",
];
/// Limits with which a container could take the processor from all others.
const PRIORITIES: [&str; 2] = ["nice", "rtprio"];

/// One service.
pub fn judge(name: &str, service: &Value, found: &mut Found) {
    for (key, value) in object(service) {
        let key = key.as_str();
        if HARMLESS.contains(&key) || key.starts_with("x-") || is_nothing(value) {
            continue;
        }
        if let Some((_, allowance)) = REFUSED.iter().find(|(refused, _)| *refused == key) {
            let form = match value {
                Value::Bool(true) => format!("`{key}: true`"),
                _ => format!("`{key}`"),
            };
            found.add(name, form, *allowance);
        } else if JUDGED.contains(&key) {
            judged(name, key, value, found);
        } else {
            found.add(name, format!("`{}`", shown(key)), None);
        }
    }
}

fn judged(name: &str, key: &str, value: &Value, found: &mut Found) {
    match key {
        "deploy" => deploy(name, value, found),
        "labels" => found.labels(name, value),
        "logging" => logging(name, value, found),
        "networks" => networks(name, value, found),
        "post_start" | "pre_stop" => hooks(name, key, value, found),
        "security_opt" => {
            let only_hardening = value.as_array().is_some_and(|options| {
                options
                    .iter()
                    .all(|one| one.as_str().is_some_and(|one| HARDENING.contains(&one)))
            });
            if !only_hardening {
                found.add(name, "`security_opt`", Some(SecurityOptions));
            }
        }
        "oom_score_adj" => {
            if value.as_i64().is_none_or(|score| score < 0) {
                found.add(name, "`oom_score_adj` below 0", Some(SecurityOptions));
            }
        }
        "ulimits" => {
            for (limit, _) in
                object(value).filter(|(limit, _)| PRIORITIES.contains(&limit.as_str()))
            {
                found.add(name, format!("`ulimits.{limit}`"), Some(SecurityOptions));
            }
        }
        "isolation" => {
            if value != "default" {
                found.add(name, "`isolation`", Some(SecurityOptions));
            }
        }
        "volumes" => match value.as_array() {
            Some(mounts) => mounts.iter().for_each(|mount| volume(name, mount, found)),
            None => found.add(name, "`volumes` that are no list", None),
        },
        _ => namespace(name, key, value, found),
    }
}

/// `pid`, `ipc`, `uts`, `userns_mode`, `cgroup`, `network_mode`.
fn namespace(name: &str, key: &str, value: &Value, found: &mut Found) {
    let value = value.as_str().unwrap_or_default();
    let own = match key {
        "ipc" => ["private", "shareable", "none"].contains(&value),
        "cgroup" | "pid" => value == "private",
        "network_mode" => value == "none",
        _ => false,
    };
    // Of the same project: Compose has seen that it is there.
    let of_service = ["ipc", "pid", "network_mode"].contains(&key) && value.starts_with("service:");
    if own || of_service {
        return;
    }
    let (form, allowance): (String, Allowance) = match value {
        "host" => (format!("`{key}: host`"), HostNamespaces),
        _ if value.starts_with("container:") => {
            (format!("`{key}` of another container"), HostNamespaces)
        }
        // Another network of this server, with the containers of others in it.
        _ if key == "network_mode" => (
            format!("`{key}` of a network that is not its own"),
            External,
        ),
        _ => (format!("a `{key}` that is not known"), HostNamespaces),
    };
    found.add(name, form, Some(allowance));
}

fn deploy(name: &str, value: &Value, found: &mut Found) {
    let known = [
        "endpoint_mode",
        "labels",
        "mode",
        "placement",
        "replicas",
        "resources",
        "restart_policy",
        "rollback_config",
        "update_config",
    ];
    found.unknown(name, "deploy", value, &known);
    found.labels(name, &value["labels"]);
    // One container for each server of a cluster, or one that ends: neither is what is planned here.
    if value["mode"]
        .as_str()
        .is_some_and(|mode| !["", "replicated"].contains(&mode))
    {
        found.add(name, "a `deploy.mode` other than replicated", None);
    }
    let resources = &value["resources"];
    found.unknown(
        name,
        "deploy.resources",
        resources,
        &["limits", "reservations"],
    );
    found.unknown(
        name,
        "deploy.resources.limits",
        &resources["limits"],
        &["cpus", "memory", "pids"],
    );
    for (key, value) in object(&resources["reservations"]) {
        match key.as_str() {
            _ if is_nothing(value) => {}
            "cpus" | "memory" | "pids" => {}
            "devices" | "generic_resources" => found.add(
                name,
                format!("`deploy.resources.reservations.{key}`"),
                Some(Devices),
            ),
            key => found.add(
                name,
                format!("`deploy.resources.reservations.{}`", shown(key)),
                None,
            ),
        }
    }
}

fn logging(name: &str, value: &Value, found: &mut Found) {
    found.unknown(name, "logging", value, &["driver", "options"]);
    let driver = value["driver"].as_str().unwrap_or_default();
    if !LOG_DRIVERS.contains(&driver) {
        // The engine sends it, as root, to wherever the options say, and reads the files that they name.
        found.add(
            name,
            "a `logging.driver` other than json-file, local or none",
            Some(SecurityOptions),
        );
        return;
    }
    found.unknown(name, "logging.options", &value["options"], &LOG_OPTIONS);
}

fn networks(name: &str, value: &Value, found: &mut Found) {
    let known = [
        "aliases",
        "driver_opts",
        "gw_priority",
        "interface_name",
        "ipv4_address",
        "ipv6_address",
        "link_local_ips",
        "mac_address",
        "priority",
    ];
    for (_, network) in object(value) {
        found.unknown(name, "networks", network, &known);
        if !is_nothing(&network["driver_opts"]) {
            found.add(name, "`networks.driver_opts`", Some(SecurityOptions));
        }
    }
}

fn hooks(name: &str, key: &str, value: &Value, found: &mut Found) {
    let known = [
        "command",
        "environment",
        "privileged",
        "user",
        "working_dir",
    ];
    if !value.is_array() {
        found.add(name, format!("`{key}` that is no list"), None);
    }
    for hook in value.as_array().into_iter().flatten() {
        found.unknown(name, key, hook, &known);
        if !is_nothing(&hook["privileged"]) {
            found.add(
                name,
                format!("`{key}` with `privileged: true`"),
                Some(Privileged),
            );
        }
    }
}

fn volume(name: &str, mount: &Value, found: &mut Found) {
    let known = [
        "bind",
        "consistency",
        "read_only",
        "source",
        "target",
        "tmpfs",
        "type",
        "volume",
    ];
    found.unknown(name, "volumes", mount, &known);
    found.unknown(
        name,
        "volumes.volume",
        &mount["volume"],
        &["labels", "nocopy", "subpath"],
    );
    found.labels(name, &mount["volume"]["labels"]);
    match mount["type"].as_str().unwrap_or_default() {
        "volume" | "tmpfs" => {}
        "bind" => host_path::judge(name, mount["source"].as_str().unwrap_or_default(), found),
        kind @ ("cluster" | "image" | "npipe") => {
            found.add(name, format!("a volume of the type {kind}"), None);
        }
        _ => found.add(name, "a volume of a type that is not known", None),
    }
}
