//! Releases: deploy, go back, promote, stop, start, restart, look; what is known of one, and what differs between two.

use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, Id, IdempotencyKey};
use crate::operations::Operation;
use crate::operations::releases::{self, Earlier};
use crate::problem::ApiError;
use crate::routes::servers::Empty;
use crate::{settings, views};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{
    DeploymentCreated, DeploymentDiff, DeploymentView, DeploymentViews, ObservedView, Plan,
    PromoteCreate, ReleaseCreate, RollbackCreate,
};
use domain::release_diff;
use domain::{DeploymentId, EnvironmentId, ReleaseDiff, Scope, TeamId};
use kit::Cloud;
use kit::releases::{Found, Wanted, find, ready};
use records::{Created, Idempotency};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(release_create))
        .routes(routes!(rollback_create))
        .routes(routes!(promote_create))
        .routes(routes!(environment_restart))
        .routes(routes!(environment_stop))
        .routes(routes!(environment_start))
        .routes(routes!(environment_observe))
        .routes(routes!(deployment_diff))
        .routes(routes!(deployment_views))
}

/// How it is asked for.
pub(super) struct Asking<'a> {
    pub(super) cloud: &'a Cloud,
    pub(super) caller: &'a Caller,
    pub(super) dry_run: bool,
    pub(super) idempotency: Option<Idempotency>,
    pub(super) action: &'a str,
}

impl Asking<'_> {
    async fn begin(
        self,
        operation: Operation,
        diff: Option<ReleaseDiff>,
    ) -> Result<Response, ApiError> {
        self.begin_as(StatusCode::CREATED, operation, diff).await
    }

    pub(super) async fn begin_as(
        self,
        status: StatusCode,
        operation: Operation,
        diff: Option<ReleaseDiff>,
    ) -> Result<Response, ApiError> {
        let Self { cloud, caller, .. } = self;
        if self.dry_run {
            let mut plan = views::plan(&operation.pipeline, &operation.input, &operation.locks);
            plan.diff = diff;
            return Ok(Json(plan).into_response());
        }
        let target = operation.target.clone();
        let audit = caller.audit(cloud, self.action, target.id, target.name);
        let new = operation.ready(cloud, caller, self.idempotency, audit)?;
        let created = cloud.records.deployment_create(new).await?;
        let (Created::New(id) | Created::Repeat(id)) = created;
        let deployment = cloud.records.deployment(caller.team, id).await?;
        let created = DeploymentCreated {
            deployment: DeploymentView::from(&deployment),
            admin_password: None,
        };
        Ok((status, Json(created)).into_response())
    }
}

/// Release a service to an environment, as its settings say and with what is said for this deployment alone.
#[utoipa::path(post, path = "/v1/environments/{id}/deployments", tag = "releases", params(DryRun, ("id" = EnvironmentId, Path), IdempotencyKey), request_body = Option<ReleaseCreate>,
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run, and what differs from what is live", body = Plan)))]
async fn release_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<EnvironmentId>,
    Asked(dry): Asked<DryRun>,
    body: Body<ReleaseCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::DeployStart)?;
    let found = find(&cloud, caller.team, id).await?;
    let idempotency = body.idempotency(&caller);
    let asked = body.value;
    let upload = match asked.upload_id {
        None => None,
        Some(upload) => {
            let now = cloud.clock.now();
            let upload = cloud.records.upload(caller.team, upload, now).await?;
            let source = upload.source().ok_or_else(|| {
                ApiError::conflict(
                    "upload_incomplete",
                    "This upload is not complete: send its bytes, then complete it.",
                )
            })?;
            Some(source)
        }
    };
    let wanted = Wanted {
        images: asked.images,
        reference: asked.reference,
        commit: asked.commit,
        compose: asked.compose,
        upload,
    };
    let mut fields = Fields::default();
    let wanted = settings::wanted(&mut fields, wanted, &found.service.settings.source);
    fields.end()?;
    let input = found.release(wanted, caller.trigger)?;
    let diff = match dry.dry_run {
        true => releases::against_current(&cloud, &found.environment, &input, None).await?,
        false => None,
    };
    let operation = releases::release_of(&found, "release", &input)?;
    let asking = Asking {
        cloud: &cloud,
        caller: &caller,
        dry_run: dry.dry_run,
        idempotency,
        action: "environment.deploy",
    };
    asking.begin(operation, diff).await
}

