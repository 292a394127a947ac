//! Projects: create, list, look, delete.

use crate::auth::Caller;
use crate::body::{Asked, Body, Fields, Id, IdempotencyKey, NoQuery};
use crate::problem::ApiError;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::{Page, ProjectCreate, ProjectView};
use domain::{Project, ProjectId, SCHEMA, Scope, names};
use kit::Cloud;
use records::Made;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(project_create, project_list))
        .routes(routes!(project_show, project_delete))
}

/// Create a project.
#[utoipa::path(post, path = "/v1/projects", tag = "projects", params(IdempotencyKey), request_body = ProjectCreate,
    responses((status = 201, body = ProjectView)))]
async fn project_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    body: Body<ProjectCreate>,
) -> Result<(StatusCode, Json<ProjectView>), ApiError> {
    caller.need(Scope::EnvWrite)?;
    let idempotency = body.idempotency(&caller);
    let mut fields = Fields::default();
    let name = fields.check("name", names::slug(&body.value.name));
    fields.end()?;
    let (time, random) = cloud.id_parts();
    let mut project = Project {
        schema: SCHEMA,
        id: ProjectId::from_parts(time, random),
        team_id: caller.team,
        name: name.unwrap_or_default(),
        created_at: cloud.clock.now(),
    };
    let audit = caller.audit(&cloud, "project.create", project.id, &project.name);
    let made = cloud
        .records
        .project_create(&project, idempotency.as_ref(), &audit)
        .await?;
    if let Made::Repeat(id) = made {
        let id = id.parse().map_err(|_| ApiError::not_found("project"))?;
        project = cloud.records.project(caller.team, id).await?;
    }
    Ok((StatusCode::CREATED, Json(project.into())))
}

/// The team's projects, oldest first.
#[utoipa::path(get, path = "/v1/projects", tag = "projects",
    responses((status = 200, body = Page<ProjectView>)))]
async fn project_list(
    State(cloud): State<Cloud>,
    caller: Caller,
) -> Result<Json<Page<ProjectView>>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let projects = cloud.records.projects(caller.team).await?;
    Ok(Json(Page {
        items: projects.into_iter().map(ProjectView::from).collect(),
        next_cursor: None,
    }))
}

/// One project.
#[utoipa::path(get, path = "/v1/projects/{id}", tag = "projects", params(("id" = ProjectId, Path)),
    responses((status = 200, body = ProjectView)))]
async fn project_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<ProjectId>,
) -> Result<Json<ProjectView>, ApiError> {
    caller.need(Scope::DeployRead)?;
    Ok(Json(cloud.records.project(caller.team, id).await?.into()))
}

/// Delete a project that has no services.
#[utoipa::path(delete, path = "/v1/projects/{id}", tag = "projects", params(("id" = ProjectId, Path)),
    responses((status = 204)))]
async fn project_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<ProjectId>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let project = cloud.records.project(caller.team, id).await?;
    let audit = caller.audit(&cloud, "project.delete", id, project.name);
    cloud
        .records
        .project_delete(caller.team, id, &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
