//! Environments: create, list, look, change, delete, let pushes deploy again.

use super::releases::Asking;
use super::services::at_revision;
use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, Id, IdempotencyKey, NoQuery};
use crate::operations::releases;
use crate::problem::ApiError;
use crate::routes::servers::Empty;
use crate::{settings, views};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{
    DeploymentCreated, DeploymentView, EnvironmentCreate, EnvironmentCreated, EnvironmentUpdate,
    EnvironmentView, Page, Plan,
};
use domain::lifecycle::Lock;
use domain::release::{EnvironmentSettings, ReleaseServer, Source};
use domain::{
    Environment, EnvironmentId, LockKey, Project, ProjectId, SCHEMA, Scope, Server, ServerId,
    Service, ServiceId, names,
};
use kit::Cloud;
use kit::releases::{Found, Wanted, find, find_for};
use records::{Created, Made};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// What of a host name tells people what it is; six characters of chance follow.
const WORDS_LIMIT: usize = 40;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(environment_create))
        .routes(routes!(environment_list))
        .routes(routes!(
            environment_show,
            environment_update,
            environment_delete
        ))
        .routes(routes!(environment_resume))
}

/// `shop-web-production-k3v9q2`: one label, the environment's own on every server.
fn host_name(project: &str, service: &str, environment: &str) -> String {
    const LETTERS: &[u8] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let mut words = format!("{project}-{service}-{environment}");
    words.truncate(WORDS_LIMIT);
    let letter = |_| char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    let chance: String = (0..6).map(letter).collect();
    format!("{}-{chance}", words.trim_end_matches('-'))
}

/// The team's own things that environments are shown with.
struct Around {
    projects: Vec<Project>,
    services: Vec<Service>,
    servers: Vec<Server>,
}

impl Around {
    async fn read(cloud: &Cloud, caller: &Caller) -> Result<Self, ApiError> {
        let (records, team) = (&cloud.records, caller.team);
        Ok(Self {
            projects: records.projects(team).await?,
            services: records.services(team).await?,
            servers: records.servers(team).await?,
        })
    }

    fn view(&self, environment: Environment, lock: &Lock, is_deploying: bool) -> EnvironmentView {
        let project = self
            .projects
            .iter()
            .find(|one| one.id == environment.project_id);
        let service = self
            .services
            .iter()
            .find(|one| one.id == environment.service_id);
        let path = format!(
            "{}/{}/{}",
            project.map_or("?", |one| &one.name),
            service.map_or("?", |one| &one.name),
            environment.name
        );
        let named = |id: &ServerId| {
            let known = self.servers.iter().find(|server| server.id == *id);
            ReleaseServer {
                id: *id,
                name: known.map_or_else(|| id.to_string(), |server| server.name.clone()),
            }
        };
        EnvironmentView {
            status: environment.status(is_deploying),
            deploying: lock.holder,
            servers: environment.settings.server_ids.iter().map(named).collect(),
            placed_on: environment.placed_on.iter().map(named).collect(),
            path,
            id: environment.id,
            project_id: environment.project_id,
            service_id: environment.service_id,
            name: environment.name,
            current: environment.current,
            failed: environment.failed,
            kept: environment.kept,
            auto_deploys_paused_by: environment.auto_deploys_paused_by,
            urls: environment
                .settings
                .routes
                .iter()
                .map(contract::url)
                .collect(),
            quorum: environment.settings.quorum,
            routes: environment.settings.routes,
            drain_seconds: environment.settings.drain_seconds,
            keep_releases: environment.settings.keep_releases,
            values_version: environment.values_version,
            host_name: environment.host_name,
            revision: environment.revision,
            created_at: environment.created_at,
        }
    }
}

