//! The routes lead to the new containers, or back; then the old ones are drained and go.
//!
//! Promise: one change of the proxy; until the release is finished the old containers stay as they are.

use crate::fault::{Result, refused};
use crate::host::Work;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use protocol::release::{EnvironmentName, FinishRelease, RouteSwitched};

/// See [`protocol::Call::RouteSwitch`].
pub fn switch(_work: &Work, _asked: &EnvironmentName) -> Result<RouteSwitched> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::RouteSwitchBack`].
pub fn back(_work: &mut Work, _asked: &EnvironmentName) -> Result<()> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::FinishRelease`].
pub fn finish(_context: &Context, _asked: &FinishRelease) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
