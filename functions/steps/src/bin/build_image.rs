//! Build the image from the checkout, on each server.
//!
//! Safe to repeat: the engine's cache has what was built before.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::Work;
use protocol::release as wire;
use releases::{built_tag, limits};
use sites::Hosts;
use steps::release::{EnvironmentNeeds, hand_over_to_each, logins};

/// The engine, its containers and their logs need room to go on.
const KEEP_FREE_BYTES: u64 = 2 * 1024 * 1024 * 1024;

struct BuildImage {
    hosts: Hosts,
}

impl Step for BuildImage {
    const NAME: &'static str = release::BUILD_IMAGE.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let build = input
            .source
            .build()
            .ok_or_else(|| StepError::broken("there is nothing to build"))?
            .clone();
        let registries = logins(self.hosts.cloud(), at, &input.registries).await?;
        let asked = wire::BuildImage {
            tag: built_tag(&input.host_name, at.deployment_id),
            environment: input.host_name,
            dockerfile: build.dockerfile,
            context: build.context,
            target: build.target,
            arguments: build.arguments,
            limits: limits(&input.limits),
            keep_free_bytes: KEEP_FREE_BYTES,
            registries,
        };
        let work = |_| (JobOrder::default(), Work::BuildImage(asked.clone()));
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| BuildImage {
        hosts: Hosts::new(cloud),
    })
    .await
}
