//! Each form that is refused, what allows it, and what passes.

use super::*;
use Allowance::{
    Capabilities, Devices, DockerSocket, External, HostNamespaces, HostPaths, Privileged,
    SecurityOptions,
};
use serde_json::json;

fn service(service: Value) -> Value {
    json!({"name": "shop", "services": {"web": service}})
}

fn allowances(model: &Value) -> Vec<Option<Allowance>> {
    judge(model, &[])
        .into_iter()
        .map(|violation| violation.allowance)
        .collect()
}

#[test]
fn each_form_of_a_service_is_refused_until_it_is_allowed() {
    let bind =
        |source: &str| json!({"volumes": [{"type": "bind", "source": source, "target": "/a"}]});
    for (form, wanted) in [
        (json!({"privileged": true}), Privileged),
        (json!({"cap_add": ["NET_ADMIN"]}), Capabilities),
        (json!({"devices": [{"source": "/dev/kvm"}]}), Devices),
        (json!({"gpus": [{"count": -1}]}), Devices),
        (json!({"device_cgroup_rules": ["c 1:3 mr"]}), Devices),
        (
            json!({"deploy": {"resources": {"reservations": {"devices": [{"driver": "a"}]}}}}),
            Devices,
        ),
        (
            json!({"deploy": {"resources": {"reservations": {"generic_resources": [{}]}}}}),
            Devices,
        ),
        (json!({"pid": "host"}), HostNamespaces),
        (json!({"pid": "container:a"}), HostNamespaces),
        (json!({"ipc": "host"}), HostNamespaces),
        (json!({"ipc": "container:a"}), HostNamespaces),
        (json!({"uts": "host"}), HostNamespaces),
        (json!({"userns_mode": "host"}), HostNamespaces),
        (json!({"userns_mode": "keep-id"}), HostNamespaces),
        (json!({"cgroup": "host"}), HostNamespaces),
        (json!({"network_mode": "host"}), HostNamespaces),
        (json!({"network_mode": "container:a"}), HostNamespaces),
        (json!({"network_mode": "bridge"}), External),
        (json!({"network_mode": "other_default"}), External),
        (
            json!({"security_opt": ["seccomp:unconfined"]}),
            SecurityOptions,
        ),
        (
            json!({"security_opt": ["no-new-privileges:true", "apparmor=unconfined"]}),
            SecurityOptions,
        ),
        (
            json!({"security_opt": ["no-new-privileges:false"]}),
            SecurityOptions,
        ),
        (
            json!({"sysctls": {"net.ipv4.ip_forward": "1"}}),
            SecurityOptions,
        ),
        (json!({"cgroup_parent": "/a"}), SecurityOptions),
        (json!({"runtime": "other"}), SecurityOptions),
        (json!({"isolation": "process"}), SecurityOptions),
        (json!({"annotations": {"a": "b"}}), SecurityOptions),
        (json!({"oom_kill_disable": true}), SecurityOptions),
        (json!({"oom_score_adj": -1}), SecurityOptions),
        (json!({"oom_score_adj": "-1"}), SecurityOptions),
        (json!({"ulimits": {"rtprio": 99}}), SecurityOptions),
        (
            json!({"ulimits": {"nice": {"soft": 1, "hard": 2}}}),
            SecurityOptions,
        ),
        (json!({"cpu_rt_runtime": "5000"}), SecurityOptions),
        (json!({"storage_opt": {"size": "1g"}}), SecurityOptions),
        (json!({"logging": {"driver": "syslog"}}), SecurityOptions),
        (
            json!({"networks": {"a": {"driver_opts": {"b": "c"}}}}),
            SecurityOptions,
        ),
        (json!({"use_api_socket": true}), DockerSocket),
        (bind("/var/run/docker.sock"), DockerSocket),
        (bind("/srv"), HostPaths),
        (json!({"volumes_from": ["container:a"]}), External),
        (json!({"container_name": "a"}), External),
        (json!({"external_links": ["a"]}), External),
        (
            json!({"post_start": [{"command": ["a"], "privileged": true}]}),
            Privileged,
        ),
        (
            json!({"pre_stop": [{"command": ["a"], "privileged": true}]}),
            Privileged,
        ),
    ] {
        let model = service(form);
        let found = judge(&model, &[]);
        assert_eq!(allowances(&model), [Some(wanted)], "{model} {found:?}");
        assert_eq!(found[0].at, "web");
        assert_eq!(judge(&model, &[wanted]), [], "{model}");
    }
}

