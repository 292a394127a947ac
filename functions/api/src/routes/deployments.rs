//! Deployments: list, look, cancel, retry, undo, acknowledge.

use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, Id, IdempotencyKey, NoQuery, limit};
use crate::operations::releases::Earlier;
use crate::operations::{self, Operation, releases};
use crate::problem::ApiError;
use crate::routes::servers::Empty;
use crate::views;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{Acknowledge, DeploymentCreated, DeploymentDetail, DeploymentView, Page, Plan};
use domain::lifecycle::{self, Cancel, Change, Snapshot};
use domain::{DeploymentId, DeploymentStatus, Scope, Settlement, TargetKind, names};
use kit::Cloud;
use kit::releases::find;
use pipelines::inputs::{CheckServer, CreateSite, RegisterServer, Release};
use records::Created;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(deployment_list))
        .routes(routes!(deployment_show))
        .routes(routes!(deployment_cancel))
        .routes(routes!(deployment_retry))
        .routes(routes!(deployment_undo))
        .routes(routes!(deployment_acknowledge))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// From the page before.
    cursor: Option<String>,
    /// 1 to 100 entries.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
    /// Only those about this target: `site:ID`, `server:ID` or `environment:ID`.
    #[param(pattern = "^(site|server|environment):.*$")]
    target: Option<String>,
}

/// The team's deployments, newest first.
#[utoipa::path(get, path = "/v1/deployments", tag = "deployments", params(Listed),
    responses((status = 200, body = Page<DeploymentView>)))]
async fn deployment_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Page<DeploymentView>>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let (cursor, limit) = (listed.cursor.as_deref(), limit(listed.limit)?);
    let page = match listed.target {
        None => {
            cloud
                .records
                .history_page(caller.team, cursor, limit)
                .await?
        }
        Some(target) => {
            let bad = || {
                ApiError::bad_request(
                    "bad_query",
                    "The query is not what is expected: target must be site:ID, server:ID or environment:ID.",
                )
            };
            let (kind, id) = target.split_once(':').ok_or_else(bad)?;
            let kind: TargetKind = kind.parse().map_err(|_| bad())?;
            cloud
                .records
                .target_history_page(caller.team, kind, id, cursor, limit)
                .await?
        }
    };
    Ok(Json(Page {
        items: page.items.iter().map(DeploymentView::from).collect(),
        next_cursor: page.next_cursor,
    }))
}

/// One deployment with its steps.
#[utoipa::path(get, path = "/v1/deployments/{id}", tag = "deployments", params(("id" = DeploymentId, Path)),
    responses((status = 200, body = DeploymentDetail)))]
async fn deployment_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<DeploymentId>,
) -> Result<Json<DeploymentDetail>, ApiError> {
    caller.need(Scope::DeployRead)?;
    Ok(Json(DeploymentDetail::from(
        &cloud.records.deployment_snapshot(caller.team, id).await?,
    )))
}

/// Stop it: the verdict falls at once, what was done is taken back. A finished one is answered as it is.
#[utoipa::path(post, path = "/v1/deployments/{id}/cancel", tag = "deployments", params(("id" = DeploymentId, Path)),
    responses((status = 200, body = DeploymentDetail)))]
async fn deployment_cancel(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<DeploymentId>,
    _body: Body<Empty>,
) -> Result<Json<DeploymentDetail>, ApiError> {
    caller.need(Scope::DeployCancel)?;
    let now = cloud.clock.now();
    let decide = |snapshot: &Snapshot| -> Result<(Option<Change>, ()), ApiError> {
        match lifecycle::cancel(snapshot, &caller.name, now)? {
            Cancel::Go(change) => Ok((Some(*change), ())),
            Cancel::AlreadyFinished => Ok((None, ())),
            Cancel::TooLate => Err(ApiError::conflict(
                "too_late",
                "It passed the point of no return and is tidying up; nothing is taken back any more.",
            )),
        }
    };
    changed(&cloud, &caller, id, "deployment.cancel", "", decide).await
}

