//! Take the promoted images out of the store, on each server.
//!
//! Safe to repeat: what is there is not fetched again.

use domain::StepError;
use domain::{JobObject, JobOrder};
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release::{ImagesSaved, LoadImages as Asked};
use serde::Deserialize;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{hand_over_to_each, images_key};

#[derive(Deserialize)]
struct Needs {
    images_saved: ImagesSaved,
}

struct LoadImages {
    hosts: Hosts,
}

impl Step for LoadImages {
    const NAME: &'static str = release::LOAD_IMAGES.name;
    type Needs = Needs;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: Needs) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let asked = Asked {
            environment: input.host_name,
            sealed: needs.images_saved.sealed,
            images: needs.images_saved.images,
        };
        let key = images_key(at);
        let work = |_| {
            let objects = BTreeMap::from([("images".to_string(), JobObject::read(&key))]);
            let order = JobOrder {
                objects,
                gives: None,
            };
            (order, Work::LoadImages(asked.clone()))
        };
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| LoadImages {
        hosts: Hosts::new(cloud),
    })
    .await
}
