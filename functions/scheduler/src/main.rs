//! The Lambda that EventBridge Scheduler calls on the hour.
//!
//! Promise: see the library; this is its process. What could not be begun makes it fail, so that it is called again.

use domain::StepError;
use kit::notice::Notices;
use kit::{Exit, metric};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let notices = Notices::new(&cloud.config).await;
    let served = lambda_runtime::run(service_fn(|_: LambdaEvent<Value>| {
        let (cloud, notices) = (cloud.clone(), notices.clone());
        async move {
            // Boxed: the SDK's futures are too deep for the compiler to lay out in one piece.
            let ran = Box::pin(scheduler::run(&cloud, &notices)).await;
            let done = ran.and_then(|ran| {
                metric::gauge(&cloud, "SchedulesDue", ran.due);
                match ran.failed {
                    0 => Ok(ran),
                    failed => Err(StepError::unavailable(
                        "not_begun",
                        format!("{failed} of {} due backups could not be begun.", ran.due),
                    )),
                }
            });
            done.map_err(|error| Diagnostic::from(kit::errors::Wire(error)))
        }
    }))
    .await;
    kit::serve::ended(served)
}
