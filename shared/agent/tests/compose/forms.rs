//! Every form that reaches beyond its own containers, in every spelling that Compose takes.

use super::{asked, engine, refusal, resolve};
use protocol::release::Allowance::{
    self, Capabilities, Devices, DockerSocket, External, HostNamespaces, HostPaths, Privileged,
    SecurityOptions,
};

/// Of the service web, with what allows it.
const FORMS: [(&str, &[Allowance]); 57] = [
    ("privileged: true", &[Privileged]),
    ("privileged: 'yes'", &[Privileged]),
    ("privileged: ${YES}", &[Privileged]),
    ("cap_add: [SYS_ADMIN]", &[Capabilities]),
    ("cap_add: ['${CAP:-ALL}']", &[Capabilities]),
    ("devices: ['/dev/kvm:/dev/kvm']", &[Devices]),
    ("devices: [vendor.com/class=device]", &[Devices]),
    ("device_cgroup_rules: ['c 1:3 mr']", &[Devices]),
    (
        "deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}",
        &[Devices],
    ),
    (
        "deploy: {resources: {reservations: {generic_resources: [{discrete_resource_spec: {kind: a, value: 1}}]}}}",
        &[Devices],
    ),
    ("pid: host", &[HostNamespaces]),
    ("pid: 'container:other'", &[HostNamespaces]),
    ("ipc: host", &[HostNamespaces]),
    ("ipc: 'container:other'", &[HostNamespaces]),
    ("uts: host", &[HostNamespaces]),
    ("userns_mode: host", &[HostNamespaces]),
    ("cgroup: host", &[HostNamespaces]),
    ("network_mode: host", &[HostNamespaces]),
    ("network_mode: '${MODE}'", &[HostNamespaces]),
    ("network_mode: 'container:other'", &[HostNamespaces]),
    ("network_mode: bridge", &[External]),
    ("network_mode: other_default", &[External]),
    ("security_opt: ['seccomp:unconfined']", &[SecurityOptions]),
    ("security_opt: [apparmor=unconfined]", &[SecurityOptions]),
    ("security_opt: ['label:disable']", &[SecurityOptions]),
    ("sysctls: {net.ipv4.ip_forward: 1}", &[SecurityOptions]),
    ("sysctls: [net.core.somaxconn=1024]", &[SecurityOptions]),
    ("cgroup_parent: /other", &[SecurityOptions]),
    ("runtime: other", &[SecurityOptions]),
    ("isolation: process", &[SecurityOptions]),
    ("annotations: {a: b}", &[SecurityOptions]),
    ("oom_kill_disable: true", &[SecurityOptions]),
    ("oom_score_adj: -500", &[SecurityOptions]),
    ("ulimits: {rtprio: 99}", &[SecurityOptions]),
    ("ulimits: {nice: {soft: 1, hard: 40}}", &[SecurityOptions]),
    ("cpu_rt_runtime: 95000", &[SecurityOptions]),
    ("storage_opt: {size: 1G}", &[SecurityOptions]),
    (
        "logging: {driver: syslog, options: {syslog-address: 'tcp://10.0.0.1:514'}}",
        &[SecurityOptions],
    ),
    ("logging: {driver: fluentd}", &[SecurityOptions]),
    (
        "volumes: ['/var/run/docker.sock:/var/run/docker.sock:ro']",
        &[DockerSocket],
    ),
    (
        "volumes: ['/run/../var/run//docker.sock:/s']",
        &[DockerSocket],
    ),
    (
        "volumes: [{type: bind, source: /run/docker.sock, target: /s}]",
        &[DockerSocket],
    ),
    ("volumes: ['${SOCKET}:/s']", &[DockerSocket]),
    ("volumes: ['/var/run:/s']", &[DockerSocket, HostPaths]),
    ("volumes: ['/run:/s']", &[DockerSocket, HostPaths]),
    ("volumes: ['/:/s']", &[DockerSocket, HostPaths]),
    ("volumes: ['/srv/../:/s:ro']", &[DockerSocket, HostPaths]),
    ("volumes: ['/srv:/s']", &[HostPaths]),
    (
        "volumes: [{type: bind, source: /srv, target: /s, bind: {propagation: rshared}}]",
        &[HostPaths],
    ),
    ("volumes_from: ['container:other']", &[External]),
    ("volumes_from: ['other:ro']", &[External]),
    ("container_name: fixed", &[External]),
    ("external_links: [other]", &[External]),
    ("gpus: all", &[Devices]),
    ("gpus: [{driver: nvidia}]", &[Devices]),
    (
        "post_start: [{command: [a], privileged: true}]",
        &[Privileged],
    ),
    ("use_api_socket: true", &[DockerSocket]),
];

