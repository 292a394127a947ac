use super::*;
use crate::paths::Paths;
use crate::release::container::{DEPLOYMENT, SERVICE};
use crate::release::folder::{Environment, Ports, Release};
use proptest::prelude::*;
use protocol::release::{Route, Tls, Update};
use serde_json::json;
use std::path::Path;

fn release(deployment: &str) -> Release {
    let paths = Paths::under(Path::new("/nowhere"));
    Environment::of(&paths, "shop")
        .expect("a name")
        .release(deployment)
        .expect("an id")
}

fn asked(routed: &[&str]) -> ReleasePrepare {
    let routes: Vec<Route> = routed
        .iter()
        .map(|service| Route {
            host: format!("{service}.test"),
            path: None,
            service: service.to_string(),
            port: 80,
            tls: Tls::Off,
        })
        .collect();
    serde_json::from_value(json!({ "environment": "shop", "compose": "", "routes": routes }))
        .expect("asked")
}

fn ports_of(asked: &ReleasePrepare, model: &Value) -> Ports {
    let mut next = 20_000;
    wanted_ports(asked, model)
        .into_iter()
        .map(|(service, all)| {
            let all = all.into_iter().map(|(port, count)| {
                let first = next;
                next += u16::try_from(count).expect("few");
                (port, (first..next).collect())
            });
            (service, all.collect())
        })
        .collect()
}

fn made(model: &Value, asked: &ReleasePrepare, deployment: &str, before: &Value) -> Files {
    let decisions = decide(model, &asked.routes);
    files(
        model,
        asked,
        &release(deployment),
        &decisions,
        &ports_of(asked, model),
        before,
    )
}

fn update(model: Value, service: &str) -> (Update, String) {
    let decision = decide(&model, &asked(&["web"]).routes)
        .remove(service)
        .expect("decided");
    (decision.update, decision.because)
}

fn web_with(more: Value) -> Value {
    let mut web = json!({ "image": "web", "networks": { "default": null } });
    web.as_object_mut()
        .expect("an object")
        .extend(more.as_object().expect("an object").clone());
    json!({ "services": { "web": web, "db": { "image": "db" } }, "networks": { "default": { "name": "shop_default" } } })
}

#[test]
fn what_only_one_container_can_have_is_updated_in_place_and_says_why() {
    for (more, because) in [
        (
            json!({"ports": [{"target": 80, "published": "8080", "protocol": "tcp"}]}),
            "it publishes the server's port 8080:80/tcp",
        ),
        (
            json!({"container_name": "one"}),
            "it has the fixed name one",
        ),
        (
            json!({"network_mode": "host"}),
            "it uses the network of host",
        ),
        (
            json!({"networks": {"default": {"ipv4_address": "10.0.0.2"}}}),
            "it has the fixed address 10.0.0.2 in the network default",
        ),
        (
            json!({"volumes": [{"type": "volume", "source": "data", "target": "/d"}]}),
            "it has the volume data",
        ),
        (
            json!({"volumes": [{"type": "volume", "target": "/d", "volume": {}}]}),
            "it keeps data in /d, a volume without a name",
        ),
        (
            json!({"volumes": [{"type": "bind", "source": "/srv/a", "target": "/d"}]}),
            "it may write to the server's /srv/a",
        ),
        (json!({"pid": "service:db"}), "it uses a part of db"),
    ] {
        assert_eq!(
            update(web_with(more), "web"),
            (Update::InPlace, because.to_string())
        );
    }
    assert_eq!(
        update(web_with(json!({})), "db"),
        (Update::InPlace, "it has no route".into())
    );
}

#[test]
fn what_is_only_read_or_of_the_container_itself_does_not_matter() {
    let harmless = json!({
        "ports": [{"target": 80, "protocol": "tcp"}], "expose": ["80"],
        "volumes": [
            {"type": "bind", "source": "/srv/a", "target": "/a", "read_only": true},
            {"type": "volume", "source": "data", "target": "/b", "read_only": true},
            {"type": "tmpfs", "target": "/c"},
        ],
    });
    assert_eq!(update(web_with(harmless), "web").0, Update::Beside);
}

