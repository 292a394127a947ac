//! The audit trail.

use crate::auth::Caller;
use crate::body::{Asked, Paging};
use crate::problem::ApiError;
use crate::views;
use axum::Json;
use axum::extract::State;
use contract::{AuditView, Page};
use domain::Scope;
use kit::Cloud;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new().routes(routes!(audit_list))
}

/// Who did what, newest first.
#[utoipa::path(get, path = "/v1/audit", tag = "audit", params(Paging),
    responses((status = 200, body = Page<AuditView>)))]
async fn audit_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(paging): Asked<Paging>,
) -> Result<Json<Page<AuditView>>, ApiError> {
    caller.need(Scope::AuditRead)?;
    let page = cloud
        .records
        .audit_page(caller.team, paging.cursor.as_deref(), paging.limit()?)
        .await?;
    Ok(Json(Page {
        items: page.items.into_iter().map(views::audit).collect(),
        next_cursor: page.next_cursor,
    }))
}
