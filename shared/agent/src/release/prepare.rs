//! A release as it is asked for, judged, pinned, planned, and kept.
//!
//! Promise: nothing runs yet, and what is refused leaves nothing.

use crate::fault::{Result, refused};
use crate::host::Work;
use protocol::release::{EnvironmentName, ReleasePlan, ReleasePrepare, VolumesCreated};

/// See [`protocol::Call::ReleasePrepare`].
pub fn prepare(_work: &Work, _asked: &ReleasePrepare) -> Result<ReleasePlan> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::ReleaseDiscard`].
pub fn discard(_work: &mut Work, _asked: &EnvironmentName) -> Result<()> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::VolumesCreate`].
pub fn volumes(_work: &Work, _asked: &EnvironmentName) -> Result<VolumesCreated> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
