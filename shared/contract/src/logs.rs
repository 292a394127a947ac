//! What steps log.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A line of a step's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LogLineView {
    /// Which try of the step wrote it: rises with each.
    pub attempt: u64,
    /// Its number in that try.
    pub number: u64,
    /// By the server's clock.
    pub at: DateTime<Utc>,
    /// A complaint, rather than output.
    pub is_error: bool,
    /// Without its end.
    pub text: String,
}
