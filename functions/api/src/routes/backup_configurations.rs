//! Backup configurations of a site: create, list, look, change, delete, and what their retention does; restore points.

use super::backups::{exclude_checked, ready, site_of};
use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, NoQuery};
use crate::problem::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{
    BackupConfigurationCreate, BackupConfigurationPlan, BackupConfigurationUpdate,
    BackupConfigurationView, Page, RestorePointView, RetentionPlan,
};
use domain::backup::CHAIN_LIMIT;
use domain::{
    BackupConfiguration, BackupConfigurationId, BackupScope, Retention, SCHEMA, Schedule, Scope,
    Site, SiteId, names, retention, schedule,
};
use kit::Cloud;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Enough to see what an expression means.
const OCCURRENCES_SHOWN: usize = 3;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(
            backup_configuration_create,
            backup_configuration_list
        ))
        .routes(routes!(
            backup_configuration_show,
            backup_configuration_update,
            backup_configuration_delete
        ))
        .routes(routes!(backup_configuration_retention))
        .routes(routes!(restore_point_list))
}

/// A configuration of this site; another site's or team's is a 404.
async fn found(
    cloud: &Cloud,
    caller: &Caller,
    site: &str,
    id: &str,
) -> Result<(Site, BackupConfiguration), ApiError> {
    let site = site_of(cloud, caller, site).await?;
    let id: BackupConfigurationId = id
        .parse()
        .map_err(|_| ApiError::not_found("backup configuration"))?;
    let found = cloud
        .records
        .backup_configuration(caller.team, site.id, id)
        .await?;
    Ok((site, found))
}

fn retention_checked(fields: &mut Fields, retention: Option<Retention>) {
    let Some(policy) = retention else {
        return;
    };
    if policy.keeps_nothing() {
        fields.refuse(
            "retention",
            "keeps nothing: one of its numbers must be above 0, and without a retention all are kept",
        );
    }
    if policy.is_too_much() {
        let limit = retention::KEEP_LIMIT;
        fields.refuse("retention", format!("may count to {limit} at most"));
    }
}

fn full_every_checked(fields: &mut Fields, full_every: u32) {
    if !(1..=CHAIN_LIMIT).contains(&(full_every as usize)) {
        fields.refuse("full_every", format!("must be 1 to {CHAIN_LIMIT}"));
    }
}

/// What is asked for, in its stored form.
fn made(
    cloud: &Cloud,
    site: &Site,
    asked: BackupConfigurationCreate,
) -> Result<BackupConfiguration, ApiError> {
    let mut fields = Fields::default();
    let name = fields.check("name", names::slug(&asked.name));
    let cron = fields.check("schedule", schedule::cron(&asked.schedule));
    let time_zone = fields.check("time_zone", schedule::time_zone(&asked.time_zone));
    exclude_checked(&mut fields, asked.scope, &asked.exclude);
    full_every_checked(&mut fields, asked.full_every);
    retention_checked(&mut fields, asked.retention);
    fields.end()?;
    let ((time, random), now) = (cloud.id_parts(), cloud.clock.now());
    let mut configuration = BackupConfiguration {
        schema: SCHEMA,
        id: BackupConfigurationId::from_parts(time, random),
        team_id: site.team_id,
        site_id: site.id,
        name: name.unwrap_or_default(),
        scope: asked.scope,
        exclude: asked.exclude,
        schedule: Schedule {
            cron: cron.unwrap_or_default(),
            time_zone: time_zone.unwrap_or_default(),
        },
        full_every: asked.full_every,
        retention: asked.retention,
        enabled: asked.enabled,
        next_due_at: None,
        due_since: now,
        created_at: now,
    };
    configuration.scheduled(now);
    Ok(configuration)
}

