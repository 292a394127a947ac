//! Deployments as they are shown: by the API, and by the notifier.
//!
//! Promise: fences, request ids and what steps hand on stay inside.

use crate::{DeploymentDetail, DeploymentView, StepServerView, StepView};
use domain::lifecycle::Snapshot;
use domain::{Deployment, DeploymentStep, StepServer, Vocabulary};

impl From<&Deployment> for DeploymentView {
    fn from(deployment: &Deployment) -> Self {
        let deployment = deployment.clone();
        Self {
            standing: deployment.standing(),
            vocabulary: Vocabulary::of(&deployment),
            rollback_of: deployment.rollback_of,
            id: deployment.id,
            pipeline: deployment.pipeline,
            operation_name: deployment.operation_name,
            target: deployment.target,
            actor: deployment.actor,
            trigger: deployment.trigger,
            status: deployment.status,
            outcome: deployment.outcome,
            settlement: deployment.settlement,
            dispatch: deployment.dispatch,
            phase: deployment.phase,
            error: deployment.error,
            attention: deployment.attention,
            retry_of: deployment.retry_of,
            created_at: deployment.created_at,
            started_at: deployment.started_at,
            finished_at: deployment.finished_at,
            settled_at: deployment.settled_at,
            seq: deployment.seq,
        }
    }
}

impl From<StepServer> for StepServerView {
    fn from(row: StepServer) -> Self {
        Self {
            id: row.id,
            name: row.name,
            status: row.status,
            output: row.output,
            error: row.error,
            progress: row.progress,
            started_at: row.started_at,
            finished_at: row.finished_at,
        }
    }
}

impl StepView {
    /// A step of a deployment whose commit step has this name.
    pub fn of(step: &DeploymentStep, commit_step: &str) -> Self {
        let step = step.clone();
        Self {
            commit: step.name == commit_step,
            name: step.name,
            title: step.title,
            kind: step.kind,
            status: step.status,
            undo_of: step.undo_of,
            output: step.output,
            error: step.error,
            warning: step.warning,
            progress: step.progress,
            started_at: step.started_at,
            finished_at: step.finished_at,
            servers: step.servers.into_iter().map(StepServerView::from).collect(),
        }
    }
}

impl From<&Snapshot> for DeploymentDetail {
    fn from(snapshot: &Snapshot) -> Self {
        let commit_step = &snapshot.deployment.commit_step;
        Self {
            deployment: DeploymentView::from(&snapshot.deployment),
            steps: snapshot
                .steps
                .iter()
                .map(|step| StepView::of(step, commit_step))
                .collect(),
        }
    }
}
