//! Which forms of a Compose file reach beyond its own containers.
//!
//! Promise: a pure function: what is not known to be harmless is refused, each with the form, the service and who may allow it.

use protocol::release::Allowance;
use serde_json::Value;

/// A form that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The service, or the top-level entry: `web`, `volumes.data`.
    pub at: String,
    /// The form, without its value when that could be secret: `privileged: true`.
    pub form: String,
    /// What an owner may allow; absent when nobody can.
    pub allowance: Option<Allowance>,
}

/// All that is refused of a model that Compose has resolved.
pub fn judge(_model: &Value, _allow: &[Allowance]) -> Vec<Violation> {
    Vec::new()
}
