//! What people may set of services, environments and deployments: judged once, all faults together.
//!
//! Promise: what passes has no meaning to a shell, to git or to a proxy where it must not have one, and fits its records.

use crate::body::Fields;
use domain::names;
use domain::release::{
    APP, Build, COMPOSE_LIMIT_BYTES, EnvironmentSettings, Gate, GitAccess, Limits, ROUTES_LIMIT,
    Route, SERVERS_LIMIT, ServiceSettings, Source,
};
use kit::releases::Wanted;
use std::collections::{BTreeMap, BTreeSet};

/// Containers of one service on one server: more are a cluster's work.
const REPLICAS_LIMIT: u32 = 16;
/// Services of a Compose file that have a gate or another image.
const SERVICES_LIMIT: usize = 50;
/// Profiles, paths, arguments: more are a file of their own.
const LIST_LIMIT: usize = 50;
/// Build arguments together.
const ARGUMENTS_LIMIT_BYTES: usize = 8 * 1024;
/// Logins for registries.
const REGISTRIES_LIMIT: usize = 10;
/// Each host is claimed on each server, and all claims are written in one transaction of a hundred writes.
const CLAIMS_LIMIT: usize = 40;
/// Docker refuses less.
const MEMORY_LEAST_BYTES: u64 = 6 * 1024 * 1024;
/// Because a drain holds the environment's lock.
const DRAIN_LIMIT_SECONDS: u32 = 600;
/// Each kept release keeps its images on every server.
const KEEP_LIMIT: u32 = 50;

/// A service's settings.
pub fn service(fields: &mut Fields, settings: &ServiceSettings) {
    source(fields, &settings.source);
    gates(fields, &settings.gates);
    limits(fields, &settings.limits);
    let is_compose = matches!(settings.source, Source::Compose { .. });
    if !(1..=REPLICAS_LIMIT).contains(&settings.replicas) {
        fields.refuse("replicas", format!("must be 1 to {REPLICAS_LIMIT}"));
    } else if is_compose && settings.replicas != 1 {
        fields.refuse("replicas", "are said in the Compose file");
    }
    if !is_compose && !settings.allow.is_empty() {
        fields.refuse("allow", "means nothing without a Compose file");
    }
    if settings.registries.len() > REGISTRIES_LIMIT {
        fields.refuse("registries", format!("may be {REGISTRIES_LIMIT} at most"));
    }
    let mut seen = BTreeSet::new();
    for access in &settings.registries {
        fields.check("registries", names::registry(&access.registry));
        fields.check("registries", names::title(&access.username));
        if !seen.insert(&access.registry) {
            fields.refuse("registries", format!("names {} twice", access.registry));
        }
    }
    if let Some(auto) = &settings.auto_deploy {
        if !matches!(settings.source, Source::Repository { .. }) {
            fields.refuse("auto_deploy", "needs a repository");
        }
        fields.check("auto_deploy", names::git_reference(&auto.branch));
        if auto.watch_paths.len() > LIST_LIMIT {
            fields.refuse(
                "auto_deploy",
                format!("may watch {LIST_LIMIT} paths at most"),
            );
        }
        for path in &auto.watch_paths {
            fields.check("auto_deploy", names::beneath(path));
        }
    }
}

fn source(fields: &mut Fields, source: &Source) {
    match source {
        Source::Compose { file, profiles } => {
            compose(fields, "source", file);
            if profiles.len() > LIST_LIMIT {
                fields.refuse("source", format!("may have {LIST_LIMIT} profiles at most"));
            }
            for profile in profiles {
                fields.check("source", names::compose_service(profile));
            }
        }
        Source::Image { image } => {
            fields.check("source", names::image(image));
        }
        Source::Repository {
            url,
            reference,
            access,
            build: how,
        } => {
            fields.check("source", names::repository(url));
            fields.check("source", names::git_reference(reference));
            let over_https = url.starts_with("https://");
            match access {
                Some(GitAccess::Token { username, .. }) => {
                    fields.check("source", names::login(username));
                    if !over_https {
                        fields.refuse("source", "a token opens https:// addresses only");
                    }
                }
                Some(GitAccess::DeployKey { .. }) if over_https || url.starts_with("http://") => {
                    fields.refuse("source", "a deploy key opens ssh addresses only");
                }
                _ => {}
            }
            build(fields, how);
        }
        Source::Archive { build: how } => build(fields, how),
    }
}