/// The same with what is asked to change.
fn changed(
    cloud: &Cloud,
    configuration: &mut BackupConfiguration,
    asked: &BackupConfigurationUpdate,
) -> Result<(), ApiError> {
    let mut fields = Fields::default();
    let before = (configuration.schedule.clone(), configuration.enabled);
    if let Some(name) = &asked.name {
        configuration.name = fields.check("name", names::slug(name)).unwrap_or_default();
    }
    if let Some(cron) = &asked.schedule {
        let cron = fields.check("schedule", schedule::cron(cron));
        configuration.schedule.cron = cron.unwrap_or_default();
    }
    if let Some(zone) = &asked.time_zone {
        let zone = fields.check("time_zone", schedule::time_zone(zone));
        configuration.schedule.time_zone = zone.unwrap_or_default();
    }
    configuration.scope = asked.scope.unwrap_or(configuration.scope);
    if let Some(exclude) = &asked.exclude {
        configuration.exclude = exclude.clone();
    } else if configuration.scope == BackupScope::Database {
        configuration.exclude.clear();
    }
    exclude_checked(&mut fields, configuration.scope, &configuration.exclude);
    configuration.full_every = asked.full_every.unwrap_or(configuration.full_every);
    full_every_checked(&mut fields, configuration.full_every);
    configuration.retention = asked.retention.unwrap_or(configuration.retention);
    retention_checked(&mut fields, configuration.retention);
    configuration.enabled = asked.enabled.unwrap_or(configuration.enabled);
    fields.end()?;
    if before != (configuration.schedule.clone(), configuration.enabled) {
        configuration.scheduled(cloud.clock.now());
    }
    Ok(())
}

async fn view(
    cloud: &Cloud,
    configuration: BackupConfiguration,
) -> Result<BackupConfigurationView, ApiError> {
    let (team, site) = (configuration.team_id, configuration.site_id);
    let backups = cloud.records.backups(team, site).await?;
    Ok(BackupConfigurationView::of(configuration, &backups))
}

async fn plan(cloud: &Cloud, configuration: BackupConfiguration) -> Result<Response, ApiError> {
    let (team, site) = (configuration.team_id, configuration.site_id);
    let backups = cloud.records.backups(team, site).await?;
    let decisions = retention::plan(&configuration, &backups);
    Ok(Json(BackupConfigurationPlan {
        next_due: configuration.occurrences(cloud.clock.now(), OCCURRENCES_SHOWN),
        retention: RetentionPlan::of(decisions, &backups),
        configuration: BackupConfigurationView::of(configuration, &backups),
    })
    .into_response())
}

/// Back up a site by a schedule. A site has at most 10 configurations.
#[utoipa::path(post, path = "/v1/sites/{id}/backup-configurations", tag = "backups", params(DryRun, ("id" = SiteId, Path)), request_body = BackupConfigurationCreate,
    responses((status = 201, body = BackupConfigurationView), (status = 200, description = "what a dry run comes to", body = BackupConfigurationPlan)))]
async fn backup_configuration_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path(site): Path<String>,
    Asked(asked): Asked<DryRun>,
    body: Body<BackupConfigurationCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::BackupRun)?;
    caller.need(Scope::SiteWrite)?;
    let site = site_of(&cloud, &caller, &site).await?;
    let new = made(&cloud, &site, body.value)?;
    ready(&site)?;
    if asked.dry_run {
        cloud.records.backup_configuration_fits(&new).await?;
        return plan(&cloud, new).await;
    }
    let detail = format!("{} of {}", new.name, site.name);
    let audit = caller.audit(&cloud, "backup_configuration.create", new.id, detail);
    cloud
        .records
        .backup_configuration_create(&new, &audit)
        .await?;
    Ok((StatusCode::CREATED, Json(view(&cloud, new).await?)).into_response())
}

/// A site's backup configurations, oldest first.
#[utoipa::path(get, path = "/v1/sites/{id}/backup-configurations", tag = "backups", params(("id" = SiteId, Path)),
    responses((status = 200, body = Page<BackupConfigurationView>)))]
async fn backup_configuration_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path(site): Path<String>,
) -> Result<Json<Page<BackupConfigurationView>>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let site = site_of(&cloud, &caller, &site).await?;
    let (records, team) = (&cloud.records, caller.team);
    let all = records.backup_configurations(team, site.id).await?;
    let backups = records.backups(team, site.id).await?;
    let view = |configuration| BackupConfigurationView::of(configuration, &backups);
    Ok(Json(Page {
        items: all.into_iter().map(view).collect(),
        next_cursor: None,
    }))
}

/// One backup configuration.
#[utoipa::path(get, path = "/v1/sites/{id}/backup-configurations/{configuration_id}", tag = "backups", params(("id" = SiteId, Path), ("configuration_id" = BackupConfigurationId, Path)),
    responses((status = 200, body = BackupConfigurationView)))]
