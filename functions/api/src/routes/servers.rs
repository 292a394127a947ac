//! Servers: register, confirm a host key, check, look.

use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, Id, IdempotencyKey, NoQuery};
use crate::problem::ApiError;
use crate::{operations, views};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{
    DeploymentCreated, DeploymentView, HostKeyConfirm, Page, Plan, ServerCreate, ServerCreated,
    ServerView,
};
use domain::{Scope, SecretId, Server, ServerId, names};
use kit::Cloud;
use pipelines::inputs::RegisterServer;
use records::Created;
use std::net::IpAddr;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(server_create, server_list))
        .routes(routes!(server_show))
        .routes(routes!(server_check))
        .routes(routes!(server_confirm))
}

fn host(text: &str) -> Result<String, names::BadName> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(ip.to_string());
    }
    names::domain(text)
        .map_err(|_| names::BadName("must be an address or a full host name".to_string()))
}

fn fingerprint(text: &str) -> Result<String, names::BadName> {
    let ok = text.strip_prefix("SHA256:").is_some_and(|sum| {
        sum.len() == 43
            && sum
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/')
    });
    if ok {
        Ok(text.to_string())
    } else {
        Err(names::BadName(
            "must be a fingerprint as ssh-keygen -l shows it: SHA256:…".to_string(),
        ))
    }
}

fn private_key(text: &str) -> Result<(), names::BadName> {
    let text = text.trim();
    if text.starts_with("-----BEGIN ")
        && text.contains("PRIVATE KEY-----")
        && !text.contains("ENCRYPTED")
    {
        Ok(())
    } else {
        Err(names::BadName(
            "must be a private key in OpenSSH or PEM format, without a passphrase".to_string(),
        ))
    }
}

/// Register a server: pin its host key, install the agent, look at what it has.
#[utoipa::path(post, path = "/v1/servers", tag = "servers", params(DryRun, IdempotencyKey), request_body = ServerCreate,
    responses((status = 201, body = ServerCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn server_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(asked): Asked<DryRun>,
    body: Body<ServerCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::ServerWrite)?;
    caller.need(Scope::DeployStart)?;
    let idempotency = body.idempotency(&caller);
    let new = body.value;
    let mut fields = Fields::default();
    let name = fields.check("name", names::slug(&new.name));
    let host = fields.check("host", host(&new.host));
    let user = fields.check("user", names::unix_user(&new.user));
    fields.check("private_key", private_key(&new.private_key));
    let host_key = new
        .host_key
        .as_deref()
        .and_then(|key| fields.check("host_key", fingerprint(key)));
    if new.port == 0 {
        fields.refuse("port", "must be 1 to 65535");
    }
    fields.end()?;
    let (time, random) = cloud.id_parts();
    let server_id = ServerId::from_parts(time, random);
    let name = name.unwrap_or_default();
    // A dry run stores nothing, so its input names secrets that do not exist.
    let bootstrap_key = if asked.dry_run {
        SecretId::from_parts(0, 0)
    } else {
        operations::seal(
            &cloud,
            &caller,
            &format!("bootstrap key of {name}"),
            new.private_key.as_bytes(),
        )
        .await?
    };
    let (_, random) = cloud.id_parts();
    let input = RegisterServer {
        server_id,
        name,
        host: host.unwrap_or_default(),
        port: new.port,
        user: user.unwrap_or_default(),
        bootstrap_key,
        agent_key: SecretId::from_parts(time, random),
        host_key,
    };
    let operation = operations::register_server(input)?;
    if asked.dry_run {
        return Ok(Json(views::plan(
            &operation.pipeline,
            &operation.input,
            &operation.locks,
        ))
        .into_response());
    }
    let audit = caller.audit(
        &cloud,
        "server.register",
        server_id,
        operation.target.name.clone(),
    );
    let new = operation.ready(&cloud, &caller, idempotency, audit)?;
    let (Created::New(id) | Created::Repeat(id)) = cloud.records.deployment_create(new).await?;
    let deployment = cloud
        .records
        .deployment_snapshot(caller.team, id)
        .await?
        .deployment;
    let server = cloud
        .records
        .server(
            caller.team,
            deployment
                .target
                .id
                .parse()
                .map_err(|_| ApiError::not_found("server"))?,
        )
        .await?;
    Ok((
        StatusCode::CREATED,
        Json(ServerCreated {
            server: views::server(server),
            deployment: DeploymentView::from(&deployment),
        }),
    )
        .into_response())
}

