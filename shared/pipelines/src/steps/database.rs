//! Steps on a site's database.

use crate::Permission::ReadSecrets;
use crate::StepDefinition;

/// A database and its user.
pub const PROVISION: StepDefinition =
    StepDefinition::inline("provision_database", "Create database & user")
        .needs(&["site_id", "server_id"])
        .may(&[ReadSecrets]);

/// The opposite.
pub const DROP: &str = "drop_database";
