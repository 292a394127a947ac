//! Environments and their values, as they are asked for and shown.
//!
//! Promise: a list of values holds names; a value is in one answer alone, which is asked for by its name.

use crate::DeploymentView;
use chrono::{DateTime, Utc};
use domain::release::{DRAIN_SECONDS, KEPT_RELEASES, ReleaseServer, Route, Tls};
use domain::{DeploymentId, EnvironmentId, EnvironmentStatus, ProjectId, ServerId, ServiceId};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Create an environment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentCreate {
    /// Unique in its service: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
    /// Where its containers run.
    #[schema(max_items = 8)]
    pub server_ids: Vec<ServerId>,
    /// So many servers must be ready; absent for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 8)]
    pub quorum: Option<u32>,
    /// What the proxy passes on.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 20)]
    pub routes: Vec<Route>,
    /// What requests under way are given before their containers are stopped.
    #[serde(default = "drain_seconds")]
    #[schema(default = 30, maximum = 600)]
    pub drain_seconds: u32,
    /// So many releases can be gone back to.
    #[serde(default = "kept_releases")]
    #[schema(default = 5, maximum = 50)]
    pub keep_releases: u32,
    /// Deploy once at once, when its service needs no upload.
    #[serde(default = "yes")]
    #[schema(default = true)]
    pub deploy: bool,
}

fn drain_seconds() -> u32 {
    DRAIN_SECONDS
}
fn kept_releases() -> u32 {
    KEPT_RELEASES
}
fn yes() -> bool {
    true
}

/// Change an environment: what is absent stays. What runs stays as it is until the next deploy.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentUpdate {
    /// Only if it is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where its containers run, all anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 8)]
    pub server_ids: Option<Vec<ServerId>>,
    /// So many servers must be ready; null for all.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<u32>)]
    pub quorum: Option<Option<u32>>,
    /// What the proxy passes on, all anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 20)]
    pub routes: Option<Vec<Route>>,
    /// What requests under way are given before their containers are stopped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 600)]
    pub drain_seconds: Option<u32>,
    /// So many releases can be gone back to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 50)]
    pub keep_releases: Option<u32>,
}

/// A null is a value, and not the same as nothing.
fn given<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Option<u32>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Where a service runs.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentView {
    /// Its id.
    pub id: EnvironmentId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its service.
    pub service_id: ServiceId,
    /// Its name.
    pub name: String,
    /// `project/service/environment`
    pub path: String,
    /// Where it stands.
    pub status: EnvironmentStatus,
    /// What is at work on it.
    pub deploying: Option<DeploymentId>,
    /// The deployment that is live.
    pub current: Option<DeploymentId>,
    /// The newest deployment that failed, while none is live.
    pub failed: Option<DeploymentId>,
    /// Releases that can be gone back to, newest first; the first is the one that is live.
    pub kept: Vec<DeploymentId>,
    /// Why pushes do not deploy by themselves now: the rollback that says so.
    pub auto_deploys_paused_by: Option<DeploymentId>,
    /// Where it answers.
    pub urls: Vec<String>,
    /// Where its containers run.
    pub servers: Vec<ReleaseServer>,
    /// Servers that may have something of it: those of its releases so far, until they are cleared.
    pub placed_on: Vec<ReleaseServer>,
    /// So many servers must be ready; absent for all.
    pub quorum: Option<u32>,
    /// What the proxy passes on.
    pub routes: Vec<Route>,
    /// What requests under way are given before their containers are stopped.
    pub drain_seconds: u32,
    /// So many releases can be gone back to.
    pub keep_releases: u32,
    /// Its newest values; 0 for none.
    pub values_version: u64,
    /// Its one word on every server: Compose project, networks and volumes have it.
    pub host_name: String,
    /// Rises with every change.
    pub revision: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Where a route answers.
pub fn url(route: &Route) -> String {
    let scheme = match route.tls {
        Tls::Off => "http",
        Tls::Internal | Tls::Acme => "https",
    };
    let path = route.path.as_deref().unwrap_or_default();
    format!("{scheme}://{}{path}", route.host)
}

/// An environment was created.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct EnvironmentCreated {
    /// The environment.
    pub environment: EnvironmentView,
    /// The deployment that was begun with it.
    pub deployment: Option<DeploymentView>,
}

/// Change values: each change makes a new version, which the next deploy takes.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesChange {
    /// Set these.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub set: BTreeMap<String, String>,
    /// Take these away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unset: Vec<String>,
}

/// All values anew: what is not among them is taken away.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ValuesReplace {
    /// All there are to be.
    pub set: BTreeMap<String, String>,
}

/// An environment's values, by name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ValuesView {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Counts up with every change; 0 for none.
    pub version: u64,
    /// Sorted by name.
    pub values: Vec<ValueName>,
    /// Who made this version.
    pub set_by: Option<String>,
    /// When.
    pub set_at: Option<DateTime<Utc>>,
}

/// A value's name.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ValueName {
    /// Its name.
    pub name: String,
    /// Always the same stars.
    pub masked: String,
    /// The version that set it.
    pub version: u64,
}

/// What stands for every value.
pub const MASK: &str = "********";

/// A value in clear.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
pub struct ValueClear {
    /// Its name.
    pub name: String,
    /// The value.
    pub value: String,
    /// The version that set it.
    pub version: u64,
}
