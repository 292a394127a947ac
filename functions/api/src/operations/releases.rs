//! Operations on environments: releases, and what is done with what runs.
//!
//! Promise: what an earlier release was made of is read from its own records, never made up anew.

use super::{Operation, frozen, pipeline};
use crate::problem::ApiError;
use domain::release::{APP, ReleaseServer, Source};
use domain::release_diff::{self, Side, SideImage};
use domain::{DeploymentId, Environment, FrozenRelease, ReleaseDiff, ServerId, StepStatus, TeamId};
use kit::Cloud;
use kit::releases::{self, Found, OnTarget};
use pipelines::inputs::{OnEnvironment, Release, RemoveEnvironment};
use records::{TargetRecord, environment_claims};
use serde_json::Value;
use std::collections::BTreeMap;

/// The pipelines that make a release live.
pub const RELEASES: [&str; 3] = ["release", "rollback", "promote"];

fn on(found: &Found, name: &str, input: Value, of: OnTarget) -> Result<Operation, ApiError> {
    debug_assert_eq!(of.target.id, found.environment.id.to_string());
    Ok(Operation {
        pipeline: pipeline(name)?,
        target: of.target,
        locks: of.locks,
        input,
        meta: of.meta,
        claims: Vec::new(),
        record: None,
        rollback_of: None,
    })
}

/// One of those that make a release live, with this input.
pub fn release_of(found: &Found, name: &str, input: &Release) -> Result<Operation, ApiError> {
    let of = found.on_target(input.promoted_from.as_ref());
    on(found, name, frozen(input)?, of)
}

/// The first release of an environment that comes to be with it.
pub fn first_release(found: &Found, input: &Release) -> Result<Operation, ApiError> {
    let mut operation = release_of(found, "release", input)?;
    let mut environment: Environment = found.environment.clone();
    environment.placed_on = input.servers.iter().map(|server| server.id).collect();
    operation.claims = environment_claims(&environment, &environment.settings);
    operation.record = Some(Box::new(move |_, _, _| {
        TargetRecord::Environment(Box::new(environment))
    }));
    Ok(operation)
}

/// Go back to this deployment.
pub fn rollback(found: &Found, to: DeploymentId, input: &Release) -> Result<Operation, ApiError> {
    let mut operation = release_of(found, "rollback", input)?;
    operation.rollback_of = Some(to);
    Ok(operation)
}

fn on_servers(found: &Found, servers: Vec<ReleaseServer>) -> OnEnvironment {
    OnEnvironment {
        environment_id: found.environment.id,
        host_name: found.environment.host_name.clone(),
        quorum: servers.len(),
        servers,
    }
}

/// Something that is done with what runs, on the servers that it runs on: the settings may name others by now.
pub fn on_environment(found: &Found, name: &str, runs: &Earlier) -> Result<Operation, ApiError> {
    let input = frozen(&on_servers(found, runs.input.servers.clone()))?;
    on(found, name, input, found.on_target(None))
}

/// The end of an environment, on every server that may have something of it; by force, on those that do it.
pub fn removal(found: &Found, delete_volumes: bool, force: bool) -> Result<Operation, ApiError> {
    let mut on_all = on_servers(found, found.placed_on());
    if force {
        on_all.quorum = 0;
    }
    let input = frozen(&RemoveEnvironment {
        on: on_all,
        delete_volumes,
    })?;
    on(found, "remove_environment", input, found.on_target(None))
}

/// A release that was, as it was asked for and frozen.
pub struct Earlier {
    /// As it was asked for.
    pub input: Release,
    /// As it was frozen, by itself or by the one that it replays.
    pub frozen: Option<FrozenRelease>,
    /// The deployment that froze it.
    pub frozen_of: DeploymentId,
    /// The first server that it is live on: a quorum may have left others out.
    pub went_live_on: Option<ServerId>,
}

impl Earlier {
    /// What is live in an environment.
    pub async fn live(cloud: &Cloud, environment: &Environment) -> Result<Self, ApiError> {
        let Some(current) = environment.current else {
            return Err(ApiError::conflict(
                "nothing_deployed",
                format!("Nothing runs in the environment {} yet.", environment.name),
            ));
        };
        Self::read(cloud, environment.team_id, current).await
    }

    /// Read it. What is no release of containers has nothing to compare or to go back to.
    pub async fn read(cloud: &Cloud, team: TeamId, id: DeploymentId) -> Result<Self, ApiError> {
        let snapshot = cloud.records.deployment_snapshot(team, id).await?;
        if !RELEASES.contains(&snapshot.deployment.pipeline.as_str()) {
            return Err(ApiError::unprocessable(
                "not_a_release",
                format!("The deployment {id} is no release of an environment."),
            ));
        }
        let commit = snapshot.step(&snapshot.deployment.commit_step);
        let mut rows = commit.into_iter().flat_map(|step| &step.servers);
        let live = rows.find(|row| row.status == StepStatus::Completed);
        let live = live.map(|row| row.id);
        let input: Release = serde_json::from_value(snapshot.input).map_err(|_| {
            ApiError::unprocessable(
                "input_outdated",
                "What was released then cannot be read by this version any more.",
            )
        })?;
        let went_first = input.servers.first().map(|server| server.id);
        let own = cloud.records.frozen(team, id).await?;
        let (frozen, frozen_of) = match (own, input.frozen_of) {
            (None, Some(of)) => (cloud.records.frozen(team, of).await?, of),
            (own, _) => (own, id),
        };
        Ok(Self {
            input,
            frozen,
            frozen_of,
            went_live_on: live.or(went_first),
        })
    }

    /// To be compared.
    pub async fn side(&self, cloud: &Cloud, team: TeamId) -> Result<Side, ApiError> {
        side(cloud, team, &self.input, self.frozen.as_ref()).await
    }
}

async fn side(
    cloud: &Cloud,
    team: TeamId,
    input: &Release,
    frozen: Option<&FrozenRelease>,
) -> Result<Side, ApiError> {
    let (id, version) = (input.environment_id, input.values_version);
    let values = match cloud.records.values_version(team, id, version).await {
        // They go with their environment.
        Err(records::RecordsError::NotFound(_)) => None,
        read => read?,
    };
    let names = values.map_or(BTreeMap::new(), |values| values.names);
    Ok(releases::side(input, frozen, names))
}

/// What an input would change of what is live; None when nothing is.
pub async fn against_current(
    cloud: &Cloud,
    environment: &Environment,
    input: &Release,
    frozen: Option<&FrozenRelease>,
) -> Result<Option<ReleaseDiff>, ApiError> {
    let team = environment.team_id;
    let Some(current) = environment.current else {
        return Ok(None);
    };
    let live = Earlier::read(cloud, team, current).await?;
    let from = live.side(cloud, team).await?;
    let mut to = side(cloud, team, input, frozen).await?;
    if frozen.is_none() && live.input.source.kind() != input.source.kind() {
        to.images.extend(to_build(&input.source));
    }
    Ok(Some(release_diff::diff(&from, &to)))
}

/// The image of another source, which is not built yet: where it will come from.
fn to_build(source: &Source) -> Option<(String, SideImage)> {
    let asked = match source {
        Source::Repository { url, reference, .. } => format!("built from {url} {reference}"),
        Source::Archive { .. } => "built from an archive".to_string(),
        Source::Compose { .. } | Source::Image { .. } => return None,
    };
    let image = SideImage {
        asked,
        pinned: None,
    };
    Some((APP.to_string(), image))
}
