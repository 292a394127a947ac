//! What the steps on a site share: the input that was frozen, and what they need.
//!
//! Promise: one type per shape; a step names what it reads.

use domain::{SecretId, ServerId, SiteId, StepError};
use serde::{Deserialize, Serialize};

/// A site on a server.
#[derive(Debug, Clone, Deserialize)]
pub struct SiteNeeds {
    /// The site.
    pub site_id: SiteId,
    /// Where it lives.
    pub server_id: ServerId,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
pub struct ServerNeeds {
    /// The server.
    pub server_id: ServerId,
}

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

/// The lines of a reply, for people.
pub fn told(notes: &[String], otherwise: &str) -> String {
    if notes.is_empty() {
        otherwise.to_string()
    } else {
        notes.join("; ")
    }
}

/// Where WordPress comes from, as the configuration says it.
pub fn wordpress_source(setting: &str) -> Result<protocol::WordPressSource, StepError> {
    match setting.strip_prefix("directory:") {
        Some(path) => Ok(protocol::WordPressSource::Directory {
            path: path.to_string(),
        }),
        None if setting.starts_with("https://") || setting.starts_with("http://") => {
            let (url, sha256) = match setting.split_once("#sha256=") {
                Some((url, sum)) => (url, Some(sum.to_string())),
                None => (setting, None),
            };
            Ok(protocol::WordPressSource::Url {
                url: url.to_string(),
                sha256,
            })
        }
        None => Err(StepError::broken(format!(
            "WORDPRESS_SOURCE must be a URL or directory:/path, not {setting}"
        ))),
    }
}
