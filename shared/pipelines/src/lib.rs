//! What happens, and in what order: every pipeline as a value.
//!
//! Promise: data only. State machines, step records, plans, function lists, policies and docs are derived from here.

pub mod catalog;
pub mod define;
pub mod inputs;
mod pipelines;
#[cfg(feature = "sketches")]
pub mod sketches;
pub mod steps;

pub use catalog::{all, find};
pub use define::{
    Attempts, Effect, Fault, Mode, Permission, Pipeline, Servers, SkipRule, Step, StepDefinition,
    TargetUse, minutes, seconds,
};
