//! The Lambda that ends deployments: stop, note, settle.
//!
//! Promise: see `kit::settle`; this is its process.

use kit::errors::Wire;
use kit::settle::{Call, Reply, handle};
use kit::{Cloud, Exit, StepError};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let cloud = cloud.clone();
        async move {
            answer(&cloud, event.payload)
                .await
                .map_err(|error| Diagnostic::from(Wire(error)))
        }
    }))
    .await;
    kit::serve::ended(served)
}

async fn answer(cloud: &Cloud, payload: serde_json::Value) -> Result<Reply, StepError> {
    let call: Call = serde_json::from_value(payload).map_err(StepError::broken)?;
    let (deployment, action) = (call.deployment_id, call.action);
    // Boxed: the SDK's futures are too deep for the compiler to lay out in one piece.
    Box::pin(handle(cloud, call)).await.inspect_err(
        |error| tracing::error!(%deployment, ?action, error = error.chain(), "settle failed"),
    )
}