#[test]
fn what_must_have_ended_before_a_new_container_starts_belongs_to_it() {
    let model = |more: Value| {
        let mut model = web_with(
            json!({"depends_on": {"migrate": {"condition": "service_completed_successfully"}, "db": {"condition": "service_healthy"}}}),
        );
        model["services"]["migrate"] =
            json!({"image": "web", "depends_on": {"db": {"condition": "service_healthy"}}});
        model["services"]["migrate"]
            .as_object_mut()
            .expect("an object")
            .extend(more.as_object().expect("an object").clone());
        model
    };
    assert_eq!(
        update(model(json!({})), "migrate"),
        (Update::Beside, "it runs to its end before web".into())
    );
    let decisions = decide(&model(json!({})), &asked(&["web"]).routes);
    assert!(decisions["migrate"].once && !decisions["web"].once);
    assert_eq!(decisions["web"].needs["db"], "service_healthy");
    let writes = json!({"volumes": [{"type": "volume", "source": "data", "target": "/d"}]});
    assert_eq!(update(model(writes), "migrate").0, Update::InPlace);
    let files = made(&model(json!({})), &asked(&["web"]), "d1", &Value::Null);
    let needs = &files.beside["services"]["web"]["depends_on"];
    assert!(needs.get("migrate").is_some() && needs.get("db").is_none());
    assert_eq!(files.beside["services"]["migrate"]["restart"], "no");
}

#[test]
fn each_replica_of_a_routed_service_has_a_port_and_all_answer_to_its_name() {
    let mut model =
        web_with(json!({"scale": 3, "depends_on": {"api": {"condition": "service_started"}}}));
    model["services"]["web-2"] = json!({"image": "other"});
    model["services"]["api"] = json!({"image": "api", "deploy": {"replicas": 2}});
    let files = made(&model, &asked(&["web", "api"]), "d1", &Value::Null);
    let services = files.beside["services"].as_object().expect("services");
    let keys: BTreeSet<&str> = services.keys().map(String::as_str).collect();
    assert_eq!(
        keys,
        BTreeSet::from(["api", "api-2", "web", "web-2x", "web-3"])
    );
    assert_eq!(services["web-3"]["ports"][0]["published"], "20004");
    assert_eq!(
        services["web-3"]["networks"]["default"]["aliases"],
        json!(["web"])
    );
    assert!(services["web"].get("scale").is_none() && services["api"].get("deploy").is_none());
    assert!(services["web-3"]["depends_on"].get("api-2").is_some());
    assert_eq!(entries_of(&files.beside, "web"), ["web", "web-2x", "web-3"]);
    assert_eq!(
        names_in(&files.beside),
        BTreeSet::from(["web".to_string(), "api".to_string()])
    );
}

#[test]
fn an_unrouted_service_is_counted_by_compose() {
    let mut model = web_with(json!({}));
    model["services"]["db"]["deploy"] = json!({"replicas": 2});
    let files = made(&model, &asked(&["web"]), "d1", &Value::Null);
    assert_eq!(files.in_place["services"]["db"]["scale"], 2);
}

#[test]
fn a_service_in_place_that_did_not_change_is_the_same_to_compose() {
    let mut model = web_with(json!({}));
    let first = made(&model, &asked(&["web"]), "d1", &Value::Null);
    let second = made(&model, &asked(&["web"]), "d2", &first.in_place);
    assert_eq!(second.in_place, first.in_place);
    assert_eq!(second.beside["services"]["web"]["labels"][DEPLOYMENT], "d2");
    model["services"]["db"]["environment"] = json!({"A": "b"});
    let third = made(&model, &asked(&["web"]), "d3", &second.in_place);
    assert_eq!(third.in_place["services"]["db"]["labels"][DEPLOYMENT], "d3");
}

