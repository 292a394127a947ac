//! Create the release's networks and named volumes where they are missing.
//!
//! Safe to repeat: what is there with our mark is found; volumes are never deleted.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::release::VolumesCreated;
use serde_json::Value;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{EnvironmentNeeds, Place, on_each};

struct CreateVolumes {
    hosts: Hosts,
}

impl Step for CreateVolumes {
    const NAME: &'static str = release::CREATE_VOLUMES.name;
    type Needs = EnvironmentNeeds;
    type Gives = BTreeMap<String, Value>;

    async fn run(
        &self,
        at: &At,
        _: EnvironmentNeeds,
    ) -> Result<Done<BTreeMap<String, Value>>, StepError> {
        let place = Place::of(at)?;
        on_each(at, |row| {
            let call = Call::VolumesCreate(place.name());
            async move {
                let host = self.hosts.connect(at, row.id).await?;
                let done: VolumesCreated = host.call(call).await?;
                Ok(told(&done))
            }
        })
        .await
    }
}

fn told(done: &VolumesCreated) -> String {
    match (done.created.as_slice(), done.kept.len()) {
        ([], 0) => "no named volumes".to_string(),
        ([], kept) => format!("{kept} kept"),
        (created, 0) => format!("created {}", created.join(", ")),
        (created, kept) => format!("created {}; {kept} kept", created.join(", ")),
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| CreateVolumes {
        hosts: Hosts::new(cloud),
    })
    .await
}