fn compose(fields: &mut Fields, field: &str, file: &str) {
    if file.trim().is_empty() {
        fields.refuse(field, "must hold a Compose file");
    }
    if file.len() > COMPOSE_LIMIT_BYTES {
        let limit = COMPOSE_LIMIT_BYTES / 1024;
        fields.refuse(
            field,
            format!("may hold a Compose file of {limit} KB at most"),
        );
    }
    if file.contains('\0') {
        fields.refuse(field, "must hold text");
    }
}

fn build(fields: &mut Fields, build: &Build) {
    fields.check("source", names::beneath(&build.dockerfile));
    fields.check("source", names::beneath(&build.context));
    if let Some(target) = &build.target {
        fields.check("source", names::compose_service(target));
    }
    let mut weight = 0;
    for (name, value) in &build.arguments {
        fields.check("source", names::value_name(name));
        weight += name.len() + value.len();
        if value.contains('\0') {
            fields.refuse("source", format!("the build argument {name} must be text"));
        }
    }
    if build.arguments.len() > LIST_LIMIT || weight > ARGUMENTS_LIMIT_BYTES {
        fields.refuse(
            "source",
            format!("may have {LIST_LIMIT} build arguments of 8 KB together at most"),
        );
    }
}

fn gates(fields: &mut Fields, gates: &BTreeMap<String, Gate>) {
    if gates.len() > SERVICES_LIMIT {
        fields.refuse("gates", format!("may be {SERVICES_LIMIT} at most"));
    }
    for (service, gate) in gates {
        fields.check("gates", names::compose_service(service));
        let mut within = |what: &str, number: u32, most: u32| {
            if !(1..=most).contains(&number) {
                fields.refuse("gates", format!("{what} of {service} must be 1 to {most}"));
            }
        };
        within("within_seconds", gate.within_seconds, 3600);
        within("interval_seconds", gate.interval_seconds, 300);
        within("successes", gate.successes, 100);
        let Some(probe) = &gate.http else { continue };
        within("timeout_seconds", probe.timeout_seconds, 60);
        fields.check("gates", names::url_path(&probe.path));
        if probe.port == Some(0) {
            fields.refuse("gates", format!("port of {service} must be 1 to 65535"));
        }
        let statuses_ok = probe.statuses.iter().all(|code| (100..600).contains(code));
        if !statuses_ok || probe.statuses.len() > LIST_LIMIT {
            fields.refuse("gates", format!("statuses of {service} must be 100 to 599"));
        }
        if probe
            .contains
            .as_ref()
            .is_some_and(|text| text.len() > 1000)
        {
            fields.refuse(
                "gates",
                format!("contains of {service} may have 1000 bytes at most"),
            );
        }
        if let Some((name, value)) = &probe.header {
            let name_ok = (1..=100).contains(&name.len())
                && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
            if !name_ok || value.len() > 1000 || value.chars().any(char::is_control) {
                fields.refuse("gates", format!("header of {service} is not one"));
            }
        }
        if let Some(host) = &probe.host {
            fields.check("gates", names::domain(host));
        }
    }
}

