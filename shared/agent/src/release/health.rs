//! Until the containers are ready.
//!
//! Promise: no containers are never ready; what is not ready in time is told with its last lines, exit code and replies.

use crate::fault::{Result, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use protocol::release::EnvironmentName;

/// See [`protocol::job::Work::AwaitHealth`].
pub fn wait(_context: &Context, _asked: &EnvironmentName) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
