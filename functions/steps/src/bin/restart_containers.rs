//! Restart an environment's containers.
//!
//! Safe to repeat: they are restarted once more.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::job::Work;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_name_over};

struct RestartContainers {
    hosts: Hosts,
}

impl Step for RestartContainers {
    const NAME: &'static str = release::RESTART_CONTAINERS.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        hand_name_over(&self.hosts, at, Work::RestartEnvironment).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| RestartContainers {
        hosts: Hosts::new(cloud),
    })
    .await
}
