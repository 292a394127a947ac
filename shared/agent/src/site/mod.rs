//! A site as the agent knows it: what is remembered of it, and what of it stands on the host.
//!
//! Promise: one name is shared by the system user, home, pool, server block and claim, so nothing has to be looked up.

pub mod install;
pub mod remove;

use crate::accounts::{self, User};
use crate::claims::Claim;
use crate::fault::{Result, broken, refused};
use crate::files;
use crate::host::Work;
use crate::paths::Paths;
use crate::web::block::{self, Block};
use crate::web::{fpm, nginx};
use protocol::SiteReply;
use serde::{Deserialize, Serialize};

/// What later calls must know of a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SiteFacts {
    /// The host name it answers under at first.
    pub address: String,
    /// The PHP version that serves it.
    pub php: String,
    /// Its database.
    pub database: String,
    /// Was WordPress's installation seen to end?
    pub installed: bool,
    /// WordPress's version then.
    #[serde(default)]
    pub wordpress: String,
}

/// A domain that was attached to a site.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DomainFacts {
    /// The main one.
    pub domain: String,
    /// Others.
    pub aliases: Vec<String>,
}

/// The reply for a site that answers under `host`.
pub fn reply(work: &Work<'_>, site: &str, host: &str, php: String, wordpress: String) -> SiteReply {
    let protocol::Changed { changed, notes } = work.so_far();
    let path = work.paths.public(site).display().to_string();
    SiteReply {
        changed,
        notes,
        url: format!("http://{host}"),
        path,
        php,
        wordpress,
    }
}

/// What of a site of this name stands on the host? Named for people.
pub fn existing(paths: &Paths, site: &str) -> Result<Option<String>> {
    if accounts::user(paths, site)?.is_some() {
        return Ok(Some(format!("The system user {site}")));
    }
    if accounts::group(paths, site)?.is_some() {
        return Ok(Some(format!("The group {site}")));
    }
    let mut places = vec![
        paths.home(site),
        paths.block(site),
        paths.block_enabled(site),
    ];
    places.extend(fpm::pools(paths, site).into_iter().map(|(_, path)| path));
    Ok(places
        .iter()
        .find(|path| files::exists(path))
        .map(|path| path.display().to_string()))
}

/// The site's user, which must be there.
pub fn existing_user(paths: &Paths, site: &str) -> Result<User> {
    let user = accounts::user(paths, site)?.ok_or_else(|| {
        broken(
            "user_missing",
            format!("The system user {site} is missing."),
        )
    })?;
    if user.uid == 0 || user.gid == 0 {
        return Err(refused(
            "user_is_root",
            format!("The user {site} has root's id."),
        ));
    }
    Ok(user)
}

/// The home as the worker is told it.
pub fn home_text(paths: &Paths, site: &str) -> String {
    paths.home(site).display().to_string()
}

/// The site's server block, with its domain if it has one.
pub fn block_text(
    paths: &Paths,
    site: &str,
    claim: &Claim<SiteFacts>,
    domain: Option<&DomainFacts>,
) -> String {
    let mut names: Vec<&str> = Vec::new();
    if let Some(domain) = domain {
        names.push(&domain.domain);
        names.extend(domain.aliases.iter().map(String::as_str));
    }
    if !names.contains(&claim.facts.address.as_str()) {
        names.push(&claim.facts.address);
    }
    let mark = format!("managed by triphammer, deployment {}", claim.deployment_id);
    block::render(
        paths,
        &Block {
            site,
            mark: &mark,
            names,
            ipv6: nginx::has_ipv6(paths),
        },
    )
}