#[test]
fn forms_that_nobody_can_allow_stay_refused() {
    for form in [
        json!({"build": {"context": "."}}),
        json!({"credential_spec": {"config": "a"}}),
        json!({"develop": {"watch": [1]}}),
        json!({"env_file": ["a"]}),
        json!({"label_file": ["a"]}),
        json!({"models": {"a": null}}),
        json!({"provider": {"type": "a"}}),
        json!({"from_a_later_compose": 1}),
        json!({"volumes": [{"type": "bind", "source": "./a", "target": "/a"}]}),
        json!({"volumes": [{"type": "bind", "source": "", "target": "/a"}]}),
        json!({"volumes": [{"type": "image", "source": "a", "target": "/a"}]}),
        json!({"volumes": [{"type": "npipe", "source": "a", "target": "/a"}]}),
        json!({"volumes": [{"type": "cluster", "source": "a", "target": "/a"}]}),
        json!({"volumes": [{"type": "new", "source": "a", "target": "/a"}]}),
        json!({"volumes": [{"type": "volume", "source": "a", "target": "/a", "new": 1}]}),
        json!({"volumes": ["/:/a"]}),
        json!({"volumes": "/:/a"}),
        json!({"deploy": {"mode": "global"}}),
        json!({"deploy": {"new": 1}}),
        json!({"deploy": {"resources": {"limits": {"new": 1}}}}),
        json!({"deploy": {"resources": {"reservations": {"new": 1}}}}),
        json!({"logging": {"driver": "json-file", "options": {"new": "a"}}}),
        json!({"networks": {"a": {"new": 1}}}),
        json!({"pre_stop": [{"new": 1}]}),
        json!({"pre_stop": {"privileged": true}}),
        json!({"labels": {"com.docker.compose.project": "other"}}),
        json!({"labels": {"triphammer.environment": "other"}}),
        json!({"deploy": {"labels": {"com.docker.stack.namespace": "a"}}}),
    ] {
        let model = service(form);
        assert_eq!(judge(&model, &ALL), judge(&model, &[]), "{model}");
        assert_eq!(allowances(&model), [None], "{model}");
    }
}

#[test]
fn each_form_of_the_other_entries_is_refused() {
    let volume = |value: Value| json!({"name": "shop", "volumes": {"data": value}});
    let network = |value: Value| json!({"name": "shop", "networks": {"lan": value}});
    let subnet = |subnet: &str| network(json!({"ipam": {"config": [{"subnet": subnet}]}}));
    for (model, wanted) in [
        (
            volume(json!({"external": true, "name": "a"})),
            Some(External),
        ),
        (volume(json!({"name": "other_data"})), Some(External)),
        (volume(json!({"name": "shop_other"})), Some(External)),
        (volume(json!({"driver": "nfs"})), Some(External)),
        (
            volume(json!({"driver_opts": {"o": "bind", "device": "/srv"}})),
            Some(HostPaths),
        ),
        (
            volume(json!({"driver_opts": {"type": "nfs", "device": ":/a"}})),
            Some(HostPaths),
        ),
        (volume(json!({"new": 1})), None),
        (network(json!({"external": true})), Some(External)),
        (network(json!({"name": "other_lan"})), Some(External)),
        (network(json!({"driver": "host"})), Some(HostNamespaces)),
        (network(json!({"driver": "macvlan"})), Some(HostNamespaces)),
        (network(json!({"driver": "ipvlan"})), Some(HostNamespaces)),
        (network(json!({"driver": "weave"})), Some(HostNamespaces)),
        (
            network(json!({"driver_opts": {"parent": "eth0"}})),
            Some(HostNamespaces),
        ),
        (subnet("8.8.8.0/24"), Some(HostNamespaces)),
        (network(json!({"ipam": {"driver": "a"}})), None),
        (network(json!({"ipam": {"options": {"a": "b"}}})), None),
        (network(json!({"new": 1})), None),
        (
            json!({"name": "shop", "configs": {"a": {"file": "/etc/shadow"}}}),
            None,
        ),
        (
            json!({"name": "shop", "configs": {"a": {"external": true}}}),
            None,
        ),
        (
            json!({"name": "shop", "configs": {"a": {"environment": "A"}}}),
            None,
        ),
        (
            json!({"name": "shop", "secrets": {"a": {"file": "/etc/shadow"}}}),
            None,
        ),
        (
            json!({"name": "shop", "secrets": {"a": {"environment": "A"}}}),
            None,
        ),
        (
            json!({"name": "shop", "secrets": {"a": {"driver": "a"}}}),
            None,
        ),
        (
            json!({"name": "shop", "secrets": {"a": {"name": "b"}}}),
            Some(External),
        ),
        (
            json!({"name": "shop", "models": {"a": {"model": "b"}}}),
            None,
        ),
        (json!({"name": "shop", "include": ["a"]}), None),
        (json!({"name": "shop", "new": 1}), None),
    ] {
        let found = allowances(&model);
        assert!(
            !found.is_empty() && found.iter().all(|one| *one == wanted),
            "{model} {found:?}"
        );
        let allowed: Vec<Allowance> = wanted.into_iter().collect();
        assert_eq!(
            judge(&model, &allowed).is_empty(),
            wanted.is_some(),
            "{model}"
        );
    }
}

