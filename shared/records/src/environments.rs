//! What a deployment makes of its environment.
//!
//! Promise: ready, current and superseded come together: each environment has at most one current deployment, and no
//! reader sees two.

use crate::deployments::deployment_item;
use crate::error::from_sdk;
use crate::item::{item, record, s};
use crate::transact::Write;
use crate::{Records, RecordsError, keys};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::state::Transitions;
use domain::{
    Deployment, DeploymentId, Environment, EnvironmentId, OnCommit, Phase, ServerId, TeamId,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// What was last seen of an environment on one server.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    /// The server.
    pub server_id: ServerId,
    /// When it was looked.
    #[serde(with = "domain::time_text")]
    pub at: domain::Time,
    /// The deployment that looked.
    pub deployment_id: DeploymentId,
    /// As the agent said it.
    pub observed: serde_json::Value,
}

fn list(ids: &[DeploymentId]) -> AttributeValue {
    AttributeValue::L(ids.iter().map(|id| s(id.to_string())).collect())
}

impl Records {
    /// One environment.
    pub async fn environment(
        &self,
        team: TeamId,
        id: EnvironmentId,
    ) -> Result<Environment, RecordsError> {
        let stored = self.get(keys::environment(team, id)).await?;
        record(stored.ok_or(RecordsError::NotFound("environment"))?)
    }

    /// A team's environments, oldest first.
    pub async fn environments(&self, team: TeamId) -> Result<Vec<Environment>, RecordsError> {
        let stored = self.query(keys::team(team), "ENVIRONMENT#").await?;
        stored.into_iter().map(record).collect()
    }

    /// What the environment is to be, over what was read of it; none when it changed meanwhile.
    pub(crate) async fn commit_writes(
        &self,
        deployment: &Deployment,
        what: OnCommit,
    ) -> Result<Option<Vec<Write>>, RecordsError> {
        let environment = self.environment_of(deployment).await?;
        let team = deployment.team_id;
        let at = keys::environment(team, environment.id);
        let revision = Self::number(environment.revision);
        let mut values = vec![(":revision", revision), (":one", Self::number(1))];
        let seen = "revision = :revision";
        let mut writes = Vec::new();
        let expression = match what {
            OnCommit::Remove => return self.removal(&environment).await,
            OnCommit::Stop | OnCommit::Start => {
                values.push((":stopped", AttributeValue::Bool(what == OnCommit::Stop)));
                "SET is_stopped = :stopped ADD revision :one".to_string()
            }
            OnCommit::MakeCurrent | OnCommit::GoBack => {
                if let Some(before) = environment.current.filter(|id| *id != deployment.id) {
                    match self.superseded(team, before).await? {
                        Some(write) => writes.push(write),
                        None => return Ok(None),
                    }
                }
                let most = environment.settings.keep_releases as usize + 1;
                let mut kept = environment.kept.clone();
                // What is gone back to is the same release: it is kept once.
                kept.retain(|id| *id != deployment.id && Some(*id) != deployment.rollback_of);
                kept.insert(0, deployment.id);
                kept.truncate(most);
                values.push((":me", s(deployment.id.to_string())));
                values.push((":kept", list(&kept)));
                values.push((":stopped", AttributeValue::Bool(false)));
                let pause = match (what, deployment.trigger.is_automatic()) {
                    (OnCommit::GoBack, _) => ", auto_deploys_paused_by = :me REMOVE failed",
                    (_, true) => " REMOVE failed",
                    // A person who deploys says that pushes may again.
                    (_, false) => " REMOVE failed, auto_deploys_paused_by",
                };
                // `current` is a word that DynamoDB keeps for itself.
                format!(
                    "SET #current = :me, kept = :kept, is_stopped = :stopped{pause} ADD revision :one"
                )
            }
        };
        writes.push(self.update(at, &expression, seen, values)?);
        Ok(Some(writes))
    }

    /// The environment goes with what it took; what it deployed stays in the history. None when it changed meanwhile.
    async fn removal(&self, environment: &Environment) -> Result<Option<Vec<Write>>, RecordsError> {
        let mut writes = self.environment_gone(environment)?;
        if let Some(current) = environment.current {
            match self.superseded(environment.team_id, current).await? {
                Some(write) => writes.push(write),
                None => return Ok(None),
            }
        }
        Ok(Some(writes))
    }

    /// The release that was live is so no more. None when it changed meanwhile.
    async fn superseded(
        &self,
        team: TeamId,
        id: DeploymentId,
    ) -> Result<Option<Write>, RecordsError> {
        let mut before = self.deployment(team, id).await?;
        let seq = before.seq;
        if before
            .phase
            .is_some_and(|phase| phase.may_become(Phase::Superseded))
        {
            before.phase = Some(Phase::Superseded);
        }
        before.seq += 1;
        before.changed_steps = 0;
        let seen = ("seq = :seq", vec![(":seq", Self::number(seq))]);
        Ok(Some(self.put(deployment_item(&before)?, Some(seen))?))
    }

