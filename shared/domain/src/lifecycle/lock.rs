//! The lock of a target: who holds it, and who waits for it.
//!
//! Promise: at most one holder; whoever waits is in exactly one slot, is passed the lock in the order of arrival, and is
//! never forgotten: a lock is free only when nobody waits.

use super::rules::{set_settlement, set_status};
use super::{Change, LockEffect, TargetEffect};
use crate::{
    Deployment, DeploymentId, DeploymentStatus, Dispatch, ErrorKind, Failure, Outcome, Settlement,
    StepError, Time, Trigger, time_text,
};
use serde::{Deserialize, Serialize};

/// More branches and schedules than this do not wait for one target.
pub const SLOTS_LIMIT: usize = 16;

/// See the module.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Lock {
    /// Whose turn it is; nobody when it is free.
    #[serde(default)]
    pub holder: Option<DeploymentId>,
    /// What the holder does, for people.
    #[serde(default)]
    pub operation_name: Option<String>,
    /// Since when.
    #[serde(default, with = "time_text::option")]
    pub since: Option<Time>,
    /// The highest that any worker of any holder was given.
    #[serde(default)]
    pub fence: u64,
    /// Who waits, the next one first.
    #[serde(default)]
    pub slots: Vec<Slot>,
}

/// A place to wait in: one for each pipeline and branch or schedule.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Slot {
    /// `release:main`, `backup_site:nightly`.
    pub name: String,
    /// Who waits in it.
    pub deployment_id: DeploymentId,
}

/// What becomes of a deployment that comes to a lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Arrival {
    /// The lock is free: it is the holder from now on.
    Takes,
    /// It waits in its slot, in the place of an older one when there was one.
    Waits {
        /// The slots as they are to be.
        slots: Vec<Slot>,
        /// Whom it replaced.
        replaced: Option<DeploymentId>,
    },
    /// It is recorded and never runs, for this reason.
    Skipped(Skip),
    /// It is not recorded: its caller is told who holds the lock.
    Refused,
}

/// The code of one that is skipped because the occurrence before it waits still: nothing is lost by that.
pub const SAME_SCHEDULE_WAITS: &str = "same_schedule_waits";

/// Why a deployment never runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Skip {
    /// For programs.
    pub code: &'static str,
    /// For people.
    pub reason: String,
}

impl From<String> for Skip {
    fn from(reason: String) -> Self {
        Self {
            code: "skipped",
            reason,
        }
    }
}

impl Lock {
    /// Where a deployment that comes now belongs. People are told at once; automatic triggers wait.
    pub fn arrive(&self, deployment: &Deployment) -> Arrival {
        let Some(holder) = self.holder else {
            return Arrival::Takes;
        };
        let Some(name) = &deployment.slot else {
            return Arrival::Refused;
        };
        let mut slots = self.slots.clone();
        let Some(at) = slots.iter().position(|slot| slot.name == *name) else {
            if slots.len() >= SLOTS_LIMIT {
                let reason = format!("{SLOTS_LIMIT} others wait for {holder} already");
                return Arrival::Skipped(reason.into());
            }
            slots.push(Slot {
                name: name.clone(),
                deployment_id: deployment.id,
            });
            return Arrival::Waits {
                slots,
                replaced: None,
            };
        };
        let waiting = slots[at].deployment_id;
        if deployment.trigger == Trigger::Schedule {
            return Arrival::Skipped(Skip {
                code: SAME_SCHEDULE_WAITS,
                reason: format!("{waiting} of the same schedule still waits"),
            });
        }
        // It keeps the place: a branch that is pushed often does not lose its turn.
        slots[at].deployment_id = deployment.id;
        Arrival::Waits {
            slots,
            replaced: Some(waiting),
        }
    }

    /// The slots without this one.
    pub fn left_by(&self, id: DeploymentId) -> Vec<Slot> {
        let stays = |slot: &&Slot| slot.deployment_id != id;
        self.slots.iter().filter(stays).cloned().collect()
    }

    /// Who is next, when the holder is done.
    pub fn next(&self) -> Option<DeploymentId> {
        self.slots.first().map(|slot| slot.deployment_id)
    }
}

/// A held deployment's turn: its machine may be started. `fence` is the one of the holder before. None when it does not
/// wait any more.
pub fn promoted(held: &Deployment, fence: u64, now: Time) -> Option<Deployment> {
    if held.dispatch != Dispatch::Held || held.status != DeploymentStatus::Queued {
        return None;
    }
    let mut deployment = held.clone();
    deployment.seq += 1;
    deployment.dispatch = Dispatch::Ready;
    deployment.ready_at = Some(now);
    deployment.fence = fence;
    Some(deployment)
}

/// It never ran and never will, because a newer one took its place or a rule said no.
pub fn skipped(
    deployment: &Deployment,
    why: impl Into<Skip>,
    now: Time,
) -> Result<Change, StepError> {
    let Skip { code, reason } = why.into();
    let mut deployment = deployment.clone();
    deployment.seq += 1;
    set_status(&mut deployment, DeploymentStatus::Cancelled)?;
    set_settlement(&mut deployment, Settlement::Settled)?;
    deployment.outcome = Some(Outcome::Skipped);
    deployment.error = Some(Failure {
        kind: ErrorKind::Cancelled,
        code: code.to_string(),
        message: format!("Skipped: {reason}"),
    });
    deployment.finished_at = Some(now);
    deployment.settled_at = Some(now);
    Ok(Change {
        deployment,
        steps: Vec::new(),
        locks: LockEffect::Keep,
        target: TargetEffect::None,
    })
}
