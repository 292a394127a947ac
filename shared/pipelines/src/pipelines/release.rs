//! Release a service to an environment: resolve, build or pull, start beside what runs, switch when it is ready.
//!
//! Ends with the new release live, or with the old one as it was; no request to a routed service fails on the way.

use crate::steps::release;
use crate::{Pipeline, SkipRule, Step};
use domain::TargetKind::Environment;
use domain::{OnCommit, Phase};
use serde_json::Value;

const NOT_FROM_SOURCE: SkipRule = SkipRule {
    reason: "not built from source",
    applies: |input| !is_built(input),
};
const BUILT_HERE: SkipRule = SkipRule {
    reason: "its image is built on the servers",
    applies: is_built,
};
const NOT_BUILT: SkipRule = SkipRule {
    reason: "its images are in a registry",
    applies: |input| !is_built(input),
};

const NONE_LEFT: SkipRule = SkipRule {
    reason: "it is on the same servers as before",
    applies: |input| input["left_servers"].as_array().is_none_or(Vec::is_empty),
};

const IMAGES: &str = "an image that no kept release needs is pruned";

fn is_built(input: &Value) -> bool {
    matches!(
        input["source"]["kind"].as_str(),
        Some("repository" | "archive")
    )
}

fn on_environment(name: &'static str, title: &'static str) -> Pipeline {
    Pipeline::named(name, title)
        .writes(Environment)
        .starts_with(&["environment_id"])
}

/// The release judged and kept on each server, which goes when it does not come to an end.
fn prepared() -> Step {
    release::PREPARE
        .undo(release::DISCARD)
        .phase(Phase::Starting)
        .on_each_server()
}

/// See the module.
pub fn release() -> Pipeline {
    let pipeline = on_environment("release", "Release")
        .then(OnCommit::MakeCurrent)
        .step(prepared())
        .step(
            release::FETCH_SOURCE
                .keeps("a checkout goes with what is kept of its release")
                .phase(Phase::Building)
                .skipped_when(NOT_FROM_SOURCE)
                .on_each_server(),
        )
        .step(
            release::BUILD_IMAGE
                .keeps(IMAGES)
                .phase(Phase::Building)
                .skipped_when(NOT_FROM_SOURCE)
                .on_each_server(),
        )
        .step(
            release::PULL_IMAGES
                .keeps(IMAGES)
                .phase(Phase::Building)
                .skipped_when(BUILT_HERE)
                .on_each_server(),
        );
    switched(pipeline)
}

/// Go back to an earlier release, from the images that are kept of it.
pub fn rollback() -> Pipeline {
    let pipeline = on_environment("rollback", "Rollback")
        .then(OnCommit::GoBack)
        .step(
            release::CHECK_IMAGES
                .reads()
                .phase(Phase::Starting)
                .on_each_server(),
        )
        .step(prepared());
    switched(pipeline)
}

/// Release what runs in one environment to another: the same images, the other's values and routes.
pub fn promote() -> Pipeline {
    let pipeline = Pipeline::named("promote", "Promote")
        .reads(Environment)
        .writes(Environment)
        .starts_with(&["environment_id", "server_id"])
        .then(OnCommit::MakeCurrent)
        .step(prepared())
        .step(
            release::SAVE_IMAGES
                .keeps("what is in the store expires")
                .phase(Phase::Building)
                .skipped_when(NOT_BUILT),
        )
        .step(
            release::LOAD_IMAGES
                .keeps(IMAGES)
                .phase(Phase::Building)
                .skipped_when(NOT_BUILT)
                .on_each_server(),
        )
        .step(
            release::PULL_IMAGES
                .keeps(IMAGES)
                .phase(Phase::Building)
                .skipped_when(BUILT_HERE)
                .on_each_server(),
        );
    switched(pipeline)
}

/// The observed view, taken at the end.
fn seen() -> Step {
    release::OBSERVE_CONTAINERS
        .reads()
        .titled("Observed view")
        .on_each_server()
}

/// New containers beside the old ones, the route switched when they are ready, the old ones drained.
fn switched(pipeline: Pipeline) -> Pipeline {
    pipeline
        .step(
            release::CREATE_VOLUMES
                .keeps("volumes are never deleted by a release")
                .phase(Phase::Deploying)
                .on_each_server(),
        )
        .step(
            release::START_CONTAINERS
                .undo(release::REMOVE_CONTAINERS)
                .phase(Phase::Deploying)
                .on_each_server(),
        )
        .step(
            release::AWAIT_HEALTH
                .undo(release::RESTORE_SERVICES)
                .phase(Phase::Deploying)
                .on_each_server(),
        )
        .commit(
            release::SWITCH_ROUTE
                .undo(release::SWITCH_ROUTE_BACK)
                .phase(Phase::Network)
                .on_each_server(),
        )
        .tidy(
            release::FINISH_RELEASE
                .keeps("what was replaced is gone for good")
                .phase(Phase::Finalizing)
                .on_each_server(),
        )
        .tidy(
            release::CLEAR_SERVERS
                .keeps("volumes stay where they are")
                .titled("Servers left")
                .phase(Phase::Finalizing)
                .skipped_when(NONE_LEFT)
                .on_left_servers(),
        )
        .tidy(seen())
}

/// Stop an environment's containers; its volumes, images and routes stay, and the routes say that it is stopped.
pub fn stop_environment() -> Pipeline {
    on_environment("stop_environment", "Stop environment")
        .then(OnCommit::Stop)
        .commit(
            release::STOP_CONTAINERS
                .keeps("starting them is an operation of its own")
                .on_each_server(),
        )
        .tidy(seen())
}

/// Start a stopped environment's containers again.
pub fn start_environment() -> Pipeline {
    on_environment("start_environment", "Start environment")
        .then(OnCommit::Start)
        .commit(
            release::START_AGAIN
                .keeps("stopping them is an operation of its own")
                .on_each_server(),
        )
        .tidy(seen())
}

/// Restart an environment's containers.
pub fn restart_environment() -> Pipeline {
    on_environment("restart_environment", "Restart environment")
        .commit(
            release::RESTART_CONTAINERS
                .keeps("a container that runs again is as it was")
                .on_each_server(),
        )
        .tidy(seen())
}

/// Take all that an environment has from its servers, and its record with it; named volumes stay unless it was said that
/// they go. Until it begins nothing is touched, and a repeat goes on where it stopped.
pub fn remove_environment() -> Pipeline {
    on_environment("remove_environment", "Remove environment")
        .then(OnCommit::Remove)
        .commit(
            release::CLEAR_SERVERS
                .keeps("what was removed is gone for good")
                .on_each_server(),
        )
}

/// Look at what of an environment runs, and what is not as its release has it.
pub fn observe_environment() -> Pipeline {
    Pipeline::named("observe_environment", "Observe environment")
        .reads(Environment)
        .starts_with(&["environment_id"])
        .commit(release::OBSERVE_CONTAINERS.reads().on_each_server())
}
