//! Start the release's containers beside the old ones; undo removes them.
//!
//! Safe to repeat: what runs already is found.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::job::Work;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_name_over, undo_on_each};

struct StartContainers {
    hosts: Hosts,
}

impl Step for StartContainers {
    const NAME: &'static str = release::START_CONTAINERS.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        hand_name_over(&self.hosts, at, Work::StartContainers).await
    }

    async fn undo(&self, at: &At, _: EnvironmentNeeds) -> Result<String, StepError> {
        undo_on_each(
            &self.hosts,
            at,
            Call::ContainersRemove,
            "nothing had been started",
        )
        .await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| StartContainers {
        hosts: Hosts::new(cloud),
    })
    .await
}