/// Environments as they stand. What holds a lock is looked at too: a promotion holds the one it takes from as well, and
/// what is stopped or restarted is not released.
async fn shown(
    cloud: &Cloud,
    caller: &Caller,
    environments: Vec<Environment>,
) -> Result<Vec<EnvironmentView>, ApiError> {
    let around = Around::read(cloud, caller).await?;
    let keys: Vec<_> = environments
        .iter()
        .map(|one| LockKey::environment(one.id))
        .collect();
    let locks = cloud.records.locks(caller.team, &keys).await?;
    let mut views = Vec::new();
    for (environment, lock) in environments.into_iter().zip(&locks) {
        let is_deploying = match lock.holder {
            None => false,
            Some(holder) => {
                let holder = cloud.records.deployment(caller.team, holder).await?;
                releases::RELEASES.contains(&holder.pipeline.as_str())
                    && holder.target.id == environment.id.to_string()
            }
        };
        views.push(around.view(environment, lock, is_deploying));
    }
    Ok(views)
}

async fn one(
    cloud: &Cloud,
    caller: &Caller,
    environment: Environment,
) -> Result<EnvironmentView, ApiError> {
    let mut views = shown(cloud, caller, vec![environment]).await?;
    views
        .pop()
        .ok_or_else(|| ApiError::not_found("environment"))
}

/// Each of these is the team's: another's is a 404.
async fn servers_known(cloud: &Cloud, caller: &Caller, ids: &[ServerId]) -> Result<(), ApiError> {
    for id in ids {
        cloud.records.server(caller.team, *id).await?;
    }
    Ok(())
}

/// Create an environment. Where its service needs no upload it is deployed at once, in the same breath.
#[utoipa::path(post, path = "/v1/services/{id}/environments", tag = "environments", params(DryRun, ("id" = ServiceId, Path), IdempotencyKey), request_body = EnvironmentCreate,
    responses((status = 201, body = EnvironmentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn environment_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(service): Id<ServiceId>,
    Asked(dry): Asked<DryRun>,
    body: Body<EnvironmentCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let service = cloud.records.service(caller.team, service).await?;
    let idempotency = body.idempotency(&caller);
    let asked = body.value;
    let deploys = asked.deploy && !matches!(service.settings.source, Source::Archive { .. });
    if deploys {
        caller.need(Scope::DeployStart)?;
    }
    let project = cloud
        .records
        .project(caller.team, service.project_id)
        .await?;
    let mut fields = Fields::default();
    let name = fields.check("name", names::slug(&asked.name));
    let settings = EnvironmentSettings {
        server_ids: asked.server_ids,
        quorum: asked.quorum,
        routes: asked.routes,
        drain_seconds: asked.drain_seconds,
        keep_releases: asked.keep_releases,
    };
    let settings = settings::environment(&mut fields, settings, &service.settings.source);
    fields.end()?;
    servers_known(&cloud, &caller, &settings.server_ids).await?;
    let (time, random) = cloud.id_parts();
    let name = name.unwrap_or_default();
    let environment = Environment {
        schema: SCHEMA,
        id: EnvironmentId::from_parts(time, random),
        team_id: caller.team,
        project_id: project.id,
        service_id: service.id,
        host_name: host_name(&project.name, &service.name, &name),
        name,
        settings,
        values_version: 0,
        current: None,
        failed: None,
        is_stopped: false,
        auto_deploys_paused_by: None,
        kept: Vec::new(),
        placed_on: Vec::new(),
        revision: 1,
        created_at: cloud.clock.now(),
    };
    let detail = format!("{}/{}/{}", project.name, service.name, environment.name);
    let audit = caller.audit(&cloud, "environment.create", environment.id, detail);
    if !deploys {
        if dry.dry_run {
            return Err(ApiError::unprocessable(
                "no_plan",
                "Nothing would be deployed with it, so there is no plan to show.",
            ));
        }
        let made = cloud
            .records
            .environment_create(&environment, idempotency.as_ref(), &audit)
            .await?;
        let environment = match made {
            Made::New => environment,
            Made::Repeat(id) => {
                let id = id.parse().map_err(|_| ApiError::not_found("environment"))?;
                cloud.records.environment(caller.team, id).await?
            }
        };
        return created(&cloud, &caller, environment, None).await;
    }
    let found: Found = find_for(&cloud, environment).await?;
    let input = found.release(Wanted::default(), caller.trigger)?;
    let operation = releases::first_release(&found, &input)?;
    if dry.dry_run {
        let plan = views::plan(&operation.pipeline, &operation.input, &operation.locks);
        return Ok(Json(plan).into_response());
    }
    let new = operation.ready(&cloud, &caller, idempotency, audit)?;
    let (Created::New(id) | Created::Repeat(id)) = cloud.records.deployment_create(new).await?;
    let deployment = cloud.records.deployment(caller.team, id).await?;
    let made = deployment.target.id.parse();
    let made = made.map_err(|_| ApiError::not_found("environment"))?;
    let environment = cloud.records.environment(caller.team, made).await?;
    let deployment = DeploymentView::from(&deployment);
    created(&cloud, &caller, environment, Some(deployment)).await
}

async fn created(
    cloud: &Cloud,
    caller: &Caller,
    environment: Environment,
    deployment: Option<DeploymentView>,
) -> Result<Response, ApiError> {
    let environment = one(cloud, caller, environment).await?;
    let created = EnvironmentCreated {
        environment,
        deployment,
    };
    Ok((StatusCode::CREATED, Json(created)).into_response())
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those of this project.
    project_id: Option<String>,
    /// Only those of this service.
    service_id: Option<String>,
    /// Only those on this server.
    server_id: Option<String>,
}

/// The team's environments, oldest first.
#[utoipa::path(get, path = "/v1/environments", tag = "environments", params(Listed),
    responses((status = 200, body = Page<EnvironmentView>)))]
