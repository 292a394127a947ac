//! Tickets for the live channel.

use crate::auth::{self, Caller};
use crate::body::{Asked, Body, NoQuery};
use crate::problem::ApiError;
use crate::routes::servers::Empty;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::LiveTicket;
use domain::Scope;
use kit::Cloud;
use records::Ticket;
use std::time::Duration;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A client connects at once; whoever reads the address in a log later finds it used or expired.
const TICKET_TTL: Duration = Duration::from_secs(30);

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new().routes(routes!(live_ticket_create))
}

/// An address for one WebSocket connection, within half a minute. Commands and events are described in the documentation.
#[utoipa::path(post, path = "/v1/live-tickets", tag = "live",
    responses((status = 201, body = LiveTicket)))]
async fn live_ticket_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    _body: Body<Empty>,
) -> Result<(StatusCode, Json<LiveTicket>), ApiError> {
    caller.need(Scope::DeployRead)?;
    let secret = format!("lt_{}", hex::encode(rand::random::<[u8; 24]>()));
    let expires_at = cloud.clock.now() + TICKET_TTL;
    let ticket = Ticket {
        hash: auth::hash(&secret),
        team_id: caller.team,
        token_id: caller.token_id,
        expires_at: expires_at.timestamp(),
    };
    cloud.records.ticket_create(&ticket).await?;
    let url = format!("{}?ticket={secret}", cloud.config.live_url);
    Ok((StatusCode::CREATED, Json(LiveTicket { url, expires_at })))
}
