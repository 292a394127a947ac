//! Sites: create, look.

use crate::auth::Caller;
use crate::body::{Asked, Body, DryRun, Fields, Id, IdempotencyKey};
use crate::problem::ApiError;
use crate::{operations, views};
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use contract::{DeploymentView, Page, Plan, SiteCreate, SiteCreated, SiteView};
use domain::{Scope, SecretId, Server, ServerId, ServerStatus, SiteId, names};
use kit::Cloud;
use pipelines::inputs::CreateSite;
use records::Created;
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// A site's aliases: more belong into a wildcard.
const ALIASES_LIMIT: usize = 20;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(site_create, site_list))
        .routes(routes!(site_show))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Only those on this server.
    server_id: Option<String>,
}

/// What was asked for, in its stored form; all faults at once.
fn checked(new: SiteCreate) -> Result<SiteCreate, ApiError> {
    let mut fields = Fields::default();
    let name = fields.check("name", names::slug(&new.name));
    let title = fields.check("title", names::title(&new.title));
    let domain = new
        .domain
        .as_deref()
        .and_then(|domain| fields.check("domain", names::domain(domain)));
    let mut aliases = Vec::new();
    for alias in &new.aliases {
        match fields.check("aliases", names::domain(alias)) {
            Some(alias) if aliases.contains(&alias) || domain.as_ref() == Some(&alias) => {
                fields.refuse("aliases", format!("names {alias} twice"))
            }
            Some(alias) => aliases.push(alias),
            None => {}
        }
    }
    if new.aliases.len() > ALIASES_LIMIT {
        fields.refuse("aliases", format!("may be {ALIASES_LIMIT} at most"));
    }
    if new.domain.is_none() && !new.aliases.is_empty() {
        fields.refuse("aliases", "need a domain");
    }
    let admin_user = fields.check("admin_user", names::login(&new.admin_user));
    let admin_email = fields.check("admin_email", names::email(&new.admin_email));
    let php = new
        .php
        .as_deref()
        .and_then(|php| fields.check("php", names::php_version(php)));
    fields.end()?;
    Ok(SiteCreate {
        server_id: new.server_id,
        name: name.unwrap_or_default(),
        title: title.unwrap_or_default(),
        domain,
        aliases,
        admin_user: admin_user.unwrap_or_default(),
        admin_email: admin_email.unwrap_or_default(),
        php,
    })
}

/// The server can take a site, or what it lacks.
fn ready_for_sites(server: &Server, php: Option<&String>) -> Result<(), ApiError> {
    let (ServerStatus::Active, Some(facts)) = (server.status, &server.facts) else {
        return Err(ApiError::unprocessable(
            "server_not_ready",
            format!("The server {} is not registered yet.", server.name),
        ));
    };
    let missing = facts
        .missing
        .get("sites")
        .map(Vec::as_slice)
        .unwrap_or_default();
    if !missing.is_empty() {
        return Err(ApiError::unprocessable(
            "server_not_ready",
            format!(
                "The server {} is not ready for sites: {}. Mend that, then run: triphammer servers check {}",
                server.name,
                missing.join("; "),
                server.name
            ),
        ));
    }
    match php {
        Some(php) if !facts.php.contains(php) => Err(ApiError::unprocessable(
            "php_not_installed",
            format!(
                "The server {} has no PHP {php}; it has {}.",
                server.name,
                facts.php.join(", ")
            ),
        )),
        _ => Ok(()),
    }
}

/// The name under which a site without a domain answers.
fn address(cloud: &Cloud, server: &Server, name: &str) -> String {
    let ip = server
        .ip
        .clone()
        .unwrap_or_else(|| server.host.clone())
        .replace(':', "-");
    format!("{name}.{}", cloud.config.site_domain.replace("{ip}", &ip))
}

/// Create a WordPress site.
#[utoipa::path(post, path = "/v1/sites", tag = "sites", params(DryRun, IdempotencyKey), request_body = SiteCreate,
    responses((status = 201, body = SiteCreated), (status = 200, description = "the plan of a dry run", body = Plan)))]
async fn site_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(asked): Asked<DryRun>,
    body: Body<SiteCreate>,
) -> Result<Response, ApiError> {
    caller.need(Scope::SiteWrite)?;
    caller.need(Scope::DeployStart)?;
    let idempotency = body.idempotency(&caller);
    let new = checked(body.value)?;
    let server = cloud.records.server(caller.team, new.server_id).await?;
    ready_for_sites(&server, new.php.as_ref())?;
    let password = operations::password();
    let admin_password = if asked.dry_run {
        SecretId::from_parts(0, 0)
    } else {
        operations::seal(
            &cloud,
            &caller,
            &format!("first password of {}", new.name),
            password.as_bytes(),
        )
        .await?
    };
    let (time, random) = cloud.id_parts();
    let site_id = SiteId::from_parts(time, random);
    let operation = operations::create_site(CreateSite {
        site_id,
        server_id: server.id,
        address: address(&cloud, &server, &new.name),
        system_name: new.name.replace('-', "_"),
        name: new.name,
        title: new.title,
        domain: new.domain,
        aliases: new.aliases,
        admin_user: new.admin_user,
        admin_email: new.admin_email,
        admin_password,
        php: new.php,
    })?;
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
        "site.create",
        site_id,
        operation.target.name.clone(),
    );
    let new = operation.ready(&cloud, &caller, idempotency, audit)?;
    let created = cloud.records.deployment_create(new).await?;
    let (Created::New(id) | Created::Repeat(id)) = created;
    let deployment = cloud
        .records
        .deployment_snapshot(caller.team, id)
        .await?
        .deployment;
    let site = cloud
        .records
        .site(
            caller.team,
            deployment
                .target
                .id
                .parse()
                .map_err(|_| ApiError::not_found("site"))?,
        )
        .await?;
    let admin_password = matches!(created, Created::New(_)).then(|| password.to_string());
    Ok((
        StatusCode::CREATED,
        Json(SiteCreated {
            site: views::site(site),
            deployment: DeploymentView::from(&deployment),
            admin_password,
        }),
    )
        .into_response())
}

/// The team's sites.
#[utoipa::path(get, path = "/v1/sites", tag = "sites", params(Listed),
    responses((status = 200, body = Page<SiteView>)))]
async fn site_list(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Page<SiteView>>, ApiError> {
    caller.need(Scope::SiteRead)?;
    let server: Option<ServerId> = listed
        .server_id
        .map(|id| id.parse().map_err(|_| ApiError::not_found("server")))
        .transpose()?;
    let sites = cloud.records.sites(caller.team).await?;
    let items = sites
        .into_iter()
        .filter(|site| server.is_none_or(|server| site.server_id == server))
        .map(views::site)
        .collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// One site.
#[utoipa::path(get, path = "/v1/sites/{id}", tag = "sites", params(("id" = SiteId, Path)),
    responses((status = 200, body = SiteView)))]
async fn site_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<SiteId>,
) -> Result<Json<SiteView>, ApiError> {
    caller.need(Scope::SiteRead)?;
    Ok(Json(views::site(
        cloud.records.site(caller.team, id).await?,
    )))
}