async fn environment_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Page<EnvironmentView>>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let not_found = |what| move |_| ApiError::not_found(what);
    let project: Option<ProjectId> = listed
        .project_id
        .map(|id| id.parse().map_err(not_found("project")))
        .transpose()?;
    let service: Option<ServiceId> = listed
        .service_id
        .map(|id| id.parse().map_err(not_found("service")))
        .transpose()?;
    let server: Option<ServerId> = listed
        .server_id
        .map(|id| id.parse().map_err(not_found("server")))
        .transpose()?;
    let all = cloud.records.environments(caller.team).await?;
    let wanted = all
        .into_iter()
        .filter(|one| project.is_none_or(|id| one.project_id == id))
        .filter(|one| service.is_none_or(|id| one.service_id == id))
        .filter(|one| server.is_none_or(|id| one.settings.server_ids.contains(&id)));
    Ok(Json(Page {
        items: shown(&cloud, &caller, wanted.collect()).await?,
        next_cursor: None,
    }))
}

/// One environment, and where it stands.
#[utoipa::path(get, path = "/v1/environments/{id}", tag = "environments", params(("id" = EnvironmentId, Path)),
    responses((status = 200, body = EnvironmentView)))]
async fn environment_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<EnvironmentId>,
) -> Result<Json<EnvironmentView>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let environment = cloud.records.environment(caller.team, id).await?;
    Ok(Json(one(&cloud, &caller, environment).await?))
}

/// Change an environment. What runs stays as it is until the next deploy.
#[utoipa::path(patch, path = "/v1/environments/{id}", tag = "environments", params(("id" = EnvironmentId, Path)), request_body = Option<EnvironmentUpdate>,
    responses((status = 200, body = EnvironmentView)))]
async fn environment_update(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<EnvironmentId>,
    body: Body<EnvironmentUpdate>,
) -> Result<Json<EnvironmentView>, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let read = cloud.records.environment(caller.team, id).await?;
    let asked = body.value;
    at_revision(asked.revision, read.revision)?;
    let service = cloud.records.service(caller.team, read.service_id).await?;
    if let Some(ids) = &asked.server_ids {
        servers_known(&cloud, &caller, ids).await?;
    }
    let audit = caller.audit(&cloud, "environment.update", id, &read.name);
    let changed = cloud
        .records
        .environment_update((caller.team, id), &audit, |environment| {
            at_revision(asked.revision, environment.revision)?;
            let before = &environment.settings;
            let settings = EnvironmentSettings {
                server_ids: asked
                    .server_ids
                    .clone()
                    .unwrap_or_else(|| before.server_ids.clone()),
                quorum: asked.quorum.unwrap_or(before.quorum),
                routes: asked
                    .routes
                    .clone()
                    .unwrap_or_else(|| before.routes.clone()),
                drain_seconds: asked.drain_seconds.unwrap_or(before.drain_seconds),
                keep_releases: asked.keep_releases.unwrap_or(before.keep_releases),
            };
            let mut fields = Fields::default();
            let settings = settings::environment(&mut fields, settings, &service.settings.source);
            fields.end()?;
            Ok::<_, ApiError>(settings)
        })
        .await?;
    Ok(Json(one(&cloud, &caller, changed).await?))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Deleted {
    /// Answer with the plan, and do nothing.
    #[serde(default)]
    dry_run: bool,
    /// Its named volumes go too, with all that is in them.
    #[serde(default)]
    delete_volumes: bool,
    /// Servers that do not do it keep what they have of it, and do not keep it from being deleted.
    #[serde(default)]
    force: bool,
    /// The environment's name, which says that its volumes are meant.
    confirm: Option<String>,
}

