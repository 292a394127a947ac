//! Resolve what is released to the last digest, have it judged and kept on each server, and freeze it; undo discards it.
//!
//! Safe to repeat: what was frozen stays frozen, and the servers keep the same again.

use domain::release::{FrozenRelease, Source};
use domain::{ServerId, StepError, StepServer};
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::Call;
use protocol::release::{ReleasePlan, SourceResolve, SourceResolved, Update};
use releases::Wanted;
use serde_json::Value;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{
    EnvironmentNeeds, credential, logins, on_each, replayed, undo_on_each, values,
};
use tokio::sync::OnceCell;

struct PrepareRelease {
    hosts: Hosts,
}

/// All that the servers are told alike.
struct Common {
    input: Release,
    again: Option<FrozenRelease>,
    values: BTreeMap<String, String>,
    registries: Vec<protocol::release::RegistryLogin>,
}

/// What the first server made of it.
struct First {
    server: ServerId,
    frozen: FrozenRelease,
    plan: ReleasePlan,
}

impl PrepareRelease {
    async fn common(&self, at: &At, needs: &EnvironmentNeeds) -> Result<Common, StepError> {
        let cloud = self.hosts.cloud();
        let input: Release = at.input()?;
        let mine: Option<FrozenRelease> = cloud.records.frozen(at.team, at.deployment_id).await?;
        let again = match (mine, input.frozen_of) {
            (Some(mine), _) => Some(mine),
            (None, Some(_)) => Some(replayed(cloud, at).await?),
            (None, None) => None,
        };
        Ok(Common {
            values: values(cloud, at, needs.environment_id, input.values_version).await?,
            registries: logins(cloud, at, &input.registries).await?,
            again,
            input,
        })
    }

    /// The commit that is built, and which branch or tag it is of.
    async fn commit(
        &self,
        at: &At,
        common: &Common,
        row: &StepServer,
    ) -> Result<(Option<String>, Option<String>), StepError> {
        if let Some(frozen) = &common.again {
            return Ok((frozen.commit.clone(), frozen.reference.clone()));
        }
        let Source::Repository {
            url,
            reference,
            access,
            ..
        } = &common.input.source
        else {
            return Ok((None, None));
        };
        let asked = SourceResolve {
            url: url.clone(),
            reference: common
                .input
                .commit
                .clone()
                .unwrap_or_else(|| reference.clone()),
            credential: credential(self.hosts.cloud(), at, access.as_ref()).await?,
        };
        let host = self.hosts.connect(at, row.id).await?;
        let found: SourceResolved = host.call(Call::SourceResolve(asked)).await?;
        Ok((Some(found.commit), found.reference))
    }

    async fn prepared(
        &self,
        at: &At,
        common: &Common,
        row: &StepServer,
        pinned: BTreeMap<String, String>,
    ) -> Result<(protocol::release::ReleasePrepare, ReleasePlan), StepError> {
        let wanted = Wanted {
            values: common.values.clone(),
            registries: common.registries.clone(),
            pinned,
        };
        let again = common.again.as_ref();
        let asked = releases::prepare(&common.input, at.deployment_id, again, wanted);
        let host = self.hosts.connect(at, row.id).await?;
        let plan = host
            .call(Call::ReleasePrepare(Box::new(asked.clone())))
            .await?;
        Ok((asked, plan))
    }

    /// On one server, and what it made of it is frozen.
    async fn freeze(&self, at: &At, common: &Common, row: &StepServer) -> Result<First, StepError> {
        let commit = self.commit(at, common, row).await?;
        let (asked, plan) = self.prepared(at, common, row, BTreeMap::new()).await?;
        let frozen = releases::frozen(&common.input, &asked, &plan, commit);
        let records = &self.hosts.cloud().records;
        Ok(First {
            server: row.id,
            frozen: records
                .frozen_put(at.team, at.deployment_id, &frozen)
                .await?,
            plan,
        })
    }
}

fn told(plan: &ReleasePlan, frozen: &FrozenRelease) -> String {
    let of = |update: Update| {
        let names = plan
            .services
            .iter()
            .filter(move |service| service.update == update);
        names
            .map(|service| service.service.as_str())
            .collect::<Vec<_>>()
    };
    let mut said = Vec::new();
    if let Some(commit) = &frozen.commit {
        said.push(format!("commit {}", commit.get(..12).unwrap_or(commit)));
    }
    let beside = of(Update::Beside);
    if !beside.is_empty() {
        said.push(format!("{} beside the old ones", beside.join(", ")));
    }
    for service in &plan.services {
        if service.update == Update::InPlace {
            said.push(format!("{} restarts: {}", service.service, service.because));
        }
    }
    said.extend(plan.notes.iter().cloned());
    said.join("; ")
}

impl Step for PrepareRelease {
    const NAME: &'static str = release::PREPARE.name;
    type Needs = EnvironmentNeeds;
    type Gives = BTreeMap<String, Value>;

    async fn run(
        &self,
        at: &At,
        needs: EnvironmentNeeds,
    ) -> Result<Done<BTreeMap<String, Value>>, StepError> {
        let common = &self.common(at, &needs).await?;
        // The first server that can pins the images; the others run the very same.
        let first: &OnceCell<First> = &OnceCell::new();
        on_each(at, |row| async move {
            let first = first
                .get_or_try_init(|| self.freeze(at, common, &row))
                .await?;
            if first.server == row.id {
                return Ok(told(&first.plan, &first.frozen));
            }
            let pinned = first.frozen.images.clone();
            let (_, plan) = self.prepared(at, common, &row, pinned).await?;
            Ok(told(&plan, &first.frozen))
        })
        .await
    }

    async fn undo(&self, at: &At, _: EnvironmentNeeds) -> Result<String, StepError> {
        undo_on_each(&self.hosts, at, Call::ReleaseDiscard, "nothing was kept").await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| PrepareRelease {
        hosts: Hosts::new(cloud),
    })
    .await
}
