//! Steps on a server as a whole.

use crate::Permission::{ReadSecrets, WriteSecrets};
use crate::StepDefinition;

/// Connect, see the host key, and pin it after a yes.
pub const PIN_HOST_KEY: StepDefinition =
    StepDefinition::inline("pin_host_key", "Connect and pin the host key").needs(&["server_id"]);

/// Put the agent on it, and a key that may call nothing else.
pub const INSTALL_AGENT: StepDefinition = StepDefinition::inline("install_agent", "Install agent")
    .needs(&["server_id"])
    .may(&[ReadSecrets, WriteSecrets]);

/// The opposite.
pub const UNINSTALL_AGENT: &str = "uninstall_agent";

/// Ask the agent what the server has.
pub const INSPECT_SERVER: StepDefinition = StepDefinition::inline("inspect_server", "Check server")
    .needs(&["server_id"])
    .may(&[ReadSecrets]);