/// Delete an environment, with its values. One that was released is taken from its servers first, whatever became of the
/// release; its volumes stay unless it is said that they go.
#[utoipa::path(delete, path = "/v1/environments/{id}", tag = "environments", params(Deleted, ("id" = EnvironmentId, Path)),
    responses((status = 204, description = "it was never released, and is gone"), (status = 202, description = "it is taken from its servers", body = DeploymentCreated),
        (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn environment_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(asked): Asked<Deleted>,
    Id(id): Id<EnvironmentId>,
) -> Result<Response, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let environment = cloud.records.environment(caller.team, id).await?;
    if asked.delete_volumes && asked.confirm.as_ref() != Some(&environment.name) {
        return Err(ApiError::unprocessable(
            "not_confirmed",
            format!(
                "Volumes do not come back. Say that they are meant: confirm={}",
                environment.name
            ),
        ));
    }
    if !environment.placed_on.is_empty() {
        let asking = Asking {
            cloud: &cloud,
            caller: &caller,
            dry_run: asked.dry_run,
            idempotency: None,
            action: "environment.delete",
        };
        return removed(asking, id, &asked).await;
    }
    if asked.dry_run {
        return Err(ApiError::unprocessable(
            "no_plan",
            "Nothing of it is on a server, so there is no plan to show.",
        ));
    }
    let audit = caller.audit(&cloud, "environment.delete", id, environment.name);
    cloud
        .records
        .environment_delete(caller.team, id, &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

async fn removed(
    asking: Asking<'_>,
    id: EnvironmentId,
    asked: &Deleted,
) -> Result<Response, ApiError> {
    let (cloud, team) = (asking.cloud, asking.caller.team);
    let found = find(cloud, team, id).await?;
    let operation = releases::removal(&found, asked.delete_volumes, asked.force)?;
    asking.begin_as(StatusCode::ACCEPTED, operation, None).await
}

/// Let pushes deploy by themselves again, after a rollback paused them. Said twice, it changes nothing more.
#[utoipa::path(post, path = "/v1/environments/{id}/resume", tag = "environments", params(("id" = EnvironmentId, Path)),
    responses((status = 200, body = EnvironmentView)))]
async fn environment_resume(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<EnvironmentId>,
    _body: Body<Empty>,
) -> Result<Json<EnvironmentView>, ApiError> {
    caller.need(Scope::DeployStart)?;
    let environment = cloud.records.environment(caller.team, id).await?;
    let audit = caller.audit(&cloud, "environment.resume", id, environment.name);
    let resumed = cloud
        .records
        .environment_resume(caller.team, id, &audit)
        .await?;
    Ok(Json(one(&cloud, &caller, resumed).await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_name_is_one_word_whatever_the_names_are() {
        let long = "a".repeat(30);
        for (project, service, environment) in [
            ("shop", "web", "production"),
            (&long, &long, &long),
            ("a-b", "c", "d"),
        ] {
            let name = host_name(project, service, environment);
            assert!(name.len() <= 48, "{name}");
            assert!(!name.contains("--") && name.starts_with(|c: char| c.is_ascii_lowercase()));
            let ok = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            assert!(name.bytes().all(ok), "{name}");
        }
        assert_ne!(host_name("a", "b", "c"), host_name("a", "b", "c"));
    }
}
