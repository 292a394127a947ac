//! The states things pass through, each with its transition table.
//!
//! Promise: `may_become` is the only word on what may follow; every conditional write is derived from it.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// A state with a table of what may follow it.
pub trait Transitions: Copy + Eq + VariantArray + Into<&'static str> {
    /// May this one follow that one?
    fn may_become(self, next: Self) -> bool;

    /// Every state that `next` may follow: the condition of a write.
    fn before(next: Self) -> Vec<Self> {
        Self::VARIANTS
            .iter()
            .copied()
            .filter(|state| state.may_become(next))
            .collect()
    }

    /// The word in records, JSON and conditions.
    fn as_str(self) -> &'static str {
        self.into()
    }
}

macro_rules! state {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident),* $(,)? } $($from:ident => [$($to:ident),*]),* $(,)?) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, EnumString, IntoStaticStr, VariantArray, utoipa::ToSchema)]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),* }
        impl Transitions for $name {
            fn may_become(self, next: Self) -> bool {
                match self { $(Self::$from => { let allowed: &[Self] = &[$(Self::$to),*]; allowed.contains(&next) })* }
            }
        }
        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad((*self).into()) }
        }
    };
}

state! {
    /// The verdict on a deployment, written once.
    DeploymentStatus {
        /// Waits for its turn or its start.
        Queued,
        /// At work.
        Running,
        /// Passed its commit step.
        Completed,
        /// Did not, by a fault.
        Failed,
        /// Did not, by a person's or a rule's word.
        Cancelled,
    }
    Queued => [Running, Failed, Cancelled],
    Running => [Completed, Failed, Cancelled],
    Completed => [],
    Failed => [],
    Cancelled => [],
}

impl DeploymentStatus {
    /// The verdict stands.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled)
    }
}

state! {
    /// What still happens beside the verdict.
    Settlement {
        /// Not finished, or finishing its tidy steps.
        Active,
        /// The verdict stands, the worker is being stopped.
        Stopping,
        /// Undos are at work.
        Undoing,
        /// Nothing more will happen; the lock is free.
        Settled,
        /// An undo failed: people must look; the lock is kept.
        NeedsAttention,
    }
    Active => [Stopping, Undoing, Settled, NeedsAttention],
    Stopping => [Undoing, Settled, NeedsAttention],
    Undoing => [Settled, NeedsAttention],
    Settled => [],
    NeedsAttention => [Undoing, Settled],
}

impl Settlement {
    /// Nothing more happens by itself: all is done, or people must look.
    pub fn is_at_rest(self) -> bool {
        matches!(self, Self::Settled | Self::NeedsAttention)
    }
}

state! {
    /// Has the work been handed to its state machine?
    Dispatch {
        /// Waits in a slot of the lock.
        Held,
        /// The dispatcher starts it as soon as it sees this.
        Ready,
        /// An execution exists.
        Started,
    }
    Held => [Ready],
    Ready => [Started],
    Started => [Ready],
}

state! {
    /// How far a step is.
    StepStatus {
        /// Not begun.
        Queued,
        /// A worker has it.
        Running,
        /// Done.
        Completed,
        /// Ended without its effect.
        Failed,
        /// Not for this deployment, or never reached.
        Skipped,
    }
    Queued => [Running, Failed, Skipped],
    Running => [Running, Completed, Failed, Skipped],
    Completed => [],
    Failed => [Running],
    Skipped => [],
}

impl StepStatus {
    /// Nothing more will happen to it by itself.
    pub fn is_finished(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Skipped)
    }
}

state! {
    /// Where a release stands; it stays where it was when it failed.
    Phase {
        /// Not begun.
        Pending,
        /// Resolving and freezing.
        Starting,
        /// Cloning, building, pulling.
        Building,
        /// The images are there.
        Built,
        /// Containers are being started and checked.
        Deploying,
        /// The route is being switched.
        Network,
        /// Old containers are drained.
        Finalizing,
        /// Live.
        Ready,
        /// Was live, and was replaced.
        Superseded,
    }
    Pending => [Starting],
    Starting => [Building, Deploying],
    Building => [Built],
    Built => [Deploying],
    Deploying => [Network],
    Network => [Finalizing],
    Finalizing => [Ready],
    Ready => [Superseded],
    Superseded => [],
}

state! {
    /// The verdict as one of four ends.
    Outcome {
        /// It did what was asked.
        Succeeded,
        /// It did not.
        Failed,
        /// It was stopped.
        Canceled,
        /// It never ran.
        Skipped,
    }
    Succeeded => [],
    Failed => [],
    Canceled => [],
    Skipped => [],
}

state! {
    /// An environment of a service.
    EnvironmentStatus {
        /// Nothing was released to it yet.
        Pending,
        /// Serves its current release.
        Active,
        /// A release is at work.
        Deploying,
        /// Its first release failed.
        Failed,
        /// Stopped by a person.
        Stopped,
    }
    Pending => [Deploying],
    Active => [Deploying, Stopped],
    Deploying => [Active, Failed],
    Failed => [Deploying],
    Stopped => [Deploying, Active],
}

state! {
    /// What set a deployment off.
    Trigger {
        /// A person, in the dashboard.
        User,
        /// A program, through the API.
        Api,
        /// A person, through the command line.
        Cli,
        /// An agent.
        Agent,
        /// A Git provider.
        Webhook,
        /// The clock.
        Schedule,
    }
    User => [], Api => [], Cli => [], Agent => [], Webhook => [], Schedule => [],
}

impl Trigger {
    /// Automatic ones are held while the target is busy; a person is told at once.
    pub fn is_automatic(self) -> bool {
        matches!(self, Self::Webhook | Self::Schedule)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_verdict_is_final() {
        for from in DeploymentStatus::VARIANTS
            .iter()
            .filter(|status| status.is_finished())
        {
            assert!(
                DeploymentStatus::VARIANTS
                    .iter()
                    .all(|to| !from.may_become(*to)),
                "{from}"
            );
        }
    }

    #[test]
    fn only_a_running_deployment_completes() {
        assert_eq!(
            DeploymentStatus::before(DeploymentStatus::Completed),
            [DeploymentStatus::Running]
        );
    }

    #[test]
    fn what_is_settled_stays_settled_and_what_needs_attention_does_not() {
        assert!(
            Settlement::VARIANTS
                .iter()
                .all(|to| !Settlement::Settled.may_become(*to))
        );
        assert!(Settlement::NeedsAttention.may_become(Settlement::Undoing));
        assert!(Settlement::NeedsAttention.may_become(Settlement::Settled));
    }

    #[test]
    fn the_words_in_records_are_snake_case_and_read_back() {
        assert_eq!(Settlement::NeedsAttention.as_str(), "needs_attention");
        for status in StepStatus::VARIANTS {
            assert_eq!(status.as_str().parse::<StepStatus>().as_ref(), Ok(status));
        }
    }
}
