//! Releases of containers: what the agent is asked to do with a container engine, with Git, and with the proxy in front.
//!
//! Promise: an environment has one word on a server, which its Compose project, networks, volumes and routes share; a
//! release in it is named by its deployment. Nothing of another environment is touched, and volumes are deleted with their
//! environment alone, when that was said.

use crate::job::Sealed;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// Replicas of one service on one server: more are a cluster's work.
pub const REPLICAS_LIMIT: u32 = 16;

/// An environment on this host.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvironmentName {
    /// `[a-z][a-z0-9-]{0,47}`: also its Compose project's name.
    pub environment: String,
}

/// All that a release needs on a server. Kept there, root's alone, as long as the release may be gone back to.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReleasePrepare {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// A Compose file's text. Every source becomes one.
    pub compose: String,
    /// Profiles of the file that are wanted.
    #[serde(default)]
    pub profiles: Vec<String>,
    /// What `${NAME}` in the file stands for: secrets among them.
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    /// By service, what is run in the place of the file's image: pinned (`name@sha256:…`), or not yet, or a tag that is
    /// built on this host.
    #[serde(default)]
    pub images: BTreeMap<String, String>,
    /// Services whose image is built on this host: there is nothing to resolve.
    #[serde(default)]
    pub built: Vec<String>,
    /// What the proxy passes on.
    #[serde(default)]
    pub routes: Vec<Route>,
    /// By service, when it counts as ready.
    #[serde(default)]
    pub gates: BTreeMap<String, Gate>,
    /// What each container may use at most, where the file does not say less.
    #[serde(default)]
    pub limits: Limits,
    /// Forms of the file that an owner allowed.
    #[serde(default)]
    pub allow: Vec<Allowance>,
    /// For images of private registries.
    #[serde(default)]
    pub registries: Vec<RegistryLogin>,
}

impl fmt::Debug for ReleasePrepare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ReleasePrepare")
            .field("environment", &self.environment)
            .field("images", &self.images)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// A host name, and the service that answers it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// The host name.
    pub host: String,
    /// Paths that begin so; absent for all.
    #[serde(default)]
    pub path: Option<String>,
    /// The service of the Compose file.
    pub service: String,
    /// Where it listens inside its container.
    pub port: u16,
    /// Who vouches for the name.
    pub tls: Tls,
}

/// Where a certificate comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Tls {
    /// None: plain HTTP.
    Off,
    /// The proxy's own authority.
    Internal,
    /// An ACME authority such as Let's Encrypt.
    Acme,
}

/// When a service counts as ready: its container's own health check, if it has one, and these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Gate {
    /// Asked of each container.
    #[serde(default)]
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
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// Where the container listens; absent for the port of the service's route.
    #[serde(default)]
    pub port: Option<u16>,
    /// `/health`
    pub path: String,
    /// These are good; none for 200 to 399.
    #[serde(default)]
    pub statuses: Vec<u16>,
    /// The body holds this.
    #[serde(default)]
    pub contains: Option<String>,
    /// The answer has this header, and its value holds this.
    #[serde(default)]
    pub header: Option<(String, String)>,
    /// Sent as `Host`.
    #[serde(default)]
    pub host: Option<String>,
    /// An answer that takes longer is none.
    pub timeout_seconds: u32,
}

/// What a container may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// Thousandths of a processor.
    #[serde(default)]
    pub milli_cpus: Option<u32>,
    /// Bytes of memory.
    #[serde(default)]
    pub memory_bytes: Option<u64>,
    /// Bytes of its log that are kept.
    pub log_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            milli_cpus: None,
            memory_bytes: None,
            // Docker's own default keeps all, until the disk is full.
            log_bytes: 50 * 1024 * 1024,
        }
    }
}

