//! What the pipelines are about: records made with a deployment, or there before it.

use crate::Bench;
use domain::release::{EnvironmentSettings, Project, Service, Source};
use domain::{
    Actor, ActorKind, DeploymentId, Environment, ProjectId, SCHEMA, SecretId, Server, ServerId,
    ServerStatus, ServiceId, Site, SiteId, SiteStatus, TargetKind,
};
use pipelines::{Pipeline, TargetUse};
use records::{AuditEntry, TargetRecord};
use serde_json::json;

/// What a pipeline is about.
pub fn kind(pipeline: &Pipeline) -> TargetKind {
    let mut kinds = pipeline.targets.iter().map(|target| match target {
        TargetUse::Reads(kind) | TargetUse::Writes(kind) | TargetUse::Creates(kind) => *kind,
    });
    kinds.next_back().unwrap_or(TargetKind::Site)
}

/// Its record.
pub fn record(
    bench: &Bench,
    kind: TargetKind,
    id: SiteId,
    created_by: DeploymentId,
) -> TargetRecord {
    let server: ServerId = id.to_string().parse().expect("an id");
    let secret = SecretId::from_parts(0, 0);
    let created_at = bench.cloud.clock.now();
    match kind {
        TargetKind::Server => TargetRecord::Server(Box::new(Server {
            schema: SCHEMA,
            id: server,
            team_id: bench.team,
            name: "web1".into(),
            host: "192.0.2.1".into(),
            port: 22,
            ip: None,
            status: ServerStatus::Registering,
            bootstrap_user: "root".into(),
            bootstrap_key: secret,
            agent_key: secret,
            agent_public_key: None,
            host_key: None,
            host_key_seen: None,
            agent_version: None,
            facts: None,
            created_by,
            created_at,
        })),
        TargetKind::Site => TargetRecord::Site(Box::new(Site {
            schema: SCHEMA,
            id,
            team_id: bench.team,
            server_id: server,
            name: "shop".into(),
            title: "Shop".into(),
            address: "shop.test".into(),
            domain: None,
            aliases: Vec::new(),
            system_name: "shop".into(),
            status: SiteStatus::Creating,
            url: None,
            path: None,
            php: None,
            wordpress: None,
            admin_user: "admin".into(),
            created_by,
            created_at,
        })),
        TargetKind::Environment => TargetRecord::Environment(Box::new(Environment {
            schema: SCHEMA,
            id: id.to_string().parse().expect("an id"),
            team_id: bench.team,
            project_id: parents().0,
            service_id: parents().1,
            name: "production".into(),
            host_name: "shop-web-production".into(),
            settings: settings(server),
            values_version: 0,
            current: None,
            failed: None,
            is_stopped: false,
            auto_deploys_paused_by: None,
            kept: Vec::new(),
            placed_on: Vec::new(),
            revision: 1,
            created_at,
        })),
    }
}

/// The project and the service of the environments.
fn parents() -> (ProjectId, ServiceId) {
    (ProjectId::from_parts(0, 1), ServiceId::from_parts(0, 1))
}

fn settings(server: ServerId) -> EnvironmentSettings {
    serde_json::from_value(json!({"server_ids": [server]})).expect("settings")
}

/// The service of the environments.
pub async fn service(bench: &Bench) {
    let (project_id, id) = parents();
    let created_at = bench.cloud.clock.now();
    let audit = AuditEntry {
        id: project_id.to_string(),
        at: created_at,
        actor: Actor {
            kind: ActorKind::System,
            id: "test".into(),
            name: "Tess".into(),
            role: "owner".into(),
        },
        from: "test".into(),
        action: "test".into(),
        target: project_id.to_string(),
        detail: String::new(),
    };
    let project = Project {
        schema: SCHEMA,
        id: project_id,
        team_id: bench.team,
        name: "shop".into(),
        created_at,
    };
    let records = &bench.cloud.records;
    let made = records.project_create(&project, None, &audit).await;
    made.expect("a project");
    let source = Source::Image {
        image: "ghcr.io/example/app:1".into(),
    };
    let service = Service {
        schema: SCHEMA,
        id,
        team_id: bench.team,
        project_id,
        name: "web".into(),
        settings: serde_json::from_value(json!({"source": source})).expect("settings"),
        revision: 1,
        created_at,
    };
    let audit = AuditEntry {
        id: format!("{}-service", audit.id),
        ..audit
    };
    let made = records.service_create(&service, &[], None, &audit).await;
    made.expect("a service");
}
