//! Check a server: what it has, what it lacks for which pipelines.
//!
//! Changes nothing on it.

use crate::Pipeline;
use crate::steps::server;
use domain::TargetKind::Server;

/// See the module.
pub fn check_server() -> Pipeline {
    Pipeline::named("check_server", "Check server")
        .writes(Server)
        .starts_with(&["server_id"])
        .commit(server::INSPECT_SERVER.reads())
}