#[test]
fn a_service_in_place_is_made_again_when_a_config_or_secret_that_it_names_has_another_text() {
    let model = |kind: &str, text: &str, other: &str| {
        let mut model = web_with(json!({}));
        model["services"]["db"][kind] = json!([{"source": "own", "target": "/etc/own"}]);
        model[kind] =
            json!({"own": {"name": "shop_own", "content": text}, "other": {"content": other}});
        model
    };
    for kind in ["configs", "secrets"] {
        let made_by =
            |files: &Files| files.in_place["services"]["db"]["labels"][DEPLOYMENT].clone();
        let after = |deployment: &str, model: &Value, before: &Files| {
            made(model, &asked(&["web"]), deployment, &before.in_place)
        };
        let first = made(&model(kind, "a", "x"), &asked(&["web"]), "d1", &Value::Null);
        let same = after("d2", &model(kind, "a", "y"), &first);
        assert_eq!(
            (made_by(&same), &same.in_place),
            (json!("d1"), &first.in_place)
        );
        let changed = after("d3", &model(kind, "b", "y"), &same);
        assert_eq!(made_by(&changed), "d3", "{kind}");
        assert_eq!(
            made_by(&after("d4", &model(kind, "b", "y"), &changed)),
            "d3"
        );
    }
}

#[test]
fn networks_and_volumes_are_made_beforehand_and_those_of_others_only_named() {
    let mut model = web_with(
        json!({"networks": {"default": null, "proxy": null}, "volumes": [{"type": "volume", "source": "data", "target": "/d", "read_only": true}]}),
    );
    model["networks"] = json!({"default": {"name": "shop_default", "ipam": {}}, "proxy": {"name": "shared", "external": true}, "unused": {"name": "shop_unused"}});
    model["volumes"] = json!({"data": {"name": "shop_data", "driver": "local"}});
    let files = made(&model, &asked(&["web"]), "d1", &Value::Null);
    assert_eq!(
        files.beside["networks"],
        json!({
        "default": {"name": "shop_default", "external": true}, "proxy": {"name": "shared", "external": true}})
    );
    assert_eq!(
        files.beside["volumes"],
        json!({"data": {"name": "shop_data", "external": true}})
    );
    assert_eq!(files.outlives.networks["shared"], Value::Null);
    assert_eq!(files.outlives.volumes["shop_data"]["driver"], "local");
    assert!(!files.outlives.networks.contains_key("shop_unused"));
}

#[test]
fn a_volume_or_network_with_a_name_of_its_own_keeps_it_whatever_that_ends_in() {
    for (entry, name) in [
        (json!({"name": "old_data"}), "old_data"),
        (json!({"name": "data"}), "data"),
        (json!({"name": "shop_data"}), "shop_data"),
        (json!({"name": "old_data", "external": true}), "old_data"),
        (json!({"external": true}), "data"),
        (json!({}), "shop_data"),
    ] {
        assert_eq!(real_name("shop", "data", &entry), name, "{entry}");
    }
    let mut model = web_with(json!({}));
    model["services"]["db"]["volumes"] =
        json!([{"type": "volume", "source": "data", "target": "/d"}]);
    model["volumes"] = json!({"data": {"name": "old_data"}});
    let files = made(&model, &asked(&["web"]), "d1", &Value::Null);
    assert_eq!(files.in_place["volumes"]["data"]["name"], "old_data");
    assert!(files.outlives.volumes.contains_key("old_data"));
}

