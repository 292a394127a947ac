//! Configuration, from the environment that the template sets.
//!
//! Promise: read once at the start; a missing name is said by name.

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// The table of records.
    pub table: String,
    /// The table of secrets.
    pub secrets_table: String,
    /// The KMS key for data keys.
    pub key_id: String,
    /// What a machine's ARN begins with; the pipeline's name follows.
    pub machine_prefix: String,
    /// The stack's name, which its metrics carry.
    pub stack: String,
    /// The live channel's WebSocket address.
    pub live_url: String,
    /// Where WordPress comes from: a URL of a .tar.gz, or `directory:/path` on the server.
    pub wordpress_source: String,
    /// The name under which sites without a domain answer: `{ip}` is the server's address.
    pub site_domain: String,
}

/// What wordpress.org publishes as its newest release.
const WORDPRESS_LATEST: &str = "https://wordpress.org/latest.tar.gz";
/// A public service that resolves such names to the address in them.
const SITE_DOMAIN: &str = "{ip}.sslip.io";

/// A variable that must be set and is not.
#[derive(Debug, thiserror::Error)]
#[error("the environment variable {0} is not set")]
pub struct Missing(&'static str);

impl Config {
    /// From the environment.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn from_env() -> Result<Self, Missing> {
        let optional = |name: &str, usual: &str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .unwrap_or_else(|| usual.to_string())
        };
        let required = |name: &'static str| {
            std::env::var(name)
                .ok()
                .filter(|value| !value.is_empty())
                .ok_or(Missing(name))
        };
        Ok(Self {
            table: required("TABLE")?,
            secrets_table: optional("SECRETS_TABLE", ""),
            key_id: optional("KEY_ID", ""),
            machine_prefix: optional("MACHINE_PREFIX", ""),
            stack: optional("STACK", ""),
            live_url: optional("LIVE_URL", ""),
            wordpress_source: optional("WORDPRESS_SOURCE", WORDPRESS_LATEST),
            site_domain: optional("SITE_DOMAIN", SITE_DOMAIN),
        })
    }
}