/// A form of a Compose file that reaches beyond its own containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Allowance {
    /// `privileged: true`
    Privileged,
    /// `cap_add`
    Capabilities,
    /// `devices`, `gpus`, `device_cgroup_rules`
    Devices,
    /// `pid`, `ipc`, `uts`, `userns_mode`, `cgroup`, `network_mode` of the host or of another container
    HostNamespaces,
    /// `security_opt` beyond `no-new-privileges`, `sysctls`, `cgroup_parent`, `runtime`, `isolation`, `annotations`,
    /// `storage_opt`, `oom_kill_disable`, an `oom_score_adj` below 0, `cpu_rt_period` and `cpu_rt_runtime`, `ulimits` of
    /// priorities (`nice`, `rtprio`), log drivers other than `json-file`, `local` and `none`, `networks.driver_opts`
    SecurityOptions,
    /// The engine's socket as a volume
    DockerSocket,
    /// Folders of the server as volumes, and volumes with bind options
    HostPaths,
    /// Networks and volumes of others: `external`, or a `name` of its own, `volumes_from`, `container_name`
    External,
}

/// A way into a registry.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistryLogin {
    /// `ghcr.io`; `docker.io` for Docker Hub.
    pub registry: String,
    /// The user.
    pub username: String,
    /// A password or token.
    pub password: String,
}

impl fmt::Debug for RegistryLogin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryLogin")
            .field("registry", &self.registry)
            .finish_non_exhaustive()
    }
}

/// What a release will do on this server. Holds no value of a variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleasePlan {
    /// By name.
    pub services: Vec<ServicePlan>,
    /// By name.
    pub volumes: Vec<VolumePlan>,
    /// By name.
    pub variables: Vec<Variable>,
    /// What people should know.
    #[serde(default)]
    pub notes: Vec<String>,
}

/// What becomes of one service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServicePlan {
    /// Its name in the file.
    pub service: String,
    /// As the file or the override names it.
    pub asked: String,
    /// What is run: pinned by digest, or a tag built on this host.
    pub image: String,
    /// How it is replaced.
    pub update: Update,
    /// Why so: "it has the volume data".
    pub because: String,
    /// How many containers.
    pub replicas: u32,
    /// Of the host: `80:8080/tcp`.
    #[serde(default)]
    pub host_ports: Vec<String>,
    /// Named volumes it uses.
    #[serde(default)]
    pub volumes: Vec<String>,
    /// Does the file or the image have a health check?
    pub has_health_check: bool,
}

/// How a service is replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Update {
    /// New containers beside the old ones, then the route is switched.
    Beside,
    /// The old one is stopped first: it restarts.
    InPlace,
}

/// A named volume.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumePlan {
    /// In the file.
    pub name: String,
    /// On the host.
    pub volume: String,
    /// Is it there already?
    pub exists: bool,
}

/// A variable of the file, and where its value came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Where from.
    pub from: ValueFrom,
}

/// Where a variable's value came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ValueFrom {
    /// The environment's values.
    Given,
    /// `${NAME:-default}` in the file.
    Default,
    /// Nowhere: it is empty.
    Missing,
}

/// A commit of a repository.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SourceResolve {
    /// `https://…`, `ssh://…` or `git@host:path`.
    pub url: String,
    /// A branch, a tag or a commit of 40 hex digits.
    pub reference: String,
    /// What opens it.
    #[serde(default)]
    pub credential: Option<GitCredential>,
}

/// What opens a private repository.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum GitCredential {
    /// Sent as a password.
    Token {
        /// `x-access-token`, `oauth2`, or what the provider wants.
        username: String,
        /// The token.
        token: String,
    },
    /// For ssh.
    DeployKey {
        /// In OpenSSH's format.
        private_key: String,
    },
}

impl fmt::Debug for GitCredential {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Token { .. } => "Token",
            Self::DeployKey { .. } => "DeployKey",
        })
    }
}