fn list(ids: &[DeploymentId]) -> String {
    let ids: Vec<_> = ids.iter().map(ToString::to_string).collect();
    ids.join(", ")
}

/// A kept release, with the deployment that made it first: a rollback makes none, it brings one back.
struct Kept {
    id: DeploymentId,
    made_by: DeploymentId,
}

async fn kept(cloud: &Cloud, team: TeamId, id: DeploymentId) -> Result<Kept, ApiError> {
    let mut made_by = id;
    while let Some(of) = cloud.records.deployment(team, made_by).await?.rollback_of {
        made_by = of;
    }
    Ok(Kept { id, made_by })
}

/// What is gone back to: one that is kept and not live. Unless it was said which, the newest that is older than what is
/// live: back, and back again, walks through all of them.
async fn gone_back_to(
    cloud: &Cloud,
    found: &Found,
    asked: Option<DeploymentId>,
) -> Result<DeploymentId, ApiError> {
    let environment = &found.environment;
    let team = environment.team_id;
    let nothing = |others: &[DeploymentId]| {
        let mut why = "No release before the one that is live is kept.".to_string();
        if !others.is_empty() {
            why = format!(
                "{why} Newer ones are; say which one is meant: {}.",
                list(others)
            );
        }
        ApiError::conflict("nothing_to_go_back_to", why)
    };
    let Some(live) = environment.current else {
        return Err(nothing(&[]));
    };
    let live = kept(cloud, team, live).await?;
    let mut others = Vec::new();
    for id in environment.kept.iter().filter(|id| **id != live.id) {
        others.push(kept(cloud, team, *id).await?);
    }
    let ids: Vec<DeploymentId> = others.iter().map(|one| one.id).collect();
    let Some(asked) = asked else {
        let before = others.iter().find(|one| one.made_by < live.made_by);
        return before.map(|one| one.id).ok_or_else(|| nothing(&ids));
    };
    if others.is_empty() {
        return Err(nothing(&[]));
    }
    let same = |one: &&Kept| one.id == asked || one.made_by == asked;
    others.iter().find(same).map(|one| one.id).ok_or_else(|| {
        let ids = list(&ids);
        ApiError::conflict(
            "release_not_kept",
            format!("The release {asked} cannot be gone back to; these can: {ids}."),
        )
    })
}

/// The hosts of these routes are no other environment's by now.
async fn routes_free(
    cloud: &Cloud,
    found: &Found,
    input: &pipelines::inputs::Release,
) -> Result<(), ApiError> {
    let me = found.environment.id.to_string();
    for server in &input.servers {
        for route in &input.routes {
            let name = format!("route:{}:{}", server.id, route.host);
            let owner = cloud
                .records
                .claim_owner(found.environment.team_id, &name)
                .await?;
            if owner.is_some_and(|claim| claim.target != me) {
                return Err(ApiError::conflict(
                    "taken",
                    format!(
                        "The host {} on {} is taken by another environment by now.",
                        route.host, server.name
                    ),
                ));
            }
        }
    }
    Ok(())
}

