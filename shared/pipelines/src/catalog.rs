//! All pipelines there are.
//!
//! Promise: one list; what is not in it does not exist, and what is in it passes `check()`.

use crate::{Pipeline, pipelines};

/// Every pipeline, in the order people read them.
pub fn all() -> Vec<Pipeline> {
    vec![
        pipelines::register_server(),
        pipelines::check_server(),
        pipelines::create_site(),
        pipelines::backup_site(),
        pipelines::restore_backup(),
        pipelines::release(),
        pipelines::rollback(),
        pipelines::promote(),
        pipelines::restart_environment(),
        pipelines::stop_environment(),
        pipelines::start_environment(),
        pipelines::observe_environment(),
        pipelines::remove_environment(),
    ]
}

/// The pipeline of this name.
pub fn find(name: &str) -> Option<Pipeline> {
    all().into_iter().find(|pipeline| pipeline.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    #[test]
    fn every_pipeline_passes_its_check() {
        for pipeline in all() {
            assert_eq!(pipeline.check(), Ok(()));
        }
    }

    #[test]
    fn no_two_pipelines_share_a_name() {
        let names: std::collections::BTreeSet<_> =
            all().iter().map(|pipeline| pipeline.name).collect();
        assert_eq!(names.len(), all().len());
    }

    #[test]
    fn a_step_used_twice_has_the_same_definition_and_undo() {
        let mut seen: BTreeMap<&str, String> = BTreeMap::new();
        for step in all().iter().flat_map(|pipeline| &pipeline.steps) {
            let said = format!("{:?} {:?}", step.definition, step.undo_name());
            assert_eq!(
                *seen
                    .entry(step.definition.name)
                    .or_insert_with(|| said.clone()),
                said
            );
        }
    }
}
