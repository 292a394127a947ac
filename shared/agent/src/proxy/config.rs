//! Caddy's configuration, made of all routes of a server.
//!
//! Promise: a pure function, and the same routes give the same bytes: what runs is compared with it. Nothing in it is
//! secret. A route's `@id` says whose it is, so that it is found again in what runs.

use super::Way;
use super::admin::ORIGIN;
use super::kept::Kept;
use protocol::release::{RouteSeen, Tls};
use serde_json::{Map, Value, json};
use std::collections::BTreeSet;
use std::path::Path;

/// In the proxy's folder: fields of Caddy's ACME issuer (`ca`, `email`, `trusted_roots_pem_files`), for who has an
/// authority of their own. Absent for Let's Encrypt.
pub const CERTIFICATE_AUTHORITY: &str = "acme.json";

/// Requests under way when the configuration changes are served to their end by the one before. Longer than any upload
/// or download anybody waits for; when the unit is stopped, systemd waits shorter.
const GRACE: &str = "1h";
/// Of a request's head: who takes longer is no browser.
const HEAD_WITHIN: &str = "30s";
/// A client may keep an unused connection so long; longer than browsers pause between two clicks.
const CLIENT_IDLE: &str = "2m";
/// On the loopback a container answers at once or refuses.
const DIAL_WITHIN: &str = "2s";
/// Shorter than any application server keeps an unused connection (gunicorn 2 s, Node 5 s): otherwise a request meets
/// one that is just being closed. It also lets [`super::drain`] tell used from unused. A new one costs 50 µs here.
const UPSTREAM_IDLE: &str = "1s";
/// A request that no container takes is tried again so long: a service that restarts is slow then, not away. What a
/// container has taken is tried again only when it is a GET. One with a body is not tried again before Caddy 2.11, which
/// closes the body at the first try (caddyserver/caddy#7546).
const TRY_FOR: &str = "7s";
/// Between two tries: a GET that ends its container ends few of them.
const TRY_EVERY: &str = "250ms";
/// A replica that refused is left out so long, when there are others. Long, because every look at it may cost a request
/// with a body; shorter than [`TRY_FOR`], so that a request outlasts it when all refused.
const LEFT_OUT_FOR: &str = "5s";

const STOPPED: &str = "This environment is stopped.\n";
const UNKNOWN: &str = "Nothing is served at this address.\n";
const NO_ANSWER: &str = "The service at this address does not answer now.\n";

/// All of it.
pub fn whole(kept: &Kept, socket: &Path, authority: Option<Map<String, Value>>) -> Value {
    let mut all: Vec<(&str, usize, &Way)> = Vec::new();
    let mut last = "";
    for (environment, way) in kept.all() {
        let number = if environment == last {
            all.last().map_or(0, |(_, number, _)| number + 1)
        } else {
            0
        };
        last = environment;
        all.push((environment, number, way));
    }
    // The longest path of a host first: the first route that matches is taken.
    all.sort_by(|(_, _, one), (_, _, other)| {
        let key = |way: &Way| {
            (
                way.route.host.clone(),
                usize::MAX - way.path().len(),
                way.path(),
            )
        };
        key(one).cmp(&key(other))
    });
    let routes = |secure: bool| -> Vec<Value> {
        let on_this = |way: &Way| (way.route.tls != Tls::Off) == secure;
        all.iter()
            .filter(|(_, _, way)| !secure || on_this(way))
            .map(|(environment, number, way)| {
                if on_this(way) {
                    let mut route = matching(way, passed_on(way));
                    route["@id"] = json!(format!("{environment}.{number}"));
                    route
                } else {
                    matching(way, to_https())
                }
            })
            .chain([json!({ "handle": [plain("404", UNKNOWN)] })])
            .collect()
    };
    let mut servers = Map::new();
    servers.insert("http".into(), server(80, &["h1"], routes(false)));
    let hosts = |tls: Tls| -> BTreeSet<&str> {
        let of = all.iter().filter(|(_, _, way)| way.route.tls == tls);
        of.map(|(_, _, way)| way.route.host.as_str()).collect()
    };
    let acme = hosts(Tls::Acme);
    // A name has one certificate: the one that everybody trusts, if one of its routes asks for that.
    let internal: BTreeSet<&str> = &hosts(Tls::Internal) - &acme;
    let mut apps = Map::new();
    if !acme.is_empty() || !internal.is_empty() {
        let mut https = server(443, &["h1", "h2"], routes(true));
        https["tls_connection_policies"] = json!([{}]);
        servers.insert("https".into(), https);
        apps.insert("tls".into(), certificates(&acme, &internal, authority));
    }
    if !internal.is_empty() {
        // Caddy would otherwise try to make this server itself trust it.
        apps.insert(
            "pki".into(),
            json!({ "certificate_authorities": { "local": { "install_trust": false } } }),
        );
    }
    apps.insert(
        "http".into(),
        json!({ "grace_period": GRACE, "servers": servers }),
    );
    json!({
        "admin": {
            "listen": format!("unix/{}", socket.display()),
            "origins": [ORIGIN],
            // It is kept by us.
            "config": { "persist": false },
        },
        // A failed request's address and headers may hold secrets: they are the application's to log.
        "logging": { "logs": { "default": { "level": "ERROR", "exclude": ["http.log.error"] } } },
        "apps": apps,
    })
}