#[test]
fn what_cannot_be_a_release_is_refused_with_its_code() {
    let code =
        |asked: &ReleasePrepare, model: &Value| check(asked, model).expect_err("refused").code;
    let good = web_with(json!({}));
    assert!(check(&asked(&["web"]), &good).is_ok());
    assert_eq!(code(&asked(&["nobody"]), &good), "no_such_service");
    assert_eq!(code(&asked(&["web", "web"]), &good), "bad_route");
    assert_eq!(code(&asked(&[]), &json!({"services": {}})), "no_services");
    assert_eq!(
        code(&asked(&["web"]), &web_with(json!({"scale": 0}))),
        "no_replicas"
    );
    assert_eq!(
        code(&asked(&["web"]), &web_with(json!({"scale": 17}))),
        "too_many_replicas"
    );
    assert_eq!(
        code(
            &asked(&["web"]),
            &web_with(json!({"scale": 2, "container_name": "a"}))
        ),
        "replicas_conflict"
    );
    assert_eq!(
        code(&asked(&["web"]), &web_with(json!({"network_mode": "host"}))),
        "route_without_network"
    );
    assert_eq!(
        code(&asked(&[]), &json!({"services": {"web": {}}})),
        "no_image"
    );
    let mut gated = asked(&["web"]);
    let gate = json!({"within_seconds": 1, "interval_seconds": 1, "successes": 1, "http": {"path": "/", "timeout_seconds": 1}});
    gated
        .gates
        .insert("db".into(), serde_json::from_value(gate).expect("a gate"));
    assert_eq!(code(&gated, &good), "bad_health_check");
}

#[test]
fn the_ports_of_the_proxy_are_published_by_no_service() {
    let publishing = |port: Value| check(&asked(&["web"]), &web_with(json!({ "ports": [port] })));
    for port in [
        json!({"target": 80, "published": "80", "protocol": "tcp"}),
        json!({"target": 8443, "published": 443}),
        json!({"target": 80, "published": "80", "host_ip": "127.0.0.1"}),
    ] {
        let fault = publishing(port.clone()).expect_err("refused");
        assert_eq!(fault.code, "port_of_the_proxy", "{port}");
        assert!(fault.message.contains("give the service a route"));
    }
    for port in [
        json!({"target": 80}),
        json!({"target": 80, "published": "8080"}),
        json!({"target": 443, "published": "443", "protocol": "udp"}),
    ] {
        assert!(publishing(port.clone()).is_ok(), "{port}");
    }
}

#[test]
fn the_plan_names_what_is_asked_what_is_run_and_what_is_there() {
    let mut model = web_with(json!({"scale": 2, "healthcheck": {"test": ["CMD", "true"]}}));
    model["services"]["db"]["volumes"] =
        json!([{"type": "volume", "source": "data", "target": "/d"}]);
    model["volumes"] = json!({"data": {"name": "shop_data"}});
    let pinned = BTreeMap::from([
        ("web".to_string(), "web@sha256:1".to_string()),
        ("db".to_string(), "db@sha256:2".to_string()),
    ]);
    let decisions = decide(&model, &asked(&["web"]).routes);
    let plan = plan(
        &model,
        "shop",
        &BTreeMap::new(),
        &pinned,
        &decisions,
        &BTreeSet::from(["shop_data".to_string()]),
    );
    let [db, web] = &plan.services[..] else {
        panic!("two")
    };
    assert_eq!(
        (db.volumes.as_slice(), db.asked.as_str(), db.image.as_str()),
        (&["data".to_string()][..], "db", "db@sha256:2")
    );
    assert_eq!(
        (web.replicas, web.has_health_check, web.update),
        (2, true, Update::Beside)
    );
    assert_eq!(
        (plan.volumes[0].volume.as_str(), plan.volumes[0].exists),
        ("shop_data", true)
    );
}