/// Reply to [`crate::Call::SourceResolve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceResolved {
    /// 40 hex digits.
    pub commit: String,
    /// `refs/heads/main`; absent when a commit was asked for.
    #[serde(default)]
    pub reference: Option<String>,
}

/// A source in a checkout of the deployment's own.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FetchSource {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// What to fetch.
    pub source: Source,
}

/// What is fetched.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// All of a repository at one commit, its submodules left out.
    Git {
        /// As in [`SourceResolve`].
        url: String,
        /// 40 hex digits.
        commit: String,
        /// What opens it.
        #[serde(default)]
        credential: Option<GitCredential>,
    },
    /// The object `source`.
    Archive {
        /// As it was uploaded.
        sealed: Sealed,
        /// How it is packed.
        format: ArchiveFormat,
    },
}

/// How an uploaded source is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchiveFormat {
    /// A zip file.
    Zip,
    /// A gzipped tar file.
    TarGz,
}

/// Reply to [`crate::job::Work::FetchSource`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceFetched {
    /// Of a repository.
    #[serde(default)]
    pub commit: Option<String>,
    /// The first line of its message.
    #[serde(default)]
    pub subject: Option<String>,
    /// `Name <address>`.
    #[serde(default)]
    pub author: Option<String>,
    /// In the checkout.
    pub files: u64,
    /// Bytes of all of them.
    pub size_bytes: u64,
}

/// Build an image from the deployment's checkout.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BuildImage {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// Relative to the checkout: `Dockerfile`.
    pub dockerfile: String,
    /// Relative to the checkout: `.`
    pub context: String,
    /// A stage of the file.
    #[serde(default)]
    pub target: Option<String>,
    /// `--build-arg`; no secrets, for an image remembers them.
    #[serde(default)]
    pub arguments: BTreeMap<String, String>,
    /// Under which it is known on this host.
    pub tag: String,
    /// What the build may use; `log_bytes` is left out of account.
    #[serde(default)]
    pub limits: Limits,
    /// The build is ended when less of the disk than this is free.
    pub keep_free_bytes: u64,
    /// For base images of private registries.
    #[serde(default)]
    pub registries: Vec<RegistryLogin>,
}

impl fmt::Debug for BuildImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BuildImage")
            .field("environment", &self.environment)
            .field("tag", &self.tag)
            .finish_non_exhaustive()
    }
}

/// Reply to [`crate::job::Work::BuildImage`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageBuilt {
    /// As asked.
    pub tag: String,
    /// `sha256:…` of its configuration.
    pub id: String,
    /// Bytes on the disk.
    pub size_bytes: u64,
}

/// Fetch the images of the prepared release that are not built here.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PullImages {
    /// As in [`EnvironmentName`].
    pub environment: String,
}

/// Reply to [`crate::job::Work::PullImages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesPulled {
    /// By service: reference, `sha256:…` of its configuration, bytes on the disk.
    pub images: Vec<ImagePresent>,
}

/// An image on this host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagePresent {
    /// As it is run.
    pub image: String,
    /// `sha256:…` of its configuration.
    pub id: String,
    /// Bytes on the disk.
    pub size_bytes: u64,
}

/// Reply to [`crate::Call::VolumesCreate`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumesCreated {
    /// On the host.
    pub created: Vec<String>,
    /// Were there.
    pub kept: Vec<String>,
}

/// Reply to [`crate::job::Work::StartContainers`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainersStarted {
    /// New ones beside the old.
    pub beside: u32,
    /// Updated in place when those are ready; on a first release they are there already.
    pub in_place: Vec<String>,
}

/// Reply to [`crate::job::Work::AwaitHealth`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthSeen {
    /// Each container that is ready.
    pub containers: Vec<ContainerHealth>,
}

/// A container that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerHealth {
    /// Its service.
    pub service: String,
    /// Its name.
    pub container: String,
    /// For people: "healthy", "/health answered 200".
    pub seen: String,
    /// From its start.
    pub ready_after_ms: u64,
}

