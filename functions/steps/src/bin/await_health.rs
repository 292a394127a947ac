//! Wait until the new containers are ready, and update in place what cannot stand beside its old one; undo takes that back.
//!
//! Safe to repeat: what is ready is ready.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::job::Work;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_name_over, undo_on_each};

struct AwaitHealth {
    hosts: Hosts,
}

impl Step for AwaitHealth {
    const NAME: &'static str = release::AWAIT_HEALTH.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        hand_name_over(&self.hosts, at, Work::AwaitHealth).await
    }

    async fn undo(&self, at: &At, _: EnvironmentNeeds) -> Result<String, StepError> {
        undo_on_each(
            &self.hosts,
            at,
            Call::ServicesBack,
            "nothing had been updated in place",
        )
        .await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| AwaitHealth {
        hosts: Hosts::new(cloud),
    })
    .await
}
