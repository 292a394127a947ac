//! The records of one operation: the deployment and its steps.
//!
//! Promise: enough to say what happened, to whom, by whom, and how it ended, without any log.

use crate::{
    DeploymentId, DeploymentStatus, Dispatch, ErrorKind, LockKey, Outcome, Phase, ServerId,
    Settlement, StepError, StepStatus, TargetKind, TeamId, Time, Trigger, time_text,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Who asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Actor {
    /// A person or a program.
    pub kind: ActorKind,
    /// The token's or member's id.
    pub id: String,
    /// How people know them.
    pub name: String,
    /// Their role at that moment.
    pub role: String,
}

/// What kind of caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ActorKind {
    /// A member.
    Member,
    /// A token.
    Token,
    /// Triphammer itself.
    System,
}

/// What the deployment is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct TargetRef {
    /// Server, site or environment.
    pub kind: TargetKind,
    /// Its id.
    pub id: String,
    /// Its name at that moment.
    pub name: String,
}

/// Why something ended without its effect.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Failure {
    /// What can be done about it.
    pub kind: ErrorKind,
    /// Stable, for programs.
    pub code: String,
    /// For people.
    pub message: String,
}

impl From<&StepError> for Failure {
    fn from(error: &StepError) -> Self {
        Self {
            kind: error.kind,
            code: error.code.clone(),
            message: error.public.clone(),
        }
    }
}

/// What a commit makes of an environment, in the transaction of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnCommit {
    /// The deployment is the current one, and the one before it superseded.
    MakeCurrent,
    /// The same, and pushes do not deploy by themselves until a person says so.
    GoBack,
    /// It is stopped.
    Stop,
    /// It runs again.
    Start,
    /// It is no more: its names are free again.
    Remove,
}

/// One operation. Kept under 4 KB: the frozen input is an item of its own.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Deployment {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: DeploymentId,
    /// Its owner.
    pub team_id: TeamId,
    /// Who asked.
    pub actor: Actor,
    /// What set it off.
    pub trigger: Trigger,
    /// The pipeline's name.
    #[serde(rename = "type")]
    pub pipeline: String,
    /// For people: "Create site".
    pub operation_name: String,
    /// What it is about.
    pub target: TargetRef,
    /// The verdict.
    pub status: DeploymentStatus,
    /// For releases.
    pub phase: Option<Phase>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// What still happens.
    pub settlement: Settlement,
    /// Handed to its machine?
    pub dispatch: Dispatch,
    /// The step whose end is the verdict "completed".
    pub commit_step: String,
    /// The locks it holds until it is settled, sorted.
    pub locks: Vec<LockKey>,
    /// As in its lock items: the highest fence any of its workers was given.
    pub fence: u64,
    /// Ids and small values that steps need.
    #[serde(default)]
    pub meta: BTreeMap<String, serde_json::Value>,
    /// What its commit makes of its environment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_commit: Option<OnCommit>,
    /// Set when the pipeline makes its target: the record goes if the deployment does not complete.
    pub creates_target: bool,
    /// Claims beside the target (a name, a domain) that go with it.
    #[serde(default)]
    pub claims: Vec<String>,
    /// When it was asked for.
    #[serde(with = "time_text")]
    pub created_at: Time,
    /// When its first step began.
    #[serde(default, with = "time_text::option")]
    pub started_at: Option<Time>,
    /// When the verdict fell.
    #[serde(default, with = "time_text::option")]
    pub finished_at: Option<Time>,
    /// When nothing was left to do.
    #[serde(default, with = "time_text::option")]
    pub settled_at: Option<Time>,
    /// Why it failed, was cancelled, or needs attention.
    pub error: Option<Failure>,
    /// What is left when an undo failed, for people.
    pub attention: Option<String>,
    /// Repeats this one.
    pub retry_of: Option<DeploymentId>,
    /// Goes back to this one.
    pub rollback_of: Option<DeploymentId>,
    /// Rises by one with every change of it or its steps.
    pub seq: u64,
    /// How many of its steps changed with this `seq`.
    #[serde(default)]
    pub changed_steps: u32,
    /// Where it waits while its target is busy: `release:main`. People do not wait, so theirs have none.
    #[serde(default)]
    pub slot: Option<String>,
    /// Since when its machine may be started; absent for as long as it was from the start.
    #[serde(default, with = "time_text::option")]
    pub ready_at: Option<Time>,
    /// How often its machine was started after the first time.
    pub undo_starts: u32,
    /// How many of these nobody asked for, since a person last did.
    #[serde(default)]
    pub restarts: u32,
}

impl Deployment {
    /// The lock that stands for its target on servers: the target's own, when it has one. A promotion also holds that of
    /// the environment that it takes from.
    pub fn target_lock(&self) -> Option<&LockKey> {
        let own = |lock: &&LockKey| lock.is_of(&self.target);
        self.locks.iter().find(own).or(self.locks.last())
    }

