//! Configuration, from the environment that the template sets.
//!
//! Promise: read once at the start; a name that is missing or malformed is said by name.

use ipnet::IpNet;

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
    /// Where agents report, without a slash at the end.
    pub callback_url: String,
    /// The bucket of backups and capsules.
    pub archives: String,
    /// The store's address as servers reach it, when it is not AWS's own.
    pub archives_url: Option<String>,
    /// The queue of notices.
    pub notices_queue: String,
    /// Where WordPress comes from: a URL of a .tar.gz, or `directory:/path` on the server.
    pub wordpress_source: String,
    /// The name under which sites without a domain answer: `{ip}` is the server's address.
    pub site_domain: String,
    /// Ranges that [`crate::Outbound`] may call though they are not public: a lab's. Empty where it serves people.
    pub outbound_allowed: Vec<IpNet>,
}

/// What wordpress.org publishes as its newest release.
const WORDPRESS_LATEST: &str = "https://wordpress.org/latest.tar.gz";
/// A public service that resolves such names to the address in them.
const SITE_DOMAIN: &str = "{ip}.sslip.io";

/// A variable without which nothing can start.
#[derive(Debug, thiserror::Error)]
pub enum BadVariable {
    /// It must be set and is not.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// It is set to something else than it takes.
    #[error(
        "the environment variable OUTBOUND_ALLOWED takes ranges with commas between them, not {0:?}"
    )]
    NotARange(String),
}

/// `10.77.0.0/16, fd00:77::/64`
fn ranges(text: &str) -> Result<Vec<IpNet>, BadVariable> {
    text.split(',')
        .map(str::trim)
        .filter(|range| !range.is_empty())
        .map(|range| {
            range
                .parse()
                .map_err(|_| BadVariable::NotARange(range.to_string()))
        })
        .collect()
}

impl Config {
    /// From the environment.
    #[allow(clippy::disallowed_methods, reason = "the one place that asks")]
    pub fn from_env() -> Result<Self, BadVariable> {
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
                .ok_or(BadVariable::Missing(name))
        };
        Ok(Self {
            table: required("TABLE")?,
            secrets_table: optional("SECRETS_TABLE", ""),
            key_id: optional("KEY_ID", ""),
            machine_prefix: optional("MACHINE_PREFIX", ""),
            stack: optional("STACK", ""),
            live_url: optional("LIVE_URL", ""),
            callback_url: optional("CALLBACK_URL", ""),
            archives: optional("ARCHIVES", ""),
            archives_url: Some(optional("ARCHIVES_URL", "")).filter(|url| !url.is_empty()),
            notices_queue: optional("NOTICES_QUEUE", ""),
            wordpress_source: optional("WORDPRESS_SOURCE", WORDPRESS_LATEST),
            site_domain: optional("SITE_DOMAIN", SITE_DOMAIN),
            outbound_allowed: ranges(&optional("OUTBOUND_ALLOWED", ""))?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_stand_between_commas_and_a_malformed_one_is_named() {
        assert_eq!(ranges("").expect("none"), []);
        let two: [IpNet; 2] =
            ["10.77.0.0/16", "fd00:77::/64"].map(|net| net.parse().expect("a range"));
        assert_eq!(ranges("10.77.0.0/16, fd00:77::/64,").expect("two"), two);
        for bad in ["10.77.0.1", "lab", "10.0.0.0/33", "10.77.0.0/16;fd00::/8"] {
            let error = ranges(bad).expect_err("malformed").to_string();
            assert!(error.contains(bad), "{error}");
        }
    }
}
