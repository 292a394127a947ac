//! Register a server: pin its host key, install the agent, look at what it has.
//!
//! Ends with a server whose agent answers, or with nothing of ours left on it.

use crate::steps::server;
use crate::{Attempts, Pipeline};
use domain::TargetKind::Server;

/// A person may take ten minutes to compare a fingerprint: 15 tries of 45 seconds are a little more.
const PATIENT: Attempts = Attempts {
    unavailable: 3,
    busy: 15,
};

/// See the module.
pub fn register_server() -> Pipeline {
    Pipeline::named("register_server", "Register server")
        .creates(Server)
        .starts_with(&["server_id"])
        .step(
            server::PIN_HOST_KEY
                .keeps("a pinned key opens nothing, and goes with the server's record")
                .attempts(PATIENT),
        )
        .step(server::INSTALL_AGENT.undo(server::UNINSTALL_AGENT))
        .commit(server::INSPECT_SERVER.reads())
}
