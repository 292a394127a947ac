//! Is the API as it describes itself? Asked by Schemathesis, of the running stack.
//!
//! Promise: with things that are there, so that answers are held to the description and not only refusals; the run's token
//! is its own and is gone after it.

use crate::build::{self, read, root, run, say};
use crate::setup::ensure_venv;
use crate::up::{self, Up};
use anyhow::{Context, Result, bail};
use domain::release::Environment;
use domain::{DeploymentId, DeploymentStatus, Role, SiteId, TargetKind, TeamId, TokenId};
use records::{AuditEntry, Records, TokenRecord};
use sha2::{Digest, Sha256};
use std::process::Command;

/// The newest deployments; the one that completed last is among them after the end-to-end tests.
const LOOKED_AT: u32 = 100;

async fn token(records: &Records, secret: &str) -> Result<TokenRecord> {
    let hash = hex::encode(Sha256::digest(secret));
    let token = records.token_by_hash(&hash).await?;
    token.context("the token is not known")
}

/// The id of a backup configuration of this site, made as people make one.
fn configuration(up: &Up, site: SiteId) -> Result<String> {
    let made = read(
        Command::new(build::cli_binary())
            .env("TRIPHAMMER_CONFIG", &up.cli_config)
            .args(["backups", "configurations", "create", "--json"])
            .args([&site.to_string(), "asked-for", "--schedule", "@daily"]),
    )?;
    let made: serde_json::Value = serde_json::from_str(&made)?;
    let id = made["id"].as_str().context("it has no id")?;
    Ok(id.to_string())
}

/// An environment that runs something, and two of its releases, the newer one first.
async fn environment(records: &Records, team: TeamId) -> Result<(Environment, [DeploymentId; 2])> {
    for environment in records.environments(team).await? {
        let Some(current) = environment.current else {
            continue;
        };
        let id = environment.id.to_string();
        let history = records
            .target_history_page(team, TargetKind::Environment, &id, None, LOOKED_AT)
            .await?;
        let mut releases = history.items.iter().filter(|deployment| {
            deployment.pipeline == "release" && deployment.status == DeploymentStatus::Completed
        });
        if let Some(other) = releases.find(|release| release.id != current) {
            return Ok((environment, [current, other.id]));
        }
    }
    bail!("no environment had two releases")
}

/// Ask. The owner's team must have a server, a site with a backup, a completed deployment, and an environment with two
/// releases.
pub async fn hold(up: &Up) -> Result<()> {
    say("the API and its description");
    let venv = ensure_venv("contract", &["infra/local/requirements-contract.txt"])?;
    let records = up::records(&up.endpoint, &up.outputs).await?;
    let owner = token(&records, &up.token).await?;
    let team = owner.team_id;
    let own = up::token_create(&records, team, "contract", Role::Owner).await?;
    let other = up::token_create(&records, team, "contract, to be revoked", Role::Owner).await?;
    let (servers, sites) = (records.servers(team).await?, records.sites(team).await?);
    let server = servers.first().context("the team has no server")?;
    let site = sites.first().context("the team has no site")?;
    let deployments = records.history_page(team, None, LOOKED_AT).await?.items;
    let deployment = deployments
        .iter()
        .find(|deployment| deployment.status == DeploymentStatus::Completed)
        .context("no deployment completed")?;
    let steps = records
        .deployment_snapshot(team, deployment.id)
        .await?
        .steps;
    let step = steps.first().context("it has no step")?;
    // Deleted by the run itself, when it asks for that; the other routes then find it gone.
    let mut backup = None;
    let mut with_backup = site;
    for site in &sites {
        if let Some(newest) = records.backups(team, site.id).await?.first() {
            (backup, with_backup) = (Some(newest.id), site);
        }
    }
    let (site, backup) = (with_backup, backup.context("no site has a backup")?);
    let configuration = configuration(up, site.id)?;
    let other = token(&records, &other).await?.id;
    let (environment, [current, before]) = environment(&records, team).await?;
    let held = run(Command::new(venv.join("bin/schemathesis"))
        .current_dir(root())
        .args(["--config-file", "infra/local/schemathesis.toml"])
        .args(["run", "openapi.json", "--url", &up.api_url])
        .env("CONTRACT_TOKEN", &own)
        .env("CONTRACT_SERVER", server.id.to_string())
        .env("CONTRACT_SITE", site.id.to_string())
        .env("CONTRACT_BACKUP", backup.to_string())
        .env("CONTRACT_CONFIGURATION", configuration)
        .env("CONTRACT_DEPLOYMENT", deployment.id.to_string())
        .env("CONTRACT_STEP", &step.name)
        .env("CONTRACT_PROJECT", environment.project_id.to_string())
        .env("CONTRACT_SERVICE", environment.service_id.to_string())
        .env("CONTRACT_ENVIRONMENT", environment.id.to_string())
        .env("CONTRACT_RELEASE", current.to_string())
        .env("CONTRACT_RELEASE_BEFORE", before.to_string())
        .env("CONTRACT_OTHER_TOKEN", other.to_string()));
    let own = token(&records, &own).await?;
    let audit = AuditEntry {
        id: TokenId::from_parts(
            own.created_at.timestamp_millis().unsigned_abs(),
            rand::random::<u128>() >> 48,
        )
        .to_string(),
        at: own.created_at,
        actor: up::actor(),
        from: up::FROM.to_string(),
        action: "token.revoke".to_string(),
        target: own.id.to_string(),
        detail: own.name.clone(),
    };
    records.token_delete(team, own.id, &audit).await?;
    held
}
