//! What is released: projects, their services, the environments each runs in, and the views kept of a release.
//!
//! Promise: a record holds names of values, never values; what a deployment was made of never changes after it was frozen.

use crate::{
    DeploymentId, EnvironmentId, EnvironmentStatus, ProjectId, SealedObject, SecretId, ServerId,
    ServiceId, TeamId, Time, time_text,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Array, ArrayBuilder, ObjectBuilder, Type};

/// A Compose file is text that people wrote; all of its release fits into a few items.
pub const COMPOSE_LIMIT_BYTES: usize = 64 * 1024;
/// Names and values of an environment together: they travel in one message with the Compose file.
pub const VALUES_LIMIT_BYTES: usize = 256 * 1024;
/// Servers of one environment: more are a cluster's work.
pub const SERVERS_LIMIT: usize = 8;
/// Routes of one environment.
pub const ROUTES_LIMIT: usize = 20;
/// Releases that can be gone back to, where nothing else is said: what Dokku and Kamal keep is one and five.
pub const KEPT_RELEASES: u32 = 5;
/// What requests under way are given before their containers are stopped: Kamal's time.
pub const DRAIN_SECONDS: u32 = 30;

/// Services that belong together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Project {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: ProjectId,
    /// Its owner.
    pub team_id: TeamId,
    /// Unique in the team.
    pub name: String,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

/// What is released: where it comes from, and when it counts as ready.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Service {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: ServiceId,
    /// Its owner.
    pub team_id: TeamId,
    /// Its project.
    pub project_id: ProjectId,
    /// Unique in its project.
    pub name: String,
    /// As people said it.
    pub settings: ServiceSettings,
    /// Rises with every change.
    pub revision: u64,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

/// All of a service that people may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceSettings {
    /// Where it comes from.
    pub source: Source,
    /// By service of the Compose file (`app` for an image or a Dockerfile), when it counts as ready.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
    /// What each container may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// How many containers an image or a Dockerfile is run in, on each server.
    #[serde(default = "one")]
    pub replicas: u32,
    /// Forms of its Compose file that reach beyond its own containers, and that an owner allowed.
    #[serde(default)]
    pub allow: Vec<Allowance>,
    /// Logins for private registries.
    #[serde(default)]
    pub registries: Vec<RegistryAccess>,
    /// Pushes that deploy by themselves.
    #[serde(default)]
    pub auto_deploy: Option<AutoDeploy>,
}

impl ServiceSettings {
    /// The secrets that it names.
    pub fn secrets(&self) -> impl Iterator<Item = SecretId> {
        let access = match &self.source {
            Source::Repository { access, .. } => access.as_ref(),
            _ => None,
        };
        let git = access.map(|access| match access {
            GitAccess::Token { secret, .. } | GitAccess::DeployKey { secret } => *secret,
        });
        let registries = self.registries.iter().map(|access| access.secret);
        git.into_iter().chain(registries)
    }
}

fn one() -> u32 {
    1
}

/// Where a service comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A Compose file.
    Compose {
        /// Its text.
        file: String,
        /// Its profiles that are wanted.
        #[serde(default)]
        profiles: Vec<String>,
    },
    /// An image of a registry.
    Image {
        /// `ghcr.io/example/app:1.2`
        image: String,
    },
    /// A Dockerfile in a Git repository.
    Repository {
        /// `https://…`, `ssh://…` or `git@host:path`.
        url: String,
        /// A branch, a tag, or a commit of 40 hex digits.
        #[serde(default = "main_branch")]
        reference: String,
        /// What opens it.
        #[serde(default)]
        access: Option<GitAccess>,
        /// How it is built.
        #[serde(default)]
        build: Build,
    },
    /// A Dockerfile in an archive that is uploaded for each deployment.
    Archive {
        /// How it is built.
        #[serde(default)]
        build: Build,
    },
}

fn main_branch() -> String {
    "main".to_string()
}

impl Source {
    /// `compose`, `image`, `repository`, `archive`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Compose { .. } => "compose",
            Self::Image { .. } => "image",
            Self::Repository { .. } => "repository",
            Self::Archive { .. } => "archive",
        }
    }

    /// Is its image built on the servers?
    pub fn build(&self) -> Option<&Build> {
        match self {
            Self::Repository { build, .. } | Self::Archive { build } => Some(build),
            Self::Compose { .. } | Self::Image { .. } => None,
        }
    }
}

