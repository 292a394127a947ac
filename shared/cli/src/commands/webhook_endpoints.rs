//! `triphammer webhook-endpoints`: add, list, remove.

use super::when;
use crate::args::WebhookEndpoints;
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{bold, yellow};
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use contract::WebhookEndpointCreate;
use serde_json::json;

/// See the module.
pub async fn perform(invocation: &Invocation, command: WebhookEndpoints) -> Result<Ending, Fault> {
    match command {
        WebhookEndpoints::Add { url } => add(invocation, WebhookEndpointCreate { url }).await,
        WebhookEndpoints::List => list(invocation).await,
        WebhookEndpoints::Remove { endpoint } => remove(invocation, &endpoint).await,
    }
}

async fn add(invocation: &Invocation, new: WebhookEndpointCreate) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if invocation.dry_run {
        let words = format!("have notices sent to {}", plain(&new.url));
        return plan::say(invocation, "add_webhook_endpoint", &new, &words);
    }
    let created = invocation.client.webhook_endpoint_create(&new).await?;
    if output.json {
        output.document(&created)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::facts();
    table.fact("url", &created.endpoint.url);
    table.fact("id", created.endpoint.id.to_string());
    table.fact(
        "secret",
        Cell::both(bold(plain(&created.secret)), &created.secret),
    );
    output.table(&table)?;
    output.note(yellow(
        "The secret is shown once: give it to the receiver now, which verifies notices with it as Standard Webhooks says.",
    ));
    Ok(Ending::Done)
}

async fn list(invocation: &Invocation) -> Result<Ending, Fault> {
    let page = invocation.client.webhook_endpoints().await?;
    if invocation.output.json {
        invocation.output.document(&page)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::with(&["URL", "CREATED", "ID"]);
    for endpoint in &page.items {
        table.row([
            Cell::from(&endpoint.url),
            when(endpoint.created_at),
            endpoint.id.to_string().into(),
        ]);
    }
    invocation.output.table(&table)?;
    Ok(Ending::Done)
}

async fn remove(invocation: &Invocation, endpoint: &str) -> Result<Ending, Fault> {
    let endpoint = resolve::webhook_endpoint(&invocation.client, endpoint).await?;
    let named = format!("{} ({})", plain(&endpoint.url), endpoint.id);
    if invocation.dry_run {
        return plan::say(
            invocation,
            "remove_webhook_endpoint",
            &endpoint,
            &format!("send no more notices to {named}"),
        );
    }
    let question = format!(
        "Send no more notices to {named}? Its secret is forgotten; adding it again makes another."
    );
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not removed"));
    }
    invocation
        .client
        .webhook_endpoint_delete(endpoint.id)
        .await?;
    if invocation.output.json {
        invocation
            .output
            .document(&json!({ "removed": endpoint }))?;
    } else {
        invocation.output.line(format!("removed {named}"))?;
    }
    Ok(Ending::Done)
}
