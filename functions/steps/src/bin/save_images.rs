//! Put the images that were built in the promoted environment into the store.
//!
//! Safe to repeat: they are sent again.

use domain::StepError;
use domain::{JobObject, JobOrder};
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release::SaveImages as Asked;
use serde::Deserialize;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::hand_over;
use steps::release::{images_key, replayed};

#[derive(Deserialize)]
struct Needs {
    server_id: domain::ServerId,
}

struct SaveImages {
    hosts: Hosts,
}

impl Step for SaveImages {
    const NAME: &'static str = release::SAVE_IMAGES.name;
    type Needs = Needs;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: Needs) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let frozen = replayed(self.hosts.cloud(), at).await?;
        let from = input
            .promoted_from
            .ok_or_else(|| StepError::broken("nothing is promoted"))?;
        let built = |service: &String| frozen.images.get(service).cloned();
        let asked = Asked {
            environment: from.host_name,
            images: frozen.built.iter().filter_map(built).collect(),
        };
        let order = JobOrder {
            objects: BTreeMap::from([("images".to_string(), JobObject::write(images_key(at)))]),
            gives: Some("images_saved".to_string()),
        };
        hand_over(
            &self.hosts,
            at,
            needs.server_id,
            order,
            Work::SaveImages(asked),
        )
        .await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| SaveImages {
        hosts: Hosts::new(cloud),
    })
    .await
}