/// Reply to [`crate::Call::RouteSwitch`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSwitched {
    /// Where people look: `https://shop.example.com`.
    pub urls: Vec<String>,
    /// Did the proxy's configuration change?
    pub changed: bool,
}

/// What is done behind the switch.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FinishRelease {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// Old containers may end what they are at for so long.
    pub drain_seconds: u32,
    /// Deployments that may be gone back to: what they need stays.
    pub keep: Vec<String>,
}

/// Reply to [`crate::job::Work::FinishRelease`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReleaseFinished {
    /// Old containers that are gone.
    pub removed: Vec<String>,
    /// Images that nothing needs any more, and are gone.
    pub pruned: Vec<String>,
    /// Bytes that came free.
    pub freed_bytes: u64,
    /// What runs now.
    pub observed: Observed,
}

/// That an environment is no more.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoveEnvironment {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// Its named volumes go too.
    pub delete_volumes: bool,
}

/// What an environment had on a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvironmentRemoved {
    /// Containers that are gone.
    pub containers: Vec<String>,
    /// Networks that are gone.
    pub networks: Vec<String>,
    /// Images that nothing needs any more, and are gone.
    pub images: Vec<String>,
    /// Volumes that are gone.
    pub volumes: Vec<String>,
    /// Volumes that are kept.
    pub volumes_kept: Vec<String>,
}

/// What of an environment runs on a server. Reply to [`crate::Call::EnvironmentObserve`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Observed {
    /// The deployment whose containers the route leads to.
    #[serde(default)]
    pub current: Option<String>,
    /// By service and name.
    pub containers: Vec<ContainerSeen>,
    /// As the proxy has them.
    pub routes: Vec<RouteSeen>,
    /// Volumes of the environment.
    pub volumes: Vec<String>,
    /// Deployments whose images are all here: they can be gone back to.
    pub can_return_to: Vec<String>,
    /// What is not as the current release has it, for people: "web: 1 of 2 containers run".
    pub drift: Vec<String>,
}

/// A container of an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContainerSeen {
    /// Its service.
    pub service: String,
    /// Its name.
    pub container: String,
    /// The release it belongs to.
    pub deployment_id: String,
    /// As it was asked for.
    pub image: String,
    /// `sha256:…` of its configuration.
    pub image_id: String,
    /// `running`, `exited`, `restarting`…
    pub state: String,
    /// `healthy`, `unhealthy`, `starting`; absent without a health check.
    #[serde(default)]
    pub health: Option<String>,
    /// Restarts by the engine.
    pub restarts: u32,
    /// RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// When it is not running.
    #[serde(default)]
    pub exit_code: Option<i64>,
}

/// A route as the proxy has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteSeen {
    /// The host name.
    pub host: String,
    /// Paths that begin so.
    #[serde(default)]
    pub path: Option<String>,
    /// `127.0.0.1:20001`
    pub upstreams: Vec<String>,
}

/// Are the images of these releases on this host?
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImagesCheck {
    /// References, as in [`ServicePlan::image`].
    pub images: Vec<String>,
}

/// Reply to [`crate::Call::ImagesCheck`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesChecked {
    /// Here.
    pub present: Vec<ImagePresent>,
    /// Not here.
    pub missing: Vec<String>,
}

/// Send images that were built here into the object `images`, as `docker save` packs them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SaveImages {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// Tags of this host.
    pub images: Vec<String>,
}

/// Reply to [`crate::job::Work::SaveImages`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImagesSaved {
    /// The object `images`.
    pub sealed: Sealed,
    /// What it holds.
    pub images: Vec<ImagePresent>,
}

/// Take images from the object `images`.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoadImages {
    /// As in [`EnvironmentName`].
    pub environment: String,
    /// As it was saved.
    pub sealed: Sealed,
    /// What it must hold: another one is refused.
    pub images: Vec<ImagePresent>,
}