    /// In one line, as people read it: "cancelled, undoing".
    pub fn standing(&self) -> String {
        match (self.status.is_finished(), self.settlement) {
            (false, _) if self.dispatch == Dispatch::Held => "held until its turn".to_string(),
            (true, Settlement::Settled) if self.outcome == Some(Outcome::Skipped) => {
                "skipped".to_string()
            }
            (false, _) | (true, Settlement::Settled) => self.status.to_string(),
            (true, Settlement::Active) => format!("{}, tidying up", self.status),
            (true, Settlement::Stopping) => format!("{}, stopping", self.status),
            (true, Settlement::Undoing) => format!("{}, undoing", self.status),
            (true, Settlement::NeedsAttention) => format!("{}, needs attention", self.status),
        }
    }
}

/// What kind of work a step is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepKind {
    /// Up to the commit, the commit included.
    Step,
    /// After the commit: its failure is a warning.
    Tidy,
    /// Takes a step's effect back.
    Undo,
}

/// How far a running step is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Progress {
    /// In the unit.
    pub done: u64,
    /// In the unit; absent when not known.
    pub total: Option<u64>,
    /// `bytes`, `files`, `steps`.
    pub unit: String,
    /// Per second, over the last seconds; absent when not known.
    #[serde(default)]
    pub rate: Option<f64>,
    /// What it is doing now, for people.
    pub message: String,
}

/// One step of a deployment, or the undo of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeploymentStep {
    /// Number of the record's shape.
    pub schema: u32,
    /// `provision_database`: also the state's name.
    pub name: String,
    /// For people.
    pub title: String,
    /// The Lambda behind it.
    pub function: String,
    /// Forward, tidy or undo.
    pub kind: StepKind,
    /// How far.
    pub status: StepStatus,
    /// Its place.
    pub sort_order: u32,
    /// The name of the undo that takes its effect back.
    pub undo: Option<String>,
    /// For an undo: the step it takes back.
    pub undo_of: Option<String>,
    /// For people: what it did, or why it was skipped.
    pub output: Option<String>,
    /// Why it failed.
    pub error: Option<Failure>,
    /// What went wrong on the way and was tried again, or failed without harm.
    pub warning: Option<String>,
    /// While it runs.
    pub progress: Option<Progress>,
    /// Small values it gave to later steps.
    #[serde(default)]
    pub gives: BTreeMap<String, serde_json::Value>,
    /// The release's phase while it runs.
    pub phase: Option<Phase>,
    /// When its first worker began.
    #[serde(default, with = "time_text::option")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, with = "time_text::option")]
    pub finished_at: Option<Time>,
    /// The deployment's `seq` with which it last changed.
    #[serde(default)]
    pub seq: u64,
    /// Of its newest worker.
    #[serde(default)]
    pub fence: u64,
    /// Until when its newest worker may be alive; absent when it is known to be gone.
    #[serde(default, with = "time_text::option")]
    pub deadline: Option<Time>,
    /// Of its newest worker.
    pub request_id: Option<String>,
    /// When it is done on several servers: one each, in the environment's order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub servers: Vec<StepServer>,
}

/// A step on one server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepServer {
    /// The server.
    pub id: ServerId,
    /// Its name at that moment.
    pub name: String,
    /// How far.
    pub status: StepStatus,
    /// For people: what it did, or why it was left out.
    #[serde(default)]
    pub output: Option<String>,
    /// Why it failed.
    #[serde(default)]
    pub error: Option<Failure>,
    /// While it runs.
    #[serde(default)]
    pub progress: Option<Progress>,
    /// Small values it gave.
    #[serde(default)]
    pub gives: BTreeMap<String, serde_json::Value>,
    /// How often it was begun.
    #[serde(default)]
    pub tries: u32,
    /// When it was first begun.
    #[serde(default, with = "time_text::option")]
    pub started_at: Option<Time>,
    /// When it ended.
    #[serde(default, with = "time_text::option")]
    pub finished_at: Option<Time>,
    /// It could not be reached whenever it was begun: nothing is to be taken back there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_untouched: bool,
}

impl StepServer {
    /// One that waits.
    pub fn queued(id: ServerId, name: impl Into<String>) -> Self {
        Self {
            id,
            name: name.into(),
            status: StepStatus::Queued,
            output: None,
            error: None,
            progress: None,
            gives: BTreeMap::new(),
            tries: 0,
            started_at: None,
            finished_at: None,
            is_untouched: false,
        }
    }

    /// May there be anything of it on the server?
    pub fn has_begun(&self) -> bool {
        let never_reached = self.is_untouched && self.status == StepStatus::Failed;
        self.started_at.is_some() && !never_reached
    }
}

impl DeploymentStep {
    /// May there be anything of it to take back?
    pub fn has_begun(&self) -> bool {
        let somewhere = self.servers.is_empty() || self.servers.iter().any(StepServer::has_begun);
        self.started_at.is_some() && self.status != StepStatus::Skipped && somewhere
    }
}
