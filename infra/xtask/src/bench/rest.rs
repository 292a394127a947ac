//! Pipelines whose steps do nothing: what is left is ours.

use domain::TargetKind;
use pipelines::{Pipeline, StepDefinition};

/// Their steps: one function, `shared/kit/examples/smallest_step.rs`, under five names.
const RESTS: [StepDefinition; 5] = [
    StepDefinition::inline("rest_1", "Rest"),
    StepDefinition::inline("rest_2", "Rest again"),
    StepDefinition::inline("rest_3", "Rest once more"),
    StepDefinition::inline("rest_4", "Rest still"),
    StepDefinition::inline("rest_5", "Rest at last"),
];

/// Of one step, as a check is.
pub fn one() -> Pipeline {
    of("rest_once", &RESTS[..1])
}

/// Of five steps, as a backup is.
pub fn five() -> Pipeline {
    of("rest_five_times", &RESTS)
}

fn of(name: &'static str, steps: &[StepDefinition]) -> Pipeline {
    let empty = Pipeline::named(name, "Rest").writes(TargetKind::Site);
    let last = steps.len().saturating_sub(1);
    steps
        .iter()
        .enumerate()
        .fold(empty, |pipeline, (at, step)| {
            if at == last {
                pipeline.commit(step.reads())
            } else {
                pipeline.step(step.reads())
            }
        })
}

#[cfg(test)]
mod tests {
    #[test]
    fn they_are_pipelines_like_others() {
        assert_eq!(super::one().check(), Ok(()));
        assert_eq!(super::five().check(), Ok(()));
    }
}
