//! Starting state machines, and asking how their executions are.
//!
//! Promise: an execution is named by its deployment and by how often its machine was started, so that starting twice is
//! once; the first one does the work, later ones finish it.

use crate::job::Word;
use crate::{Cloud, StepError};
use aws_sdk_sfn::Client;
use domain::lifecycle::{self, Execution};
use domain::{Deployment, DeploymentId, DeploymentStatus};

/// See the module.
#[derive(Debug, Clone)]
pub struct Machines {
    client: Client,
    prefix: String,
}

/// The name of the execution that a deployment's `undo_starts` says.
pub fn execution_name(deployment: &Deployment) -> String {
    match deployment.undo_starts {
        0 => deployment.id.to_string(),
        n => format!("{}-u{n}", deployment.id),
    }
}

/// The deployment of an execution's name.
pub fn deployment_of(execution_name: &str) -> Option<DeploymentId> {
    let id = execution_name
        .split_once("-u")
        .map_or(execution_name, |(id, _)| id);
    id.parse().ok()
}

/// After the commit nothing is undone: what is left is tidied up, and the steps before say that they are done.
pub fn mode(deployment: &Deployment) -> &'static str {
    if deployment.undo_starts == 0 || deployment.status == DeploymentStatus::Completed {
        "run"
    } else {
        "undo"
    }
}

impl Machines {
    /// Of this stack.
    pub async fn new(cloud: &Cloud) -> Self {
        Self {
            client: Client::new(&crate::cloud::aws_config().await),
            prefix: cloud.config.machine_prefix.clone(),
        }
    }

    /// Tell the machine how a job ended. A token that nothing waits for any more is no failure: the record stands.
    pub async fn told(&self, token: &str, word: &Word) -> Result<(), StepError> {
        let told = match word {
            Word::Nothing => return Ok(()),
            Word::Succeeded => self
                .client
                .send_task_success()
                .task_token(token)
                .output("{}")
                .send()
                .await
                .map(|_| ())
                .map_err(aws_sdk_sfn::Error::from),
            Word::Failed { error, cause } => self
                .client
                .send_task_failure()
                .task_token(token)
                .error(error)
                .cause(cause)
                .send()
                .await
                .map(|_| ())
                .map_err(aws_sdk_sfn::Error::from),
        };
        waited_for(told)
    }

    /// Tell the machine that a job is at work.
    pub async fn job_alive(&self, token: &str) -> Result<(), StepError> {
        let told = self
            .client
            .send_task_heartbeat()
            .task_token(token)
            .send()
            .await;
        waited_for(told.map(|_| ()).map_err(aws_sdk_sfn::Error::from))
    }

    /// Start the machine of a deployment that is ready, and say so in its record.
    pub async fn start(&self, cloud: &Cloud, deployment: &Deployment) -> Result<(), StepError> {
        let (team, id) = (deployment.team_id, deployment.id);
        let input =
            serde_json::json!({"team_id": team, "deployment_id": id, "mode": mode(deployment)});
        let started = self
            .client
            .start_execution()
            .state_machine_arn(format!("{}{}", self.prefix, deployment.pipeline))
            .name(execution_name(deployment))
            .input(input.to_string())
            .send()
            .await;
        match started {
            Ok(_) => {}
            // It was started before, and may even have ended: the name says that it is the same work.
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_execution_already_exists()) => {}
            Err(error) => {
                return Err(StepError::unavailable(
                    "machine_not_started",
                    "The state machine could not be started.",
                )
                .caused_by(error));
            }
        }
        let starts = deployment.undo_starts;
        let told = cloud
            .records
            .deployment_change(team, id, |snapshot| {
                // Another start that became due meanwhile has not happened by this one.
                let same = snapshot.deployment.undo_starts == starts;
                let change = same.then(|| lifecycle::dispatched(snapshot)).flatten();
                Ok::<_, StepError>((change, ()))
            })
            .await;
        if let Err(error) = told {
            // The execution runs all the same; the sweeper finds it by its name.
            tracing::warn!(deployment = %id, error = error.chain(), "started, but the record does not say so yet");
        }
        Ok(())
    }

    /// How the newest execution of a deployment is.
    pub async fn execution(&self, deployment: &Deployment) -> Result<Execution, StepError> {
        let arn = format!(
            "{}{}:{}",
            self.prefix.replace(":stateMachine:", ":execution:"),
            deployment.pipeline,
            execution_name(deployment)
        );
        let described = self
            .client
            .describe_execution()
            .execution_arn(arn)
            .send()
            .await;
        match described {
            Ok(execution) => Ok(match execution.status {
                aws_sdk_sfn::types::ExecutionStatus::Running => Execution::Running,
                _ => Execution::Ended,
            }),
            Err(error)
                if error
                    .as_service_error()
                    .is_some_and(|error| error.is_execution_does_not_exist()) =>
            {
                Ok(Execution::Ended)
            }
            Err(error) => Err(StepError::unavailable(
                "machines_unavailable",
                "The state machines do not answer for now.",
            )
            .caused_by(error)),
        }
    }
}

/// Sent, or not waited for any more.
fn waited_for(told: Result<(), aws_sdk_sfn::Error>) -> Result<(), StepError> {
    use aws_sdk_sfn::Error::{InvalidToken, TaskDoesNotExist, TaskTimedOut};
    match told {
        Ok(()) | Err(TaskDoesNotExist(_) | TaskTimedOut(_) | InvalidToken(_)) => Ok(()),
        Err(error) => Err(StepError::unavailable(
            "machines_unavailable",
            "Step Functions is away for now.",
        )
        .caused_by(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executions_name_tells_its_deployment() {
        let id = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
        for name in [id.to_string(), format!("{id}-u1"), format!("{id}-u12")] {
            assert_eq!(
                deployment_of(&name).map(|id| id.to_string()).as_deref(),
                Some(id)
            );
        }
        assert_eq!(deployment_of("by-hand"), None);
    }
}
