//! What is frozen of a release: what was asked, and what the agent made of it.
//!
//! Promise: names of variables and where their values came from; no value.

use domain::release::{FrozenRelease, ServiceRelease, ValueFrom};
use pipelines::inputs::Release;
use protocol::release::{self as wire, ReleasePlan, ReleasePrepare};

/// See the module.
pub fn frozen(
    input: &Release,
    asked: &ReleasePrepare,
    plan: &ReleasePlan,
    (commit, reference): (Option<String>, Option<String>),
) -> FrozenRelease {
    FrozenRelease {
        compose: asked.compose.clone(),
        profiles: asked.profiles.clone(),
        images: plan
            .services
            .iter()
            .map(|service| (service.service.clone(), service.image.clone()))
            .collect(),
        built: asked.built.clone(),
        commit,
        reference,
        values_version: input.values_version,
        variables: plan
            .variables
            .iter()
            .map(|variable| {
                let from = match variable.from {
                    wire::ValueFrom::Given => ValueFrom::Environment,
                    wire::ValueFrom::Default => ValueFrom::Default,
                    wire::ValueFrom::Missing => ValueFrom::Missing,
                };
                (variable.name.clone(), from)
            })
            .collect(),
        services: plan
            .services
            .iter()
            .map(|service| ServiceRelease {
                service: service.service.clone(),
                asked: service.asked.clone(),
                in_place: service.update == wire::Update::InPlace,
                because: service.because.clone(),
                replicas: service.replicas,
                volumes: service.volumes.clone(),
            })
            .collect(),
        routes: input.routes.clone(),
        gates: input.gates.clone(),
        limits: input.limits.clone(),
        allow: input.allow.clone(),
    }
}
