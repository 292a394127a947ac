//! The HTTP API's requests and replies: what api answers, what client reads, what OpenAPI shows.
//!
//! Promise: one type per shape, unknown fields refused in requests, times in RFC 3339, ids as ULIDs.

mod backup_configurations;
mod backups;
mod environments;
mod live;
mod logs;
mod projects;
mod releases;
mod views;

pub use backup_configurations::{
    BackupConfigurationCreate, BackupConfigurationPlan, BackupConfigurationUpdate,
    BackupConfigurationView, LastBackup, RestorePointView, RetentionDecision, RetentionPlan,
};
pub use backups::{BackupCreate, BackupRestore, BackupView};
pub use environments::{
    EnvironmentCreate, EnvironmentCreated, EnvironmentUpdate, EnvironmentView, MASK, ValueClear,
    ValueName, ValuesChange, ValuesReplace, ValuesView, url,
};
pub use live::{FRAME_LIMIT_BYTES, LiveCommand, LiveEvent, LiveTicket, NotATopic, Topic};
pub use logs::LogLineView;
pub use projects::{
    GitAccessAsked, ProjectCreate, ProjectView, RegistryAsked, RegistryView, ServiceCreate,
    ServiceUpdate, ServiceView, SourceAsked, SourceView,
};
pub use releases::{
    DeploymentDiff, DeploymentViews, ObservedView, PromoteCreate, ReleaseCreate, RollbackCreate,
    UploadCreate, UploadCreated, UploadView,
};

use chrono::{DateTime, Utc};
use domain::{
    Actor, DeploymentId, DeploymentStatus, Dispatch, Failure, HostKey, Outcome, Phase, Progress,
    ReleaseDiff, Role, Scope, ServerFacts, ServerId, ServerStatus, Settlement, SiteId, SiteStatus,
    StepKind, StepStatus, TargetRef, TokenId, Trigger, Vocabulary, WebhookEndpointId,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// An error, as RFC 9457 says (`application/problem+json`).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// `https://triphammer.dev/problems/{code}`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The same for every problem of this code.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// Stable, snake_case: what programs match.
    pub code: String,
    /// For people: what is wrong here, and what to do.
    pub detail: String,
    /// The fields at fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldProblem>,
    /// Who holds the target, when it is busy.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub held_by: Option<Holder>,
    /// To be named when asking for help.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// One field at fault.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct FieldProblem {
    /// Its name.
    pub field: String,
    /// What is wrong with it.
    pub message: String,
}

/// Who holds a target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Holder {
    /// The deployment.
    pub deployment_id: DeploymentId,
    /// What it does.
    pub operation_name: String,
    /// Since when.
    pub since: DateTime<Utc>,
}

/// One page of a list, newest first where there is an order of time.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// The entries.
    pub items: Vec<T>,
    /// For `?cursor=`; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// Register a server.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerCreate {
    /// Unique in the team: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
    /// Address or host name.
    pub host: String,
    /// The SSH port.
    #[serde(default = "ssh_port", deserialize_with = "port")]
    #[schema(default = 22, minimum = 1, maximum = 65535)]
    pub port: u16,
    /// The account that installs the agent: root, or one that may `sudo` without a password.
    #[serde(default = "root")]
    #[schema(default = "root", max_length = 32, pattern = "^[a-z_][a-z0-9_-]*$")]
    pub user: String,
    /// That account's private key in OpenSSH format, without a passphrase. Kept encrypted until the registration is over.
    pub private_key: String,
    /// The host key's fingerprint (`SHA256:…`), if it is known; otherwise the registration waits for a yes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host_key: Option<String>,
}

fn ssh_port() -> u16 {
    22
}
/// JSON has one kind of number: 22.0 is 22.
fn port<'de, D: serde::Deserializer<'de>>(from: D) -> Result<u16, D::Error> {
    let number = f64::deserialize(from)?;
    let is_port = number.fract() == 0.0 && (0.0..=f64::from(u16::MAX)).contains(&number);
    if is_port {
        Ok(number as u16)
    } else {
        Err(serde::de::Error::custom(
            "a port is a whole number from 1 to 65535",
        ))
    }
}
fn root() -> String {
    "root".to_string()
}

/// Say yes to a host key that was seen.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostKeyConfirm {
    /// The fingerprint that is right; another than the one seen is refused.
    pub fingerprint: String,
}

