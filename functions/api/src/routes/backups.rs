//! Backups of a site: create, list, look, restore, delete.

use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, IdempotencyKey, NoQuery};
use crate::operations::{self, Operation};
use crate::problem::ApiError;
use crate::views;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use backups::plan::Wanted;
use contract::{
    BackupCreate, BackupRestore, BackupView, DeploymentCreated, DeploymentView, Page, Plan,
};
use domain::backup::{self, BrokenChain, CHAIN_LIMIT};
use domain::{
    Backup, BackupConfiguration, BackupId, BackupReason, BackupScope, LockKey, RestorePointStatus,
    Scope, Site, SiteId, SiteStatus,
};
use kit::Cloud;
use records::{CreateRefused, Created};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Patterns of what is left out.
const EXCLUDE_LIMIT: usize = 50;
/// Each of them.
const PATTERN_LIMIT_BYTES: usize = 200;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(backup_create, backup_list))
        .routes(routes!(backup_show, backup_delete))
        .routes(routes!(backup_restore))
}

/// A backup of this site; another site's or team's is a 404.
async fn found(
    cloud: &Cloud,
    caller: &Caller,
    site: &str,
    id: &str,
) -> Result<(Site, Backup), ApiError> {
    let site = site_of(cloud, caller, site).await?;
    let id: BackupId = id.parse().map_err(|_| ApiError::not_found("backup"))?;
    let backup = cloud.records.backup(caller.team, site.id, id).await?;
    Ok((site, backup))
}

pub(super) async fn site_of(cloud: &Cloud, caller: &Caller, id: &str) -> Result<Site, ApiError> {
    let id: SiteId = id.parse().map_err(|_| ApiError::not_found("site"))?;
    Ok(cloud.records.site(caller.team, id).await?)
}

fn is_pattern(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= PATTERN_LIMIT_BYTES
        && !text.starts_with('/')
        && !text.split('/').any(|part| part == "..")
        && !text.chars().any(char::is_control)
}

/// May this be left out of a backup that holds that?
pub(super) fn exclude_checked(fields: &mut Fields, scope: BackupScope, exclude: &[String]) {
    if exclude.len() > EXCLUDE_LIMIT {
        fields.refuse("exclude", format!("may be {EXCLUDE_LIMIT} at most"));
    }
    for pattern in exclude.iter().filter(|text| !is_pattern(text)) {
        fields.refuse(
            "exclude",
            format!("{pattern:?} is no path below the web root"),
        );
    }
    if scope == BackupScope::Database && !exclude.is_empty() {
        fields.refuse("exclude", "means nothing when no files are backed up");
    }
}

/// What is wanted: what the configuration says, when one is named, or what the body does.
fn wanted<'a>(
    asked: BackupCreate,
    configuration: Option<&BackupConfiguration>,
    backups: &'a [Backup],
) -> Result<Wanted<'a>, ApiError> {
    let mut fields = Fields::default();
    let mut wanted = match configuration {
        Some(configuration) => {
            for (field, is_given) in [
                ("scope", asked.scope.is_some()),
                ("exclude", !asked.exclude.is_empty()),
            ] {
                if is_given {
                    fields.refuse(field, "is the configuration's, when one is named");
                }
            }
            Wanted::of(configuration, BackupReason::Manual, backups)
        }
        None => {
            let scope = asked.scope.unwrap_or(BackupScope::Site);
            exclude_checked(&mut fields, scope, &asked.exclude);
            let parent = backup::parent(backups, None, CHAIN_LIMIT);
            Wanted {
                scope,
                reason: BackupReason::Manual,
                exclude: asked.exclude,
                parent: parent.filter(|_| scope.has_files()),
                configuration_id: None,
            }
        }
    };
    if asked.full {
        wanted.parent = None;
        if !wanted.scope.has_files() {
            fields.refuse("full", "means nothing when no files are backed up");
        }
    }
    fields.end()?;
    Ok(wanted)
}

