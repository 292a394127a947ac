//! Steps on a site's tree and its configuration on the server.

use crate::Permission::ReadSecrets;
use crate::StepDefinition;

/// System user, tree, wp-config, WordPress, pool and server block.
pub const INSTALL_WORDPRESS: StepDefinition =
    StepDefinition::inline("install_wordpress", "Create WordPress site")
        .needs(&["site_id", "server_id"])
        .may(&[ReadSecrets]);

/// The opposite.
pub const REMOVE: &str = "remove_wordpress";

/// `tower-conf/{nginx,php,cron,protections}`, included by the site's configuration.
pub const CREATE_CONF_DIRECTORIES: StepDefinition =
    StepDefinition::inline("create_conf_directories", "Create tower-conf directories")
        .needs(&["site_id", "server_id"])
        .may(&[ReadSecrets]);

/// The opposite.
pub const REMOVE_CONF_DIRECTORIES: &str = "remove_conf_directories";
