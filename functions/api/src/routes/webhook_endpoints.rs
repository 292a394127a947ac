//! Webhook endpoints: add, list, remove. They share the scope of tokens: both decide who learns of the team's affairs.

use crate::auth::Caller;
use crate::body::{Asked, Body, Id, NoQuery};
use crate::problem::ApiError;
use crate::views;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::{
    FieldProblem, Page, WebhookEndpointCreate, WebhookEndpointCreated, WebhookEndpointView,
};
use domain::{Scope, SecretId, WebhookEndpointId};
use kit::outbound::Guard;
use kit::{Cloud, webhook_signature};
use records::WebhookEndpoint;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(webhook_endpoint_create, webhook_endpoint_list))
        .routes(routes!(webhook_endpoint_delete))
}

/// Have notices sent to an address, signed as Standard Webhooks has it. A team has at most 10.
#[utoipa::path(post, path = "/v1/webhook-endpoints", tag = "webhook endpoints", request_body = WebhookEndpointCreate,
    responses((status = 201, body = WebhookEndpointCreated)))]
async fn webhook_endpoint_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    body: Body<WebhookEndpointCreate>,
) -> Result<(StatusCode, Json<WebhookEndpointCreated>), ApiError> {
    caller.need(Scope::TokensManage)?;
    let url = Guard::new(&cloud.config.outbound_allowed)
        .url(&body.value.url)
        .map_err(|why| {
            ApiError::invalid(vec![FieldProblem {
                field: "url".to_string(),
                message: why.to_string(),
            }])
        })?;
    let host = url.host_str().unwrap_or_default();
    let (time, random) = cloud.id_parts();
    let id = WebhookEndpointId::from_parts(time, random);
    let (time, random) = cloud.id_parts();
    let secret_id = SecretId::from_parts(time, random);
    let secret = webhook_signature::new_secret();
    let sealed = cloud
        .secrets
        .sealed(
            caller.team,
            secret_id,
            &format!("signs notices to {host}"),
            secret.as_bytes(),
            None,
        )
        .await?;
    let endpoint =
        WebhookEndpoint::new(id, caller.team, url.as_str(), secret_id, cloud.clock.now());
    // The host only: what follows it may be what the receiver keeps secret.
    let audit = caller.audit(&cloud, "webhook_endpoint.create", id, host);
    cloud
        .records
        .webhook_endpoint_create(&endpoint, &sealed, &audit)
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(WebhookEndpointCreated {
            endpoint: views::webhook_endpoint(endpoint),
            secret: secret.to_string(),
        }),
    ))
}

/// The team's webhook endpoints.
#[utoipa::path(get, path = "/v1/webhook-endpoints", tag = "webhook endpoints",
    responses((status = 200, body = Page<WebhookEndpointView>)))]
async fn webhook_endpoint_list(
    State(cloud): State<Cloud>,
    caller: Caller,
) -> Result<Json<Page<WebhookEndpointView>>, ApiError> {
    caller.need(Scope::TokensManage)?;
    let items = cloud
        .records
        .webhook_endpoints(caller.team)
        .await?
        .into_iter()
        .map(views::webhook_endpoint)
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Send no more notices to an address, and forget its secret.
#[utoipa::path(delete, path = "/v1/webhook-endpoints/{id}", tag = "webhook endpoints", params(("id" = WebhookEndpointId, Path)),
    responses((status = 204)))]
async fn webhook_endpoint_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<WebhookEndpointId>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::TokensManage)?;
    let audit = caller.audit(&cloud, "webhook_endpoint.delete", id, "");
    cloud
        .records
        .webhook_endpoint_delete(caller.team, id, &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