/// How an image is built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Build {
    /// Beneath the source.
    pub dockerfile: String,
    /// Beneath the source.
    pub context: String,
    /// A stage of the Dockerfile.
    pub target: Option<String>,
    /// Build arguments; no secrets, for an image remembers them.
    pub arguments: BTreeMap<String, String>,
}

impl Default for Build {
    fn default() -> Self {
        Self {
            dockerfile: "Dockerfile".to_string(),
            context: ".".to_string(),
            target: None,
            arguments: BTreeMap::new(),
        }
    }
}

/// What opens a private repository; the secret itself is in the secrets table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GitAccess {
    /// A token over HTTPS.
    Token {
        /// `x-access-token` for GitHub, `oauth2` for GitLab.
        #[serde(default = "access_token_user")]
        username: String,
        /// The token.
        secret: SecretId,
    },
    /// A key over SSH.
    DeployKey {
        /// Its private half.
        secret: SecretId,
    },
}

fn access_token_user() -> String {
    "x-access-token".to_string()
}

/// A login for a private registry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryAccess {
    /// `ghcr.io`; `docker.io` for Docker Hub.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password or token.
    pub secret: SecretId,
}

/// When a push deploys by itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AutoDeploy {
    /// Of this branch.
    pub branch: String,
    /// Only when one of these paths changed; none for any.
    #[serde(default)]
    pub watch_paths: Vec<String>,
}

/// When a service counts as ready: its container's own health check, if it has one, and these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Gate {
    /// Asked of each container.
    pub http: Option<HttpProbe>,
    /// Not ready by then is failed.
    pub within_seconds: u32,
    /// Between two looks.
    pub interval_seconds: u32,
    /// So many good looks in a row.
    pub successes: u32,
}

impl Default for Gate {
    fn default() -> Self {
        Self {
            http: None,
            // What Kamal and Coolify give a container that boots a framework.
            within_seconds: 120,
            interval_seconds: 1,
            successes: 1,
        }
    }
}

/// A page that must answer well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// `/health`
    pub path: String,
    /// Where the container listens; absent for the port of its route.
    #[serde(default)]
    #[schema(minimum = 1, maximum = 65535)]
    pub port: Option<u16>,
    /// These are good; none for 200 to 399.
    #[serde(default)]
    #[schema(schema_with = statuses)]
    pub statuses: Vec<u16>,
    /// The body holds this.
    #[serde(default)]
    pub contains: Option<String>,
    /// The answer has this header, and its value holds this.
    #[serde(default)]
    #[schema(value_type = Option<Vec<String>>, min_items = 2, max_items = 2)]
    pub header: Option<(String, String)>,
    /// Sent as `Host`.
    #[serde(default)]
    pub host: Option<String>,
    /// An answer that takes longer is none.
    #[serde(default = "probe_timeout")]
    pub timeout_seconds: u32,
}

/// Status codes of HTTP; a derive knows no bounds of items.
fn statuses() -> Array {
    let status = ObjectBuilder::new()
        .schema_type(Type::Integer)
        .minimum(Some(100))
        .maximum(Some(599));
    ArrayBuilder::new()
        .items(status)
        .description(Some("These are good; none for 200 to 399."))
        .build()
}

fn probe_timeout() -> u32 {
    5
}

/// What a container may use at most.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Thousandths of a processor.
    pub milli_cpus: Option<u32>,
    /// Bytes of memory.
    pub memory_bytes: Option<u64>,
    /// Bytes of its log that are kept; absent for 50 MB.
    pub log_bytes: Option<u64>,
}

/// A form of a Compose file that reaches beyond its own containers.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Allowance {
    /// `privileged: true`
    Privileged,
    /// `cap_add`
    Capabilities,
    /// `devices`, `gpus`, `device_cgroup_rules`
    Devices,
    /// Namespaces of the host or of another container
    HostNamespaces,
    /// `security_opt` beyond `no-new-privileges`, `sysctls`, `cgroup_parent`, `runtime`, `isolation`, `annotations`,
    /// `storage_opt`, `oom_kill_disable`, an `oom_score_adj` below 0, `cpu_rt_period` and `cpu_rt_runtime`, `ulimits` of
    /// priorities (`nice`, `rtprio`), log drivers other than `json-file`, `local` and `none`, `networks.driver_opts`
    SecurityOptions,
    /// The engine's socket as a volume
    DockerSocket,
    /// Folders of the server as volumes, and volumes with bind options
    HostPaths,
    /// Networks, volumes and containers of others
    External,
}

