//! What an agent is asked to prepare.
//!
//! Promise: the domain's shapes become the protocol's here and nowhere else.

use crate::compose::compose;
use domain::DeploymentId;
use domain::release::{Allowance, FrozenRelease, Gate, Limits, Route, Source, Tls};
use pipelines::inputs::Release;
use protocol::release::{self as wire, RegistryLogin, ReleasePrepare};
use std::collections::BTreeMap;

/// What is not in the input: secrets that were opened, and what is known of images.
#[derive(Default)]
pub struct Wanted {
    /// What variables stand for.
    pub values: BTreeMap<String, String>,
    /// For images of private registries.
    pub registries: Vec<RegistryLogin>,
    /// By service, what earlier servers or an earlier release pinned.
    pub pinned: BTreeMap<String, String>,
}

/// See the module. A release that was frozen before is asked for as it was frozen, with this environment's routes.
pub fn prepare(
    input: &Release,
    deployment: DeploymentId,
    again: Option<&FrozenRelease>,
    wanted: Wanted,
) -> ReleasePrepare {
    let mut images = input.images.clone();
    let (text, profiles, built) = match again {
        Some(frozen) => {
            images.extend(frozen.images.clone());
            let has_file = matches!(input.source, Source::Compose { .. });
            let text = match (&input.promoted_from, has_file) {
                // A file that we make names the values: those of the environment that it is promoted to.
                (Some(_), false) => compose(input, deployment),
                _ => frozen.compose.clone(),
            };
            (text, frozen.profiles.clone(), frozen.built.clone())
        }
        None => (
            compose(input, deployment),
            match &input.source {
                Source::Compose { profiles, .. } => profiles.clone(),
                _ => Vec::new(),
            },
            match input.source.build() {
                Some(_) => vec![domain::release::APP.to_string()],
                None => Vec::new(),
            },
        ),
    };
    images.extend(wanted.pinned);
    ReleasePrepare {
        environment: input.host_name.clone(),
        compose: text,
        profiles,
        values: wanted.values,
        images,
        built,
        routes: input.routes.iter().map(route).collect(),
        gates: input
            .gates
            .iter()
            .map(|(name, asked)| (name.clone(), gate(asked)))
            .collect(),
        limits: limits(&input.limits),
        allow: input.allow.iter().copied().map(allowance).collect(),
        registries: wanted.registries,
    }
}

fn route(route: &Route) -> wire::Route {
    wire::Route {
        host: route.host.clone(),
        path: route.path.clone(),
        service: route.service.clone(),
        port: route.port,
        tls: match route.tls {
            Tls::Off => wire::Tls::Off,
            Tls::Internal => wire::Tls::Internal,
            Tls::Acme => wire::Tls::Acme,
        },
    }
}

fn gate(gate: &Gate) -> wire::Gate {
    wire::Gate {
        http: gate.http.as_ref().map(|probe| wire::HttpProbe {
            port: probe.port,
            path: probe.path.clone(),
            statuses: probe.statuses.clone(),
            contains: probe.contains.clone(),
            header: probe.header.clone(),
            host: probe.host.clone(),
            timeout_seconds: probe.timeout_seconds,
        }),
        within_seconds: gate.within_seconds,
        interval_seconds: gate.interval_seconds,
        successes: gate.successes,
    }
}

/// What containers and builds may use.
pub fn limits(limits: &Limits) -> wire::Limits {
    let usual = wire::Limits::default();
    wire::Limits {
        milli_cpus: limits.milli_cpus,
        memory_bytes: limits.memory_bytes,
        log_bytes: limits.log_bytes.unwrap_or(usual.log_bytes),
    }
}

fn allowance(allowance: Allowance) -> wire::Allowance {
    match allowance {
        Allowance::Privileged => wire::Allowance::Privileged,
        Allowance::Capabilities => wire::Allowance::Capabilities,
        Allowance::Devices => wire::Allowance::Devices,
        Allowance::HostNamespaces => wire::Allowance::HostNamespaces,
        Allowance::SecurityOptions => wire::Allowance::SecurityOptions,
        Allowance::DockerSocket => wire::Allowance::DockerSocket,
        Allowance::HostPaths => wire::Allowance::HostPaths,
        Allowance::External => wire::Allowance::External,
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use domain::release::{ReleaseServer, ServiceSettings};
    use domain::{EnvironmentId, ServerId};

    /// An image on one server.
    pub(crate) fn input() -> Release {
        let settings: ServiceSettings = serde_json::from_value(serde_json::json!({
            "source": {"kind": "image", "image": "registry.test:5000/app:v1"}
        }))
        .expect("settings");
        Release {
            environment_id: EnvironmentId::from_parts(1, 1),
            host_name: "shop-web-production-k3v9q2".to_string(),
            servers: vec![ReleaseServer {
                id: ServerId::from_parts(1, 1),
                name: "docker1".to_string(),
            }],
            left_servers: Vec::new(),
            quorum: 1,
            source: settings.source,
            commit: None,
            upload: None,
            images: BTreeMap::new(),
            frozen_of: None,
            promoted_from: None,
            values_version: 0,
            value_names: Vec::new(),
            routes: Vec::new(),
            gates: settings.gates,
            limits: settings.limits,
            replicas: settings.replicas,
            allow: settings.allow,
            registries: Vec::new(),
            drain_seconds: 30,
        }
    }

    #[test]
    fn what_was_frozen_is_asked_for_again_with_its_own_images() {
        let frozen: FrozenRelease = serde_json::from_value(serde_json::json!({
            "compose": "services: {app: {image: x}}", "profiles": ["p"], "images": {"app": "x@sha256:1"}, "built": [],
            "commit": null, "reference": null, "values_version": 0, "variables": {}, "services": [], "routes": [],
            "gates": {}, "limits": {}, "allow": []
        }))
        .expect("frozen");
        let again = prepare(
            &input(),
            DeploymentId::from_parts(9, 9),
            Some(&frozen),
            Wanted::default(),
        );
        assert_eq!(again.compose, frozen.compose);
        assert_eq!(again.images, frozen.images);
        assert_eq!(again.profiles, ["p"]);
    }

    #[test]
    fn what_another_server_pinned_wins_over_what_people_asked_for() {
        let release = Release {
            images: BTreeMap::from([("app".to_string(), "app:v2".to_string())]),
            ..input()
        };
        let wanted = Wanted {
            pinned: BTreeMap::from([("app".to_string(), "app@sha256:2".to_string())]),
            ..Wanted::default()
        };
        let asked = prepare(&release, DeploymentId::from_parts(9, 9), None, wanted);
        assert_eq!(asked.images["app"], "app@sha256:2");
    }
}
