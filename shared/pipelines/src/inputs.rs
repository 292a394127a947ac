//! The frozen inputs: what was asked for, as steps read it and a retry replays it.
//!
//! Promise: no secret in clear, and no default left to be filled in later.

use domain::{BackupId, BackupPlan, DatabaseContents, FilesContents, SecretId, ServerId, SiteId};
use serde::{Deserialize, Serialize};

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
