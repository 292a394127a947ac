//! The HTTP API: reads records, and creates deployments in one transaction. It starts nothing itself and holds no SSH key.
//!
//! Promise: what is refused changed nothing; another team's id is a 404; every error is problem+json with a stable code.

mod auth;
mod body;
mod description;
mod operations;
mod problem;
mod routes;
mod settings;
mod views;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use kit::Cloud;
use problem::ApiError;
use utoipa_axum::router::OpenApiRouter;

/// The most a request may weigh: no request of people's is larger, and a private key is 4 KB.
const BODY_LIMIT_BYTES: usize = 64 * 1024;
/// Where a Compose file (64 KB) or an environment's values (256 KB) are sent, with room for what JSON makes of them.
const LARGE_BODY_LIMIT_BYTES: usize = 512 * 1024;

fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::with_openapi(description::frame())
        .merge(routes::health::routes())
        .merge(routes::servers::routes())
        .merge(routes::sites::routes())
        .merge(routes::backups::routes())
        .merge(routes::backup_configurations::routes())
        .merge(routes::projects::routes())
        .merge(routes::services::routes().layer(DefaultBodyLimit::max(LARGE_BODY_LIMIT_BYTES)))
        .merge(routes::environments::routes())
        .merge(routes::values::routes().layer(DefaultBodyLimit::max(LARGE_BODY_LIMIT_BYTES)))
        .merge(routes::releases::routes().layer(DefaultBodyLimit::max(LARGE_BODY_LIMIT_BYTES)))
        .merge(routes::uploads::routes())
        .merge(routes::deployments::routes())
        .merge(routes::logs::routes())
        .merge(routes::tokens::routes())
        .merge(routes::live::routes())
        .merge(routes::webhook_endpoints::routes())
        .merge(routes::audit::routes())
}

/// All routes.
pub fn router(cloud: Cloud) -> Router {
    let (router, _) = routes().split_for_parts();
    router
        .fallback(|| async { ApiError::not_found("address") })
        .method_not_allowed_fallback(|| async { ApiError::method_not_allowed() })
        .layer(DefaultBodyLimit::max(BODY_LIMIT_BYTES))
        .with_state(cloud)
}

/// The API's description, OpenAPI 3.1, as JSON.
pub fn openapi() -> String {
    let (_, mut description) = routes().split_for_parts();
    description::complete(&mut description);
    description.to_pretty_json().unwrap_or_default()
}
