//! From what people type to ids.
//!
//! Promise: a name that is unknown, or means several things, is said so with what there is to choose from.

use crate::ending::Fault;
use crate::output::plain;
use client::Client;
use contract::{
    BackupConfigurationView, EnvironmentView, ProjectView, ServerView, ServiceView, SiteView,
    TokenView, WebhookEndpointView,
};
use domain::{
    BackupConfigurationId, EnvironmentId, ProjectId, ServerId, ServiceId, SiteId, TokenId,
    WebhookEndpointId,
};
use std::str::FromStr;

/// Because more names than these are a list of their own.
const NAMES_SHOWN: usize = 10;

/// A server's id, from its name or id.
pub async fn server_id(client: &Client, text: &str) -> Result<ServerId, Fault> {
    if let Some(id) = id(text) {
        return Ok(id);
    }
    Ok(server_named(client, text).await?.id)
}

/// A server, from its name or id.
pub async fn server(client: &Client, text: &str) -> Result<ServerView, Fault> {
    match id(text) {
        Some(id) => Ok(client.server(id).await?),
        None => server_named(client, text).await,
    }
}

async fn server_named(client: &Client, name: &str) -> Result<ServerView, Fault> {
    let servers = client.servers().await?.items;
    let names = servers.iter().map(|server| server.name.clone()).collect();
    let found = servers.into_iter().filter(|server| server.name == name);
    one(found.collect(), "server", name, names, |server| {
        server.id.to_string()
    })
}

/// A site, from its name, SERVER/NAME, or id.
pub async fn site(client: &Client, text: &str) -> Result<SiteView, Fault> {
    if let Some(id) = id::<SiteId>(text) {
        return Ok(client.site(id).await?);
    }
    let (on, name) = match text.split_once('/') {
        Some((server, name)) => (Some(server_id(client, server).await?), name),
        None => (None, text),
    };
    let sites = client.sites(on).await?.items;
    let names = sites.iter().map(|site| site.name.clone()).collect();
    let found = sites.into_iter().filter(|site| site.name == name);
    one(found.collect(), "site", text, names, |site| {
        format!("{} on server {}", site.id, site.server_id)
    })
}

/// A token, from its name or id.
pub async fn token(client: &Client, text: &str) -> Result<TokenView, Fault> {
    let tokens = client.tokens().await?.items;
    let wanted = id::<TokenId>(text);
    let names = tokens.iter().map(|token| token.name.clone()).collect();
    let found = tokens
        .into_iter()
        .filter(|token| Some(token.id) == wanted || token.name == text);
    one(found.collect(), "token", text, names, |token| {
        token.id.to_string()
    })
}

/// A webhook endpoint, from its URL or id.
pub async fn webhook_endpoint(client: &Client, text: &str) -> Result<WebhookEndpointView, Fault> {
    let endpoints = client.webhook_endpoints().await?.items;
    let wanted = id::<WebhookEndpointId>(text);
    let names = endpoints
        .iter()
        .map(|endpoint| endpoint.url.clone())
        .collect();
    // The API keeps a URL without a path with the slash that people leave out.
    let url = text.trim_end_matches('/');
    let found = endpoints.into_iter().filter(|endpoint| {
        Some(endpoint.id) == wanted || endpoint.url.trim_end_matches('/') == url
    });
    one(
        found.collect(),
        "webhook endpoint",
        text,
        names,
        |endpoint| endpoint.id.to_string(),
    )
}

/// A backup configuration of a site, from its name or id.
pub async fn backup_configuration(
    client: &Client,
    site: SiteId,
    text: &str,
) -> Result<BackupConfigurationView, Fault> {
    let all = client.backup_configurations(site).await?.items;
    let wanted = id::<BackupConfigurationId>(text);
    let names = all.iter().map(|one| one.name.clone()).collect();
    let found = all
        .into_iter()
        .filter(|one| Some(one.id) == wanted || one.name == text);
    one(
        found.collect(),
        "backup configuration",
        text,
        names,
        |one| one.id.to_string(),
    )
}

/// A project, from its name or id.
pub async fn project(client: &Client, text: &str) -> Result<ProjectView, Fault> {
    if let Some(id) = id::<ProjectId>(text) {
        return Ok(client.project(id).await?);
    }
    let projects = client.projects().await?.items;
    let names = projects.iter().map(|one| one.name.clone()).collect();
    let found = projects.into_iter().filter(|one| one.name == text);
    one(found.collect(), "project", text, names, |one| {
        one.id.to_string()
    })
}

