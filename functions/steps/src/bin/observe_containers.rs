//! Look at what of an environment runs, and keep what was seen.
//!
//! Changes nothing on a server.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::release::Observed;
use records::Seen;
use serde_json::Value;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{EnvironmentNeeds, Place, on_each};

struct ObserveContainers {
    hosts: Hosts,
}

impl Step for ObserveContainers {
    const NAME: &'static str = release::OBSERVE_CONTAINERS.name;
    type Needs = EnvironmentNeeds;
    type Gives = BTreeMap<String, Value>;

    async fn run(
        &self,
        at: &At,
        needs: EnvironmentNeeds,
    ) -> Result<Done<BTreeMap<String, Value>>, StepError> {
        let place = Place::of(at)?;
        on_each(at, |row| {
            let call = Call::EnvironmentObserve(place.name());
            async move {
                let host = self.hosts.connect(at, row.id).await?;
                let observed: Observed = host.call(call).await?;
                let cloud = self.hosts.cloud();
                let seen = Seen {
                    server_id: row.id,
                    at: cloud.clock.now(),
                    deployment_id: at.deployment_id,
                    observed: serde_json::to_value(&observed).map_err(StepError::broken)?,
                };
                let records = &cloud.records;
                records
                    .observed_put(at.team, needs.environment_id, &seen)
                    .await?;
                Ok(told(&observed))
            }
        })
        .await
    }
}

fn told(observed: &Observed) -> String {
    let running = observed
        .containers
        .iter()
        .filter(|one| one.state == "running")
        .count();
    let all = observed.containers.len();
    if observed.drift.is_empty() {
        format!("{running} of {all} containers run, as released")
    } else {
        format!(
            "{running} of {all} containers run; {}",
            observed.drift.join("; ")
        )
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| ObserveContainers {
        hosts: Hosts::new(cloud),
    })
    .await
}
