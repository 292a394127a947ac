//! Fetch the release's images, by digest.
//!
//! Safe to repeat: what is there is not fetched again.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release::PullImages as Asked;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_over_to_each};

struct PullImages {
    hosts: Hosts,
}

impl Step for PullImages {
    const NAME: &'static str = release::PULL_IMAGES.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let work = |_| {
            let environment = input.host_name.clone();
            (JobOrder::default(), Work::PullImages(Asked { environment }))
        };
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| PullImages {
        hosts: Hosts::new(cloud),
    })
    .await
}
