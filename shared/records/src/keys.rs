//! Keys, and beside each the access patterns it serves.
//!
//! Promise: this is the whole list; what cannot be asked here cannot be asked without a scan, so it is not asked.
//!
//! | item | pk | sk | asked for by |
//! |---|---|---|---|
//! | deployment | `TEAM#t#DEPLOYMENT#id` | `DEPLOYMENT` | its id; together with the next three in one query |
//! | frozen input | same | `INPUT` | its deployment |
//! | step | same | `STEP#003#attach_domain` | its deployment, in order |
//! | undo | same | `UNDO#996#detach_domain` | its deployment, in order, behind the steps |
//! | job of a step | same | `JOB#archive_files`, `JOB#build_image@server` | its deployment; the callback |
//! | what a release froze | `TEAM#t#FROZEN#id` | `FROZEN` | its deployment's later steps; a rollback; people |
//! | what was seen of an environment | `TEAM#t#OBSERVED#id` | `SERVER#id` | its environment |
//! | an environment's values | `TEAM#t#VALUES#id` | `VERSION#0000000003` | its environment; deployments of it |
//! | lines of a job's log | `TEAM#t#LOG#id` | `LOG#archive_files#0000000007#000000000120` | one step's log, in order; expires |
//! | backup | `TEAM#t#BACKUPS#site id` | its ULID | its site's list, newest first; its id |
//! | backup configuration | `TEAM#t#BACKUP_CONFIGURATIONS#site id` | `CONFIGURATION#id` | its site's list; its id |
//! | their revision | same | `REVISION` | their creation, change and deletion: it holds the limit and the names |
//! | lock | `TEAM#t#LOCK#site:id` | `LOCK` | creation, begin, settle |
//! | claim (a name, a domain) | `TEAM#t#CLAIM#domain:…` | `CLAIM` | creation, settle |
//! | idempotency key | `TEAM#t#IDEMPOTENCY#key` | `IDEMPOTENCY` | creation; expires |
//! | server, site | `TEAM#t` | `SERVER#id`, `SITE#id` | its id; the team's list by prefix |
//! | project, service, environment | `TEAM#t` | `PROJECT#id`, `SERVICE#id`, `ENVIRONMENT#id` | its id; the team's list by prefix |
//! | uploaded source | `TEAM#t` | `UPLOAD#id` | its id; expires |
//! | token of a team | `TEAM#t` | `TOKEN#id` | the team's list by prefix |
//! | token by hash | `TOKEN#hash` | `TOKEN` | every request |
//! | live ticket | `TICKET#hash` | `TICKET` | a connection that opens; expires |
//! | live connection | `CONNECTION#id` | `CONNECTION` | what it says, its end; expires |
//! | connection of a token | `TEAM#t#CONNECTIONS` | `TOKEN#id#CONNECTION#id` | a token's revocation; expires |
//! | subscription | `TEAM#t#TOPIC#deployment:id` | `CONNECTION#id` | the notifier, by topic; expires |
//! | webhook endpoint | `TEAM#t` | `WEBHOOK_ENDPOINT#id` | the team's list by prefix; its id, to delete it |
//! | number of them | `TEAM#t` | `WEBHOOK_ENDPOINTS` | their creation and deletion: it holds the limit |
//! | notice that an endpoint has | `TEAM#t#NOTICE#msg_…` | `NOTICE` | every try to send it; expires |
//! | audit entry | `TEAM#t#AUDIT` | its ULID | the team, newest first |
//! | secret (own table) | `TEAM#t` | `SECRET#id` | its id; expires |
//!
//! | index | partition | sort | asked for by |
//! |---|---|---|---|
//! | `by_team` | `team_key` = `TEAM#t` | `id` | a team's history, newest first |
//! | `by_target` | `target_key` = `TEAM#t#site:id` | `id` | a target's history, newest first |
//! | `open` (sparse) | `open_key` = `OPEN` | `id` | all unsettled deployments (sweeper) |
//! | `due` (sparse) | `due_key` = `DUE` | `next_due_at` | backup configurations that are due (scheduler) |
//!
//! The indexes hold keys only: writing a deployment again does not write them again, and a page is one query and one batch read.

