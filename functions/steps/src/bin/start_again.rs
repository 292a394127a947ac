//! Start a stopped environment's containers.
//!
//! Safe to repeat: what runs is found so.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::job::Work;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_name_over};

struct StartAgain {
    hosts: Hosts,
}

impl Step for StartAgain {
    const NAME: &'static str = release::START_AGAIN.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        hand_name_over(&self.hosts, at, Work::StartEnvironment).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| StartAgain {
        hosts: Hosts::new(cloud),
    })
    .await
}