fn server(port: u16, protocols: &[&str], routes: Vec<Value>) -> Value {
    json!({
        "listen": [format!(":{port}")],
        "protocols": protocols,
        "read_header_timeout": HEAD_WITHIN,
        "idle_timeout": CLIENT_IDLE,
        // Redirects and certificates are spelled out here.
        "automatic_https": { "disable": true },
        "routes": routes,
        "errors": { "routes": [{ "handle": [plain("{http.error.status_code}", NO_ANSWER)] }] },
    })
}

fn matching(way: &Way, handle: Value) -> Value {
    let mut what = json!({ "host": [way.route.host] });
    let path = way.path();
    if !path.is_empty() {
        what["path"] = json!([path, format!("{path}/*")]);
    }
    json!({ "match": [what], "handle": [handle], "terminal": true })
}

fn plain(status: &str, body: &str) -> Value {
    json!({
        "handler": "static_response",
        "status_code": status,
        "headers": { "Content-Type": ["text/plain; charset=utf-8"], "Cache-Control": ["no-store"] },
        "body": body,
    })
}

fn to_https() -> Value {
    json!({
        "handler": "static_response",
        "status_code": "308",
        "headers": { "Location": ["https://{http.request.host}{http.request.uri}"] },
    })
}

fn passed_on(way: &Way) -> Value {
    if way.upstreams.is_empty() {
        return plain("503", STOPPED);
    }
    let upstreams: Vec<Value> = way
        .upstreams
        .iter()
        .map(|upstream| json!({ "dial": upstream }))
        .collect();
    let mut handler = json!({
        "handler": "reverse_proxy",
        "upstreams": upstreams,
        "load_balancing": {
            // Not by the fewest connections: one that refuses has none, and would be asked again and again.
            "selection_policy": { "policy": "round_robin" },
            "try_duration": TRY_FOR,
            "try_interval": TRY_EVERY,
        },
        "transport": {
            "protocol": "http",
            "dial_timeout": DIAL_WITHIN,
            // Bytes pass as they are.
            "compression": false,
            "keep_alive": { "idle_timeout": UPSTREAM_IDLE },
        },
    });
    if way.upstreams.len() > 1 {
        handler["health_checks"] =
            json!({ "passive": { "fail_duration": LEFT_OUT_FOR, "max_fails": 1 } });
    }
    handler
}

fn certificates(
    acme: &BTreeSet<&str>,
    internal: &BTreeSet<&str>,
    authority: Option<Map<String, Value>>,
) -> Value {
    let mut policies = Vec::new();
    if !acme.is_empty() {
        let mut issuer = authority.unwrap_or_default();
        issuer.insert("module".into(), json!("acme"));
        policies.push(json!({ "subjects": acme, "issuers": [issuer] }));
    }
    if !internal.is_empty() {
        policies.push(json!({ "subjects": internal, "issuers": [{ "module": "internal" }] }));
    }
    let all: BTreeSet<&&str> = acme.union(internal).collect();
    json!({ "certificates": { "automate": all }, "automation": { "policies": policies } })
}

/// The ports that a configuration listens on.
pub fn ports(configuration: &Value) -> BTreeSet<u16> {
    let servers = configuration["apps"]["http"]["servers"].as_object();
    let listen = servers
        .into_iter()
        .flat_map(Map::values)
        .filter_map(|server| server["listen"].as_array())
        .flatten();
    listen
        .filter_map(|one| one.as_str()?.rsplit(':').next()?.parse().ok())
        .collect()
}

/// The routes of an environment in a configuration that runs, by host and path.
pub fn seen(running: &Value, environment: &str) -> Vec<RouteSeen> {
    let servers = running["apps"]["http"]["servers"].as_object();
    let routes = servers
        .into_iter()
        .flat_map(Map::values)
        .filter_map(|server| server["routes"].as_array())
        .flatten();
    let ours = |route: &&Value| {
        let id = route["@id"].as_str().and_then(|id| id.rsplit_once('.'));
        id.is_some_and(|(whose, _)| whose == environment)
    };
    let mut seen: Vec<RouteSeen> = routes.filter(ours).filter_map(route_seen).collect();
    seen.sort_by(|one, other| (&one.host, &one.path).cmp(&(&other.host, &other.path)));
    seen
}

