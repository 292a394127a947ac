//! A step, and what it is given while it works.
//!
//! Promise: a body sees its needs, the frozen input, its lease and a place to say how far it is; nothing else.

use crate::Cloud;
use crate::handler::Held;
use domain::lifecycle::{End, Together};
use domain::{
    DeploymentId, DeploymentStatus, LockKey, Progress, ServerId, StepError, StepServer, TeamId,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;
use std::future::Future;

/// One step of pipelines: its work and its undo.
pub trait Step: Send + Sync + 'static {
    /// The function's name, from the definition.
    const NAME: &'static str;
    /// What it reads from the deployment's meta.
    type Needs: DeserializeOwned + Send;
    /// Ids and small values for later steps.
    type Gives: Serialize + Send;

    /// Do it. Safe to repeat: what is there with our mark is found done, what is there without it is refused.
    fn run(
        &self,
        at: &At,
        needs: Self::Needs,
    ) -> impl Future<Output = Result<Done<Self::Gives>, StepError>> + Send;

    /// Take it back, also when `run` did not finish. Undoing nothing is a success. Answers what it did, for people.
    fn undo(
        &self,
        _at: &At,
        _needs: Self::Needs,
    ) -> impl Future<Output = Result<String, StepError>> + Send {
        async { Err(StepError::broken(format!("{} has no undo", Self::NAME))) }
    }
}

/// How a step ended well.
#[derive(Debug)]
pub enum Done<G> {
    /// With its effect: what it gives, and what it did, for people.
    With(G, String),
    /// It does not apply, for this reason.
    Skipped(String),
    /// An agent has it now, and will say how it ended.
    HandedOver,
}

/// Nothing to give.
#[derive(Debug, Serialize)]
pub struct Nothing {}

/// What a step is given while it works.
pub struct At {
    /// The team.
    pub team: TeamId,
    /// The deployment: the mark on what is created.
    pub deployment_id: DeploymentId,
    /// Higher than every earlier worker's on the same lock.
    pub fence: u64,
    /// The lock of the deployment's target.
    pub lock: LockKey,
    /// The frozen input.
    pub input: serde_json::Value,
    /// What Step Functions waits for, when the step is a job.
    pub(crate) token: Option<String>,
    pub(crate) cloud: Cloud,
    pub(crate) held: Held,
}

impl At {
    /// The frozen input as a type.
    pub fn input<T: DeserializeOwned>(&self) -> Result<T, StepError> {
        serde_json::from_value(self.input.clone()).map_err(StepError::broken)
    }

    /// Say what it is doing now. At most once a second reaches the record; a failure to say it never fails the step.
    pub async fn progress(
        &self,
        done: u64,
        total: Option<u64>,
        unit: &str,
        message: impl Into<String>,
    ) {
        let progress = Progress {
            done,
            total,
            unit: unit.to_string(),
            rate: None,
            message: message.into(),
        };
        self.held.progress(&self.cloud, progress).await;
    }

    /// Has a person stopped it? For steps that wait; others need not ask.
    pub async fn check_cancelled(&self) -> Result<(), StepError> {
        let snapshot = self
            .cloud
            .records
            .deployment_snapshot(self.team, self.deployment_id)
            .await?;
        match (snapshot.deployment.status, snapshot.deployment.error) {
            (DeploymentStatus::Cancelled, Some(why)) => {
                Err(StepError::new(why.kind, why.code, why.message))
            }
            _ => Ok(()),
        }
    }

    /// The servers that the step is at work on now: those that fell out and those that are done are left out.
    pub async fn servers(&self) -> Vec<StepServer> {
        self.held.servers().await
    }

    /// How it ended on one of them.
    pub async fn ended_on(&self, server: ServerId, end: &End) -> Result<(), StepError> {
        self.held.ended_on(&self.cloud, server, end).await
    }

    /// What its servers come to together, and by its name for each server what that gave.
    pub async fn together(&self) -> (Together, BTreeMap<String, serde_json::Value>) {
        self.held.together().await
    }

    /// Say it in words.
    pub async fn say(&self, message: impl Into<String>) {
        self.progress(0, None, "", message).await;
    }
}