/// Where a service runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: EnvironmentId,
    /// Its owner.
    pub team_id: TeamId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its service.
    pub service_id: ServiceId,
    /// Unique in its service.
    pub name: String,
    /// Its one word on every server: Compose project, networks and volumes have it.
    pub host_name: String,
    /// As people said it.
    pub settings: EnvironmentSettings,
    /// Its newest values; 0 for none.
    pub values_version: u64,
    /// The deployment that is live.
    #[serde(default)]
    pub current: Option<DeploymentId>,
    /// The newest deployment that failed, while none is live.
    #[serde(default)]
    pub failed: Option<DeploymentId>,
    /// A person stopped it.
    #[serde(default)]
    pub is_stopped: bool,
    /// Why pushes do not deploy by themselves now: the rollback that says so.
    #[serde(default)]
    pub auto_deploys_paused_by: Option<DeploymentId>,
    /// Releases that can be gone back to, newest first.
    #[serde(default)]
    pub kept: Vec<DeploymentId>,
    /// Servers that may have something of it.
    #[serde(default)]
    pub placed_on: Vec<ServerId>,
    /// Rises with every change.
    pub revision: u64,
    /// When it was made.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

impl Environment {
    /// Servers that may have something of it once it is released to these too; none when they are known.
    pub fn placed_on_too(
        &self,
        servers: impl IntoIterator<Item = ServerId>,
    ) -> Option<Vec<ServerId>> {
        let mut all = self.placed_on.clone();
        for server in servers {
            if !all.contains(&server) {
                all.push(server);
            }
        }
        (all.len() > self.placed_on.len()).then_some(all)
    }

    /// Where it stands; `is_deploying` when a release holds its lock.
    pub fn status(&self, is_deploying: bool) -> EnvironmentStatus {
        match (is_deploying, self.current, self.failed) {
            (true, ..) => EnvironmentStatus::Deploying,
            (false, Some(_), _) if self.is_stopped => EnvironmentStatus::Stopped,
            (false, Some(_), _) => EnvironmentStatus::Active,
            (false, None, Some(_)) => EnvironmentStatus::Failed,
            (false, None, None) => EnvironmentStatus::Pending,
        }
    }
}

/// All of an environment that people may set.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentSettings {
    /// Where its containers run.
    pub server_ids: Vec<ServerId>,
    /// So many servers must be ready; absent for all.
    #[serde(default)]
    pub quorum: Option<u32>,
    /// What the proxy passes on.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// What requests under way are given before their containers are stopped.
    #[serde(default = "drain_seconds")]
    pub drain_seconds: u32,
    /// So many releases can be gone back to.
    #[serde(default = "kept_releases")]
    pub keep_releases: u32,
}

fn drain_seconds() -> u32 {
    DRAIN_SECONDS
}

fn kept_releases() -> u32 {
    KEPT_RELEASES
}

/// A host name, and the service that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The host name.
    pub host: String,
    /// Paths that begin so; absent for all.
    #[serde(default)]
    pub path: Option<String>,
    /// The service of the Compose file; `app` for an image or a Dockerfile.
    #[serde(default = "app")]
    pub service: String,
    /// Where it listens inside its container.
    #[schema(minimum = 1, maximum = 65535)]
    pub port: u16,
    /// Who vouches for the name.
    #[serde(default)]
    pub tls: Tls,
}

/// The only service of an image or a Dockerfile.
pub const APP: &str = "app";

fn app() -> String {
    APP.to_string()
}

/// Where a certificate comes from.
#[derive(
    Debug,
    Clone,
    Copy,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Tls {
    /// None: plain HTTP.
    Off,
    /// The proxy's own authority.
    Internal,
    /// An ACME authority such as Let's Encrypt.
    #[default]
    Acme,
}

/// One immutable set of an environment's values. It stays as long as its environment: what a deployment needs is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ValuesVersion {
    /// Number of the record's shape.
    pub schema: u32,
    /// Counts up from 1.
    pub version: u64,
    /// The names, sorted, each with the version that set it.
    pub names: BTreeMap<String, u64>,
    /// All values together, as JSON, encrypted.
    pub secret: SecretId,
    /// Who made it.
    pub set_by: String,
    /// When.
    #[serde(with = "time_text")]
    pub created_at: Time,
}

