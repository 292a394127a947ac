//! How a deployment moves: begin, finish, stop, cancel, settle, as pure functions over what was read.
//!
//! Promise: each takes a snapshot and answers with the change to write, or why not. The store writes a change only if
//! nothing else changed meanwhile; otherwise the caller reads again and asks again. So what holds here holds in the table.

mod ending;
pub mod lock;
pub mod recovery;
mod rules;
mod servers;
mod worker;

pub use ending::{acknowledge, cancel, dispatched, note, settle, stop, undo_again};
pub use lock::{Arrival, Lock, Slot};
pub use recovery::{Execution, Recovery, recover};
pub use servers::{Together, gives, job_ended_on, server_ended, server_progress, silent, together};
pub use worker::{begin, finish, progress, release};

use crate::{
    Deployment, DeploymentStep, Failure, Job, OnCommit, ServerId, StepKind, StepStatus, Time,
};
use serde_json::Value;
use std::collections::BTreeMap;

/// A deployment as it stood in one read.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// The deployment.
    pub deployment: Deployment,
    /// What was asked for, frozen.
    pub input: Value,
    /// Its steps in order, the undos behind them.
    pub steps: Vec<DeploymentStep>,
    /// Those of its steps that an agent has or had in hand.
    pub jobs: Vec<Job>,
}

/// What is to be written, all or nothing.
#[derive(Debug, Clone)]
pub struct Change {
    /// As it is to be; its `seq` is one above the one read.
    pub deployment: Deployment,
    /// The steps that changed.
    pub steps: Vec<DeploymentStep>,
    /// What happens to its locks.
    pub locks: LockEffect,
    /// What happens to the target it makes.
    pub target: TargetEffect,
}

/// What a change does to the locks; all but the last demand that the deployment still holds them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LockEffect {
    /// Nothing.
    Keep,
    /// The deployment's fence becomes the lock's.
    Fence,
    /// They go to the next one that waits, or are free.
    Free,
    /// The deployment waits for them no more.
    Leave,
}

/// What a change does to the record of the target that the deployment makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TargetEffect {
    /// Nothing.
    None,
    /// It is there for use.
    Activate,
    /// It goes, and its claims with it.
    Remove,
    /// The environment becomes what the deployment's commit says.
    Commit(OnCommit),
    /// A release came to nothing: an environment that has none is failed.
    ReleaseFailed,
    /// Nothing of the environment is on these servers any more.
    Cleared(Vec<ServerId>),
}

/// Who is at work on a step.
#[derive(Debug, Clone)]
pub struct Worker {
    /// Of the Lambda's invocation.
    pub request_id: String,
    /// It is gone by then, whatever happens.
    pub deadline: Time,
}

/// What a worker that wants to begin should do.
#[derive(Debug)]
pub enum Begin {
    /// Write this, then work.
    Go(Box<Change>),
    /// It was done before: give these, work nothing.
    Done(BTreeMap<String, Value>),
    /// There is nothing to do.
    Nothing,
}

/// How a step ended.
#[derive(Debug, Clone)]
pub enum End {
    /// With its effect.
    Completed {
        /// Small values for later steps.
        gives: BTreeMap<String, Value>,
        /// For people.
        output: String,
    },
    /// It found that it does not apply.
    Skipped(String),
    /// Without it, and a repeat will not help.
    Failed(Failure),
}

/// What a person's cancel comes to.
#[derive(Debug)]
pub enum Cancel {
    /// Write this.
    Go(Box<Change>),
    /// It is over anyway.
    AlreadyFinished,
    /// It passed its commit and is tidying up.
    TooLate,
}

impl Snapshot {
    /// The step of this name, forward or undo.
    pub fn step(&self, name: &str) -> Option<&DeploymentStep> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// The job of the step of this name, on this server when it has one on each.
    pub fn job(&self, step: &str, server: Option<ServerId>) -> Option<&Job> {
        let wanted = |job: &&Job| job.step == step && job.server == server;
        self.jobs.iter().find(wanted)
    }

    /// Forward steps that started and whose undo has not completed, last first.
    pub fn left_to_undo(&self) -> Vec<&DeploymentStep> {
        let mut left: Vec<_> = self
            .steps
            .iter()
            .filter(|step| step.kind == StepKind::Step && step.has_begun())
            .filter(|step| match &step.undo {
                Some(undo) => self
                    .step(undo)
                    .is_none_or(|undo| undo.status != StepStatus::Completed),
                None => false,
            })
            .collect();
        left.sort_by_key(|step| std::cmp::Reverse(step.sort_order));
        left
    }

    /// A change after which all is as it was, told once more.
    pub fn as_it_is(&self) -> Change {
        Change {
            deployment: self.changed(),
            steps: Vec::new(),
            locks: LockEffect::Keep,
            target: TargetEffect::None,
        }
    }

    fn changed(&self) -> Deployment {
        let mut deployment = self.deployment.clone();
        deployment.seq += 1;
        deployment
    }
}
