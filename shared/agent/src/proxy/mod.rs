//! The proxy in front of containers: Caddy, with a configuration that is all ours.
//!
//! Promise: every change is one atomic load of the whole configuration, made of the routes that are kept on the disk.
//! What Caddy refuses is never kept; what was loaded and not yet kept is loaded again by the repeat. Its admin address
//! is a socket of root's and the proxy's own: no other user and no container reaches it.

mod admin;
mod config;
mod drain;
mod kept;
mod missing;
mod ports;
mod sockets;
mod unit;

pub use config::CERTIFICATE_AUTHORITY;
pub use drain::{drain, old_routes_last};
pub use missing::missing;
pub use unit::{UNIT, remove, set_up};

use crate::check;
use crate::fault::{Result, bad_request};
use crate::paths::Paths;
use kept::Kept;
use protocol::release::{Route, RouteSeen};
use serde::{Deserialize, Serialize};
use std::net::SocketAddr;

/// Where one route leads now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What is passed on.
    pub route: Route,
    /// `127.0.0.1:20001`; none while the environment is stopped: the proxy says so with a 503.
    pub upstreams: Vec<String>,
}

impl Way {
    /// The beginning of its paths as it is compared: without the last slash and in lower case, for Caddy matches paths
    /// in any case. Empty for all paths.
    fn path(&self) -> String {
        let path = self.route.path.as_deref().unwrap_or_default();
        path.trim_end_matches('/').to_ascii_lowercase()
    }
}

/// The routes of an environment become these, in one change with a reload that fails no request; true when anything
/// changed. A host name that another environment of this server has is refused. An empty list takes them away.
///
/// A reload closes connections on which nothing is asked: a client that asks at that very moment asks again, as HTTP
/// has it. It also tells every WebSocket of this server, whichever environment's, that it is going away (1001).
pub fn set(paths: &Paths, environment: &str, ways: &[Way]) -> Result<bool> {
    check_all(environment, ways)?;
    let no_proxy = !unit::is_there(paths) && !admin::is_there(paths);
    if ways.is_empty() && no_proxy && Kept::read(paths)?.of(environment).is_empty() {
        return Ok(false);
    }
    let locked = kept::lock(paths)?;
    let mut kept = Kept::read(paths)?;
    kept.change(environment, ways)?;
    if ways.is_empty() && no_proxy {
        return kept.store(paths, &locked);
    }
    let mut changed = unit::load(paths, &kept, &locked)?;
    // Last: what Caddy does not take is not kept, or it would be in the way of every other environment.
    changed |= kept.store(paths, &locked)?;
    Ok(changed)
}

/// The routes of an environment as they are kept.
pub fn ways(paths: &Paths, environment: &str) -> Result<Vec<Way>> {
    check::environment(environment)?;
    Ok(Kept::read(paths)?.of(environment).to_vec())
}

/// The routes of an environment as the running proxy has them.
pub fn seen(paths: &Paths, environment: &str) -> Result<Vec<RouteSeen>> {
    check::environment(environment)?;
    Ok(config::seen(&admin::running(paths)?, environment))
}

fn check_all(environment: &str, ways: &[Way]) -> Result<()> {
    check::environment(environment)?;
    for way in ways {
        check::host("route's host", &way.route.host)?;
        if let Some(path) = &way.route.path {
            check::route_path(path)?;
        }
        for upstream in &way.upstreams {
            upstream
                .parse::<SocketAddr>()
                .map_err(|_| bad_request("A route leads to what is no address and port."))?;
        }
    }
    let mut all: Vec<_> = ways
        .iter()
        .map(|way| (&way.route.host, way.path()))
        .collect();
    all.sort_unstable();
    match all.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(bad_request(format!(
            "The route {}{} is given twice.",
            pair[0].0, pair[0].1
        ))),
        None => Ok(()),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use protocol::release::Tls;

    pub(crate) fn way(host: &str, path: Option<&str>, tls: Tls, upstreams: &[&str]) -> Way {
        Way {
            route: Route {
                host: host.into(),
                path: path.map(str::to_string),
                service: "web".into(),
                port: 8080,
                tls,
            },
            upstreams: upstreams.iter().map(|one| one.to_string()).collect(),
        }
    }

    #[test]
    fn what_means_something_to_caddy_is_refused() {
        for bad in [
            way("*.test", None, Tls::Off, &[]),
            way("A.test", None, Tls::Off, &[]),
            way("{env.HOME}", None, Tls::Off, &[]),
            way("a.test", Some("api"), Tls::Off, &[]),
            way("a.test", Some("/*"), Tls::Off, &[]),
            way("a.test", Some("/{env.HOME}"), Tls::Off, &[]),
            way("a.test", None, Tls::Off, &["unix//run/docker.sock"]),
            way("a.test", None, Tls::Off, &["{env.HOME}:80"]),
        ] {
            assert!(
                check_all("shop", std::slice::from_ref(&bad)).is_err(),
                "{bad:?}"
            );
        }
        let good = way("a.test", Some("/api/v1"), Tls::Acme, &["127.0.0.1:1"]);
        assert!(check_all("shop", &[good]).is_ok());
    }

    #[test]
    fn a_route_is_given_once_however_it_is_written() {
        let twice = [
            way("a.test", Some("/API/"), Tls::Off, &[]),
            way("a.test", Some("/api"), Tls::Off, &[]),
        ];
        assert!(check_all("shop", &twice).is_err());
        let all = [
            way("a.test", Some("/"), Tls::Off, &[]),
            way("a.test", None, Tls::Off, &[]),
        ];
        assert!(check_all("shop", &all).is_err());
    }

    #[test]
    fn an_environment_without_routes_needs_no_proxy() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        assert!(!set(&paths, "shop", &[]).expect("nothing to do"));
        assert_eq!(ways(&paths, "shop").expect("read"), []);
    }
}
