//! What the machine asks of settle: stop, note, settle.
//!
//! Promise: only here are locks freed, in the transaction that marks the deployment settled. Every call is safe to repeat.

use crate::Cloud;
use crate::errors::caught;
use domain::{DeploymentId, DeploymentStatus, OnCommit, SecretId, StepError, TeamId, lifecycle};
use serde::{Deserialize, Serialize};

/// What the machine sends.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// Whose deployment.
    pub team_id: TeamId,
    /// Which.
    pub deployment_id: DeploymentId,
    /// What to do.
    pub action: Action,
    /// For `note`: the tidy step.
    #[serde(default)]
    pub step: Option<String>,
    /// What the machine caught.
    #[serde(default)]
    pub error: Option<Caught>,
}

/// What to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// Make sure of the verdict; say where undoing begins.
    Stop,
    /// Record a tidy step that failed without a word.
    Note,
    /// Free the locks, or say that people must look.
    Settle,
}

/// As Step Functions' Catch has it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Caught {
    /// Its name.
    #[serde(default)]
    pub error: String,
    /// Its cause.
    #[serde(default)]
    pub cause: String,
}

/// What the machine gets back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reply {
    /// The step whose undo is first, or `none`.
    pub undo_from: String,
}

/// The meta under which a deployment names secrets that end with it.
pub const SECRETS_TO_FORGET: &str = "secrets_to_forget";

/// See the module.
pub async fn handle(cloud: &Cloud, call: Call) -> Result<Reply, StepError> {
    let now = cloud.clock.now();
    let failure = call
        .error
        .as_ref()
        .map(|error| caught(&error.error, &error.cause));
    let (team, id) = (call.team_id, call.deployment_id);
    let step = call.step.unwrap_or_default();
    let (snapshot, first) = cloud
        .records
        .deployment_change(team, id, |snapshot| match call.action {
            Action::Stop => lifecycle::stop(snapshot, failure.clone(), now),
            Action::Note => {
                let failure = failure.clone().unwrap_or_else(|| caught("", ""));
                Ok((lifecycle::note(snapshot, &step, failure, now)?, None))
            }
            Action::Settle => Ok((lifecycle::settle(snapshot, now)?, None)),
        })
        .await?;
    if call.action == Action::Settle {
        forget_secrets(cloud, &snapshot).await?;
        forget_environment(cloud, &snapshot).await?;
        tracing::info!(deployment = %call.deployment_id, standing = snapshot.deployment.standing(), "settled");
    }
    Ok(Reply {
        undo_from: first.unwrap_or_else(|| "none".to_string()),
    })
}

/// The values of an environment that is no more, and what was seen of it.
async fn forget_environment(
    cloud: &Cloud,
    snapshot: &lifecycle::Snapshot,
) -> Result<(), StepError> {
    let deployment = &snapshot.deployment;
    if deployment.status != DeploymentStatus::Completed
        || deployment.on_commit != Some(OnCommit::Remove)
    {
        return Ok(());
    }
    let id = deployment.target.id.parse().map_err(StepError::broken)?;
    let records = &cloud.records;
    Ok(records.environment_forget(deployment.team_id, id).await?)
}

/// What a completed deployment needed only once is forgotten; after a failure it stays until it expires, for a retry.
async fn forget_secrets(cloud: &Cloud, snapshot: &lifecycle::Snapshot) -> Result<(), StepError> {
    let deployment = &snapshot.deployment;
    if deployment.status != DeploymentStatus::Completed {
        return Ok(());
    }
    let Some(names) = deployment.meta.get(SECRETS_TO_FORGET) else {
        return Ok(());
    };
    let secrets: Vec<SecretId> =
        serde_json::from_value(names.clone()).map_err(StepError::broken)?;
    for secret in secrets {
        cloud
            .records
            .secret_delete(deployment.team_id, secret)
            .await?;
    }
    Ok(())
}
