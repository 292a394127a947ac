//! The Lambda that jobs report to: `POST /agent/jobs/{team}/{deployment}/{step}`.
//!
//! Promise: see the library; this is its process.

use agent_callback::Callback;
use kit::Exit;
use lambda_http::{Error, Request, service_fn};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let callback = Callback::new(cloud).await;
    let served = lambda_http::run(service_fn(|request: Request| {
        let callback = callback.clone();
        async move { Ok::<_, Error>(callback.answer(request).await) }
    }))
    .await;
    kit::serve::ended(served)
}
