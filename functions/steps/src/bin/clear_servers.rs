//! Take all that an environment has from its servers.
//!
//! Safe to repeat: what is gone is gone.

use domain::{JobOrder, StepError};
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::RemoveEnvironment;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release::RemoveEnvironment as Asked;
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_over_to_each};

struct ClearServers {
    hosts: Hosts,
}

impl Step for ClearServers {
    const NAME: &'static str = release::CLEAR_SERVERS.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RemoveEnvironment = at.input()?;
        let asked = Asked {
            environment: input.on.host_name,
            delete_volumes: input.delete_volumes,
        };
        let work = |_| (JobOrder::default(), Work::RemoveEnvironment(asked.clone()));
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| ClearServers {
        hosts: Hosts::new(cloud),
    })
    .await
}