/// Go back to an earlier release, from the images that are kept of it. Pushes do not deploy until a person deploys, promotes or resumes.
#[utoipa::path(post, path = "/v1/environments/{id}/rollback", tag = "releases", params(DryRun, ("id" = EnvironmentId, Path), IdempotencyKey), request_body = Option<RollbackCreate>,
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run, and what differs from what is live", body = Plan)))]
async fn rollback_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<EnvironmentId>,
    Asked(dry): Asked<DryRun>,
    body: Body<RollbackCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::DeployRollback)?;
    let found = find(&cloud, caller.team, id).await?;
    let idempotency = body.idempotency(&caller);
    let to = gone_back_to(&cloud, &found, body.value.to).await?;
    let earlier = Earlier::read(&cloud, caller.team, to).await?;
    let live = Earlier::live(&cloud, &found.environment).await?;
    let input = found.rollback(earlier.input, earlier.frozen_of, &live.input)?;
    let mut servers = Vec::new();
    for server in &input.servers {
        servers.push(cloud.records.server(caller.team, server.id).await?);
    }
    ready(&servers)?;
    routes_free(&cloud, &found, &input).await?;
    let diff = match dry.dry_run {
        true => {
            let frozen = earlier.frozen.as_ref();
            releases::against_current(&cloud, &found.environment, &input, frozen).await?
        }
        false => None,
    };
    let operation = releases::rollback(&found, to, &input)?;
    let asking = Asking {
        cloud: &cloud,
        caller: &caller,
        dry_run: dry.dry_run,
        idempotency,
        action: "environment.rollback",
    };
    asking.begin(operation, diff).await
}

/// Release what runs in another environment of the same service: the same images, this one's values and routes.
#[utoipa::path(post, path = "/v1/environments/{id}/promote", tag = "releases", params(DryRun, ("id" = EnvironmentId, Path), IdempotencyKey), request_body = PromoteCreate,
    responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run, and what differs from what is live", body = Plan)))]
async fn promote_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<EnvironmentId>,
    Asked(dry): Asked<DryRun>,
    body: Body<PromoteCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::DeployStart)?;
    let found = find(&cloud, caller.team, id).await?;
    let idempotency = body.idempotency(&caller);
    let from = cloud
        .records
        .environment(caller.team, body.value.from)
        .await?;
    if from.id == found.environment.id {
        return Err(ApiError::unprocessable(
            "same_environment",
            "It runs there already: name another environment.",
        ));
    }
    if from.service_id != found.service.id {
        return Err(ApiError::unprocessable(
            "other_service",
            "What runs there is another service; only environments of one service are promoted.",
        ));
    }
    let Some(current) = from.current else {
        return Err(ApiError::conflict(
            "nothing_to_promote",
            format!("Nothing runs in the environment {} yet.", from.name),
        ));
    };
    let runs = Earlier::read(&cloud, caller.team, current).await?;
    let Some(has_images) = runs.went_live_on else {
        return Err(ApiError::conflict(
            "nothing_to_promote",
            format!("Nothing runs in the environment {} yet.", from.name),
        ));
    };
    let input = found.promotion(runs.input, runs.frozen_of, has_images)?;
    let diff = match dry.dry_run {
        true => {
            let frozen = runs.frozen.as_ref();
            releases::against_current(&cloud, &found.environment, &input, frozen).await?
        }
        false => None,
    };
    let operation = releases::release_of(&found, "promote", &input)?;
    let asking = Asking {
        cloud: &cloud,
        caller: &caller,
        dry_run: dry.dry_run,
        idempotency,
        action: "environment.promote",
    };
    asking.begin(operation, diff).await
}

async fn on_environment(
    asking: Asking<'_>,
    id: EnvironmentId,
    pipeline: &str,
) -> Result<Response, ApiError> {
    asking.caller.need(Scope::DeployStart)?;
    let team = asking.caller.team;
    let found = find(asking.cloud, team, id).await?;
    let runs = Earlier::live(asking.cloud, &found.environment).await?;
    let operation = releases::on_environment(&found, pipeline, &runs)?;
    asking.begin(operation, None).await
}

