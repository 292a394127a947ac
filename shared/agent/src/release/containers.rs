//! Containers, by Compose: started, removed, taken back, stopped, started again.
//!
//! Promise: only those with the environment's labels; a repeat finds what is there.

use crate::fault::{Result, refused};
use crate::host::Work;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use protocol::release::EnvironmentName;

/// See [`protocol::job::Work::StartContainers`].
pub fn start(_context: &Context, _asked: &EnvironmentName) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::ContainersRemove`].
pub fn remove(_work: &mut Work, _asked: &EnvironmentName) -> Result<()> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::ServicesBack`].
pub fn back(_work: &mut Work, _asked: &EnvironmentName) -> Result<()> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::StopEnvironment`].
pub fn stop(_context: &Context, _asked: &EnvironmentName) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::StartEnvironment`].
pub fn start_again(_context: &Context, _asked: &EnvironmentName) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::RestartEnvironment`].
pub fn restart(_context: &Context, _asked: &EnvironmentName) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