/// A server of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseServer {
    /// The server.
    pub id: ServerId,
    /// Its name at that moment.
    pub name: String,
}

/// A source that was uploaded for one deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct UploadedSource {
    /// Its key in the store.
    pub key: String,
    /// As it was when it was complete.
    pub object: SealedObject,
    /// How it is packed.
    pub format: ArchiveFormat,
}

/// How an uploaded source is packed.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, EnumString, IntoStaticStr, ToSchema,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ArchiveFormat {
    /// A zip file.
    Zip,
    /// A gzipped tar file.
    TarGz,
}

/// What was released, to the last digest: what a rollback replays. Made by the first step, and never changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FrozenRelease {
    /// The Compose file; an image or a Dockerfile has one made for it.
    pub compose: String,
    /// Its profiles that are wanted.
    pub profiles: Vec<String>,
    /// By service, what is run: pinned by digest, or a tag that was built on the servers.
    pub images: BTreeMap<String, String>,
    /// Services whose image was built on the servers.
    pub built: Vec<String>,
    /// The commit that was built.
    pub commit: Option<String>,
    /// Where the commit came from: `refs/heads/main`.
    pub reference: Option<String>,
    /// Which values it was given; 0 for none.
    pub values_version: u64,
    /// Each variable of the Compose file, and where its value came from.
    pub variables: BTreeMap<String, ValueFrom>,
    /// What becomes of each service.
    pub services: Vec<ServiceRelease>,
    /// What the proxy passes on.
    pub routes: Vec<Route>,
    /// When its services count as ready.
    pub gates: BTreeMap<String, Gate>,
    /// What its containers may use.
    pub limits: Limits,
    /// What an owner allowed.
    pub allow: Vec<Allowance>,
}

/// Where a variable's value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ValueFrom {
    /// The environment's values.
    Environment,
    /// A default in the Compose file.
    Default,
    /// Nowhere: it is empty.
    Missing,
}

/// What becomes of one service of a release.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ServiceRelease {
    /// Its name in the Compose file.
    pub service: String,
    /// As people named its image.
    pub asked: String,
    /// Replaced beside the old one, or in place.
    pub in_place: bool,
    /// Why so.
    pub because: String,
    /// How many containers on each server.
    pub replicas: u32,
    /// Named volumes it uses.
    pub volumes: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_source_says_its_kind_and_takes_what_is_usual_for_the_rest() {
        let source: Source = serde_json::from_value(
            json!({"kind": "repository", "url": "https://git.example.com/app.git"}),
        )
        .expect("a source");
        assert_eq!(source.kind(), "repository");
        assert_eq!(source.build(), Some(&Build::default()));
        let unknown = json!({"kind": "repository", "url": "https://a", "branch": "x"});
        assert!(serde_json::from_value::<Source>(unknown).is_err());
    }

    #[test]
    fn an_environment_whose_first_release_failed_is_failed_and_one_that_is_live_stays_active() {
        let id = |n| DeploymentId::from_parts(n, 0);
        let mut environment = Environment {
            schema: crate::SCHEMA,
            id: EnvironmentId::from_parts(1, 1),
            team_id: TeamId::from_parts(1, 1),
            project_id: ProjectId::from_parts(1, 1),
            service_id: ServiceId::from_parts(1, 1),
            name: "production".to_string(),
            host_name: "shop-web-production-k3v9q2".to_string(),
            settings: serde_json::from_value(json!({"server_ids": []})).expect("settings"),
            values_version: 0,
            current: None,
            failed: None,
            is_stopped: false,
            auto_deploys_paused_by: None,
            kept: Vec::new(),
            placed_on: Vec::new(),
            revision: 1,
            created_at: Time::UNIX_EPOCH,
        };
        assert_eq!(environment.status(false), EnvironmentStatus::Pending);
        environment.failed = Some(id(1));
        assert_eq!(environment.status(false), EnvironmentStatus::Failed);
        environment.current = Some(id(2));
        assert_eq!(environment.status(false), EnvironmentStatus::Active);
        assert_eq!(environment.status(true), EnvironmentStatus::Deploying);
        environment.is_stopped = true;
        assert_eq!(environment.status(false), EnvironmentStatus::Stopped);
    }
}