pub(super) fn ready(site: &Site) -> Result<(), ApiError> {
    match site.status {
        SiteStatus::Active => Ok(()),
        SiteStatus::Creating => Err(ApiError::unprocessable(
            "site_not_ready",
            format!("The site {} is not created yet.", site.name),
        )),
    }
}

/// Back up a site.
#[utoipa::path(post, path = "/v1/sites/{id}/backups", tag = "backups", params(DryRun, ("id" = SiteId, Path), IdempotencyKey), request_body = Option<BackupCreate>,
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn backup_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path(site): Path<String>,
    Asked(asked): Asked<DryRun>,
    body: Body<BackupCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::BackupRun)?;
    caller.need(Scope::DeployStart)?;
    let site = site_of(&cloud, &caller, &site).await?;
    let idempotency = body.idempotency(&caller);
    let records = &cloud.records;
    let configuration = match body.value.configuration_id {
        Some(id) => Some(
            records
                .backup_configuration(caller.team, site.id, id)
                .await?,
        ),
        None => None,
    };
    let backups = records.backups(caller.team, site.id).await?;
    let wanted = wanted(body.value, configuration.as_ref(), &backups)?;
    ready(&site)?;
    let operation = operations::backup_site(&cloud, &site, wanted)?;
    begin(
        &cloud,
        &caller,
        operation,
        asked.dry_run,
        idempotency,
        "backup.create",
    )
    .await
}

/// A site's backups, newest first.
#[utoipa::path(get, path = "/v1/sites/{id}/backups", tag = "backups", params(("id" = SiteId, Path)),
    responses((status = 200, body = Page<BackupView>)))]
async fn backup_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path(site): Path<String>,
) -> Result<Json<Page<BackupView>>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let site = site_of(&cloud, &caller, &site).await?;
    let backups = cloud.records.backups(caller.team, site.id).await?;
    Ok(Json(Page {
        items: backups.into_iter().map(BackupView::from).collect(),
        next_cursor: None,
    }))
}

/// One backup.
#[utoipa::path(get, path = "/v1/sites/{id}/backups/{backup_id}", tag = "backups", params(("id" = SiteId, Path), ("backup_id" = BackupId, Path)),
    responses((status = 200, body = BackupView)))]
async fn backup_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
) -> Result<Json<BackupView>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let (_, backup) = found(&cloud, &caller, &site, &id).await?;
    Ok(Json(BackupView::from(backup)))
}

/// Delete a backup; its objects can be had back from the bucket's old versions for a month. One that another goes on from stays, and nothing may be at work on the site.
#[utoipa::path(delete, path = "/v1/sites/{id}/backups/{backup_id}", tag = "backups", params(("id" = SiteId, Path), ("backup_id" = BackupId, Path)),
    responses((status = 204, description = "it is no more")))]
async fn backup_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
    Asked(_): Asked<NoQuery>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::BackupRun)?;
    caller.need(Scope::SiteWrite)?;
    let (site, backup) = found(&cloud, &caller, &site, &id).await?;
    let backups = cloud.records.backups(caller.team, site.id).await?;
    if let Some(child) = backups.iter().find(|other| other.parent == Some(backup.id)) {
        return Err(ApiError::conflict(
            "backup_in_use",
            format!(
                "The backup {} goes on from this one, and cannot be restored without it; delete that one first.",
                child.id
            ),
        ));
    }
    idle(&cloud, &site).await?;
    let audit = caller.audit(&cloud, "backup.delete", backup.id, &site.name);
    cloud.records.audit_write(caller.team, &audit).await?;
    // First it can be restored no more, then its bytes go, then its record: a repeat goes on where this one stopped.
    let expired = cloud
        .records
        .backup_expire_idle(caller.team, site.id, backup.id)
        .await?;
    if !expired {
        idle(&cloud, &site).await?;
        return Err(ApiError::conflict(
            "changed_meanwhile",
            "Something was at work on the site a moment ago; try again.",
        ));
    }
    backups::Store::new(&cloud.config)
        .await
        .delete(&backup.keys())
        .await
        .map_err(kit::StepError::from)?;
    cloud
        .records
        .backup_delete(caller.team, site.id, backup.id)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Nothing is at work on the site: a backup or a restore may need what is about to go.
