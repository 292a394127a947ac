//! Tokens: make, list, revoke.

use crate::auth::{self, Caller};
use crate::body::{Asked, Body, Fields, Id, NoQuery};
use crate::problem::ApiError;
use crate::views;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::{Page, TokenCreate, TokenCreated, TokenView};
use domain::{Scope, TokenId, names};
use kit::Cloud;
use records::TokenRecord;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(token_create, token_list))
        .routes(routes!(token_revoke))
}

/// Make a token. It may do nothing that its maker may not.
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", request_body = TokenCreate,
    responses((status = 201, body = TokenCreated)))]
async fn token_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    body: Body<TokenCreate>,
) -> Result<(StatusCode, Json<TokenCreated>), ApiError> {
    caller.need(Scope::TokensManage)?;
    let asked = body.value;
    let mut fields = Fields::default();
    let name = fields.check("name", names::title(&asked.name));
    if asked.scopes.is_empty() {
        fields.refuse("scopes", "must name at least one");
    }
    for scope in &asked.scopes {
        if !caller.may(*scope) {
            fields.refuse("scopes", format!("{} is more than you may", scope.as_str()));
        } else if !asked.role.holds(*scope) {
            fields.refuse(
                "scopes",
                format!("{} is more than the role may", scope.as_str()),
            );
        }
    }
    fields.end()?;
    let secret = format!(
        "{}{}",
        auth::TOKEN_PREFIX,
        hex::encode(rand::random::<[u8; 24]>())
    );
    let (time, random) = cloud.id_parts();
    let token = TokenRecord::new(
        TokenId::from_parts(time, random),
        caller.team,
        &name.unwrap_or_default(),
        asked.role,
        asked.scopes,
        auth::hash(&secret),
        cloud.clock.now(),
    );
    let audit = caller.audit(&cloud, "token.create", token.id, token.name.clone());
    cloud.records.token_create(&token, &audit).await?;
    Ok((
        StatusCode::CREATED,
        Json(TokenCreated {
            token: views::token(token),
            secret,
        }),
    ))
}

/// The team's tokens.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens",
    responses((status = 200, body = Page<TokenView>)))]
async fn token_list(
    State(cloud): State<Cloud>,
    caller: Caller,
) -> Result<Json<Page<TokenView>>, ApiError> {
    caller.need(Scope::TokensManage)?;
    let items = cloud
        .records
        .tokens(caller.team)
        .await?
        .into_iter()
        .map(views::token)
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Revoke a token, for good.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", params(("id" = TokenId, Path)),
    responses((status = 204)))]
async fn token_revoke(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<TokenId>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::TokensManage)?;
    let audit = caller.audit(&cloud, "token.revoke", id, "");
    cloud.records.token_delete(caller.team, id, &audit).await?;
    Ok(StatusCode::NO_CONTENT)
}
