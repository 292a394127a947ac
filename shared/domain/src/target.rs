//! What deployments work on: servers and sites, and the locks that keep two deployments apart.
//!
//! Promise: one operation at a time per lock; a site with its stagings is one lock.

use crate::{
    DeploymentId, EnvironmentId, SecretId, ServerId, SiteId, TargetRef, TeamId, Time, time_text,
};
use serde::{Deserialize, Serialize};
use std::fmt;
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The kinds of things a deployment works on.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum TargetKind {
    /// A machine.
    Server,
    /// A WordPress site.
    Site,
    /// An environment of a service.
    Environment,
}

impl TargetKind {
    /// The word in records and keys.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The name of a lock: `site:01J…`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LockKey(String);

impl LockKey {
    /// A site and its stagings.
    pub fn site(id: SiteId) -> Self {
        Self(format!("site:{id}"))
    }
    /// A server.
    pub fn server(id: ServerId) -> Self {
        Self(format!("server:{id}"))
    }
    /// An environment.
    pub fn environment(id: EnvironmentId) -> Self {
        Self(format!("environment:{id}"))
    }
    /// Is it this target's own?
    pub fn is_of(&self, target: &TargetRef) -> bool {
        let parts = self.0.split_once(':');
        parts == Some((target.kind.as_str(), target.id.as_str()))
    }
    /// As text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LockKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How far a server is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ServerStatus {
    /// Its first register_server has not completed.
    Registering,
    /// The agent answers.
    Active,
}

/// A server's host key, by its fingerprint as `ssh-keygen -l` shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HostKey {
    /// `SHA256:…`
    pub fingerprint: String,
    /// `ssh-ed25519`
    pub algorithm: String,
}

/// What the last check saw.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct ServerFacts {
    /// `Debian GNU/Linux 12 (bookworm)`
    pub os: String,
    /// `x86_64`
    pub architecture: String,
    /// PHP versions with a php-fpm service.
    pub php: Vec<String>,
    /// The database server and its version.
    pub database: Option<String>,
    /// The web server and its version.
    pub web_server: Option<String>,
    /// The container engine and its version.
    pub docker: Option<String>,
    /// Free bytes where sites live.
    pub disk_free_bytes: u64,
    /// All bytes there.
    pub disk_total_bytes: u64,
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// How far the server's clock is ahead, in seconds.
    pub clock_skew_seconds: i64,
    /// By use (`sites`, `releases`): what must be installed or mended first. An empty list means ready.
    pub missing: std::collections::BTreeMap<String, Vec<String>>,
    /// When it was looked.
    #[serde(with = "time_text")]
    #[schema(value_type = String, format = DateTime)]
    pub checked_at: Time,
}

/// A machine that sites or containers live on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Server {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: ServerId,
    /// Its owner.
    pub team_id: TeamId,
    /// Unique in the team.
    pub name: String,
    /// Address or host name.
    pub host: String,
    /// The SSH port.
    pub port: u16,
    /// The address its host key was seen at.
    pub ip: Option<String>,
    /// How far it is.
    pub status: ServerStatus,
    /// The account used once, to install the agent.
    pub bootstrap_user: String,
    /// That account's private key; expires when registration is over.
    pub bootstrap_key: SecretId,
    /// The key that may call the agent and nothing else.
    pub agent_key: SecretId,
    /// Its public half, as in authorized_keys.
    pub agent_public_key: Option<String>,
    /// The pinned host key. Another one is refused.
    pub host_key: Option<HostKey>,
    /// The host key that was seen and waits for a yes.
    pub host_key_seen: Option<HostKey>,
    /// The agent's version.
    pub agent_version: Option<String>,
    /// The last check.
    pub facts: Option<ServerFacts>,
    /// The deployment that created it.
    pub created_by: DeploymentId,
    /// When.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

/// How far a site is.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr, utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum SiteStatus {
    /// Its creation has not completed.
    Creating,
    /// It answers.
    Active,
}

/// A WordPress site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Site {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: SiteId,
    /// Its owner.
    pub team_id: TeamId,
    /// Where it lives.
    pub server_id: ServerId,
    /// Unique on its server.
    pub name: String,
    /// Its title when it was made.
    pub title: String,
    /// The host name it answers under without a domain of its own.
    pub address: String,
    /// Its own main domain.
    pub domain: Option<String>,
    /// Other host names.
    pub aliases: Vec<String>,
    /// Its system user, pool, server block and directory on the server.
    pub system_name: String,
    /// How far it is.
    pub status: SiteStatus,
    /// Where it answers.
    pub url: Option<String>,
    /// Its web root.
    pub path: Option<String>,
    /// The PHP version that serves it.
    pub php: Option<String>,
    /// The WordPress version when it was made.
    pub wordpress: Option<String>,
    /// The first administrator's login.
    pub admin_user: String,
    /// The deployment that created it.
    pub created_by: DeploymentId,
    /// When.
    #[serde(with = "time_text")]
    pub created_at: Time,
}
