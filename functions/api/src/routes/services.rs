//! Services: create, list, look, change, delete.

use crate::auth::Caller;
use crate::body::{Asked, Body, Fields, Id, IdempotencyKey, NoQuery};
use crate::problem::ApiError;
use crate::settings;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use contract::{
    GitAccessAsked, Page, RegistryAsked, ServiceCreate, ServiceUpdate, ServiceView, SourceAsked,
};
use domain::release::{Allowance, GitAccess, RegistryAccess, ServiceSettings, Source};
use domain::{ProjectId, Role, SCHEMA, Scope, SecretId, Service, ServiceId, names};
use kit::Cloud;
use records::{Made, SealedSecret};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use zeroize::Zeroizing;

/// A key of 16384 bits is 13 KB.
const SECRET_LIMIT_BYTES: usize = 16 * 1024;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(service_create))
        .routes(routes!(service_list))
        .routes(routes!(service_show, service_update, service_delete))
}

/// Secrets that came with a request: their ids stand in the settings before they are sealed.
#[derive(Default)]
struct Given(Vec<(SecretId, String, Zeroizing<String>)>);

impl Given {
    fn take(&mut self, cloud: &Cloud, purpose: String, clear: String) -> SecretId {
        let (time, random) = cloud.id_parts();
        let id = SecretId::from_parts(time, random);
        self.0.push((id, purpose, Zeroizing::new(clear)));
        id
    }

    fn checked(&self, fields: &mut Fields) {
        for (_, purpose, clear) in &self.0 {
            if clear.trim().is_empty() || clear.len() > SECRET_LIMIT_BYTES || clear.contains('\0') {
                fields.refuse(
                    "secret",
                    format!("the {purpose} must be text of 1 to 16384 bytes"),
                );
            }
        }
    }

    async fn sealed(&self, cloud: &Cloud, caller: &Caller) -> Result<Vec<SealedSecret>, ApiError> {
        if !self.0.is_empty() {
            caller.need(Scope::SecretsWrite)?;
        }
        let mut sealed = Vec::new();
        for (id, purpose, clear) in &self.0 {
            let one = cloud
                .secrets
                .sealed(caller.team, *id, purpose, clear.as_bytes(), None)
                .await?;
            sealed.push(one);
        }
        Ok(sealed)
    }
}

fn source(
    cloud: &Cloud,
    fields: &mut Fields,
    given: &mut Given,
    asked: SourceAsked,
    before: Option<&Source>,
) -> Source {
    match asked {
        SourceAsked::Compose { file, profiles } => Source::Compose { file, profiles },
        SourceAsked::Image { image } => Source::Image { image },
        SourceAsked::Archive { build } => Source::Archive { build },
        SourceAsked::Repository {
            url,
            reference,
            access,
            build,
        } => {
            let access = match access {
                None => None,
                Some(GitAccessAsked::Token { username, token }) => Some(GitAccess::Token {
                    username,
                    secret: given.take(cloud, format!("token of {url}"), token),
                }),
                Some(GitAccessAsked::DeployKey { private_key }) => Some(GitAccess::DeployKey {
                    secret: given.take(cloud, format!("deploy key of {url}"), private_key),
                }),
                Some(GitAccessAsked::Keep {}) => match before {
                    Some(Source::Repository {
                        url: same,
                        access: Some(access),
                        ..
                    }) if *same == url => Some(access.clone()),
                    // Elsewhere it would be shown to somebody whom it was not given to.
                    _ => {
                        fields.refuse(
                            "source",
                            "has no access that could be kept for this repository",
                        );
                        None
                    }
                },
            };
            Source::Repository {
                url,
                reference,
                access,
                build,
            }
        }
    }
}

fn registries(
    cloud: &Cloud,
    fields: &mut Fields,
    given: &mut Given,
    asked: Vec<RegistryAsked>,
    before: &[RegistryAccess],
) -> Vec<RegistryAccess> {
    let mut all = Vec::new();
    for one in asked {
        let known = before
            .iter()
            .find(|known| known.registry == one.registry && known.username == one.username);
        let secret = match (one.password, known) {
            (Some(password), _) => {
                given.take(cloud, format!("password of {}", one.registry), password)
            }
            (None, Some(known)) => known.secret,
            (None, None) => {
                fields.refuse("registries", format!("{} needs a password", one.registry));
                continue;
            }
        };
        all.push(RegistryAccess {
            registry: one.registry,
            username: one.username,
            secret,
        });
    }
    all
}

/// What reaches beyond a service's own containers is an owner's word.
fn allowed(caller: &Caller, asked: &[Allowance], before: &[Allowance]) -> Result<(), ApiError> {
    let is_new = asked.iter().any(|one| !before.contains(one));
    if is_new && caller.role != Role::Owner {
        return Err(ApiError::new(
            StatusCode::FORBIDDEN,
            "owner_needed",
            "Not allowed",
            "Only an owner may allow a service what reaches beyond its own containers.",
        ));
    }
    Ok(())
}

/// Create a service. Secrets in it are kept encrypted and not shown again.
#[utoipa::path(post, path = "/v1/projects/{id}/services", tag = "services", params(("id" = ProjectId, Path), IdempotencyKey), request_body = ServiceCreate,
    responses((status = 201, body = ServiceView)))]