/// The rest of a file, with what allows it.
const ENTRIES: [(&str, &[Allowance]); 20] = [
    ("volumes: {d: {external: true}}", &[External]),
    ("volumes: {d: {external: true, name: other}}", &[External]),
    ("volumes: {d: {external: {name: other}}}", &[External]),
    ("volumes: {d: {name: other_data}}", &[External]),
    ("volumes: {d: {driver: nfs}}", &[External]),
    (
        "volumes: {d: {driver: local, driver_opts: {type: none, o: bind, device: /srv}}}",
        &[HostPaths],
    ),
    (
        "volumes: {d: {driver_opts: {type: nfs, o: 'addr=10.0.0.1', device: ':/a'}}}",
        &[HostPaths],
    ),
    (
        "volumes: {d: {driver_opts: {o: bind, type: none, device: /var/run/docker.sock}}}",
        &[HostPaths, DockerSocket],
    ),
    ("networks: {n: {external: true}}", &[External]),
    ("networks: {n: {name: other_default}}", &[External]),
    ("networks: {n: {external: {name: other}}}", &[External]),
    ("networks: {n: {driver: host}}", &[HostNamespaces]),
    (
        "networks: {n: {driver: macvlan, driver_opts: {parent: eth0}}}",
        &[HostNamespaces],
    ),
    ("networks: {n: {driver: ipvlan}}", &[HostNamespaces]),
    (
        "networks: {n: {driver: overlay, attachable: true}}",
        &[HostNamespaces],
    ),
    (
        "networks: {n: {driver_opts: {com.docker.network.bridge.name: docker0}}}",
        &[HostNamespaces],
    ),
    (
        "networks: {n: {driver_opts: {com.docker.network.bridge.gateway_mode_ipv4: routed}}}",
        &[HostNamespaces],
    ),
    (
        "networks: {n: {ipam: {config: [{subnet: 8.8.8.0/24}]}}}",
        &[HostNamespaces],
    ),
    ("networks: {default: {name: other}}", &[External]),
    ("networks: {default: {external: true}}", &[External]),
];

/// Nobody can allow these.
const NEVER: [&str; 24] = [
    "services: {web: {image: a, volumes: ['./data:/s']}}",
    "services: {web: {image: a, volumes: ['../../etc:/s']}}",
    "services: {web: {image: a, volumes: ['~/data:/s']}}",
    "services: {web: {image: a, volumes: [{type: bind, source: data, target: /s}]}}",
    "services: {web: {image: a, volumes: ['.:/s']}}",
    "services: {web: {image: a, env_file: /etc/shadow}}",
    "services: {web: {image: a, env_file: [{path: /etc/shadow, required: false}]}}",
    "services: {web: {image: a, env_file: ['${FILE:-/etc/shadow}']}}",
    "services: {web: {image: a, label_file: a}}",
    "services: {web: {image: a, extends: {file: /etc/shadow, service: a}}}",
    "services: {web: {image: a, credential_spec: {file: /etc/shadow}}}",
    "services: {web: {image: a, develop: {watch: [{path: ., action: rebuild}]}}}",
    "services: {web: {image: a, deploy: {mode: global}}}",
    "services: {web: {image: a, labels: {com.docker.compose.project: other}}}",
    "services: {web: {image: a, labels: ['triphammer.environment=other']}}",
    "services: {web: {image: a, volumes: [{type: npipe, source: a, target: /b}]}}",
    "x-a: &a {env_file: /etc/shadow}\nservices: {web: {<<: *a, image: a}}",
    "services: {web: {extends: base}, base: {image: a, env_file: /etc/shadow, profiles: [never]}}",
    "include: [/etc/shadow]\nservices: {web: {image: a}}",
    "include: [{path: a, project_directory: /, env_file: /etc/shadow}]\nservices: {web: {image: a}}",
    "configs: {c: {file: /etc/shadow}}\nservices: {web: {image: a, configs: [c]}}",
    "secrets: {c: {file: /etc/shadow}}\nservices: {web: {image: a, secrets: [c]}}",
    "secrets: {c: {environment: PATH}}\nservices: {web: {image: a, secrets: [c]}}",
    "secrets: {c: {external: true}}\nservices: {web: {image: a, secrets: [c]}}",
];

