//! The Lambda behind the queue of notices.
//!
//! Promise: see the library; this is its process.

use kit::outbound::Guard;
use kit::{Exit, Outbound};
use lambda_runtime::{Diagnostic, LambdaEvent, service_fn};
use sender::{Event, Reply, Sender};
use std::sync::Arc;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let outbound = match Outbound::new(Guard::new(&cloud.config.outbound_allowed)) {
        Ok(outbound) => outbound,
        Err(error) => {
            tracing::error!(error = error.chain(), "cannot start");
            return Exit::FAILURE;
        }
    };
    let sender = Arc::new(Sender::new(cloud, outbound));
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<Event>| {
        let sender = Arc::clone(&sender);
        async move { Ok::<Reply, Diagnostic>(sender.send(event.payload).await) }
    }))
    .await;
    kit::serve::ended(served)
}
