//! A Compose file as the engine reads it.
//!
//! Promise: judged before anything of it is used; what is asked of Compose has nobody's rights, and no value is in an error or a log.

use crate::fault::{Result, refused};
use protocol::release::{ReleasePrepare, Variable};
use serde_json::Value;

/// A file that was read and passed.
#[derive(Clone)]
pub struct Resolved {
    /// `docker compose config --format json` with the real values: secrets among them.
    pub model: Value,
    /// By name.
    pub variables: Vec<Variable>,
    /// What people should know: warnings of Compose, without values.
    pub notes: Vec<String>,
}

/// Read the file with its values and profiles, and judge it by [`super::policy::judge`].
pub fn resolve(_asked: &ReleasePrepare) -> Result<Resolved> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