const HARMLESS: [&str; 36] = [
    "privileged: false",
    "cap_add: []",
    "cap_drop: [ALL]",
    "security_opt: ['no-new-privileges:true']",
    "network_mode: none",
    "network_mode: 'service:db'",
    "pid: 'service:db'",
    "ipc: 'service:db'",
    "ipc: shareable",
    "cgroup: private",
    "oom_score_adj: 500",
    "isolation: default",
    "ulimits: {nofile: 5, nproc: {soft: 1, hard: 2}, memlock: -1}",
    "ports: ['80:80', '127.0.0.1:5000-5001:6000-6001/udp', 9000]",
    "ports: [{target: 80, published: 8080, host_ip: 10.0.0.1, mode: host}]",
    "volumes: ['data:/d', 'data:/ro:ro', /anonymous]",
    "volumes: [{type: volume, source: data, target: /d, volume: {nocopy: true}}]",
    "volumes: [{type: tmpfs, target: /t, tmpfs: {size: 1m}}]",
    "tmpfs: [/run, '/tmp:size=1m']",
    "extra_hosts: ['host.docker.internal:host-gateway']",
    "logging: {driver: json-file, options: {max-size: 1m, max-file: '3'}}",
    "links: [db]",
    "depends_on: {db: {condition: service_healthy}}",
    "healthcheck: {test: [CMD, 'true'], interval: 1s}",
    "deploy: {replicas: 3, update_config: {order: start-first}, resources: {limits: {cpus: '0.5', memory: 64m}}}",
    "networks: {default: {aliases: [a], ipv4_address: 172.30.0.9}}",
    "configs: [{source: c, target: /c, mode: 0440}]",
    "environment: {A: b, C: 1}",
    "labels: {traefik.enable: 'true'}",
    "command: 'sh -c \"echo $$HOME\"'",
    "group_add: [mail]",
    "blkio_config: {weight: 300}",
    "dns: 1.1.1.1",
    "user: '1000'",
    "x-mine: {privileged: true}",
    "extends: db",
];

#[test]
fn every_spelling_is_refused_until_it_is_allowed() {
    let Some(engine) = engine() else { return };
    let services = FORMS.iter().map(|(form, allow)| {
        (
            format!("services:\n  other: {{image: a}}\n  web:\n    image: a\n    {form}\n"),
            *allow,
        )
    });
    let entries = ENTRIES.iter().map(|(entry, allow)| {
        let networks = if entry.contains("networks: {n") { "[n]" } else { "[default]" };
        let volumes = if entry.contains("volumes: {d") { "['d:/d']" } else { "[]" };
        let volumes = volumes.replace("d:/d", "d:/data");
        // A name of one letter before a colon is a drive of Windows to Compose.
        let entry = entry.replace("{d:", "{data:");
        let volumes = volumes.replace("'d:", "'data:");
        (format!("services: {{web: {{image: a, networks: {networks}, volumes: {volumes}}}}}\n{entry}\n"), *allow)
    });
    for (file, allow) in services.chain(entries) {
        let mut asked = asked(&file);
        for (name, value) in [
            ("YES", "true"),
            ("MODE", "host"),
            ("SOCKET", "/var/run/docker.sock"),
        ] {
            asked.values.insert(name.into(), value.into());
        }
        let (code, message) = refusal(&engine, &asked);
        // An older Compose does not know the newest keys.
        if code == "compose_invalid" && message.contains("does not know it") {
            println!("not known to this Compose: {file}");
            continue;
        }
        assert_eq!(code, "compose_refused", "{file} {message}");
        assert!(
            message.contains("An owner can allow it"),
            "{file} {message}"
        );
        // Each of several is needed.
        for one in allow.iter().filter(|_| allow.len() > 1) {
            asked.allow = vec![*one];
            assert_eq!(refusal(&engine, &asked).0, "compose_refused", "{file}");
        }
        asked.allow = allow.to_vec();
        if let Err(error) = resolve(&engine, &asked) {
            panic!("{file} {}", error.message);
        }
    }
}

#[test]
fn what_nobody_can_allow_is_refused_with_all_allowances() {
    let Some(engine) = engine() else { return };
    for file in NEVER {
        let mut asked = asked(file);
        asked.allow = vec![
            Privileged,
            Capabilities,
            Devices,
            HostNamespaces,
            SecurityOptions,
            DockerSocket,
            HostPaths,
            External,
        ];
        let (code, message) = refusal(&engine, &asked);
        assert_eq!(code, "compose_refused", "{file} {message}");
        assert!(message.contains("is not supported"), "{file} {message}");
        assert!(!message.contains("shadow"), "{message}");
    }
}

#[test]
fn harmless_forms_pass() {
    let Some(engine) = engine() else { return };
    for form in HARMLESS {
        let file = format!(
            "services:\n  db: {{image: b, healthcheck: {{test: a}}}}\n  web:\n    image: a\n    {form}\n\
             volumes: {{data: }}\nconfigs: {{c: {{content: hello}}}}\n\
             networks: {{default: {{ipam: {{config: [{{subnet: 172.30.0.0/24}}]}}}}}}\n"
        );
        if let Err(error) = resolve(&engine, &asked(&file)) {
            panic!("{form}: {} {}", error.code, error.message);
        }
    }
}

#[test]
fn many_refusals_are_told_together_and_not_without_end() {
    let Some(engine) = engine() else { return };
    let mut file = String::from("services:\n");
    for number in 0..30 {
        file.push_str(&format!("  s{number}: {{image: a, privileged: true}}\n"));
    }
    let (_, message) = refusal(&engine, &asked(&file));
    assert_eq!(message.lines().count(), 21);
    assert!(message.ends_with("And 10 more."), "{message}");
}
