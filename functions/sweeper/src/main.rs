//! The Lambda that leaves no deployment stuck: every two minutes over all that are open, and at once when an execution failed.
//!
//! Promise: it frees no lock while anything may be left on a target. What ended without settling is started again, to undo
//! and settle; what cannot be settled needs attention; what was never started is started, or fails untouched.

use domain::lifecycle::{Execution, Recovery, recover};
use domain::{Deployment, DeploymentId, Dispatch, Settlement, StepError, TeamId};
use futures_util::StreamExt;
use kit::machines::{self, Machines};
use kit::{Cloud, Exit, metric};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use records::Applied;
use serde::Serialize;
use serde_json::Value;

/// Open deployments are looked at so many at once.
const AT_ONCE: usize = 16;

/// How often one that changes under us is read again; the next sweep is two minutes away.
const ATTEMPTS: u32 = 5;

/// What a sweep came to.
#[derive(Debug, Default, Serialize)]
struct Swept {
    /// Unsettled ones.
    open: u64,
    /// Of these, people were told of.
    needs_attention: u64,
    /// Started, started again, or given up.
    recovered: u64,
    /// Could not be looked at; the next sweep does.
    failed: u64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let machines = Machines::new(&cloud).await;
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Value>| {
        let (cloud, machines) = (cloud.clone(), machines.clone());
        async move {
            let done = match ended_execution(&event.payload) {
                Some((team, id)) => at_once(&cloud, &machines, team, id).await,
                None => sweep(&cloud, &machines).await,
            };
            done.map_err(|error| Diagnostic::from(kit::errors::Wire(error)))
        }
    }))
    .await;
    kit::serve::ended(served)
}

/// Whose execution ended, when EventBridge says that one did.
fn ended_execution(event: &Value) -> Option<(TeamId, DeploymentId)> {
    let detail = event.get("detail")?;
    let id = machines::deployment_of(detail.get("name")?.as_str()?)?;
    let input: Value = serde_json::from_str(detail.get("input")?.as_str()?).ok()?;
    Some((input.get("team_id")?.as_str()?.parse().ok()?, id))
}

/// The first end of an execution is answered at once; when that did not help, the sweeps' pace gives what is away time to come back.
async fn at_once(
    cloud: &Cloud,
    machines: &Machines,
    team: TeamId,
    id: DeploymentId,
) -> Result<Swept, StepError> {
    let mut swept = Swept::default();
    let deployment = cloud.records.deployment(team, id).await?;
    if deployment.restarts == 0 && deployment.dispatch == Dispatch::Started {
        swept.open = 1;
        swept.recovered = u64::from(look(cloud, machines, team, id).await?.1);
    }
    Ok(swept)
}

async fn sweep(cloud: &Cloud, machines: &Machines) -> Result<Swept, StepError> {
    let open = cloud.records.open_deployments().await?;
    let looked: Vec<_> = futures_util::stream::iter(open)
        .map(|(team, id)| async move {
            let looked = look(cloud, machines, team, id).await;
            looked.inspect_err(|error| {
                tracing::error!(deployment = %id, error = error.chain(), "not looked at");
            })
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut swept = Swept::default();
    for looked in looked {
        match looked {
            Err(_) => swept.failed += 1,
            Ok((deployment, recovered)) => {
                swept.open += u64::from(deployment.settlement != Settlement::Settled);
                swept.needs_attention +=
                    u64::from(deployment.settlement == Settlement::NeedsAttention);
                swept.recovered += u64::from(recovered);
            }
        }
    }
    metric::gauge(cloud, "NeedsAttention", swept.needs_attention);
    metric::gauge(cloud, "Unsettled", swept.open);
    tracing::info!(?swept, "swept");
    Ok(swept)
}

/// One deployment, as it is afterwards, and whether anything was done about it.
async fn look(
    cloud: &Cloud,
    machines: &Machines,
    team: TeamId,
    id: DeploymentId,
) -> Result<(Deployment, bool), StepError> {
    for _ in 0..ATTEMPTS {
        let snapshot = cloud.records.deployment_snapshot(team, id).await?;
        let execution = match snapshot.deployment.dispatch {
            Dispatch::Held => Execution::Ended,
            Dispatch::Ready | Dispatch::Started => machines.execution(&snapshot.deployment).await?,
        };
        match recover(&snapshot, execution, cloud.clock.now())? {
            Recovery::Nothing => return Ok((snapshot.deployment, false)),
            Recovery::Start => {
                machines.start(cloud, &snapshot.deployment).await?;
                tracing::warn!(deployment = %id, "was ready and not started; started now");
                return Ok((snapshot.deployment, true));
            }
            Recovery::Write(change) => {
                // Written only over what was looked at: an execution that settled it meanwhile wins.
                if cloud.records.deployment_apply(&change).await? == Applied::Yes {
                    let standing = change.deployment.standing();
                    tracing::warn!(deployment = %id, standing, "its execution ended without settling it");
                    return Ok((change.deployment, true));
                }
            }
        }
    }
    Err(StepError::busy(
        "record_busy",
        "The deployment's record is being changed by others.",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_ended_executions_event_names_its_deployment_and_a_schedules_none() {
        let (team, id) = ("01JD2Z6E9W8Q4S5T6V7X8Y9ZAC", "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB");
        let event = json!({"detail-type": "Step Functions Execution Status Change", "detail": {
            "name": format!("{id}-u2"), "status": "ABORTED", "input": json!({"team_id": team}).to_string()}});
        let found = ended_execution(&event).map(|(team, id)| (team.to_string(), id.to_string()));
        assert_eq!(found, Some((team.to_string(), id.to_string())));
        assert_eq!(ended_execution(&json!({"source": "aws.scheduler"})), None);
        assert_eq!(ended_execution(&json!({"detail": {"name": "x"}})), None);
    }
}