/// A service, from PROJECT/SERVICE or its id.
pub async fn service(client: &Client, text: &str) -> Result<ServiceView, Fault> {
    if let Some(id) = id::<ServiceId>(text) {
        return Ok(client.service(id).await?);
    }
    let Some((project_name, name)) = text.split_once('/') else {
        return Err(Fault::said(format!(
            "{text:?} is no service: write PROJECT/SERVICE"
        )));
    };
    let project = project(client, project_name).await?;
    let services = client.services(Some(project.id)).await?.items;
    let names = services.iter().map(|one| one.name.clone()).collect();
    let found = services.into_iter().filter(|one| one.name == name);
    one(found.collect(), "service", name, names, |one| {
        one.id.to_string()
    })
}

/// An environment, from PROJECT/SERVICE/ENVIRONMENT or its id.
pub async fn environment(client: &Client, text: &str) -> Result<EnvironmentView, Fault> {
    if let Some(id) = id::<EnvironmentId>(text) {
        return Ok(client.environment(id).await?);
    }
    if text.split('/').count() != 3 {
        return Err(Fault::said(format!(
            "{text:?} is no environment: write PROJECT/SERVICE/ENVIRONMENT"
        )));
    }
    let all = client.environments(None).await?.items;
    let names = all.iter().map(|one| one.path.clone()).collect();
    let found = all.into_iter().filter(|one| one.path == text);
    one(found.collect(), "environment", text, names, |one| {
        one.id.to_string()
    })
}

/// `site:NAME`, `server:NAME` or `environment:PATH`, as the API takes it.
pub async fn target(client: &Client, text: &str) -> Result<String, Fault> {
    match text.split_once(':') {
        Some(("site", name)) => match id::<SiteId>(name) {
            Some(id) => Ok(format!("site:{id}")),
            None => Ok(format!("site:{}", site(client, name).await?.id)),
        },
        Some(("server", name)) => Ok(format!("server:{}", server_id(client, name).await?)),
        Some(("environment", name)) => {
            let found = environment(client, name).await?;
            Ok(format!("environment:{}", found.id))
        }
        _ => Err(Fault::said(format!(
            "{text:?} is no target: write site:NAME, server:NAME or environment:PROJECT/SERVICE/NAME"
        ))),
    }
}

/// Ids are written in capitals; names never are, so none can be taken for the other.
fn id<I: FromStr>(text: &str) -> Option<I> {
    text.parse().ok()
}

fn one<T>(
    mut found: Vec<T>,
    what: &str,
    name: &str,
    mut names: Vec<String>,
    which: impl Fn(&T) -> String,
) -> Result<T, Fault> {
    if found.len() > 1 {
        let these: Vec<_> = found.iter().map(which).collect();
        return Err(Fault::said(format!(
            "{} {what}s are named {name}: {}. Use the id.",
            found.len(),
            these.join("; ")
        )));
    }
    if let Some(found) = found.pop() {
        return Ok(found);
    }
    names.sort();
    names.dedup();
    let there_are = match names.len() {
        0 => format!("There is no {what} yet."),
        1..=NAMES_SHOWN => format!("There is: {}.", plain(&names.join(", "))),
        _ => format!("triphammer {what}s list shows them all."),
    };
    Err(Fault::said(format!(
        "there is no {what} named {name}. {there_are}"
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(found: Vec<&str>, names: &[&str]) -> String {
        let names = names.iter().map(ToString::to_string).collect();
        match one(found, "site", "shop", names, |id| id.to_string()) {
            Ok(id) => id.to_string(),
            Err(fault) => fault.to_string(),
        }
    }

    #[test]
    fn one_is_taken_and_two_are_shown() {
        assert_eq!(told(vec!["01A"], &["shop"]), "01A");
        assert_eq!(
            told(vec!["01A", "01B"], &["shop", "shop"]),
            "2 sites are named shop: 01A; 01B. Use the id."
        );
    }

    #[test]
    fn an_unknown_name_is_answered_with_the_known_ones() {
        assert_eq!(
            told(vec![], &["b", "a"]),
            "there is no site named shop. There is: a, b."
        );
        assert_eq!(
            told(vec![], &[]),
            "there is no site named shop. There is no site yet."
        );
    }
}
