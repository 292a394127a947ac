//! Drain and remove what was replaced, and prune what nothing needs any more.
//!
//! Safe to repeat: what is gone is gone.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release::FinishRelease as Asked;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_over_to_each};

struct FinishRelease {
    hosts: Hosts,
}

impl Step for FinishRelease {
    const NAME: &'static str = release::FINISH_RELEASE.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let records = &self.hosts.cloud().records;
        let environment = records.environment(at.team, needs.environment_id).await?;
        let asked = Asked {
            environment: input.host_name,
            drain_seconds: input.drain_seconds,
            keep: environment.kept.iter().map(ToString::to_string).collect(),
        };
        let work = |_| (JobOrder::default(), Work::FinishRelease(asked.clone()));
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| FinishRelease {
        hosts: Hosts::new(cloud),
    })
    .await
}
