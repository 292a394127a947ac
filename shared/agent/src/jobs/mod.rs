//! Jobs: work that outlives the SSH connection, reports to the callback, and is taken over rather than begun twice.
//!
//! Promise: one worker a target, ever. A result is on the disk before it is told, and told until it is heard. Whatever
//! point a job is killed at, the next start of it goes on from what the disk says.

pub mod callback;
pub mod child;
pub mod context;
pub mod download;
pub mod folder;
pub mod journal;
pub mod line;
pub mod order;
mod parts;
pub mod rate;
pub mod runner;
pub mod start;
pub mod store;
mod telling;
pub mod unit;
pub mod upload;
pub mod work;

use protocol::AgentError;
use std::fmt;
use std::io;
use std::time::Duration;

/// How patient a job is. Tests are less so.
#[derive(Debug, Clone)]
pub struct Tempo {
    /// Between two signs of life, and the longest wait before something is tried again.
    pub heartbeat: Duration,
    /// The first wait before something is tried again; it doubles.
    pub first_wait: Duration,
    /// A connection that takes longer is no connection.
    pub connect_within: Duration,
    /// A report and its answer.
    pub report_within: Duration,
    /// A store that says nothing for so long is asked again.
    pub silence: Duration,
    /// A store that is away for so long fails the work.
    pub store_away: Duration,
    /// A secret that was refused for so long means that the job is over: until then, a start that takes it over would
    /// have brought a new one.
    pub denied_for: Duration,
    /// A store's or callback's plain "no" may be a passing fault; so many are not.
    pub refusals: u32,
    /// After a cancel the work has so long to end by itself.
    pub ends_within: Duration,
    /// A result that nobody hears stays on the disk from then on.
    pub tell_for: Duration,
}

impl Default for Tempo {
    fn default() -> Self {
        Self {
            heartbeat: Duration::from_secs(protocol::job::HEARTBEAT_SECONDS),
            first_wait: Duration::from_millis(250),
            connect_within: Duration::from_secs(5),
            report_within: Duration::from_secs(15),
            silence: Duration::from_secs(60),
            store_away: Duration::from_secs(3600),
            denied_for: Duration::from_secs(30),
            refusals: 5,
            ends_within: Duration::from_secs(4),
            tell_for: Duration::from_secs(24 * 3600),
        }
    }
}

/// An agent's error on its way through `Read` or `Write`.
#[derive(Debug)]
struct Carried(AgentError);

impl fmt::Display for Carried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl std::error::Error for Carried {}

/// As an error of `Read` or `Write`.
pub fn as_io(error: AgentError) -> io::Error {
    io::Error::other(Carried(error))
}

/// The agent's error in one of `Read` or `Write`; absent when it came from elsewhere.
pub fn carried(error: &io::Error) -> Option<AgentError> {
    Some(error.get_ref()?.downcast_ref::<Carried>()?.0.clone())
}

/// What a failed `write` or `read` of an object means; `other` says what it means when it came from elsewhere.
pub fn meant(error: &io::Error, other: impl FnOnce(&io::Error) -> AgentError) -> AgentError {
    carried(error).unwrap_or_else(|| other(error))
}
