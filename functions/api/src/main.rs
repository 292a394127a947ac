//! The Lambda behind the HTTP API. `api openapi` prints the API's description instead.
//!
//! Promise: see the library; this is its process.

use kit::{Cloud, Exit};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    if std::env::args().nth(1).as_deref() == Some("openapi") {
        println!("{}", api::openapi());
        return Exit::SUCCESS;
    }
    kit::serve::log_to_stdout();
    let cloud = match Cloud::from_env().await {
        Ok(cloud) => cloud,
        Err(error) => {
            tracing::error!(%error, "cannot start");
            return Exit::FAILURE;
        }
    };
    match lambda_http::run(api::router(cloud)).await {
        Ok(()) => Exit::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the runtime ended");
            Exit::FAILURE
        }
    }
}
