//! What is said to the agent: one JSON request on stdin, one JSON reply on stdout.
//!
//! Promise: every act on a server is one of these typed calls. Nothing here carries a shell string, and every
//! name, path and address is checked by the agent again before it is used. A repeat of a call finds its work done.

pub mod job;
pub mod release;
pub mod text;

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Raised with every change of the shapes below; the agent refuses another one and is then upgraded.
pub const PROTOCOL_VERSION: u32 = 3;

/// Where the agent is on every server.
pub const AGENT_PATH: &str = "/usr/local/lib/triphammer/triphammer-agent";

/// The most a request or a reply may weigh.
pub const MESSAGE_LIMIT_BYTES: usize = 1024 * 1024;

/// One call, with who asks for it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Request {
    /// Must equal [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The agent gives up, and kills what it started, after this long.
    pub deadline_seconds: u32,
    /// Absent for calls that only read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lease: Option<Lease>,
    /// What to do.
    pub call: Call,
}

/// Proof that the caller is the newest one allowed to touch a target.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields)]
pub struct Lease {
    /// The target's lock key, for example `site:01J…`.
    pub target: String,
    /// Rises with every step of the lock's holder. A lower one than the last seen is refused.
    pub fence: u64,
    /// The deployment whose mark is put on what is created, and asked for before anything is removed.
    pub deployment_id: String,
}

/// The typed calls. All that change something need a lease.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case", deny_unknown_fields)]
pub enum Call {
    /// The agent's own version and checksum. Replies [`VersionReply`].
    Version,
    /// What this host is and has. Replies [`Facts`].
    Facts,
    /// Create a database and its user, with a password nobody knows. Replies [`Changed`].
    DatabaseCreate(DatabaseName),
    /// Drop both, if they carry this deployment's mark. Replies [`Changed`].
    DatabaseDrop(DatabaseName),
    /// Create the site's system user, tree, wp-config, WordPress installation, php-fpm pool and nginx server block. Replies [`SiteReply`].
    SiteInstall(Box<SiteInstall>),
    /// Remove all of that, if it carries this deployment's mark. Replies [`Changed`].
    SiteRemove(SiteName),
    /// Answer under a domain and its aliases, and move WordPress's own address there. Replies [`SiteReply`].
    DomainAttach(DomainAttach),
    /// Back to the address the site had before. Replies [`Changed`].
    DomainDetach(DomainDetach),
    /// Create the site's configuration directories and include them. Replies [`Changed`].
    ConfDirectoriesCreate(SiteName),
    /// Remove them, if they carry this deployment's mark. Replies [`Changed`].
    ConfDirectoriesRemove(SiteName),
    /// Does the site answer over HTTP under this host name? Replies [`HttpReply`].
    SiteProbe(SiteProbe),
    /// Start a job, or take it over. Replies [`job::JobStarted`].
    JobStart(Box<job::JobStart>),
    /// The tables that a restore of this deployment swapped out become the live ones again, and what lies beside them
    /// goes; works from any point at which the restore stopped. Replies [`Changed`].
    DatabaseSwapBack(DatabaseName),
    /// The same for the tree. Replies [`Changed`].
    FilesSwapBack(SiteName),
    /// What a restore of this deployment downloaded goes. Replies [`Changed`].
    RestoreDiscard(SiteName),
    /// Which commit a branch or tag stands for now. Replies [`release::SourceResolved`].
    SourceResolve(release::SourceResolve),
    /// Are these images here? Replies [`release::ImagesChecked`].
    ImagesCheck(release::ImagesCheck),
    /// What of an environment runs here? Replies [`release::Observed`].
    EnvironmentObserve(release::EnvironmentName),
    /// Judge a release, pin its images, and keep all of it on this host. Replies [`release::ReleasePlan`].
    ReleasePrepare(Box<release::ReleasePrepare>),
    /// What was kept of this deployment goes, its checkout too, unless it is live. Replies [`Changed`].
    ReleaseDiscard(release::EnvironmentName),
    /// The networks and volumes of the prepared release, made where they are missing. Replies [`release::VolumesCreated`].
    VolumesCreate(release::EnvironmentName),
    /// The containers that this deployment started beside the old ones go. Replies [`Changed`].
    ContainersRemove(release::EnvironmentName),
    /// What this deployment updated in place is as in the release before. Replies [`Changed`].
    ServicesBack(release::EnvironmentName),
    /// The routes lead to this deployment's containers, by one change of the proxy. Replies [`release::RouteSwitched`].
    RouteSwitch(release::EnvironmentName),
    /// They lead where they led before. Replies [`Changed`].
    RouteSwitchBack(release::EnvironmentName),
}

/// A database and the user of the same name.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseName {
    /// `[a-z][a-z0-9_]{0,31}`: at most 32, because MySQL allows no longer user name.
    pub database: String,
}

/// A site on this host, by the name that its system user, pool, server block and directories share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteName {
    /// `[a-z][a-z0-9_]{0,31}`: also the system user's name.
    pub site: String,
}

/// Everything a new WordPress site needs.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteInstall {
    /// As in [`SiteName`].
    pub site: String,
    /// The database made for it.
    pub database: String,
    /// The host name it answers under at first.
    pub address: String,
    /// `8.2`; absent for the newest php-fpm of the host.
    #[serde(default)]
    pub php: Option<String>,
    /// Where WordPress itself comes from.
    pub source: WordPressSource,
    /// The site's title.
    pub title: String,
    /// The first administrator's login.
    pub admin_user: String,
    /// And password.
    pub admin_password: String,
    /// And address.
    pub admin_email: String,
    /// For example `en_US`; empty for WordPress's default.
    #[serde(default)]
    pub locale: String,
}

