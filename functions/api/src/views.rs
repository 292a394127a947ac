//! Records as the API shows them; deployments are shown by `contract`, because the notifier shows them too.
//!
//! Promise: secrets' ids, fences and keys stay inside.

use contract::{AuditView, Plan, PlanStep, ServerView, SiteView, TokenView, WebhookEndpointView};
use domain::{LockKey, Server, Site};
use pipelines::{Effect, Pipeline};
use records::{AuditEntry, TokenRecord, WebhookEndpoint};

/// A server.
pub fn server(server: Server) -> ServerView {
    ServerView {
        id: server.id,
        name: server.name,
        host: server.host,
        port: server.port,
        status: server.status,
        host_key_seen: server.host_key_seen.filter(|_| server.host_key.is_none()),
        host_key: server.host_key,
        agent_version: server.agent_version,
        facts: server.facts,
        created_at: server.created_at,
    }
}

/// A site.
pub fn site(site: Site) -> SiteView {
    SiteView {
        id: site.id,
        server_id: site.server_id,
        name: site.name,
        title: site.title,
        status: site.status,
        url: site.url,
        domain: site.domain,
        aliases: site.aliases,
        path: site.path,
        php: site.php,
        wordpress: site.wordpress,
        admin_user: site.admin_user,
        created_at: site.created_at,
    }
}

/// What would happen.
pub fn plan(pipeline: &Pipeline, input: &serde_json::Value, locks: &[LockKey]) -> Plan {
    let commit = pipeline.commit_step(input).map(|step| step.definition.name);
    let steps = pipeline.steps.iter().map(|step| PlanStep {
        name: step.definition.name.to_string(),
        title: step.title().to_string(),
        kind: step.kind,
        commit: commit == Some(step.definition.name),
        skipped: step.skip_reason(input).map(str::to_string),
        undo: match step.effect {
            Effect::Undo(name) => name.to_string(),
            Effect::Keeps(why) => format!("stays: {why}"),
            Effect::Reads => "changes nothing".to_string(),
        },
        timeout_seconds: step.within.as_secs(),
    });
    Plan {
        pipeline: pipeline.name.to_string(),
        operation_name: pipeline.title.to_string(),
        locks: locks.iter().map(ToString::to_string).collect(),
        steps: steps.collect(),
        diff: None,
    }
}

/// A frozen input as people see it: what stands for a secret stays inside.
pub fn without_secrets(mut input: serde_json::Value) -> serde_json::Value {
    fn clean(value: &mut serde_json::Value) {
        match value {
            serde_json::Value::Object(members) => {
                members.retain(|name, value| !stands_for_a_secret(name, value));
                members.values_mut().for_each(clean);
            }
            serde_json::Value::Array(all) => all.iter_mut().for_each(clean),
            _ => {}
        }
    }
    clean(&mut input);
    input
}

/// A name alone does not say it: a service of a Compose file may be called so.
fn stands_for_a_secret(name: &str, value: &serde_json::Value) -> bool {
    const NAMES: [&str; 4] = ["secret", "admin_password", "bootstrap_key", "agent_key"];
    let is_id = value
        .as_str()
        .is_some_and(|text| text.parse::<domain::SecretId>().is_ok());
    NAMES.contains(&name) && is_id
}

/// A token.
pub fn token(token: TokenRecord) -> TokenView {
    TokenView {
        id: token.id,
        name: token.name,
        role: token.role,
        scopes: token.scopes,
        created_at: token.created_at,
    }
}

/// A webhook endpoint.
pub fn webhook_endpoint(endpoint: WebhookEndpoint) -> WebhookEndpointView {
    WebhookEndpointView {
        id: endpoint.id,
        url: endpoint.url,
        created_at: endpoint.created_at,
    }
}

/// An entry of the audit trail.
pub fn audit(entry: AuditEntry) -> AuditView {
    AuditView {
        at: entry.at,
        actor: entry.actor,
        from: entry.from,
        action: entry.action,
        target: entry.target,
        detail: entry.detail,
    }
}