async fn backup_configuration_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
) -> Result<Json<BackupConfigurationView>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let (_, found) = found(&cloud, &caller, &site, &id).await?;
    Ok(Json(view(&cloud, found).await?))
}

/// Change a backup configuration. A changed schedule counts from now on.
#[utoipa::path(patch, path = "/v1/sites/{id}/backup-configurations/{configuration_id}", tag = "backups", params(DryRun, ("id" = SiteId, Path), ("configuration_id" = BackupConfigurationId, Path)), request_body = BackupConfigurationUpdate,
    responses((status = 200, description = "as it is then; or what a dry run comes to, a BackupConfigurationPlan", body = BackupConfigurationChanged)))]
async fn backup_configuration_update(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
    Asked(asked): Asked<DryRun>,
    body: Body<BackupConfigurationUpdate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::BackupRun)?;
    caller.need(Scope::SiteWrite)?;
    let (site, mut configuration) = found(&cloud, &caller, &site, &id).await?;
    if asked.dry_run {
        changed(&cloud, &mut configuration, &body.value)?;
        cloud
            .records
            .backup_configuration_fits(&configuration)
            .await?;
        return plan(&cloud, configuration).await;
    }
    let detail = format!("{} of {}", configuration.name, site.name);
    let (id, team) = (configuration.id, caller.team);
    let audit = caller.audit(&cloud, "backup_configuration.update", id, detail);
    let changed = cloud
        .records
        .backup_configuration_update((team, site.id, id), &audit, |configuration| {
            changed(&cloud, configuration, &body.value)
        })
        .await?;
    Ok(Json(view(&cloud, changed).await?).into_response())
}

/// What a change answers.
#[derive(serde::Serialize, utoipa::ToSchema)]
#[serde(untagged)]
#[expect(dead_code, reason = "it is described only")]
enum BackupConfigurationChanged {
    /// As it is then.
    Changed(Box<BackupConfigurationView>),
    /// What would be.
    Plan(Box<BackupConfigurationPlan>),
}

/// Delete a backup configuration. Its backups stay until they are deleted one by one.
#[utoipa::path(delete, path = "/v1/sites/{id}/backup-configurations/{configuration_id}", tag = "backups", params(("id" = SiteId, Path), ("configuration_id" = BackupConfigurationId, Path)),
    responses((status = 204)))]
async fn backup_configuration_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
    Asked(_): Asked<NoQuery>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::BackupRun)?;
    caller.need(Scope::SiteWrite)?;
    let (site, found) = found(&cloud, &caller, &site, &id).await?;
    let detail = format!("{} of {}", found.name, site.name);
    let audit = caller.audit(&cloud, "backup_configuration.delete", found.id, detail);
    cloud
        .records
        .backup_configuration_delete((caller.team, site.id, found.id), &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What a configuration's retention would do now; it does it after each of its backups.
#[utoipa::path(get, path = "/v1/sites/{id}/backup-configurations/{configuration_id}/retention", tag = "backups", params(("id" = SiteId, Path), ("configuration_id" = BackupConfigurationId, Path)),
    responses((status = 200, body = RetentionPlan)))]
async fn backup_configuration_retention(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((site, id)): Path<(String, String)>,
) -> Result<Json<RetentionPlan>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let (site, found) = found(&cloud, &caller, &site, &id).await?;
    let backups = cloud.records.backups(caller.team, site.id).await?;
    let decisions = retention::plan(&found, &backups);
    Ok(Json(RetentionPlan::of(decisions, &backups)))
}

/// What a site can be restored to, newest first; what was pruned is shown for 90 days.
#[utoipa::path(get, path = "/v1/sites/{id}/restore-points", tag = "backups", params(("id" = SiteId, Path)),
    responses((status = 200, body = Page<RestorePointView>)))]
async fn restore_point_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path(site): Path<String>,
) -> Result<Json<Page<RestorePointView>>, ApiError> {
    caller.need(Scope::BackupRead)?;
    let site = site_of(&cloud, &caller, &site).await?;
    let backups = cloud.records.backups(caller.team, site.id).await?;
    let view = |backup| RestorePointView::of(backup, &backups);
    Ok(Json(Page {
        items: backups.iter().map(view).collect(),
        next_cursor: None,
    }))
}