#[test]
fn a_volume_of_the_sockets_folder_needs_two_allowances() {
    let model = json!({"name": "shop", "volumes": {"data": {"driver_opts": {"o": "bind", "device": "/var/run"}}}});
    assert!(!judge(&model, &[HostPaths]).is_empty());
    assert!(!judge(&model, &[DockerSocket]).is_empty());
    assert!(judge(&model, &[DockerSocket, HostPaths]).is_empty());
}

#[test]
fn an_ordinary_file_passes() {
    let model = json!({
        "name": "shop",
        "x-a": {"privileged": true},
        "services": {"web": {
            "image": "a", "command": null, "privileged": false, "cap_drop": ["ALL"], "cap_add": [],
            "security_opt": ["no-new-privileges:true"], "network_mode": "service:db", "pid": "service:db",
            "ipc": "shareable", "x-b": 1, "oom_score_adj": 500, "extra_hosts": ["a=host-gateway"],
            "ports": [{"mode": "ingress", "target": 80, "published": "80", "host_ip": "127.0.0.1"}],
            "deploy": {"replicas": 2, "placement": {}, "resources": {"limits": {"cpus": 1.5, "memory": "1"}, "reservations": {"cpus": 1.0}}},
            "logging": {"driver": "json-file", "options": {"max-size": "1m"}},
            "networks": {"default": {"aliases": ["a"]}, "lan": null},
            "ulimits": {"nofile": 5, "memlock": -1}, "labels": {"a": "b"}, "userns_mode": "",
            "volumes": [
                {"type": "volume", "source": "data", "target": "/a", "volume": {"subpath": "b"}},
                {"type": "volume", "target": "/anonymous", "volume": {}},
                {"type": "tmpfs", "target": "/t", "tmpfs": {"size": 5}}
            ],
        }},
        "networks": {
            "default": {"name": "shop_default", "ipam": {}},
            "lan": {"name": "shop_lan", "driver": "bridge", "internal": true, "ipam": {"config": [{"subnet": "172.30.0.0/24"}]}}
        },
        "volumes": {"data": {"name": "shop_data", "driver": "local", "labels": {"a": "b"}}},
        "configs": {"a": {"name": "shop_a", "content": "b"}}
    });
    assert_eq!(judge(&model, &[]), []);
}

#[test]
fn a_refusal_says_who_asks_for_what_and_who_may_allow_it() {
    let told = |model: &Value| judge(model, &[])[0].message();
    assert_eq!(
        told(&service(json!({"privileged": true}))),
        "Service web asks for `privileged: true`, which reaches beyond its own containers. An owner can allow it: privileged."
    );
    assert_eq!(
        told(&json!({"volumes": {"data": {"external": true}}})),
        "The entry volumes.data asks for `external`, which reaches beyond its own containers. An owner can allow it: external."
    );
    assert_eq!(
        told(&json!({"include": ["a"]})),
        "The Compose file asks for `include`, which is not supported."
    );
}

#[test]
fn no_value_of_a_file_is_told() {
    let secret = "hush-hush";
    for model in [
        service(
            json!({"runtime": secret, "network_mode": secret, "pid": secret, "isolation": secret}),
        ),
        service(
            json!({"network_mode": format!("container:{secret}"), "cap_add": [secret], "annotations": {"a": secret}}),
        ),
        service(
            json!({"logging": {"driver": secret}, "volumes": [{"type": secret, "source": secret}]}),
        ),
        json!({"name": "shop", "volumes": {"a": {"driver": secret, "name": secret, "driver_opts": {"device": secret}}}}),
        json!({"name": "shop", "networks": {"a": {"driver": secret, "name": secret, "driver_opts": {"parent": secret}}}}),
    ] {
        let found = judge(&model, &[]);
        assert!(!found.is_empty());
        assert!(!format!("{found:?}").contains(secret), "{found:?}");
    }
}

const ALL: [Allowance; 8] = [
    Privileged,
    Capabilities,
    Devices,
    HostNamespaces,
    SecurityOptions,
    DockerSocket,
    HostPaths,
    External,
];
