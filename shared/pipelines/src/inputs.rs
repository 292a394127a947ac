//! The frozen inputs: what was asked for, as steps read it and a retry replays it.
//!
//! Promise: no secret in clear, and no default left to be filled in later.

use domain::release::{
    Allowance, Gate, Limits, RegistryAccess, ReleaseServer, Route, Source, UploadedSource,
};
use domain::{
    BackupId, BackupPlan, DatabaseContents, DeploymentId, EnvironmentId, FilesContents, SecretId,
    ServerId, SiteId,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The frozen input of create_site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CreateSite {
    /// The site.
    pub site_id: SiteId,
    /// Where it is to live.
    pub server_id: ServerId,
    /// Its name.
    pub name: String,
    /// System user, database, pool, server block and directories have this name.
    pub system_name: String,
    /// Its title.
    pub title: String,
    /// The host name it answers under without a domain.
    pub address: String,
    /// Its own main domain.
    pub domain: Option<String>,
    /// Other host names.
    pub aliases: Vec<String>,
    /// The first administrator.
    pub admin_user: String,
    /// Their mail address.
    pub admin_email: String,
    /// Their password, encrypted.
    pub admin_password: SecretId,
    /// The PHP version, when one was asked for.
    pub php: Option<String>,
}

/// The frozen input of backup_site.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BackupSite {
    /// The site.
    pub site_id: SiteId,
    /// Where it lives.
    pub server_id: ServerId,
    /// Its name on the server: also its database's.
    pub system_name: String,
    /// What is to be made.
    pub backup: BackupPlan,
}

/// The frozen input of restore_backup.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RestoreBackup {
    /// The site.
    pub site_id: SiteId,
    /// Where it lives.
    pub server_id: ServerId,
    /// Its name on the server: also its database's.
    pub system_name: String,
    /// The backup that is put back.
    pub restored: BackupId,
    /// The backup of what is there, made first.
    pub backup: BackupPlan,
    /// The dump and its key; absent when no database is restored.
    pub database: Option<StoredDatabase>,
    /// The archives in order, the full one first; empty when no files are restored.
    pub chain: Vec<StoredFiles>,
}

/// A dump in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredDatabase {
    /// Its key.
    pub key: String,
    /// What it is.
    pub contents: DatabaseContents,
}

/// An archive in the store.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StoredFiles {
    /// Its key.
    pub files_key: String,
    /// Its manifest's.
    pub manifest_key: String,
    /// What they are.
    pub contents: FilesContents,
}

/// The frozen input of register_server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RegisterServer {
    /// The server.
    pub server_id: ServerId,
    /// Its name.
    pub name: String,
    /// Address or host name.
    pub host: String,
    /// The SSH port.
    pub port: u16,
    /// The account that installs the agent.
    pub user: String,
    /// Its private key, encrypted.
    pub bootstrap_key: SecretId,
    /// The key that may call the agent.
    pub agent_key: SecretId,
    /// The host key's fingerprint, when it is known beforehand.
    pub host_key: Option<String>,
}

/// The frozen input of check_server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CheckServer {
    /// The server.
    pub server_id: ServerId,
}

/// The frozen input of release, rollback and promote: all of the configuration as it stood when it was asked for.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Release {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its one word on every server.
    pub host_name: String,
    /// Where its containers run.
    pub servers: Vec<ReleaseServer>,
    /// Where they ran and do not any more: what is there goes once the release is live.
    #[serde(default)]
    pub left_servers: Vec<ReleaseServer>,
    /// So many servers must be ready.
    pub quorum: usize,
    /// Where it comes from.
    pub source: Source,
    /// The commit that is released, when it was said or is known from an earlier try.
    pub commit: Option<String>,
    /// The archive that was uploaded for it.
    pub upload: Option<UploadedSource>,
    /// By service, what is run in the place of the Compose file's image.
    pub images: BTreeMap<String, String>,
    /// Its frozen release is replayed: a rollback's or a promotion's.
    pub frozen_of: Option<DeploymentId>,
    /// Where a promotion takes built images from.
    pub promoted_from: Option<PromotedFrom>,
    /// Which values it is given; 0 for none.
    pub values_version: u64,
    /// Their names.
    pub value_names: Vec<String>,
    /// What the proxy passes on.
    pub routes: Vec<Route>,
    /// When its services count as ready.
    pub gates: BTreeMap<String, Gate>,
    /// What its containers may use.
    pub limits: Limits,
    /// How many containers an image or a Dockerfile is run in.
    pub replicas: u32,
    /// What an owner allowed.
    pub allow: Vec<Allowance>,
    /// Logins for private registries.
    pub registries: Vec<RegistryAccess>,
    /// What requests under way are given.
    pub drain_seconds: u32,
}

/// Where a promotion takes built images from.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PromotedFrom {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its one word on its servers.
    pub host_name: String,
    /// Where it runs; the first has the images.
    pub server_id: ServerId,
}

/// The frozen input of remove_environment.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RemoveEnvironment {
    /// Where.
    #[serde(flatten)]
    pub on: OnEnvironment,
    /// Its named volumes go too.
    #[serde(default)]
    pub delete_volumes: bool,
}

/// The frozen input of what is done with an environment's containers as they are.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OnEnvironment {
    /// The environment.
    pub environment_id: EnvironmentId,
    /// Its one word on every server.
    pub host_name: String,
    /// Where its containers run.
    pub servers: Vec<ReleaseServer>,
    /// All of them: what is stopped by halves is not stopped. None, when it goes on without those that do not answer.
    pub quorum: usize,
}