/// Try the undos again, after what stopped them was mended.
#[utoipa::path(post, path = "/v1/deployments/{id}/undo", tag = "deployments", params(("id" = DeploymentId, Path)),
    responses((status = 202, body = DeploymentDetail)))]
async fn deployment_undo(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<DeploymentId>,
    _body: Body<Empty>,
) -> Result<(StatusCode, Json<DeploymentDetail>), ApiError> {
    caller.need(Scope::DeployCancel)?;
    let now = cloud.clock.now();
    let decide = |snapshot: &Snapshot| needs_attention(lifecycle::undo_again(snapshot, now)?);
    Ok((
        StatusCode::ACCEPTED,
        changed(&cloud, &caller, id, "deployment.undo", "", decide).await?,
    ))
}

/// Accept what an undo left behind, and free the target.
#[utoipa::path(post, path = "/v1/deployments/{id}/acknowledge", tag = "deployments", params(("id" = DeploymentId, Path)), request_body = Acknowledge,
    responses((status = 200, body = DeploymentDetail)))]
async fn deployment_acknowledge(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<DeploymentId>,
    body: Body<Acknowledge>,
) -> Result<Json<DeploymentDetail>, ApiError> {
    caller.need(Scope::DeployCancel)?;
    let mut fields = Fields::default();
    let reason = fields.check("reason", names::title(&body.value.reason));
    fields.end()?;
    let now = cloud.clock.now();
    let decide = |snapshot: &Snapshot| needs_attention(lifecycle::acknowledge(snapshot, now)?);
    changed(
        &cloud,
        &caller,
        id,
        "deployment.acknowledge",
        &reason.unwrap_or_default(),
        decide,
    )
    .await
}

fn needs_attention(change: Option<Change>) -> Result<(Option<Change>, ()), ApiError> {
    match change {
        Some(change) => Ok((Some(change), ())),
        None => Err(ApiError::conflict(
            "no_attention_needed",
            "This deployment does not need attention: nothing is left to undo or to accept.",
        )),
    }
}

async fn changed(
    cloud: &Cloud,
    caller: &Caller,
    id: DeploymentId,
    action: &str,
    detail: &str,
    decide: impl Fn(&Snapshot) -> Result<(Option<Change>, ()), ApiError>,
) -> Result<Json<DeploymentDetail>, ApiError> {
    let audit = caller.audit(cloud, action, id, detail);
    let (snapshot, ()) = cloud
        .records
        .deployment_change_audited(caller.team, id, &audit, decide)
        .await?;
    Ok(Json(DeploymentDetail::from(&snapshot)))
}

fn input<T: DeserializeOwned>(snapshot: &Snapshot) -> Result<T, ApiError> {
    serde_json::from_value(snapshot.input.clone()).map_err(|_| {
        ApiError::unprocessable(
            "input_outdated",
            "What was asked for then cannot be repeated by this release; ask anew.",
        )
    })
}

/// The frozen input again: the operation, and the new password when a site's creation is repeated.
async fn again(
    cloud: &Cloud,
    caller: &Caller,
    snapshot: &Snapshot,
    dry_run: bool,
) -> Result<(Operation, Option<Zeroizing<String>>), ApiError> {
    match snapshot.deployment.pipeline.as_str() {
        "register_server" => Ok((
            operations::register_server(input::<RegisterServer>(snapshot)?)?,
            None,
        )),
        "check_server" => {
            let asked: CheckServer = input(snapshot)?;
            Ok((
                operations::check_server(
                    &cloud.records.server(caller.team, asked.server_id).await?,
                )?,
                None,
            ))
        }
        "create_site" => {
            let mut asked: CreateSite = input(snapshot)?;
            let password = operations::password();
            if !dry_run {
                asked.admin_password = operations::seal(
                    cloud,
                    caller,
                    &format!("first password of {}", asked.name),
                    password.as_bytes(),
                )
                .await?;
            }
            Ok((operations::create_site(asked)?, Some(password)))
        }
        name @ ("backup_site" | "restore_backup") => Ok((
            operations::again(name, &snapshot.deployment, snapshot.input.clone())?,
            None,
        )),
        "release" | "rollback" | "promote" => {
            Ok((release_again(cloud, caller, snapshot).await?, None))
        }
        name @ ("restart_environment"
        | "stop_environment"
        | "start_environment"
        | "observe_environment"
        | "remove_environment") => Ok((
            operations::again(name, &snapshot.deployment, snapshot.input.clone())?,
            None,
        )),
        other => Err(ApiError::unprocessable(
            "unknown_pipeline",
            format!("There is no pipeline {other} any more."),
        )),
    }
}

