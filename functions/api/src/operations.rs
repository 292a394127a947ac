//! From a frozen input to everything that comes to be together: the same for a first call and for a retry.
//!
//! Promise: a pipeline's target record, claims and locks are made in one place.

pub mod releases;

use crate::auth::Caller;
use crate::problem::ApiError;
use backups::plan::{self, OnSite, Wanted};
use domain::{
    Backup, BackupConfigurationId, Deployment, DeploymentId, LockKey, SCHEMA, SecretId, Server,
    ServerStatus, Site, SiteStatus, TargetKind, TargetRef,
};
use kit::{Cloud, draft};
use pipelines::Pipeline;
use pipelines::inputs::{
    CheckServer, CreateSite, RegisterServer, RestoreBackup, StoredDatabase, StoredFiles,
};
use records::{AuditEntry, Claim, Idempotency, NewDeployment, TargetRecord};
use serde::Serialize;
use serde_json::Value;
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// Secrets for one deployment live a day: long enough to retry what failed overnight.
const EPHEMERAL_SECRET_SECONDS: i64 = 86_400;

/// Makes the target's record, once the deployment's id is known.
type MakeRecord = Box<dyn FnOnce(DeploymentId, &Caller, &Cloud) -> TargetRecord + Send>;

/// An operation that is ready to be stored, or to be shown as a plan.
pub struct Operation {
    /// Its pipeline.
    pub pipeline: Pipeline,
    /// What it is about.
    pub target: TargetRef,
    /// What it locks.
    pub locks: Vec<LockKey>,
    /// The frozen input.
    pub input: Value,
    meta: BTreeMap<String, Value>,
    claims: Vec<Claim>,
    record: Option<MakeRecord>,
    rollback_of: Option<DeploymentId>,
}

fn pipeline(name: &str) -> Result<Pipeline, ApiError> {
    pipelines::find(name).ok_or_else(|| {
        ApiError::unprocessable(
            "unknown_pipeline",
            format!("There is no pipeline {name} any more."),
        )
    })
}

fn frozen(input: &impl Serialize) -> Result<Value, ApiError> {
    serde_json::to_value(input).map_err(|error| kit::StepError::broken(error).into())
}