impl std::fmt::Debug for SiteInstall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SiteInstall")
            .field("site", &self.site)
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// Where the WordPress files come from.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "from", rename_all = "snake_case", deny_unknown_fields)]
pub enum WordPressSource {
    /// A `.tar.gz` as wordpress.org publishes it, fetched by the host's PHP as the site's user.
    Url {
        /// http or https.
        url: String,
        /// Hex; when given, another archive is refused.
        #[serde(default)]
        sha256: Option<String>,
    },
    /// A directory on the host, for example that of its own package; symbolic links are followed.
    Directory {
        /// Absolute.
        path: String,
    },
}

/// A domain for a site.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainAttach {
    /// As in [`SiteName`].
    pub site: String,
    /// The new main host name.
    pub domain: String,
    /// Other host names it answers under.
    #[serde(default)]
    pub aliases: Vec<String>,
}

/// Take a domain away.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DomainDetach {
    /// As in [`SiteName`].
    pub site: String,
    /// The domain that was attached.
    pub domain: String,
    /// The host name that was and becomes the main one again.
    pub address: String,
}

/// Which page to ask for.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SiteProbe {
    /// As in [`SiteName`].
    pub site: String,
    /// Sent as the Host header to this host's own web server.
    pub address: String,
}

/// One reply.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// The call's own reply, as JSON.
    Ok(serde_json::Value),
    /// It was refused or failed; nothing half done is left that the undo would not remove.
    Error(AgentError),
}

/// Why a call did not do its work.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct AgentError {
    /// What a caller may do about it.
    pub kind: AgentErrorKind,
    /// Stable, for example `already_exists`, `database_unreachable`, `disk_full`, `web_server_config_broken`.
    pub code: String,
    /// For people: what is wrong and what to do. Never holds a secret or a statement's text.
    pub message: String,
    /// For operators: more of the cause, at most 4 KB, never a secret.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub detail: String,
}

/// The kinds of agent errors; each maps to one of the steps' error kinds.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
pub enum AgentErrorKind {
    /// Another call holds the target: soon again.
    Busy,
    /// Something on the host is away for now: again, with patience.
    Unavailable,
    /// A repeat will not help: the request or the host must change first.
    Refused,
    /// The agent's own fault.
    Broken,
}

/// Did the call change anything?
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Changed {
    /// False when everything was as asked for already.
    pub changed: bool,
    /// For people, one line each: "created database shop_ab12", "left database shop_ab12 alone: not ours".
    #[serde(default)]
    pub notes: Vec<String>,
}

/// Where a site is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SiteReply {
    /// As in [`Changed`].
    pub changed: bool,
    /// As in [`Changed`].
    #[serde(default)]
    pub notes: Vec<String>,
    /// `http://host`, without a slash at the end.
    pub url: String,
    /// The web root.
    pub path: String,
    /// The PHP version that serves it.
    pub php: String,
    /// The WordPress version installed.
    pub wordpress: String,
}

/// What the site answered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct HttpReply {
    /// The status code.
    pub status: u16,
    /// The page's title, at most 200 bytes.
    pub title: String,
}

/// Which agent this is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct VersionReply {
    /// The crate's version.
    pub version: String,
    /// [`PROTOCOL_VERSION`].
    pub protocol: u32,
    /// Hex, of the running binary.
    pub sha256: String,
}

/// What the host is and has.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Facts {
    /// `Debian GNU/Linux 12 (bookworm)`.
    pub os: String,
    /// `x86_64`.
    pub architecture: String,
    /// The kernel's host name.
    pub hostname: String,
    /// Versions with a php-fpm service, oldest first: `["8.2"]`.
    pub php: Vec<String>,
    /// `MariaDB 10.11.19`; absent when no server answers.
    pub database: Option<String>,
    /// `nginx/1.22.1`; absent when there is none.
    pub web_server: Option<String>,
    /// `Docker 20.10.24`; absent when there is none.
    pub docker: Option<String>,
    /// Free bytes where sites live.
    pub disk_free_bytes: u64,
    /// All bytes there.
    pub disk_total_bytes: u64,
    /// Seconds since 1970 by this host's clock.
    pub clock_seconds: i64,
    /// Processors.
    pub cpus: u32,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// For each kind of use (`sites`, `releases`), what must be installed or mended first; an empty list means ready.
    pub missing: BTreeMap<String, Vec<String>>,
}

/// What `agent install` reads from stdin when it is put on a server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Install {
    /// Must equal [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The binary's own checksum must be this.
    pub sha256: String,
    /// The key that may log in as the agent's user for this server record: `ssh-ed25519 AAAA…`. It replaces the one that
    /// the same record had before; other records' keys stay, so that one machine may be registered twice.
    pub public_key: String,
    /// The server record, a ULID: the comment of its line in authorized_keys.
    pub server_id: String,
    /// The mark of what this installation creates.
    pub deployment_id: String,
}

/// What `agent uninstall` reads from stdin. It removes this record's key; with the last key the user, the sudo rule and
/// the binary go too. Claims and what they stand for stay. Replies [`Changed`].
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Uninstall {
    /// Must equal [`PROTOCOL_VERSION`].
    pub version: u32,
    /// The server record, a ULID.
    pub server_id: String,
    /// The deployment that takes its installation back; a key that another one put there stays.
    pub deployment_id: String,
}