/// A release again: what it had resolved before it failed, and what opens its source and registries now.
async fn release_again(
    cloud: &Cloud,
    caller: &Caller,
    snapshot: &Snapshot,
) -> Result<Operation, ApiError> {
    let asked: Release = input(snapshot)?;
    let found = find(cloud, caller.team, asked.environment_id).await?;
    let frozen = cloud
        .records
        .frozen(caller.team, snapshot.deployment.id)
        .await?;
    let name = snapshot.deployment.pipeline.as_str();
    match (snapshot.deployment.rollback_of, asked.frozen_of) {
        (Some(to), Some(of)) if name == "rollback" => {
            let live = Earlier::live(cloud, &found.environment).await?;
            releases::rollback(&found, to, &found.rollback(asked, of, &live.input)?)
        }
        _ => {
            let again = found.retry(asked, frozen.as_ref())?;
            releases::release_of(&found, name, &again)
        }
    }
}

/// The scope that asking for it the first time needs too.
fn scope(pipeline: &str) -> Scope {
    match pipeline {
        "create_site" => Scope::SiteWrite,
        "backup_site" => Scope::BackupRun,
        "restore_backup" => Scope::BackupRestore,
        "rollback" => Scope::DeployRollback,
        "remove_environment" => Scope::EnvWrite,
        name if name == "release" || name == "promote" || name.ends_with("_environment") => {
            Scope::DeployStart
        }
        _ => Scope::ServerWrite,
    }
}

/// The same input again, as a new deployment. Only of one that failed or was cancelled, and is settled.
#[utoipa::path(post, path = "/v1/deployments/{id}/retry", tag = "deployments", params(DryRun, ("id" = DeploymentId, Path), IdempotencyKey),
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn deployment_retry(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<DeploymentId>,
    Asked(asked): Asked<DryRun>,
    body: Body<Empty>,
) -> Result<Response, ApiError> {
    caller.need(Scope::DeployStart)?;
    let snapshot = cloud.records.deployment_snapshot(caller.team, id).await?;
    caller.need(scope(&snapshot.deployment.pipeline))?;
    match (snapshot.deployment.status, snapshot.deployment.settlement) {
        (DeploymentStatus::Failed | DeploymentStatus::Cancelled, Settlement::Settled) => {}
        (DeploymentStatus::Completed, _) => {
            return Err(ApiError::conflict(
                "nothing_to_retry",
                "It completed; there is nothing to retry.",
            ));
        }
        (_, Settlement::NeedsAttention) => {
            return Err(ApiError::conflict(
                "needs_attention",
                format!(
                    "It needs attention first: triphammer deployments undo {id}, or acknowledge {id}."
                ),
            ));
        }
        _ => {
            return Err(ApiError::conflict(
                "not_settled",
                "It has not ended yet; wait until it is settled.",
            ));
        }
    }
    let (operation, password) = again(&cloud, &caller, &snapshot, asked.dry_run).await?;
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
        "deployment.retry",
        id,
        operation.target.name.clone(),
    );
    let mut new = operation.ready(&cloud, &caller, body.idempotency(&caller), audit)?;
    new.deployment.retry_of = Some(id);
    let created = cloud.records.deployment_create(new).await?;
    let (Created::New(new_id) | Created::Repeat(new_id)) = created;
    let deployment = cloud
        .records
        .deployment_snapshot(caller.team, new_id)
        .await?
        .deployment;
    let admin_password = password
        .filter(|_| matches!(created, Created::New(_)))
        .map(|password| password.to_string());
    Ok((
        StatusCode::CREATED,
        Json(DeploymentCreated {
            deployment: DeploymentView::from(&deployment),
            admin_password,
        }),
    )
        .into_response())
}