async fn service_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(project): Id<ProjectId>,
    body: Body<ServiceCreate>,
) -> Result<(StatusCode, Json<ServiceView>), ApiError> {
    caller.need(Scope::EnvWrite)?;
    let project = cloud.records.project(caller.team, project).await?;
    let idempotency = body.idempotency(&caller);
    let asked = body.value;
    allowed(&caller, &asked.allow, &[])?;
    let (mut fields, mut given) = (Fields::default(), Given::default());
    let name = fields.check("name", names::slug(&asked.name));
    let source = source(&cloud, &mut fields, &mut given, asked.source, None);
    let registries = registries(&cloud, &mut fields, &mut given, asked.registries, &[]);
    let settings = ServiceSettings {
        source,
        gates: asked.gates,
        limits: asked.limits,
        replicas: asked.replicas,
        allow: asked.allow,
        registries,
        auto_deploy: asked.auto_deploy,
    };
    settings::service(&mut fields, &settings);
    given.checked(&mut fields);
    fields.end()?;
    let secrets = given.sealed(&cloud, &caller).await?;
    let (time, random) = cloud.id_parts();
    let mut service = Service {
        schema: SCHEMA,
        id: ServiceId::from_parts(time, random),
        team_id: caller.team,
        project_id: project.id,
        name: name.unwrap_or_default(),
        settings,
        revision: 1,
        created_at: cloud.clock.now(),
    };
    let detail = format!("{}/{}", project.name, service.name);
    let audit = caller.audit(&cloud, "service.create", service.id, detail);
    let made = cloud
        .records
        .service_create(&service, &secrets, idempotency.as_ref(), &audit)
        .await?;
    if let Made::Repeat(id) = made {
        let id = id.parse().map_err(|_| ApiError::not_found("service"))?;
        service = cloud.records.service(caller.team, id).await?;
    }
    Ok((StatusCode::CREATED, Json(service.into())))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those of this project.
    project_id: Option<String>,
}

/// The team's services, oldest first.
#[utoipa::path(get, path = "/v1/services", tag = "services", params(Listed),
    responses((status = 200, body = Page<ServiceView>)))]
async fn service_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Page<ServiceView>>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let project: Option<ProjectId> = listed
        .project_id
        .map(|id| id.parse().map_err(|_| ApiError::not_found("project")))
        .transpose()?;
    let services = cloud.records.services(caller.team).await?;
    let items = services
        .into_iter()
        .filter(|service| project.is_none_or(|project| service.project_id == project))
        .map(ServiceView::from)
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// One service.
#[utoipa::path(get, path = "/v1/services/{id}", tag = "services", params(("id" = ServiceId, Path)),
    responses((status = 200, body = ServiceView)))]
async fn service_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<ServiceId>,
) -> Result<Json<ServiceView>, ApiError> {
    caller.need(Scope::DeployRead)?;
    Ok(Json(cloud.records.service(caller.team, id).await?.into()))
}

/// Somebody else was quicker.
pub(super) fn at_revision(asked: Option<u64>, is: u64) -> Result<(), ApiError> {
    if asked.is_some_and(|asked| asked != is) {
        return Err(ApiError::conflict(
            "changed_meanwhile",
            format!("It was changed by someone else and is at revision {is} now; look again."),
        ));
    }
    Ok(())
}

/// Change a service. What runs stays as it is until the next deploy.
#[utoipa::path(patch, path = "/v1/services/{id}", tag = "services", params(("id" = ServiceId, Path)), request_body = Option<ServiceUpdate>,
    responses((status = 200, body = ServiceView)))]
async fn service_update(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<ServiceId>,
    body: Body<ServiceUpdate>,
) -> Result<Json<ServiceView>, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let read = cloud.records.service(caller.team, id).await?;
    let asked = body.value;
    at_revision(asked.revision, read.revision)?;
    let (mut fields, mut given) = (Fields::default(), Given::default());
    let before = &read.settings;
    let source = asked
        .source
        .map(|asked| source(&cloud, &mut fields, &mut given, asked, Some(&before.source)));
    let registries = asked
        .registries
        .map(|asked| registries(&cloud, &mut fields, &mut given, asked, &before.registries));
    if let Some(allow) = &asked.allow {
        allowed(&caller, allow, &before.allow)?;
    }
    let settings = ServiceSettings {
        source: source.unwrap_or_else(|| before.source.clone()),
        gates: asked.gates.unwrap_or_else(|| before.gates.clone()),
        limits: asked.limits.unwrap_or_else(|| before.limits.clone()),
        replicas: asked.replicas.unwrap_or(before.replicas),
        allow: asked.allow.unwrap_or_else(|| before.allow.clone()),
        registries: registries.unwrap_or_else(|| before.registries.clone()),
        auto_deploy: asked
            .auto_deploy
            .unwrap_or_else(|| before.auto_deploy.clone()),
    };
    settings::service(&mut fields, &settings);
    given.checked(&mut fields);
    fields.end()?;
    let secrets = given.sealed(&cloud, &caller).await?;
    let audit = caller.audit(&cloud, "service.update", id, &read.name);
    let now = cloud.clock.now();
    // What is absent was filled in from the revision that was read: it is written over that one alone.
    let changed = cloud
        .records
        .service_update((caller.team, id), &secrets, (&audit, now), |service| {
            at_revision(Some(read.revision), service.revision)?;
            Ok::<_, ApiError>(settings.clone())
        })
        .await?;
    Ok(Json(changed.into()))
}

/// Delete a service that has no environments, with its secrets.
#[utoipa::path(delete, path = "/v1/services/{id}", tag = "services", params(("id" = ServiceId, Path)),
    responses((status = 204)))]
async fn service_delete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<ServiceId>,
) -> Result<StatusCode, ApiError> {
    caller.need(Scope::EnvWrite)?;
    let service = cloud.records.service(caller.team, id).await?;
    let audit = caller.audit(&cloud, "service.delete", id, service.name);
    cloud
        .records
        .service_delete(caller.team, id, &audit)
        .await?;
    Ok(StatusCode::NO_CONTENT)
}