macro_rules! on_environment {
    ($($(#[doc = $doc:literal])* $name:ident, $path:literal, $pipeline:literal, $action:literal;)*) => { $(
        $(#[doc = $doc])*
        #[utoipa::path(post, path = $path, tag = "releases", params(DryRun, ("id" = EnvironmentId, Path), IdempotencyKey),
            responses((status = 201, body = DeploymentCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
        async fn $name(
            State(cloud): State<Cloud>,
            caller: Caller,
            Id(id): Id<EnvironmentId>,
            Asked(dry): Asked<DryRun>,
            body: Body<Empty>,
        ) -> Result<Response, ApiError> {
            let asking = Asking {
                cloud: &cloud,
                caller: &caller,
                dry_run: dry.dry_run,
                idempotency: body.idempotency(&caller),
                action: $action,
            };
            on_environment(asking, id, $pipeline).await
        }
    )* };
}

on_environment! {
    /// Restart an environment's containers.
    environment_restart, "/v1/environments/{id}/restart", "restart_environment", "environment.restart";
    /// Stop an environment's containers; volumes, images and routes stay.
    environment_stop, "/v1/environments/{id}/stop", "stop_environment", "environment.stop";
    /// Start a stopped environment's containers again.
    environment_start, "/v1/environments/{id}/start", "start_environment", "environment.start";
    /// Look at what of an environment runs, and what is not as its release has it.
    environment_observe, "/v1/environments/{id}/observe", "observe_environment", "environment.observe";
}

/// What is known of a release: as it was asked for, as it was frozen, as it was last seen.
#[utoipa::path(get, path = "/v1/deployments/{id}/views", tag = "deployments", params(("id" = DeploymentId, Path)),
    responses((status = 200, body = DeploymentViews)))]
async fn deployment_views(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<DeploymentId>,
) -> Result<Json<DeploymentViews>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let (records, team) = (&cloud.records, caller.team);
    let snapshot = records.deployment_snapshot(team, id).await?;
    let of_environment = snapshot.deployment.target.id.parse::<EnvironmentId>().ok();
    let is_release = releases::RELEASES.contains(&snapshot.deployment.pipeline.as_str());
    let mut observed = Vec::new();
    if let Some(environment) = of_environment.filter(|_| is_release) {
        let now = cloud.clock.now();
        let is_live = match records.environment(team, environment).await {
            Ok(environment) => environment.current == Some(id),
            Err(records::RecordsError::NotFound(_)) => false,
            Err(error) => return Err(error.into()),
        };
        // What is seen of it later belongs to the release that replaced it.
        if is_live {
            for seen in records.observed(team, environment).await? {
                observed.push(ObservedView {
                    server_id: seen.server_id,
                    at: seen.at,
                    age_seconds: (now - seen.at).num_seconds().max(0).cast_unsigned(),
                    deployment_id: seen.deployment_id,
                    observed: seen.observed,
                });
            }
        }
    }
    Ok(Json(DeploymentViews {
        declared: views::without_secrets(snapshot.input),
        frozen: records.frozen(team, id).await?,
        observed,
    }))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Compared {
    /// The earlier one: a deployment's id.
    #[param(required)]
    from: Option<String>,
    /// The other one: a deployment's id.
    #[param(required)]
    to: Option<String>,
}

/// What of one release is not as in another: commit, images, names of values, Compose file, routes, gates, limits.
#[utoipa::path(get, path = "/v1/deployments/diff", tag = "deployments", params(Compared),
    responses((status = 200, body = DeploymentDiff)))]
async fn deployment_diff(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(compared): Asked<Compared>,
) -> Result<Json<DeploymentDiff>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let id = |text: Option<String>| {
        let text = text.ok_or_else(|| {
            ApiError::bad_request(
                "bad_query",
                "The query is not what is expected: from and to must be deployments.",
            )
        })?;
        let id = text.parse::<DeploymentId>();
        id.map_err(|_| ApiError::not_found("deployment"))
    };
    let (from, to) = (id(compared.from)?, id(compared.to)?);
    let team = caller.team;
    let before = Earlier::read(&cloud, team, from).await?;
    let before = before.side(&cloud, team).await?;
    let after = Earlier::read(&cloud, team, to).await?;
    let after = after.side(&cloud, team).await?;
    Ok(Json(DeploymentDiff {
        from,
        to,
        diff: release_diff::diff(&before, &after),
    }))
}
