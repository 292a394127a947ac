//! Steps on a site's host names.

use crate::Permission::ReadSecrets;
use crate::StepDefinition;

/// Domain and aliases.
pub const ATTACH: StepDefinition = StepDefinition::inline("attach_domain", "Create custom domain")
    .needs(&["site_id", "server_id"])
    .may(&[ReadSecrets]);

/// The opposite.
pub const DETACH: &str = "detach_domain";
