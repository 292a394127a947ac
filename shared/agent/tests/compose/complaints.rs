//! What is wrong with a file is told in words of ours, and no value is ever told.

use super::{asked, engine, refusal, resolve};
use protocol::release::{Gate, Route, Tls};

const CANARY: &str = "cAnArY-2b";

#[test]
fn complaints_are_ours_and_hold_no_value() {
    let Some(engine) = engine() else { return };
    for (service, wanted) in [
        (
            "image: a, ports: 80",
            "services.web.ports: it must be a list",
        ),
        (
            "image: a, ports: ['$X:80']",
            "the port of the host is not one",
        ),
        (
            "image: a, ports: ['80:$X']",
            "the port of the container is not one",
        ),
        (
            "image: a, foo: $X",
            "services.web.foo: Docker Compose of this server does not know it",
        ),
        ("command: $X", "services.web: it has no image"),
        (
            "image: a, depends_on: [$X]",
            "services.web: it depends on a service",
        ),
        (
            "image: a, networks: [$X]",
            "services.web: it names a network",
        ),
        ("image: a, configs: [$X]", "services.web: it names a config"),
        (
            "image: a, healthcheck: {interval: $X}",
            "services.web.healthcheck.interval: a duration",
        ),
        (
            "image: a, healthcheck: {test: [$X]}",
            "the test of a healthcheck must begin",
        ),
        ("image: a, mem_limit: $X", "services.web.mem_limit: a size"),
        (
            "image: a, deploy: {replicas: $X}",
            "services.web.deploy.replicas: its value is of the wrong kind",
        ),
        (
            "image: a, cpus: $X",
            "services.web.cpus: its value is of the wrong kind",
        ),
        (
            "image: a, privileged: $X",
            "services.web.privileged: its value is of the wrong kind",
        ),
        (
            "image: a, ulimits: {nofile: $X}",
            "services.web.ulimits.nofile: its value",
        ),
        (
            "image: a, extends: $X",
            "it extends a service that is not in the file",
        ),
        (
            "image: a, environment: {A: {b: $X}}",
            "services.web.environment.A: it must be a text",
        ),
        (
            "image: a, restart: [$X]",
            "services.web.restart: it must be a text",
        ),
        (
            "image: a, extra_hosts: [$X]",
            "services.web.extra_hosts: a host of extra_hosts has no address",
        ),
        (
            "image: a, pull_policy: $X",
            "services.web.pull_policy: its value is not one of those",
        ),
        (
            "image: a, logging: $X",
            "services.web.logging: it must be a mapping",
        ),
        (
            "image: a, network_mode: 'service:$X'",
            "services.web: it depends on a service",
        ),
        (
            "image: a, network_mode: host, networks: [default]",
            "two of its entries exclude each other",
        ),
        (
            "image: a, deploy: {resources: {limits: {cpus: $X}}}",
            "services.web.deploy.resources.limits.cpus: its value",
        ),
        (
            "image: a, stop_grace_period: $X",
            "services.web.stop_grace_period: a duration",
        ),
        (
            "image: a, command: '${'",
            "services.web.command: a ${ begins no variable",
        ),
        (
            "image: a, volumes: [{type: volume, source: $X, target: /a}]",
            "services.web: it names a volume",
        ),
    ] {
        let mut asked = asked(&format!("services:\n  web: {{{service}}}\n"));
        asked.values.insert("X".into(), CANARY.into());
        let (code, message) = refusal(&engine, &asked);
        assert_eq!(code, "compose_invalid", "{service} {message}");
        assert!(message.contains(wanted), "{service}: {message}");
        assert!(!message.contains(CANARY), "{message}");
    }
    for (file, wanted) in [
        ("services: []", "it must be a mapping"),
        ("services: {'we b': {image: a}}", "does not know it"),
        (
            "services: {web: null}",
            "services.web: it must be a mapping",
        ),
        ("foo: 1\nservices: {web: {image: a}}", "does not know it"),
        (
            "services: {a: {image: a, depends_on: [b]}, b: {image: b, depends_on: [a]}}",
            "in a circle",
        ),
        (
            "services: {web: {image: a}}\nvolumes: {d: 5}",
            "volumes.d: it must be a mapping",
        ),
    ] {
        let (code, message) = refusal(&engine, &asked(file));
        assert_eq!(code, "compose_invalid", "{file} {message}");
        assert!(message.contains(wanted), "{file}: {message}");
    }
}

#[test]
fn files_that_run_nothing_and_names_that_are_not_there_are_refused() {
    let Some(engine) = engine() else { return };
    for (file, wanted) in [
        ("services: {}", "no_services"),
        ("volumes: {d: }", "no_services"),
        ("services: {web: {image: a, profiles: [x]}}", "no_services"),
        (
            "services: {web: {image: a, deploy: {replicas: 0}}}",
            "no_replicas",
        ),
        ("services: {web: {image: a, scale: 0}}", "no_replicas"),
        ("services: {web: {image: a, scale: -1}}", "no_replicas"),
        (
            "services: {web: {image: a, deploy: {replicas: 17}}}",
            "too_many_replicas",
        ),
        ("services: {web: {build: .}}", "build_not_supported"),
        (
            "services: {web: {image: a, build: {context: .}}}",
            "build_not_supported",
        ),
        (
            "services: {web: {extends: base}, base: {build: ., profiles: [x]}}",
            "build_not_supported",
        ),
    ] {
        let (code, message) = refusal(&engine, &asked(file));
        assert_eq!(code, wanted, "{file} {message}");
    }
    let good = asked("services: {web: {image: a}, tool: {build: ., profiles: [x]}}");
    assert!(
        resolve(&engine, &good).is_ok(),
        "what is not wanted is not built"
    );

    let mut routed = good.clone();
    routed.routes.push(Route {
        host: "a.test".into(),
        path: None,
        service: "wob".into(),
        port: 80,
        tls: Tls::Off,
    });
    let mut gated = good.clone();
    gated.gates.insert("wob".into(), Gate::default());
    let mut built = good.clone();
    built.built.push("wob".into());
    for asked in [routed, gated, built] {
        let (code, message) = refusal(&engine, &asked);
        assert_eq!(code, "unknown_service");
        assert_eq!(
            message,
            "There is no service wob. The Compose file has web."
        );
    }

    let mut given = asked("services: {web: {build: .}}");
    given.images.insert("web".into(), "here:1".into());
    let model = resolve(&engine, &given)
        .unwrap_or_else(|error| panic!("{}", error.message))
        .model;
    assert_eq!(model["services"]["web"]["image"], "here:1");
}