/// A server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerView {
    /// Its id.
    pub id: ServerId,
    /// Its name.
    pub name: String,
    /// Address or host name.
    pub host: String,
    /// The SSH port.
    pub port: u16,
    /// How far it is.
    pub status: ServerStatus,
    /// The pinned host key.
    pub host_key: Option<HostKey>,
    /// The host key that was seen and waits for a yes.
    pub host_key_seen: Option<HostKey>,
    /// The agent's version.
    pub agent_version: Option<String>,
    /// What the last check saw.
    pub facts: Option<ServerFacts>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Create a WordPress site.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SiteCreate {
    /// Where it is to live.
    pub server_id: ServerId,
    /// Unique on its server: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
    /// The site's title.
    #[schema(min_length = 1, max_length = 200)]
    pub title: String,
    /// Its own main domain; without one it answers under a name made from the server's address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// Other host names of it; they need a domain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// The first administrator's login.
    #[serde(default = "admin")]
    #[schema(default = "admin", pattern = "^[A-Za-z0-9][A-Za-z0-9_.@-]{0,59}$")]
    pub admin_user: String,
    /// And mail address.
    pub admin_email: String,
    /// A PHP version of the server, such as `8.2`; absent for its newest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub php: Option<String>,
}

fn admin() -> String {
    "admin".to_string()
}

/// A site.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SiteView {
    /// Its id.
    pub id: SiteId,
    /// Where it lives.
    pub server_id: ServerId,
    /// Its name.
    pub name: String,
    /// Its title when it was made.
    pub title: String,
    /// How far it is.
    pub status: SiteStatus,
    /// Where it answers, once it does.
    pub url: Option<String>,
    /// Its own main domain.
    pub domain: Option<String>,
    /// Other host names.
    pub aliases: Vec<String>,
    /// Its web root on the server.
    pub path: Option<String>,
    /// The PHP version that serves it.
    pub php: Option<String>,
    /// The WordPress version when it was made.
    pub wordpress: Option<String>,
    /// The first administrator's login.
    pub admin_user: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A deployment in a list.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentView {
    /// Its id.
    pub id: DeploymentId,
    /// The pipeline.
    #[serde(rename = "type")]
    pub pipeline: String,
    /// For people.
    pub operation_name: String,
    /// What it is about.
    pub target: TargetRef,
    /// Who asked.
    pub actor: Actor,
    /// What set it off.
    pub trigger: Trigger,
    /// The verdict.
    pub status: DeploymentStatus,
    /// In words: "cancelled, undoing".
    pub standing: String,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What still happens.
    pub settlement: Settlement,
    /// Handed to its machine, or held until its turn.
    pub dispatch: Dispatch,
    /// For releases.
    pub phase: Option<Phase>,
    /// Why it failed, was cancelled, or needs attention.
    pub error: Option<Failure>,
    /// What is left on the target when an undo failed.
    pub attention: Option<String>,
    /// Repeats this one.
    pub retry_of: Option<DeploymentId>,
    /// Goes back to this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rollback_of: Option<DeploymentId>,
    /// Where a release stands, in the words of other products.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vocabulary: Option<Vocabulary>,
    /// When it was asked for.
    pub created_at: DateTime<Utc>,
    /// When its first step began.
    pub started_at: Option<DateTime<Utc>>,
    /// When the verdict fell.
    pub finished_at: Option<DateTime<Utc>>,
    /// When nothing was left to do.
    pub settled_at: Option<DateTime<Utc>>,
    /// Rises with every change of it or its steps.
    pub seq: u64,
}

/// A step of a deployment.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepView {
    /// `provision_database`
    pub name: String,
    /// For people.
    pub title: String,
    /// Forward, tidy or undo.
    pub kind: StepKind,
    /// How far.
    pub status: StepStatus,
    /// Its end is the verdict "completed".
    pub commit: bool,
    /// For an undo: the step it takes back.
    pub undo_of: Option<String>,
    /// What it did, or why it was skipped.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What went wrong on the way and was tried again, or failed without harm.
    pub warning: Option<String>,
    /// While it runs.
    pub progress: Option<Progress>,
    /// When it began.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
    /// When it is done on several servers: one each, in the environment's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<StepServerView>,
}

/// A step on one server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct StepServerView {
    /// The server.
    pub id: ServerId,
    /// Its name at that moment.
    pub name: String,
    /// How far.
    pub status: StepStatus,
    /// What it did, or why it was left out.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// While it runs.
    pub progress: Option<Progress>,
    /// When it was first begun.
    pub started_at: Option<DateTime<Utc>>,
    /// When it ended.
    pub finished_at: Option<DateTime<Utc>>,
}

