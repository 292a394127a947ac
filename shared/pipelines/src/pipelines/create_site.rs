//! Create a WordPress site on a server that has room for it.
//!
//! Ends with a site that answers over HTTP, or with nothing left behind.

use crate::steps::{database, domain, site};
use crate::{Pipeline, SkipRule};
use ::domain::TargetKind::Site;

const NO_CUSTOM_DOMAIN: SkipRule = SkipRule {
    reason: "no custom domain",
    applies: |input| input["domain"].is_null(),
};

/// See the module.
pub fn create_site() -> Pipeline {
    Pipeline::named("create_site", "Create site")
        .creates(Site)
        .starts_with(&["site_id", "server_id"])
        .step(database::PROVISION.undo(database::DROP))
        .step(site::INSTALL_WORDPRESS.undo(site::REMOVE))
        .step(
            domain::ATTACH
                .undo(domain::DETACH)
                .skipped_when(NO_CUSTOM_DOMAIN),
        )
        .commit(site::CREATE_CONF_DIRECTORIES.undo(site::REMOVE_CONF_DIRECTORIES))
}