use domain::{
    BackupConfigurationId, BackupId, DeploymentId, EnvironmentId, LockKey, ProjectId, SecretId,
    ServerId, ServiceId, SiteId, StepKind, TeamId, TokenId, UploadId, WebhookEndpointId,
};

/// Partition and sort key.
pub type Key = (String, String);

/// Of a deployment and all that belongs to it.
pub fn deployment_partition(team: TeamId, id: DeploymentId) -> String {
    format!("TEAM#{team}#DEPLOYMENT#{id}")
}
/// Of a deployment.
pub fn deployment(team: TeamId, id: DeploymentId) -> Key {
    (deployment_partition(team, id), "DEPLOYMENT".to_string())
}
/// Of its frozen input.
pub fn input(team: TeamId, id: DeploymentId) -> Key {
    (deployment_partition(team, id), "INPUT".to_string())
}
/// Of one of its steps.
pub fn step(team: TeamId, id: DeploymentId, kind: StepKind, order: u32, name: &str) -> Key {
    let word = if kind == StepKind::Undo {
        "UNDO"
    } else {
        "STEP"
    };
    (
        deployment_partition(team, id),
        format!("{word}#{order:03}#{name}"),
    )
}
/// Of a step's job, by its name.
pub fn job(team: TeamId, id: DeploymentId, job: &str) -> Key {
    (deployment_partition(team, id), format!("JOB#{job}"))
}
/// Of what a release froze. Apart, because steps read their deployment's partition and it may weigh much.
pub fn frozen(team: TeamId, id: DeploymentId) -> Key {
    (format!("TEAM#{team}#FROZEN#{id}"), "FROZEN".to_string())
}
/// Of what was last seen of an environment, on each server.
pub fn observed(team: TeamId, id: EnvironmentId) -> String {
    format!("TEAM#{team}#OBSERVED#{id}")
}
/// Of an environment's values.
pub fn values(team: TeamId, id: EnvironmentId) -> String {
    format!("TEAM#{team}#VALUES#{id}")
}
/// Of one version of an environment's values.
pub fn values_version(team: TeamId, id: EnvironmentId, version: u64) -> Key {
    (values(team, id), format!("VERSION#{version:010}"))
}
/// Of what a deployment's jobs logged.
pub fn logs(team: TeamId, id: DeploymentId) -> String {
    format!("TEAM#{team}#LOG#{id}")
}
/// Of lines that a job logged.
pub fn log_chunk(team: TeamId, id: DeploymentId, step: &str, fence: u64, first: u64) -> Key {
    (
        logs(team, id),
        format!("LOG#{step}#{fence:010}#{first:012}"),
    )
}
/// Of a site's backups.
pub fn backups(team: TeamId, site: SiteId) -> String {
    format!("TEAM#{team}#BACKUPS#{site}")
}
/// Of a backup.
pub fn backup(team: TeamId, site: SiteId, id: BackupId) -> Key {
    (backups(team, site), id.to_string())
}
/// Of a site's backup configurations.
pub fn backup_configurations(team: TeamId, site: SiteId) -> String {
    format!("TEAM#{team}#BACKUP_CONFIGURATIONS#{site}")
}
/// Of a backup configuration.
pub fn backup_configuration(team: TeamId, site: SiteId, id: BackupConfigurationId) -> Key {
    (
        backup_configurations(team, site),
        format!("CONFIGURATION#{id}"),
    )
}
/// Of the number that every change of a site's backup configurations raises.
pub fn backup_configurations_revision(team: TeamId, site: SiteId) -> Key {
    (backup_configurations(team, site), "REVISION".to_string())
}
/// Of a lock.
pub fn lock(team: TeamId, lock: &LockKey) -> Key {
    (format!("TEAM#{team}#LOCK#{lock}"), "LOCK".to_string())
}
/// Of a claim.
pub fn claim(team: TeamId, claim: &str) -> Key {
    (format!("TEAM#{team}#CLAIM#{claim}"), "CLAIM".to_string())
}
/// Of an idempotency key.
pub fn idempotency(team: TeamId, key: &str) -> Key {
    (
        format!("TEAM#{team}#IDEMPOTENCY#{key}"),
        "IDEMPOTENCY".to_string(),
    )
}
/// Of what a team owns.
pub fn team(team: TeamId) -> String {
    format!("TEAM#{team}")
}
/// Of a server.
pub fn server(team_id: TeamId, id: ServerId) -> Key {
    (team(team_id), format!("SERVER#{id}"))
}
/// Of a site.
pub fn site(team_id: TeamId, id: SiteId) -> Key {
    (team(team_id), format!("SITE#{id}"))
}
/// Of a project.
pub fn project(team_id: TeamId, id: ProjectId) -> Key {
    (team(team_id), format!("PROJECT#{id}"))
}
/// Of a service.
pub fn service(team_id: TeamId, id: ServiceId) -> Key {
    (team(team_id), format!("SERVICE#{id}"))
}
/// Of an environment.
pub fn environment(team_id: TeamId, id: EnvironmentId) -> Key {
    (team(team_id), format!("ENVIRONMENT#{id}"))
}
/// Of an uploaded source.
pub fn upload(team_id: TeamId, id: UploadId) -> Key {
    (team(team_id), format!("UPLOAD#{id}"))
}
/// Of a token in its team.
pub fn token(team_id: TeamId, id: TokenId) -> Key {
    (team(team_id), format!("TOKEN#{id}"))
}
/// Of a token by the hash of its secret.
pub fn token_hash(hash: &str) -> Key {
    (format!("TOKEN#{hash}"), "TOKEN".to_string())
}
/// Of a ticket by the hash of its secret.
pub fn ticket(hash: &str) -> Key {
    (format!("TICKET#{hash}"), "TICKET".to_string())
}
/// Of a connection by API Gateway's id.
pub fn connection(id: &str) -> Key {
    (format!("CONNECTION#{id}"), "CONNECTION".to_string())
}
/// Of a connection under the token that opened it; with no id, what all of them begin with.
pub fn token_connection(team: TeamId, token: TokenId, id: &str) -> Key {
    (
        format!("TEAM#{team}#CONNECTIONS"),
        format!("TOKEN#{token}#CONNECTION#{id}"),
    )
}
/// Of who listens to a topic.
pub fn topic_partition(team: TeamId, topic: &str) -> String {
    format!("TEAM#{team}#TOPIC#{topic}")
}
/// Of one that listens to a topic.
pub fn subscription(team: TeamId, topic: &str, connection: &str) -> Key {
    (
        topic_partition(team, topic),
        format!("CONNECTION#{connection}"),
    )
}
/// Of a webhook endpoint.
pub fn webhook_endpoint(team_id: TeamId, id: WebhookEndpointId) -> Key {
    (team(team_id), format!("WEBHOOK_ENDPOINT#{id}"))
}
/// Of the number of a team's webhook endpoints.
pub fn webhook_endpoint_count(team_id: TeamId) -> Key {
    (team(team_id), "WEBHOOK_ENDPOINTS".to_string())
}
/// Of the note that an endpoint has a notice; the message's id names both.
pub fn notice(team: TeamId, message_id: &str) -> Key {
    (
        format!("TEAM#{team}#NOTICE#{message_id}"),
        "NOTICE".to_string(),
    )
}
/// Of a team's audit trail.
pub fn audit_partition(team: TeamId) -> String {
    format!("TEAM#{team}#AUDIT")
}
/// Of a secret, in the secrets table.
pub fn secret(team_id: TeamId, id: SecretId) -> Key {
    (team(team_id), format!("SECRET#{id}"))
}
/// Of a target's history, in the index `by_target`.
pub fn target(team: TeamId, lock: &LockKey) -> String {
    format!("TEAM#{team}#{lock}")
}
/// Of the sparse index `open`.
pub const OPEN: &str = "OPEN";
/// Of the sparse index `due`.
pub const DUE: &str = "DUE";
