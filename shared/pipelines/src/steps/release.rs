//! Steps that release containers.

use crate::Permission::ReadSecrets;
use crate::StepDefinition;

const ENVIRONMENT: &[&str] = &["environment_id"];

/// Resolve what is released to the last digest, judge it, freeze it, and keep it on each server.
pub const PREPARE: StepDefinition = StepDefinition::inline("prepare_release", "Starting")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// The opposite: what is kept of it on the servers goes.
pub const DISCARD: &str = "discard_release";

/// The source, in a checkout of its own on each server.
pub const FETCH_SOURCE: StepDefinition = StepDefinition::job("fetch_source", "Clone")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// Its image.
pub const BUILD_IMAGE: StepDefinition = StepDefinition::job("build_image", "Build")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// The images that registries have.
pub const PULL_IMAGES: StepDefinition = StepDefinition::job("pull_images", "Pull")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// Are the images of the release that is gone back to still there?
pub const CHECK_IMAGES: StepDefinition = StepDefinition::inline("check_images", "Check images")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// Images that were built in the environment that is promoted, into the store.
pub const SAVE_IMAGES: StepDefinition = StepDefinition::job("save_images", "Save images")
    .needs(&["environment_id", "server_id"])
    .gives(&["images_saved"])
    .may(&[ReadSecrets]);

/// And out of it, on each server.
pub const LOAD_IMAGES: StepDefinition = StepDefinition::job("load_images", "Load images")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// Networks and named volumes.
pub const CREATE_VOLUMES: StepDefinition = StepDefinition::inline("create_volumes", "Volume")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// New containers beside the old ones.
pub const START_CONTAINERS: StepDefinition = StepDefinition::job("start_containers", "Start")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// The opposite.
pub const REMOVE_CONTAINERS: &str = "remove_containers";

/// Until all are ready; those that cannot stand beside their old ones are replaced here.
pub const AWAIT_HEALTH: StepDefinition = StepDefinition::job("await_health", "Health")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// The opposite: those are as in the release before.
pub const RESTORE_SERVICES: &str = "restore_services";

/// The routes lead to the new containers.
pub const SWITCH_ROUTE: StepDefinition = StepDefinition::inline("switch_route", "Network")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// The opposite.
pub const SWITCH_ROUTE_BACK: &str = "switch_route_back";

/// The old containers are drained and go.
pub const FINISH_RELEASE: StepDefinition = StepDefinition::job("finish_release", "Finalize")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// Look at what runs.
pub const OBSERVE_CONTAINERS: StepDefinition =
    StepDefinition::inline("observe_containers", "Observe")
        .needs(ENVIRONMENT)
        .may(&[ReadSecrets]);

/// All containers stop.
pub const STOP_CONTAINERS: StepDefinition = StepDefinition::job("stop_containers", "Stop")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// They run again.
pub const START_AGAIN: StepDefinition = StepDefinition::job("start_again", "Start again")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// All that an environment has on its servers goes.
pub const CLEAR_SERVERS: StepDefinition = StepDefinition::job("clear_servers", "Remove")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);

/// One after the other.
pub const RESTART_CONTAINERS: StepDefinition = StepDefinition::job("restart_containers", "Restart")
    .needs(ENVIRONMENT)
    .may(&[ReadSecrets]);