fn route_seen(route: &Value) -> Option<RouteSeen> {
    let what = &route["match"][0];
    let upstreams = route["handle"][0]["upstreams"].as_array();
    Some(RouteSeen {
        host: what["host"][0].as_str()?.to_string(),
        path: what["path"][0].as_str().map(str::to_string),
        upstreams: upstreams
            .into_iter()
            .flatten()
            .filter_map(|one| Some(one["dial"].as_str()?.to_string()))
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::way;
    use super::*;

    fn kept(all: &[(&str, Vec<Way>)]) -> Kept {
        let mut kept = Kept::default();
        for (environment, ways) in all {
            kept.change(environment, ways).expect("free");
        }
        kept
    }

    fn made(kept: &Kept) -> Value {
        whole(kept, Path::new("/run/a.sock"), None)
    }

    fn hosts_and_paths(server: &Value) -> Vec<String> {
        let routes = server["routes"].as_array().expect("routes");
        let name = |route: &Value| {
            format!(
                "{}{}",
                route["match"][0]["host"][0], route["match"][0]["path"]
            )
        };
        routes
            .iter()
            .map(|route| name(route).replace('"', ""))
            .collect()
    }

    #[test]
    fn the_same_routes_in_any_order_make_the_same_bytes() {
        let (a, b) = (
            way("a.test", None, Tls::Off, &["127.0.0.1:1"]),
            way(
                "b.test",
                Some("/x"),
                Tls::Acme,
                &["127.0.0.1:2", "127.0.0.1:3"],
            ),
        );
        let one = kept(&[("shop", vec![a.clone(), b.clone()]), ("blog", vec![])]);
        let other = kept(&[("shop", vec![b, a])]);
        assert_eq!(made(&one).to_string(), made(&other).to_string());
    }

    #[test]
    fn the_longest_path_comes_first_and_the_unknown_last() {
        let short = way("a.test", None, Tls::Off, &[]);
        let long = way("a.test", Some("/api/v1/"), Tls::Off, &[]);
        let api = way("a.test", Some("/Api"), Tls::Off, &[]);
        let made = made(&kept(&[("shop", vec![short, long]), ("blog", vec![api])]));
        assert_eq!(
            hosts_and_paths(&made["apps"]["http"]["servers"]["http"]),
            [
                "a.test[/api/v1,/api/v1/*]",
                "a.test[/api,/api/*]",
                "a.testnull",
                "nullnull"
            ]
        );
        assert!(
            made["apps"]["tls"].is_null() && made["apps"]["http"]["servers"]["https"].is_null()
        );
    }

    #[test]
    fn a_route_with_a_certificate_is_served_there_and_leads_there_from_plain_http() {
        let all = vec![
            way("a.test", None, Tls::Internal, &["127.0.0.1:1"]),
            way("a.test", Some("/x"), Tls::Acme, &["127.0.0.1:1"]),
            way("b.test", None, Tls::Internal, &["127.0.0.1:1"]),
            way("c.test", None, Tls::Off, &["127.0.0.1:1"]),
        ];
        let made = made(&kept(&[("shop", all)]));
        let servers = &made["apps"]["http"]["servers"];
        assert_eq!(
            hosts_and_paths(&servers["https"]),
            ["a.test[/x,/x/*]", "a.testnull", "b.testnull", "nullnull"]
        );
        assert_eq!(
            servers["http"]["routes"][0]["handle"][0]["status_code"],
            "308"
        );
        assert_eq!(
            made["apps"]["tls"]["automation"]["policies"],
            json!([
                { "subjects": ["a.test"], "issuers": [{ "module": "acme" }] },
                { "subjects": ["b.test"], "issuers": [{ "module": "internal" }] },
            ])
        );
    }

    #[test]
    fn the_second_port_is_held_only_for_certificates() {
        let plain = kept(&[("shop", vec![way("a.test", None, Tls::Off, &[])])]);
        assert_eq!(ports(&made(&plain)), BTreeSet::from([80]));
        let secure = kept(&[("shop", vec![way("a.test", None, Tls::Acme, &[])])]);
        assert_eq!(ports(&made(&secure)), BTreeSet::from([80, 443]));
        assert_eq!(ports(&Value::Null), BTreeSet::new());
    }

    #[test]
    fn an_environment_finds_its_own_routes_again_and_no_others() {
        let own = way("a.test", Some("/x"), Tls::Internal, &["127.0.0.1:1"]);
        let stopped = way("b.test", None, Tls::Off, &[]);
        let other = way("c.test", None, Tls::Off, &["127.0.0.1:9"]);
        let made = made(&kept(&[
            ("shop", vec![own, stopped]),
            ("shop-2", vec![other]),
        ]));
        assert_eq!(
            seen(&made, "shop"),
            [
                RouteSeen {
                    host: "a.test".into(),
                    path: Some("/x".into()),
                    upstreams: vec!["127.0.0.1:1".into()]
                },
                RouteSeen {
                    host: "b.test".into(),
                    path: None,
                    upstreams: vec![]
                },
            ]
        );
        assert_eq!(seen(&Value::Null, "shop"), []);
    }

    #[test]
    fn a_host_of_another_environment_is_refused_by_its_name() {
        let mut kept = kept(&[("blog", vec![way("a.test", Some("/x"), Tls::Off, &[])])]);
        let error = kept
            .change("shop", &[way("a.test", Some("/X/"), Tls::Acme, &[])])
            .expect_err("taken");
        assert_eq!(error.code, "host_taken");
        assert!(error.message.contains("blog"));
        kept.change("shop", &[way("a.test", None, Tls::Off, &[])])
            .expect("another path is free");
    }
}
