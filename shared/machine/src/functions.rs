//! The functions that pipelines call: each step once, however many pipelines use it.
//!
//! Promise: derived from the pipelines; sorted by name, so that what is generated does not change without a reason.

use pipelines::{Mode, Permission, Pipeline};
use std::collections::BTreeMap;
use std::time::Duration;

/// A step's function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Function {
    /// `provision_database`
    pub name: &'static str,
    /// For people.
    pub title: &'static str,
    /// What it may touch beyond the records of its deployment.
    pub permissions: Vec<Permission>,
    /// The Lambda's own limit.
    pub timeout: Duration,
}

/// All of them.
pub fn list(pipelines: &[Pipeline]) -> Vec<Function> {
    let mut functions: BTreeMap<&str, Function> = BTreeMap::new();
    for step in pipelines.iter().flat_map(|pipeline| &pipeline.steps) {
        let timeout = match step.definition.mode {
            Mode::Inline => step.within.max(::pipelines::define::INLINE_LIMIT),
            // A job's Lambda starts the agent's work and ends.
            Mode::Job => ::pipelines::define::INLINE_LIMIT,
        };
        let mut permissions = step.definition.permissions.to_vec();
        permissions.sort_unstable();
        functions.entry(step.definition.name).or_insert(Function {
            name: step.definition.name,
            title: step.definition.title,
            permissions,
            timeout,
        });
    }
    functions.into_values().collect()
}
