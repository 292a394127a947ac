//! What the steps of releases share: the environment, and the same act on each of its servers.
//!
//! Promise: all servers at once, a row each; what they come to together is the step's end.

use crate::JOB_LIMIT;
use domain::lifecycle::{End, Together};
use domain::release::{FrozenRelease, GitAccess, RegistryAccess};
use domain::{Failure, JobOrder, ServerId, StepError, StepServer};
use futures_util::future::join_all;
use kit::step::Nothing;
use kit::{At, Cloud, Done};
use pipelines::inputs::Release;
use protocol::job::Work;
use protocol::release::{EnvironmentName, GitCredential, RegistryLogin};
use protocol::{Call, Changed};
use serde::Deserialize;
use serde_json::Value;
use sites::{Host, Hosts};
use std::collections::BTreeMap;
use std::future::Future;

/// An environment.
#[derive(Debug, Clone, Deserialize)]
pub struct EnvironmentNeeds {
    /// Which.
    pub environment_id: domain::EnvironmentId,
}

/// The part of every input that says where.
#[derive(Debug, Clone, Deserialize)]
pub struct Place {
    /// The environment's one word on every server.
    pub host_name: String,
}

impl Place {
    /// Of the frozen input.
    pub fn of(at: &At) -> Result<Self, StepError> {
        at.input()
    }

    /// As the agent takes it.
    pub fn name(&self) -> EnvironmentName {
        EnvironmentName {
            environment: self.host_name.clone(),
        }
    }
}

/// The act on each server; what is answered is for people.
pub async fn on_each<W, F>(at: &At, work: W) -> Result<Done<BTreeMap<String, Value>>, StepError>
where
    W: Fn(StepServer) -> F,
    F: Future<Output = Result<String, StepError>>,
{
    each(at, work)
        .await
        .map(|told| Done::With(BTreeMap::new(), told))
}

/// The same without what a step gives: for undos.
pub async fn each<W, F>(at: &At, work: W) -> Result<String, StepError>
where
    W: Fn(StepServer) -> F,
    F: Future<Output = Result<String, StepError>>,
{
    let rows = at.servers().await;
    let acts = rows.into_iter().map(|row| {
        let id = row.id;
        let act = work(row);
        async move { (id, act.await) }
    });
    for (id, ended) in join_all(acts).await {
        let end = match ended {
            Ok(output) => End::Completed {
                gives: BTreeMap::new(),
                output,
            },
            Err(error) => {
                tracing::warn!(server = %id, error = error.chain(), "it failed on a server");
                End::Failed(Failure::from(&error))
            }
        };
        at.ended_on(id, &end).await?;
    }
    come_to(at)
        .await?
        .ok_or_else(|| StepError::broken("a server's end is missing"))
}

/// What its servers come to together; none while some are at work.
async fn come_to(at: &At) -> Result<Option<String>, StepError> {
    match at.together().await.0 {
        Together::Done(told) => Ok(Some(told)),
        Together::Again(why) | Together::Failed(why) => {
            Err(StepError::new(why.kind, why.code, why.message))
        }
        Together::Waiting => Ok(None),
    }
}

/// An undo that is one call to each server's agent.
pub async fn undo_on_each(
    hosts: &Hosts,
    at: &At,
    call: fn(EnvironmentName) -> Call,
    otherwise: &str,
) -> Result<String, StepError> {
    let place = Place::of(at)?;
    each(at, |row| {
        let call = call(place.name());
        async move {
            let host = hosts.connect(at, row.id).await?;
            let done: Changed = host.call(call).await?;
            Ok(crate::told(&done.notes, otherwise))
        }
    })
    .await
}

