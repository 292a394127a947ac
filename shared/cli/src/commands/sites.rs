//! `triphammer sites`: create, list, show.

use super::{begun, when, when_exactly};
use crate::args::{SiteCreate, Sites};
use crate::ending::{Ending, Fault};
use crate::follow::Followed;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{bold, yellow};
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use contract::{SiteCreated, SiteView};
use domain::ServerId;
use std::collections::BTreeMap;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Sites) -> Result<Ending, Fault> {
    match command {
        Sites::Create(asked) => create(invocation, asked).await,
        Sites::List { server } => list(invocation, server.as_deref()).await,
        Sites::Show { site } => {
            let site = resolve::site(&invocation.client, &site).await?;
            show(invocation, &site).await
        }
    }
}

async fn create(invocation: &Invocation, asked: SiteCreate) -> Result<Ending, Fault> {
    let new = contract::SiteCreate {
        server_id: resolve::server_id(&invocation.client, &asked.server).await?,
        name: asked.name,
        title: asked.title,
        domain: asked.domain,
        aliases: asked.aliases,
        admin_user: asked.admin_user,
        admin_email: asked.admin_email,
        php: asked.php,
    };
    if invocation.dry_run {
        let would = invocation.client.site_create_plan(&new).await?;
        return plan::show(invocation, &would);
    }
    let created = invocation.client.site_create(&new).await?;
    let output = &invocation.output;
    match (output.json, invocation.follow) {
        (true, true) => output.record(&created)?,
        (true, false) => output.document(&created)?,
        (false, _) => admin_access(
            invocation,
            &created.site.admin_user,
            created.admin_password.as_deref(),
        )?,
    }
    let followed = Followed::to_the_end(created.deployment.id);
    let ending = begun(invocation, &created.deployment, followed).await?;
    if invocation.follow && !output.json && ending == Ending::Done {
        say_where(invocation, &created).await?;
    }
    Ok(ending)
}

/// The one time the password is seen.
pub fn admin_access(
    invocation: &Invocation,
    user: &str,
    password: Option<&str>,
) -> Result<(), Fault> {
    let output = &invocation.output;
    let Some(password) = password else {
        output.note(yellow(format!(
            "The reply with the admin password was lost on its way and it is shown once only. When the site stands, set a new one: wp user update {} --prompt=user_pass",
            plain(user)
        )));
        return Ok(());
    };
    let mut table = Table::facts();
    table.fact("admin user", user);
    table.fact(
        "admin password",
        Cell::both(bold(plain(password)), password),
    );
    output.table(&table)?;
    output.note(yellow(
        "The password is shown once and kept nowhere: write it down now.",
    ));
    Ok(())
}

/// Where the new site answers. The site stands even if this cannot be read now.
async fn say_where(invocation: &Invocation, created: &SiteCreated) -> Result<(), Fault> {
    if let Ok(site) = invocation.client.site(created.site.id).await
        && let Some(url) = &site.url
    {
        let url = plain(url);
        let mut table = Table::facts();
        table.fact("site", &url);
        table.fact("log in", format!("{}/wp-admin/", url.trim_end_matches('/')));
        invocation.output.table(&table)?;
    }
    Ok(())
}

async fn list(invocation: &Invocation, server: Option<&str>) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let on = match server {
        Some(server) => Some(resolve::server_id(client, server).await?),
        None => None,
    };
    let page = client.sites(on).await?;
    if invocation.output.json {
        invocation.output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        invocation
            .output
            .note("no sites yet; create one: triphammer sites create --help");
    }
    let servers = server_names(invocation).await;
    let mut table = Table::with(&["NAME", "SERVER", "STATUS", "URL", "PHP", "CREATED", "ID"]);
    for site in &page.items {
        table.row([
            Cell::from(&site.name),
            server_name(&servers, site).into(),
            <&'static str>::from(site.status).into(),
            site.url.as_deref().unwrap_or("-").into(),
            site.php.as_deref().unwrap_or("-").into(),
            when(site.created_at),
            site.id.to_string().into(),
        ]);
    }
    invocation.output.table(&table)?;
    Ok(Ending::Done)
}

/// For people only: a token that may not list servers sees ids.
async fn server_names(invocation: &Invocation) -> BTreeMap<ServerId, String> {
    let servers = invocation.client.servers().await;
    servers.map_or_else(
        |_| BTreeMap::new(),
        |page| {
            let named = page
                .items
                .into_iter()
                .map(|server| (server.id, server.name));
            named.collect()
        },
    )
}

fn server_name(servers: &BTreeMap<ServerId, String>, site: &SiteView) -> String {
    servers
        .get(&site.server_id)
        .cloned()
        .unwrap_or_else(|| site.server_id.to_string())
}

async fn show(invocation: &Invocation, site: &SiteView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(site)?;
        return Ok(Ending::Done);
    }
    let servers = server_names(invocation).await;
    let mut table = Table::facts();
    table.fact("name", &site.name);
    table.fact("id", site.id.to_string());
    table.fact("title", &site.title);
    table.fact("server", server_name(&servers, site));
    table.fact("status", <&'static str>::from(site.status));
    table.fact_if("url", site.url.as_ref());
    table.fact_if("domain", site.domain.as_ref());
    table.fact_if(
        "aliases",
        (!site.aliases.is_empty()).then(|| site.aliases.join(", ")),
    );
    table.fact_if("path", site.path.as_ref());
    table.fact_if("PHP", site.php.as_ref());
    table.fact_if("WordPress", site.wordpress.as_ref());
    table.fact("admin user", &site.admin_user);
    table.fact("created", when_exactly(site.created_at));
    output.table(&table)?;
    Ok(Ending::Done)
}
