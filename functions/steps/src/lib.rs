//! What the steps on a site or server share: what they need, and how they say what they did.
//!
//! Promise: one type per shape; a step names what it reads.

use domain::{ServerId, SiteId, StepError};
use serde::Deserialize;

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