/// The team's servers.
#[utoipa::path(get, path = "/v1/servers", tag = "servers",
    responses((status = 200, body = Page<ServerView>)))]
async fn server_list(
    State(cloud): State<Cloud>,
    caller: Caller,
) -> Result<Json<Page<ServerView>>, ApiError> {
    caller.need(Scope::ServerRead)?;
    let items = cloud
        .records
        .servers(caller.team)
        .await?
        .into_iter()
        .map(views::server)
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// One server.
#[utoipa::path(get, path = "/v1/servers/{id}", tag = "servers", params(("id" = ServerId, Path)),
    responses((status = 200, body = ServerView)))]
async fn server_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<ServerId>,
) -> Result<Json<ServerView>, ApiError> {
    caller.need(Scope::ServerRead)?;
    Ok(Json(views::server(
        cloud.records.server(caller.team, id).await?,
    )))
}

/// Look again at what a server has.
#[utoipa::path(post, path = "/v1/servers/{id}/check", tag = "servers", params(DryRun, ("id" = ServerId, Path), IdempotencyKey),
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn server_check(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<ServerId>,
    Asked(asked): Asked<DryRun>,
    body: Body<Empty>,
) -> Result<Response, ApiError> {
    caller.need(Scope::ServerWrite)?;
    caller.need(Scope::DeployStart)?;
    let server = cloud.records.server(caller.team, id).await?;
    let operation = operations::check_server(&server)?;
    if asked.dry_run {
        return Ok(Json(views::plan(
            &operation.pipeline,
            &operation.input,
            &operation.locks,
        ))
        .into_response());
    }
    let audit = caller.audit(&cloud, "server.check", id, server.name);
    let new = operation.ready(&cloud, &caller, body.idempotency(&caller), audit)?;
    let (Created::New(id) | Created::Repeat(id)) = cloud.records.deployment_create(new).await?;
    let deployment = cloud
        .records
        .deployment_snapshot(caller.team, id)
        .await?
        .deployment;
    Ok((
        StatusCode::CREATED,
        Json(DeploymentCreated {
            deployment: DeploymentView::from(&deployment),
            admin_password: None,
        }),
    )
        .into_response())
}

/// No fields.
#[derive(Debug, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Empty {}

/// Say yes to the host key that was seen.
#[utoipa::path(post, path = "/v1/servers/{id}/host-key", tag = "servers", params(("id" = ServerId, Path)), request_body = HostKeyConfirm,
    responses((status = 200, body = ServerView)))]
async fn server_confirm(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<ServerId>,
    body: Body<HostKeyConfirm>,
) -> Result<Json<ServerView>, ApiError> {
    caller.need(Scope::ServerWrite)?;
    let server = cloud.records.server(caller.team, id).await?;
    let said = body.value.fingerprint;
    match (&server.host_key, &server.host_key_seen) {
        (Some(pinned), _) if pinned.fingerprint == said => return Ok(Json(views::server(server))),
        (Some(_), _) => {
            return Err(ApiError::conflict(
                "host_key_pinned",
                "Another host key is pinned already.",
            ));
        }
        (None, None) => {
            return Err(ApiError::conflict(
                "host_key_not_seen",
                "No host key was seen yet; wait until the server was reached.",
            ));
        }
        (None, Some(seen)) if seen.fingerprint != said => {
            return Err(ApiError::conflict(
                "host_key_mismatch",
                format!("The server shows {}, not {said}.", seen.fingerprint),
            ));
        }
        (None, Some(_)) => {}
    }
    let audit = caller.audit(&cloud, "server.host_key", id, said.clone());
    cloud.records.audit_write(caller.team, &audit).await?;
    let pin = |server: &mut Server| {
        if server.host_key.is_none() {
            server.host_key = server
                .host_key_seen
                .clone()
                .filter(|seen| seen.fingerprint == said);
        }
    };
    Ok(Json(views::server(
        cloud.records.server_update(caller.team, id, pin).await?,
    )))
}