prop_compose! {
    fn any_service()(
        port in prop::option::of(1u16..), name in any::<bool>(), scale in 1u64..4,
        mount in 0u8..5, needs in prop::collection::vec((0usize..5, any::<bool>()), 0..3), lends in prop::option::of(0usize..5),
    ) -> Value {
        let mut one = json!({ "image": "a", "networks": { "default": null }, "scale": scale });
        if let Some(port) = port { one["ports"] = json!([{"target": 80, "published": port.to_string()}]); }
        if name { one["container_name"] = json!("fixed"); }
        if let Some(of) = lends { one["ipc"] = json!(format!("service:s{of}")); }
        one["volumes"] = match mount {
            0 => json!([]),
            1 => json!([{"type": "volume", "source": "data", "target": "/d"}]),
            2 => json!([{"type": "volume", "source": "data", "target": "/d", "read_only": true}]),
            3 => json!([{"type": "bind", "source": "/x", "target": "/d"}]),
            _ => json!([{"type": "tmpfs", "target": "/d"}]),
        };
        let needs = needs.into_iter().map(|(of, ends)| {
            let condition = if ends { "service_completed_successfully" } else { "service_started" };
            (format!("s{of}"), json!({ "condition": condition }))
        });
        one["depends_on"] = Value::Object(needs.collect());
        one
    }
}

prop_compose! {
    fn any_model()(services in prop::collection::vec(any_service(), 1..6)) -> Value {
        let count = services.len();
        let mut all = Map::new();
        for (number, mut service) in services.into_iter().enumerate() {
            let there = |name: &str| name[1..].parse::<usize>().is_ok_and(|of| of < count && of != number);
            if let Some(needs) = service["depends_on"].as_object_mut() { needs.retain(|name, _| there(name)); }
            let lender = service["ipc"].as_str().and_then(|mode| mode.strip_prefix("service:")).map(str::to_string);
            if lender.is_some_and(|name| !there(&name)) { service.as_object_mut().expect("an object").remove("ipc"); }
            all.insert(format!("s{number}"), service);
        }
        json!({ "services": all, "networks": { "default": {} }, "volumes": { "data": {} } })
    }
}

proptest! {
    #[test]
    fn every_service_is_in_one_file_and_nothing_in_a_file_leads_out_of_it(model in any_model(), routed in prop::collection::btree_set(0usize..6, 0..4)) {
        let count = model["services"].as_object().expect("services").len();
        let routed: Vec<String> = routed.into_iter().filter(|one| *one < count).map(|one| format!("s{one}")).collect();
        let asked = asked(&routed.iter().map(String::as_str).collect::<Vec<_>>());
        let files = made(&model, &asked, "d1", &Value::Null);
        let (one, other) = (names_in(&files.in_place), names_in(&files.beside));
        prop_assert!(one.is_disjoint(&other));
        prop_assert_eq!(one.len() + other.len(), count);
        let mut published = BTreeSet::new();
        for file in [&files.in_place, &files.beside] {
            let services = file["services"].as_object().expect("services");
            for service in services.values() {
                for need in service["depends_on"].as_object().into_iter().flatten() {
                    prop_assert!(services.contains_key(need.0));
                }
                if let Some(lender) = service["ipc"].as_str().and_then(|mode| mode.strip_prefix("service:")) {
                    prop_assert!(services.contains_key(lender));
                }
                for port in service["ports"].as_array().into_iter().flatten().filter(|port| port["host_ip"] == "127.0.0.1") {
                    prop_assert!(published.insert(port["published"].to_string()), "a port is given twice");
                }
                prop_assert!(file["networks"]["default"]["external"] == true);
                prop_assert!(service["logging"]["options"]["max-size"].is_string());
            }
        }
        for service in files.beside["services"].as_object().expect("services").values() {
            prop_assert!(service["container_name"].is_null());
            let name = service["labels"][SERVICE].as_str().expect("a label");
            let writes = |mount: &Value| mount["type"] != "tmpfs" && mount["read_only"] != true;
            prop_assert!(!service["volumes"].as_array().into_iter().flatten().any(writes));
            prop_assert!(host_ports(model["services"][name].as_object().expect("a service")).is_empty());
            prop_assert!(routed.contains(&name.to_string()) || files.decisions[name].once);
        }
        let again = made(&model, &asked, "d2", &files.in_place);
        prop_assert_eq!(again.in_place, files.in_place);
    }
}