/// A deployment with all its steps, in order; undos behind the steps.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentDetail {
    /// The deployment.
    #[serde(flatten)]
    pub deployment: DeploymentView,
    /// Its steps.
    pub steps: Vec<StepView>,
}

/// What a create would do: the answer to `dry_run=true`.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Plan {
    /// The pipeline.
    #[serde(rename = "type")]
    pub pipeline: String,
    /// For people.
    pub operation_name: String,
    /// What would be locked meanwhile.
    pub locks: Vec<String>,
    /// The steps.
    pub steps: Vec<PlanStep>,
    /// Of a release: what differs from the one that is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub diff: Option<ReleaseDiff>,
}

/// A step of a plan.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct PlanStep {
    /// `provision_database`
    pub name: String,
    /// For people.
    pub title: String,
    /// Forward or tidy.
    pub kind: StepKind,
    /// Its end is the verdict "completed".
    pub commit: bool,
    /// Why it would be skipped; absent when it would not.
    pub skipped: Option<String>,
    /// What takes its effect back, or why nothing does.
    pub undo: String,
    /// At most this long.
    pub timeout_seconds: u64,
}

/// A server's registration has begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServerCreated {
    /// The server.
    pub server: ServerView,
    /// The deployment that registers it.
    pub deployment: DeploymentView,
}

/// A site's creation has begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SiteCreated {
    /// The site.
    pub site: SiteView,
    /// The deployment that creates it.
    pub deployment: DeploymentView,
    /// The first administrator's password: shown in this one reply and never again. A repeat of the call answers without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_password: Option<String>,
}

/// A deployment has begun.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentCreated {
    /// The deployment.
    pub deployment: DeploymentView,
    /// The new administrator's password, when a site's creation is repeated: shown in this one reply.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub admin_password: Option<String>,
}

/// Accept what an undo left behind, and free the target.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Acknowledge {
    /// Why, for the audit trail.
    #[schema(min_length = 1, max_length = 200)]
    pub reason: String,
}

/// Create a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenCreate {
    /// For people.
    #[schema(min_length = 1, max_length = 200)]
    pub name: String,
    /// Of the member it stands for: it never does more than that role may, nor than its maker's.
    pub role: Role,
    /// What it may do.
    #[schema(min_items = 1)]
    pub scopes: Vec<Scope>,
}

/// A token, without its secret.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// Its id.
    pub id: TokenId,
    /// For people.
    pub name: String,
    /// Of the member it stands for.
    pub role: Role,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A new token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct TokenCreated {
    /// The token.
    pub token: TokenView,
    /// `th_…`: shown in this one reply and never again; only its hash is stored.
    pub secret: String,
}

/// Have notices sent to an address.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct WebhookEndpointCreate {
    /// Where they go: `https://…`, an address of the public internet.
    #[schema(format = "uri", max_length = 2048)]
    pub url: String,
}

/// An address that notices are sent to.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookEndpointView {
    /// Its id.
    pub id: WebhookEndpointId,
    /// Where they go.
    pub url: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// A new address for notices.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct WebhookEndpointCreated {
    /// The endpoint.
    pub endpoint: WebhookEndpointView,
    /// `whsec_…`, as Standard Webhooks has it: shown in this one reply and never again.
    pub secret: String,
}

/// The API is there.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct Health {
    /// `ok`
    pub status: String,
    /// The release.
    pub version: String,
}

/// One entry of the audit trail.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// When.
    pub at: DateTime<Utc>,
    /// Who.
    pub actor: Actor,
    /// From which address.
    pub from: String,
    /// What: `site.create`.
    pub action: String,
    /// To what.
    pub target: String,
    /// More, for people.
    pub detail: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port_of(text: &str) -> Option<u16> {
        let body =
            format!(r#"{{"name":"web1","host":"h.example.com","private_key":"k","port":{text}}}"#);
        let server: ServerCreate = serde_json::from_str(&body).ok()?;
        Some(server.port)
    }

    #[test]
    fn a_port_is_a_whole_number_however_it_is_written() {
        for (text, port) in [("22", 22), ("22.0", 22), ("2.2e1", 22), ("65535", 65535)] {
            assert_eq!(port_of(text), Some(port), "{text}");
        }
        for text in ["22.5", "-1", "65536", "1e9", "\"22\"", "null"] {
            assert_eq!(port_of(text), None, "{text}");
        }
    }
}
