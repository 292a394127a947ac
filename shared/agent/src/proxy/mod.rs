//! The proxy in front of containers: Caddy, with a configuration that is all ours.
//!
//! Promise: every change is one atomic load of the whole configuration, made of the routes that are kept on the disk: what Caddy has and what is kept cannot come apart. Its admin address is on the loopback alone.

use crate::fault::{Result, refused};
use crate::paths::Paths;
use protocol::release::{Route, RouteSeen};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Where one route leads now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Way {
    /// What is passed on.
    pub route: Route,
    /// `127.0.0.1:20001`; none while the environment is stopped: the proxy says so with a 503.
    pub upstreams: Vec<String>,
}

/// The routes of an environment become these, in one change with a reload that fails no request; true when anything
/// changed. A host name that another environment of this server has is refused. An empty list takes them away.
pub fn set(_paths: &Paths, _environment: &str, _ways: &[Way]) -> Result<bool> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// The routes of an environment as they are kept.
pub fn ways(_paths: &Paths, _environment: &str) -> Result<Vec<Way>> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// The routes of an environment as the running proxy has them.
pub fn seen(_paths: &Paths, _environment: &str) -> Result<Vec<RouteSeen>> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// Wait until no request is under way to these upstreams, or the time is over; says how many were left.
pub fn drain(_upstreams: &[String], _within: Duration) -> Result<u64> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// Make the proxy ready: its unit, its folders, a first configuration; a repeat changes nothing. Part of the agent's
/// installation where Caddy and a container engine are present.
pub fn set_up(_paths: &Paths) -> Result<bool> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// What must be installed or mended before routes can be served here; empty when nothing.
pub fn missing(_paths: &Paths) -> Vec<String> {
    Vec::new()
}