    /// Nothing of it is on these servers any more. None when it changed meanwhile.
    pub(crate) async fn cleared(
        &self,
        deployment: &Deployment,
        servers: &[ServerId],
    ) -> Result<Option<Vec<Write>>, RecordsError> {
        let environment = self.environment_of(deployment).await?;
        let mut left = environment.placed_on.clone();
        left.retain(|server| !servers.contains(server));
        Ok(Some(vec![self.placed_on(&environment, &left)?]))
    }

    /// A deployment of it begins, which may leave something on these servers. The environment is there, whatever else is
    /// written.
    pub(crate) fn placed(
        &self,
        environment: &Environment,
        servers: &[ServerId],
    ) -> Result<Write, RecordsError> {
        match environment.placed_on_too(servers.iter().copied()) {
            Some(all) => self.placed_on(environment, &all),
            None => self.check(
                keys::environment(environment.team_id, environment.id),
                "attribute_exists(pk)",
                Vec::new(),
            ),
        }
    }

    fn placed_on(
        &self,
        environment: &Environment,
        servers: &[ServerId],
    ) -> Result<Write, RecordsError> {
        let servers = servers.iter().map(|id| s(id.to_string())).collect();
        self.update(
            keys::environment(environment.team_id, environment.id),
            "SET placed_on = :servers ADD revision :one",
            "revision = :revision",
            vec![
                (":servers", AttributeValue::L(servers)),
                (":one", Self::number(1)),
                (":revision", Self::number(environment.revision)),
            ],
        )
    }

    async fn environment_of(&self, deployment: &Deployment) -> Result<Environment, RecordsError> {
        let id = deployment.target.id.parse();
        let id: EnvironmentId =
            id.map_err(|_| RecordsError::Malformed("target".to_string(), None))?;
        self.environment(deployment.team_id, id).await
    }

    /// A release came to nothing: an environment that has none is failed.
    pub(crate) fn release_failed(&self, deployment: &Deployment) -> Result<Write, RecordsError> {
        let id: EnvironmentId = deployment
            .target
            .id
            .parse()
            .map_err(|_| RecordsError::Malformed("target".to_string(), None))?;
        self.update(
            keys::environment(deployment.team_id, id),
            "SET failed = :me ADD revision :one",
            "attribute_exists(pk)",
            vec![
                (":me", s(deployment.id.to_string())),
                (":one", Self::number(1)),
            ],
        )
    }

    /// What a release froze; once, and never changed. What stands is answered.
    pub async fn frozen_put<T: Serialize + DeserializeOwned>(
        &self,
        team: TeamId,
        id: DeploymentId,
        frozen: &T,
    ) -> Result<T, RecordsError> {
        let text = serde_json::to_string(frozen).map_err(|error| {
            RecordsError::Malformed("frozen".to_string(), Some(Box::new(error)))
        })?;
        let mut stored = crate::item::key(keys::frozen(team, id));
        stored.insert("frozen".to_string(), s(text));
        self.write_all(vec![self.put_new(stored)?]).await?;
        self.frozen(team, id)
            .await?
            .ok_or(RecordsError::NotFound("frozen release"))
    }

    /// What a release froze, if it came so far.
    pub async fn frozen<T: DeserializeOwned>(
        &self,
        team: TeamId,
        id: DeploymentId,
    ) -> Result<Option<T>, RecordsError> {
        let Some(stored) = self.get(keys::frozen(team, id)).await? else {
            return Ok(None);
        };
        let text = stored.get("frozen").and_then(|value| value.as_s().ok());
        let text = text.ok_or_else(|| RecordsError::Malformed("frozen".to_string(), None))?;
        serde_json::from_str(text)
            .map(Some)
            .map_err(|error| RecordsError::Malformed("frozen".to_string(), Some(Box::new(error))))
    }

    /// What was seen of an environment on a server takes the place of what was seen before.
    pub async fn observed_put(
        &self,
        team: TeamId,
        id: EnvironmentId,
        seen: &Seen,
    ) -> Result<(), RecordsError> {
        let at = (
            keys::observed(team, id),
            format!("SERVER#{}", seen.server_id),
        );
        let put = self.client.put_item().table_name(&self.table);
        put.set_item(Some(item(at, seen)?))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }

    /// What was last seen of an environment, on each of its servers.
    pub async fn observed(
        &self,
        team: TeamId,
        id: EnvironmentId,
    ) -> Result<Vec<Seen>, RecordsError> {
        let stored = self.query(keys::observed(team, id), "SERVER#").await?;
        stored.into_iter().map(record).collect()
    }
}
