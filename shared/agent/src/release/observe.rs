//! What of an environment runs here, and what is not as its release has it.
//!
//! Promise: only looks.

use crate::fault::{Result, refused};
use crate::paths::Paths;
use protocol::release::{EnvironmentName, Observed};

/// See [`protocol::Call::EnvironmentObserve`].
pub fn observe(_paths: &Paths, _asked: &EnvironmentName) -> Result<Observed> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