fn limits(fields: &mut Fields, limits: &Limits) {
    if limits
        .milli_cpus
        .is_some_and(|cpus| !(1..=1_024_000).contains(&cpus))
    {
        fields.refuse("limits", "milli_cpus must be 1 to 1024000");
    }
    if limits
        .memory_bytes
        .is_some_and(|bytes| bytes < MEMORY_LEAST_BYTES)
    {
        fields.refuse("limits", "memory_bytes must be 6291456 (6 MB) at least");
    }
    if limits.log_bytes.is_some_and(|bytes| bytes < 1024 * 1024) {
        fields.refuse("limits", "log_bytes must be 1048576 (1 MB) at least");
    }
}

/// An environment's settings in their stored form.
pub fn environment(
    fields: &mut Fields,
    mut settings: EnvironmentSettings,
    of: &Source,
) -> EnvironmentSettings {
    let servers: BTreeSet<_> = settings.server_ids.iter().collect();
    if servers.len() != settings.server_ids.len() {
        fields.refuse("server_ids", "names a server twice");
    }
    if servers.len() > SERVERS_LIMIT {
        fields.refuse("server_ids", format!("may be {SERVERS_LIMIT} at most"));
    }
    let most = u32::try_from(settings.server_ids.len()).unwrap_or(u32::MAX);
    if settings
        .quorum
        .is_some_and(|quorum| !(1..=most).contains(&quorum))
    {
        fields.refuse("quorum", "must be 1 to the number of servers");
    }
    settings.routes = routes(fields, settings.routes, of);
    let hosts: BTreeSet<_> = settings.routes.iter().map(|route| &route.host).collect();
    if hosts.len() * servers.len() > CLAIMS_LIMIT {
        fields.refuse(
            "routes",
            format!("may have {CLAIMS_LIMIT} hosts at most, each counted on each server"),
        );
    }
    if settings.drain_seconds > DRAIN_LIMIT_SECONDS {
        fields.refuse(
            "drain_seconds",
            format!("must be 0 to {DRAIN_LIMIT_SECONDS}"),
        );
    }
    if settings.keep_releases > KEEP_LIMIT {
        fields.refuse("keep_releases", format!("must be 0 to {KEEP_LIMIT}"));
    }
    settings
}

fn routes(fields: &mut Fields, routes: Vec<Route>, of: &Source) -> Vec<Route> {
    if routes.len() > ROUTES_LIMIT {
        fields.refuse("routes", format!("may be {ROUTES_LIMIT} at most"));
    }
    let is_compose = matches!(of, Source::Compose { .. });
    let mut seen = BTreeSet::new();
    let mut checked = Vec::new();
    for mut route in routes {
        route.host = fields
            .check("routes", names::domain(&route.host))
            .unwrap_or_default();
        fields.check("routes", names::compose_service(&route.service));
        if !is_compose && route.service != APP {
            fields.refuse("routes", format!("the only service there is, is {APP}"));
        }
        if route.port == 0 {
            fields.refuse("routes", "port must be 1 to 65535");
        }
        if let Some(path) = &route.path {
            fields.check("routes", names::url_path(path));
        }
        if !seen.insert((route.host.clone(), route.path.clone())) {
            fields.refuse("routes", format!("names {} twice", route.host));
        }
        checked.push(route);
    }
    checked
}

/// What is said for one deployment, in its stored form.
pub fn wanted(fields: &mut Fields, mut wanted: Wanted, of: &Source) -> Wanted {
    if wanted.images.len() > SERVICES_LIMIT {
        fields.refuse("images", format!("may be {SERVICES_LIMIT} at most"));
    }
    for (service, image) in &wanted.images {
        fields.check("images", names::compose_service(service));
        fields.check("images", names::image(image));
        if matches!(of, Source::Image { .. }) && service != APP {
            fields.refuse("images", format!("the only service there is, is {APP}"));
        }
    }
    if let Some(reference) = &wanted.reference {
        fields.check("reference", names::git_reference(reference));
    }
    if let Some(commit) = wanted.commit.take() {
        wanted.commit = fields.check("commit", names::commit(&commit));
    }
    if let Some(file) = &wanted.compose {
        compose(fields, "compose", file);
    }
    wanted
}
