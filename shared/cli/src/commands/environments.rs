//! `triphammer environments`: create, list, show, update, delete, observe, stop, start, restart; and `triphammer resume`.

use super::projects::deleted;
use super::{begun, told, when, when_exactly};
use crate::args::{EnvironmentCreate, EnvironmentUpdate, Environments, Place};
use crate::ending::{Ending, Fault};
use crate::follow::Followed;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use client::{Act, Deletion};
use contract::EnvironmentView;
use domain::ServerId;
use domain::release::{DRAIN_SECONDS, KEPT_RELEASES};
use serde_json::json;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Environments) -> Result<Ending, Fault> {
    match command {
        Environments::Create(asked) => create(invocation, asked).await,
        Environments::List { service } => list(invocation, service.as_deref()).await,
        Environments::Show { environment } => {
            let found = resolve::environment(&invocation.client, &environment).await?;
            shown(invocation, &found)
        }
        Environments::Update(asked) => update(invocation, asked).await,
        Environments::Delete {
            environment,
            delete_volumes,
            force,
        } => {
            let how = Deletion {
                with_volumes: delete_volumes.as_deref(),
                force,
            };
            delete(invocation, &environment, how).await
        }
        Environments::Observe { environment } => act(invocation, &environment, Act::Observe).await,
        Environments::Stop { environment } => act(invocation, &environment, Act::Stop).await,
        Environments::Start { environment } => act(invocation, &environment, Act::Start).await,
        Environments::Restart { environment } => act(invocation, &environment, Act::Restart).await,
    }
}

async fn servers(invocation: &Invocation, place: &Place) -> Result<Vec<ServerId>, Fault> {
    let mut ids = Vec::new();
    for server in &place.servers {
        ids.push(resolve::server_id(&invocation.client, server).await?);
    }
    Ok(ids)
}

async fn create(invocation: &Invocation, asked: EnvironmentCreate) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let Some((service, name)) = asked.environment.rsplit_once('/') else {
        return Err(Fault::said(format!(
            "{:?} is no environment's name: write PROJECT/SERVICE/NAME",
            asked.environment
        )));
    };
    let service = resolve::service(client, service).await?;
    let new = contract::EnvironmentCreate {
        name: name.to_string(),
        server_ids: servers(invocation, &asked.place).await?,
        quorum: asked.place.quorum,
        routes: asked.place.routes(),
        drain_seconds: asked.place.drain.unwrap_or(DRAIN_SECONDS),
        keep_releases: asked.place.keep.unwrap_or(KEPT_RELEASES),
        deploy: !asked.no_deploy,
    };
    if invocation.dry_run && asked.no_deploy {
        let words = format!("create the environment {}", plain(&asked.environment));
        return plan::say(invocation, "create_environment", &new, &words);
    }
    if invocation.dry_run {
        let would = client.environment_create_plan(service.id, &new).await?;
        return plan::show(invocation, &would);
    }
    let created = client.environment_create(service.id, &new).await?;
    let output = &invocation.output;
    match (output.json, invocation.follow) {
        (true, true) => output.record(&created)?,
        (true, false) => output.document(&created)?,
        (false, _) => {
            shown(invocation, &created.environment)?;
        }
    }
    match &created.deployment {
        Some(deployment) => {
            let followed = Followed::to_the_end(deployment.id);
            begun(invocation, deployment, followed).await
        }
        None => Ok(Ending::Done),
    }
}

async fn update(invocation: &Invocation, asked: EnvironmentUpdate) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, &asked.environment).await?;
    let place = &asked.place;
    let ids = servers(invocation, place).await?;
    let change = contract::EnvironmentUpdate {
        revision: Some(found.revision),
        server_ids: (!ids.is_empty()).then_some(ids),
        quorum: match (asked.no_quorum, place.quorum) {
            (true, _) => Some(None),
            (false, Some(quorum)) => Some(Some(quorum)),
            (false, None) => None,
        },
        routes: (asked.no_routes || !place.routes.is_empty()).then(|| place.routes()),
        drain_seconds: place.drain,
        keep_releases: place.keep,
    };
    if invocation.dry_run {
        let words = format!("change the environment {}", plain(&found.path));
        return plan::say(invocation, "update_environment", &change, &words);
    }
    let changed = client.environment_update(found.id, &change).await?;
    if !invocation.output.json {
        let path = plain(&changed.path);
        invocation.output.note(format!(
            "what runs stays as it is until: triphammer deploy {path}"
        ));
    }
    shown(invocation, &changed)
}

