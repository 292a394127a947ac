//! See that all images of the release that is gone back to are on each server.
//!
//! Changes nothing.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::steps::release;
use protocol::Call;
use protocol::release::{ImagesCheck, ImagesChecked};
use serde_json::Value;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{EnvironmentNeeds, on_each, replayed};

struct CheckImages {
    hosts: Hosts,
}

impl Step for CheckImages {
    const NAME: &'static str = release::CHECK_IMAGES.name;
    type Needs = EnvironmentNeeds;
    type Gives = BTreeMap<String, Value>;

    async fn run(
        &self,
        at: &At,
        _: EnvironmentNeeds,
    ) -> Result<Done<BTreeMap<String, Value>>, StepError> {
        let frozen = replayed(self.hosts.cloud(), at).await?;
        let images: Vec<String> = frozen.images.into_values().collect();
        on_each(at, |row| {
            let call = Call::ImagesCheck(ImagesCheck {
                images: images.clone(),
            });
            async move {
                let host = self.hosts.connect(at, row.id).await?;
                let found: ImagesChecked = host.call(call).await?;
                if found.missing.is_empty() {
                    return Ok(format!("{} images are there", found.present.len()));
                }
                Err(StepError::refused(
                    "images_missing",
                    format!(
                        "This server has no {} any more. Deploy again, or go back to another release.",
                        found.missing.join(", ")
                    ),
                ))
            }
        })
        .await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| CheckImages {
        hosts: Hosts::new(cloud),
    })
    .await
}
