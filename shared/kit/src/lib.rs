//! What a step stands on: the runtime around every handler, configuration, clock, secrets.
//!
//! Promise: begin, work, finish around every step; a step body never touches its deployment's record; errors are logged here, once.

pub mod clock;
pub mod cloud;
pub mod config;
pub mod draft;
pub mod errors;
pub mod handler;
pub mod job;
pub mod live;
pub mod machines;
pub mod metric;
pub mod notice;
pub mod outbound;
pub mod releases;
pub mod secrets;
pub mod serve;
pub mod settle;
pub mod step;
pub mod webhook_signature;

pub use clock::Clock;
pub use cloud::Cloud;
pub use config::Config;
pub use domain::{ErrorKind, StepError};
pub use outbound::Outbound;
pub use secrets::Secrets;
pub use serve::{Exit, serve};
pub use step::{At, Done, Step};