fn meta(pairs: impl IntoIterator<Item = (&'static str, Value)>) -> BTreeMap<String, Value> {
    pairs
        .into_iter()
        .map(|(name, value)| (name.to_string(), value))
        .collect()
}

/// Register a server.
pub fn register_server(input: RegisterServer) -> Result<Operation, ApiError> {
    let frozen_input = frozen(&input)?;
    Ok(Operation {
        pipeline: pipeline("register_server")?,
        target: TargetRef {
            kind: TargetKind::Server,
            id: input.server_id.to_string(),
            name: input.name.clone(),
        },
        locks: vec![LockKey::server(input.server_id)],
        input: frozen_input,
        meta: meta([
            ("server_id", input.server_id.to_string().into()),
            (
                kit::settle::SECRETS_TO_FORGET,
                vec![input.bootstrap_key.to_string()].into(),
            ),
        ]),
        claims: vec![Claim {
            name: format!("server-name:{}", input.name),
            what: format!("The server name {}", input.name),
            target: input.server_id.to_string(),
        }],
        record: Some(Box::new(move |created_by, caller, cloud| {
            TargetRecord::Server(Box::new(Server {
                schema: SCHEMA,
                id: input.server_id,
                team_id: caller.team,
                name: input.name,
                host: input.host,
                port: input.port,
                ip: None,
                status: ServerStatus::Registering,
                bootstrap_user: input.user,
                bootstrap_key: input.bootstrap_key,
                agent_key: input.agent_key,
                agent_public_key: None,
                host_key: None,
                host_key_seen: None,
                agent_version: None,
                facts: None,
                created_by,
                created_at: cloud.clock.now(),
            }))
        })),
        rollback_of: None,
    })
}

/// Check a server.
pub fn check_server(server: &Server) -> Result<Operation, ApiError> {
    Ok(Operation {
        pipeline: pipeline("check_server")?,
        target: TargetRef {
            kind: TargetKind::Server,
            id: server.id.to_string(),
            name: server.name.clone(),
        },
        locks: vec![LockKey::server(server.id)],
        input: frozen(&CheckServer {
            server_id: server.id,
        })?,
        meta: meta([("server_id", server.id.to_string().into())]),
        claims: Vec::new(),
        record: None,
        rollback_of: None,
    })
}

/// Create a site.
pub fn create_site(input: CreateSite) -> Result<Operation, ApiError> {
    let frozen_input = frozen(&input)?;
    let (server, site) = (input.server_id, input.site_id);
    let mut claims = vec![
        Claim {
            name: format!("site-name:{server}:{}", input.name),
            what: format!("The site name {} on this server", input.name),
            target: site.to_string(),
        },
        // Two names may become one system name: shop-1 and shop_1 cannot both be asked for, but rules change.
        Claim {
            name: format!("system-name:{server}:{}", input.system_name),
            what: format!("The system name {} on this server", input.system_name),
            target: site.to_string(),
        },
    ];
    for domain in input.domain.iter().chain(&input.aliases) {
        claims.push(Claim {
            name: format!("domain:{server}:{domain}"),
            what: format!("The domain {domain} on this server"),
            target: site.to_string(),
        });
    }
    Ok(Operation {
        pipeline: pipeline("create_site")?,
        target: TargetRef {
            kind: TargetKind::Site,
            id: site.to_string(),
            name: input.name.clone(),
        },
        locks: vec![LockKey::site(site)],
        input: frozen_input,
        meta: meta([
            ("site_id", site.to_string().into()),
            ("server_id", server.to_string().into()),
            (
                kit::settle::SECRETS_TO_FORGET,
                vec![input.admin_password.to_string()].into(),
            ),
        ]),
        claims,
        record: Some(Box::new(move |created_by, caller, cloud| {
            TargetRecord::Site(Box::new(Site {
                schema: SCHEMA,
                id: input.site_id,
                team_id: caller.team,
                server_id: input.server_id,
                name: input.name,
                title: input.title,
                address: input.address,
                domain: input.domain,
                aliases: input.aliases,
                system_name: input.system_name,
                status: SiteStatus::Creating,
                url: None,
                path: None,
                php: None,
                wordpress: None,
                admin_user: input.admin_user,
                created_by,
                created_at: cloud.clock.now(),
            }))
        })),
        rollback_of: None,
    })
}

/// The same again, as it was frozen: for what makes no record of its own.
pub fn again(name: &str, earlier: &Deployment, input: Value) -> Result<Operation, ApiError> {
    let pipeline = pipeline(name)?;
    let known = |name: &'static str| Some((name, earlier.meta.get(name)?.clone()));
    let meta = meta(pipeline.starts_with.iter().copied().filter_map(known));
    Ok(Operation {
        pipeline,
        target: earlier.target.clone(),
        locks: earlier.locks.clone(),
        input,
        meta,
        claims: Vec::new(),
        record: None,
        rollback_of: None,
    })
}

fn on_site(
    name: &str,
    site: &Site,
    configuration: Option<BackupConfigurationId>,
    input: Value,
) -> Result<Operation, ApiError> {
    let OnSite {
        target,
        locks,
        meta,
    } = plan::on_site(site, configuration);
    Ok(Operation {
        pipeline: pipeline(name)?,
        target,
        locks,
        input,
        meta,
        claims: Vec::new(),
        record: None,
        rollback_of: None,
    })
}

/// Back up a site.
pub fn backup_site(cloud: &Cloud, site: &Site, wanted: Wanted<'_>) -> Result<Operation, ApiError> {
    let configuration = wanted.configuration_id;
    let input = frozen(&plan::backup_site(cloud, site, wanted))?;
    on_site("backup_site", site, configuration, input)
}

/// Put a backup back: its files are those of the chain, oldest first.
pub fn restore_backup(
    cloud: &Cloud,
    site: &Site,
    restored: &Backup,
    chain: &[&Backup],
    wanted: Wanted<'_>,
) -> Result<Operation, ApiError> {
    let database = restored
        .database
        .clone()
        .filter(|_| wanted.scope.has_database())
        .map(|contents| StoredDatabase {
            key: restored.key("database"),
            contents,
        });
    let files = chain.iter().filter_map(|backup| {
        Some(StoredFiles {
            files_key: backup.key("files"),
            manifest_key: backup.key("manifest"),
            contents: backup.files.clone()?,
        })
    });
    let input = frozen(&RestoreBackup {
        site_id: site.id,
        server_id: site.server_id,
        system_name: site.system_name.clone(),
        restored: restored.id,
        backup: plan::planned(cloud, site, wanted),
        database,
        chain: files.collect(),
    })?;
    on_site("restore_backup", site, None, input)
}

impl Operation {
    /// Everything that comes to be together.
    pub fn ready(
        self,
        cloud: &Cloud,
        caller: &Caller,
        idempotency: Option<Idempotency>,
        audit: AuditEntry,
    ) -> Result<NewDeployment, ApiError> {
        let asked = draft::Asked {
            team_id: caller.team,
            actor: caller.actor(),
            trigger: caller.trigger,
            slot: None,
            target: self.target,
            locks: self.locks,
            input: self.input.clone(),
            meta: self.meta,
            claims: self.claims.iter().map(|claim| claim.name.clone()).collect(),
        };
        let (mut deployment, steps) = draft::deployment(cloud, &self.pipeline, asked)?;
        deployment.rollback_of = self.rollback_of;
        let target = self
            .record
            .map(|record| record(deployment.id, caller, cloud));
        Ok(NewDeployment {
            deployment,
            input: self.input,
            steps,
            target,
            claims: self.claims,
            idempotency,
            audit,
        })
    }
}

/// Keep a secret for one deployment, and no longer than a day.
pub async fn seal(
    cloud: &Cloud,
    caller: &Caller,
    purpose: &str,
    clear: &[u8],
) -> Result<SecretId, ApiError> {
    let (time, random) = cloud.id_parts();
    let id = SecretId::from_parts(time, random);
    let expires_at = cloud.clock.now().timestamp() + EPHEMERAL_SECRET_SECONDS;
    cloud
        .secrets
        .seal(caller.team, id, purpose, clear, Some(expires_at))
        .await?;
    Ok(id)
}

/// 24 letters and digits, 142 bits; none that people take for another.
pub fn password() -> Zeroizing<String> {
    const LETTERS: &[u8] = b"abcdefghijkmnpqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ23456789";
    let letter = || char::from(LETTERS[rand::random_range(0..LETTERS.len())]);
    Zeroizing::new((0..24).map(|_| letter()).collect())
}