fn shown(invocation: &Invocation, one: &EnvironmentView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(one)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::facts();
    table.fact("environment", &one.path);
    table.fact("id", one.id.to_string());
    table.fact("status", one.status.to_string());
    for url in &one.urls {
        table.fact("url", url);
    }
    table.fact_if("live", one.current.map(|id| id.to_string()));
    table.fact_if("at work", one.deploying.map(|id| id.to_string()));
    table.fact_if("failed", one.failed.map(|id| id.to_string()));
    table.fact_if(
        "pushes paused by",
        one.auto_deploys_paused_by.map(|id| id.to_string()),
    );
    let back = one.kept.iter().filter(|id| Some(**id) != one.current);
    for id in back {
        table.fact("can go back to", id.to_string());
    }
    let servers: Vec<_> = one
        .servers
        .iter()
        .map(|server| server.name.as_str())
        .collect();
    table.fact("servers", servers.join(", "));
    for server in one.placed_on.iter().filter(|it| !one.servers.contains(it)) {
        table.fact("left at the next deploy", &server.name);
    }
    table.fact_if("quorum", one.quorum.map(|quorum| quorum.to_string()));
    for (route, url) in one.routes.iter().zip(&one.urls) {
        let to = format!("{url} to {}:{}", route.service, route.port);
        table.fact("route", to);
    }
    table.fact("values", format!("version {}", one.values_version));
    table.fact("on servers", &one.host_name);
    table.fact("created", when_exactly(one.created_at));
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn list(invocation: &Invocation, service: Option<&str>) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let of = match service {
        Some(service) => Some(resolve::service(client, service).await?.id),
        None => None,
    };
    let page = client.environments(of).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        output.note("no environments yet; create one: triphammer environments create --help");
    }
    let mut table = Table::with(&["ENVIRONMENT", "STATUS", "URL", "SERVERS", "CREATED", "ID"]);
    for one in &page.items {
        let servers: Vec<_> = one
            .servers
            .iter()
            .map(|server| server.name.as_str())
            .collect();
        table.row([
            Cell::from(&one.path),
            one.status.to_string().into(),
            one.urls.first().map_or("-", String::as_str).into(),
            servers.join(", ").into(),
            when(one.created_at),
            one.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn delete(
    invocation: &Invocation,
    environment: &str,
    how: Deletion<'_>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, environment).await?;
    let named = format!("the environment {}", plain(&found.path));
    if how.with_volumes.is_some_and(|name| name != found.name) {
        return Err(Fault::said(format!(
            "its volumes are not deleted: to mean it, write --delete-volumes {}",
            plain(&found.name)
        )));
    }
    if invocation.dry_run && !found.placed_on.is_empty() {
        let would = client.environment_delete_plan(found.id, how).await?;
        return plan::show(invocation, &would);
    }
    if invocation.dry_run {
        let words = format!("delete {named}");
        return plan::say(invocation, "delete_environment", &found, &words);
    }
    let goes = match (found.placed_on.is_empty(), how.with_volumes) {
        (true, _) => "and its values",
        (_, None) => "its containers and its values, but not its volumes",
        (_, Some(_)) => "its containers, its values and its volumes with all that is in them",
    };
    if !invocation.sure(&format!("Delete {named}, {goes}?")).await? {
        return Err(Fault::said("not deleted"));
    }
    match client.environment_delete(found.id, how).await? {
        None => deleted(invocation, json!({ "deleted": found }), &named),
        Some(created) => {
            told(invocation, &created)?;
            let followed = Followed::to_the_end(created.deployment.id);
            begun(invocation, &created.deployment, followed).await
        }
    }
}

async fn act(invocation: &Invocation, environment: &str, act: Act) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, environment).await?;
    if invocation.dry_run {
        let would = client.environment_act_plan(found.id, act).await?;
        return plan::show(invocation, &would);
    }
    if act == Act::Stop {
        let question = format!(
            "Stop {}? It answers no more until it is started.",
            plain(&found.path)
        );
        if !invocation.sure(&question).await? {
            return Err(Fault::said("not stopped"));
        }
    }
    let created = client.environment_act(found.id, act).await?;
    told(invocation, &created)?;
    let followed = Followed::to_the_end(created.deployment.id);
    begun(invocation, &created.deployment, followed).await
}

/// `triphammer resume`
pub async fn resume(invocation: &Invocation, environment: &str) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, environment).await?;
    if invocation.dry_run {
        let words = match found.auto_deploys_paused_by {
            Some(_) => format!("let pushes deploy to {} again", plain(&found.path)),
            None => format!(
                "change nothing: pushes to {} are not paused",
                plain(&found.path)
            ),
        };
        return plan::say(invocation, "resume_environment", &found, &words);
    }
    let resumed = client.environment_resume(found.id).await?;
    if invocation.output.json {
        invocation.output.document(&resumed)?;
    } else {
        invocation
            .output
            .line(format!("pushes deploy to {} again", plain(&resumed.path)))?;
    }
    Ok(Ending::Done)
}