async fn idle(cloud: &Cloud, site: &Site) -> Result<(), ApiError> {
    let lock = cloud
        .records
        .lock(site.team_id, &LockKey::site(site.id))
        .await?;
    let Some(deployment_id) = lock.holder else {
        return Ok(());
    };
    Err(CreateRefused::Held {
        deployment_id,
        operation_name: lock.operation_name.unwrap_or_default(),
        since: lock.since,
    }
    .into())
}

/// Put a backup back, after a backup of what is there.
#[utoipa::path(post, path = "/v1/sites/{id}/backups/{backup_id}/restore", tag = "backups", params(DryRun, ("id" = SiteId, Path), ("backup_id" = BackupId, Path), IdempotencyKey), request_body = Option<BackupRestore>,
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn backup_restore(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
    Asked(asked): Asked<DryRun>,
    body: Body<BackupRestore>,
) -> Result<Response, ApiError> {
    caller.need(Scope::BackupRestore)?;
    caller.need(Scope::DeployStart)?;
    let (site, backup) = found(&cloud, &caller, &site, &id).await?;
    let idempotency = body.idempotency(&caller);
    ready(&site)?;
    if backup.restore_point == RestorePointStatus::Expired {
        return Err(ApiError::conflict(
            "restore_point_expired",
            "This backup was pruned, and cannot be restored any more.",
        ));
    }
    let scope = body.value.scope.unwrap_or(backup.scope);
    let missing = (scope.has_database() && backup.database.is_none())
        || (scope.has_files() && backup.files.is_none());
    if missing {
        return Err(ApiError::unprocessable(
            "not_in_backup",
            format!(
                "This backup holds the {} alone.",
                if backup.files.is_none() {
                    "database"
                } else {
                    "files"
                }
            ),
        ));
    }
    let backups = cloud.records.backups(caller.team, site.id).await?;
    let chain = if scope.has_files() {
        backup::chain(&backups, backup.id).map_err(|why| {
            ApiError::conflict(
                match why {
                    BrokenChain::Expired => "restore_point_expired",
                    BrokenChain::Missing | BrokenChain::TooLong => "broken_chain",
                },
                format!("Its files cannot be put together: {why}."),
            )
        })?
    } else {
        Vec::new()
    };
    let parent = backup::parent(&backups, None, CHAIN_LIMIT);
    let wanted = Wanted {
        scope,
        reason: BackupReason::BeforeRestore,
        exclude: Vec::new(),
        parent: parent.filter(|_| scope.has_files()),
        configuration_id: None,
    };
    let operation = operations::restore_backup(&cloud, &site, &backup, &chain, wanted)?;
    begin(
        &cloud,
        &caller,
        operation,
        asked.dry_run,
        idempotency,
        "backup.restore",
    )
    .await
}

async fn begin(
    cloud: &Cloud,
    caller: &Caller,
    operation: Operation,
    dry_run: bool,
    idempotency: Option<records::Idempotency>,
    action: &str,
) -> Result<Response, ApiError> {
    if dry_run {
        return Ok(Json(views::plan(
            &operation.pipeline,
            &operation.input,
            &operation.locks,
        ))
        .into_response());
    }
    let target = operation.target.clone();
    let audit = caller.audit(cloud, action, target.id, target.name);
    let new = operation.ready(cloud, caller, idempotency, audit)?;
    let (Created::New(id) | Created::Repeat(id)) = cloud.records.deployment_create(new).await?;
    let deployment = cloud.records.deployment(caller.team, id).await?;
    Ok((
        StatusCode::CREATED,
        Json(DeploymentCreated {
            deployment: DeploymentView::from(&deployment),
            admin_password: None,
        }),
    )
        .into_response())
}