/// Give the step's work to the agent of each server.
///
/// A server that cannot be reached, or whose agent does not take it, has fallen out; how it ends on the others is for
/// their agents to say, unless all have said so before the last one fell out.
pub async fn hand_over_to_each(
    hosts: &Hosts,
    at: &At,
    ask: impl Fn(ServerId) -> (JobOrder, Work),
) -> Result<Done<Nothing>, StepError> {
    let rows = at.servers().await;
    let connections = rows.iter().map(|row| hosts.connect(at, row.id));
    let mut reached: Vec<(ServerId, Host)> = Vec::new();
    for (row, connected) in rows.iter().zip(join_all(connections).await) {
        match connected {
            Ok(host) => reached.push((row.id, host)),
            Err(error) => fell_out(at, row.id, &error).await?,
        }
    }
    let starts = reached.iter().map(|(id, host)| {
        let (order, work) = ask(*id);
        async move {
            let ticket = at.job_on(Some(*id), order).await?;
            Ok::<_, StepError>((*id, host.start(ticket, JOB_LIMIT, work).await))
        }
    });
    for started in join_all(starts).await {
        match started? {
            (_, Ok(started)) => tracing::info!(?started, "an agent has it"),
            (id, Err(error)) => fell_out(at, id, &error).await?,
        }
    }
    Ok(match come_to(at).await? {
        None => Done::HandedOver,
        Some(told) => Done::With(Nothing {}, told),
    })
}

async fn fell_out(at: &At, server: ServerId, error: &StepError) -> Result<(), StepError> {
    tracing::warn!(%server, error = error.chain(), "a server fell out");
    at.ended_on(server, &End::Failed(Failure::from(error)))
        .await
}

/// The same for a work that needs nothing but the environment's name.
pub async fn hand_name_over(
    hosts: &Hosts,
    at: &At,
    work: fn(EnvironmentName) -> Work,
) -> Result<Done<Nothing>, StepError> {
    let place = Place::of(at)?;
    hand_over_to_each(hosts, at, |_| (JobOrder::default(), work(place.name()))).await
}

/// A secret's text.
async fn opened(cloud: &Cloud, at: &At, id: domain::SecretId) -> Result<String, StepError> {
    let now = cloud.clock.now().timestamp();
    let clear = cloud.secrets.open(at.team, id, now).await?;
    String::from_utf8(clear.to_vec()).map_err(StepError::broken)
}

/// The logins for private registries, opened.
pub async fn logins(
    cloud: &Cloud,
    at: &At,
    registries: &[RegistryAccess],
) -> Result<Vec<RegistryLogin>, StepError> {
    let mut logins = Vec::new();
    for access in registries {
        logins.push(RegistryLogin {
            registry: access.registry.clone(),
            username: access.username.clone(),
            password: opened(cloud, at, access.secret).await?,
        });
    }
    Ok(logins)
}

/// What opens a repository, opened.
pub async fn credential(
    cloud: &Cloud,
    at: &At,
    access: Option<&GitAccess>,
) -> Result<Option<GitCredential>, StepError> {
    Ok(match access {
        None => None,
        Some(GitAccess::Token { username, secret }) => Some(GitCredential::Token {
            username: username.clone(),
            token: opened(cloud, at, *secret).await?,
        }),
        Some(GitAccess::DeployKey { secret }) => Some(GitCredential::DeployKey {
            private_key: opened(cloud, at, *secret).await?,
        }),
    })
}

/// An environment's values of one version, opened; none of version 0.
pub async fn values(
    cloud: &Cloud,
    at: &At,
    environment: domain::EnvironmentId,
    version: u64,
) -> Result<BTreeMap<String, String>, StepError> {
    let stored = cloud
        .records
        .values_version(at.team, environment, version)
        .await?;
    let Some(stored) = stored else {
        return Ok(BTreeMap::new());
    };
    let text = opened(cloud, at, stored.secret).await?;
    // What does not parse is not repeated: it holds values.
    serde_json::from_str(&text).map_err(|_| StepError::broken("the values are damaged"))
}

/// What this deployment froze.
pub async fn frozen(cloud: &Cloud, at: &At) -> Result<FrozenRelease, StepError> {
    let stored = cloud.records.frozen(at.team, at.deployment_id).await?;
    stored.ok_or_else(|| StepError::broken("nothing was frozen"))
}

/// What the deployment froze that this one replays.
pub async fn replayed(cloud: &Cloud, at: &At) -> Result<FrozenRelease, StepError> {
    let input: Release = at.input()?;
    let of = input
        .frozen_of
        .ok_or_else(|| StepError::broken("no release is replayed"))?;
    cloud.records.frozen(at.team, of).await?.ok_or_else(|| {
        StepError::refused(
            "release_not_kept",
            "What that release was made of is not kept any more. Deploy again.",
        )
    })
}

/// Where images that are promoted are in the store.
pub fn images_key(at: &At) -> String {
    format!("images/{}/{}/images.tar.zst", at.team, at.deployment_id)
}
