//! The Lambda behind the HTTP API. `api openapi` prints the API's description instead.
//!
//! Promise: see the library; this is its process.

use kit::Exit;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Exit {
    if std::env::args().nth(1).as_deref() == Some("openapi") {
        println!("{}", api::openapi());
        return Exit::SUCCESS;
    }
    let cloud = match kit::serve::start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    kit::serve::ended(lambda_http::run(api::router(cloud)).await)
}
