//! The words that other products have for where a release stands, derived from ours.
//!
//! Promise: one table; every standing has a word in each vocabulary.

use crate::{Deployment, DeploymentStatus, Phase, Settlement};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Where a release stands, in the words of others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Vocabulary {
    /// As products with a list of steps say it.
    pub steps: StepsWord,
    /// As products with a list of releases say it.
    pub release: ReleaseWord,
}

/// As products with a list of steps say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum StepsWord {
    /// Waits.
    Queued,
    /// Sources and images are made ready.
    Prepare,
    /// Containers are started and checked.
    Deploy,
    /// What was replaced goes.
    Finalize,
    /// Done.
    Completed,
    /// Not done, or stopped.
    Failed,
}

/// As products with a list of releases say it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReleaseWord {
    /// Nothing is built yet.
    Pending,
    /// Images are being built or pulled.
    Building,
    /// They are there.
    Built,
    /// Containers are started and checked.
    Deploying,
    /// Live.
    Ready,
    /// It came to nothing.
    Failed,
    /// Was live, and was replaced.
    Superseded,
}

impl Vocabulary {
    /// Of a release; none of what is no release.
    pub fn of(deployment: &Deployment) -> Option<Self> {
        let phase = deployment.phase?;
        let settled = deployment.settlement == Settlement::Settled;
        Some(Self::at(deployment.status, phase, settled))
    }

    /// The table.
    pub fn at(status: DeploymentStatus, phase: Phase, is_settled: bool) -> Self {
        use DeploymentStatus as Status;
        let (steps, release) = match (status, phase) {
            (Status::Failed | Status::Cancelled, _) => (StepsWord::Failed, ReleaseWord::Failed),
            (Status::Queued, _) => (StepsWord::Queued, ReleaseWord::Pending),
            (Status::Completed, Phase::Superseded) => {
                (StepsWord::Completed, ReleaseWord::Superseded)
            }
            (Status::Completed, _) if is_settled => (StepsWord::Completed, ReleaseWord::Ready),
            (Status::Completed, _) => (StepsWord::Finalize, ReleaseWord::Ready),
            (Status::Running, Phase::Pending | Phase::Starting) => {
                (StepsWord::Prepare, ReleaseWord::Pending)
            }
            (Status::Running, Phase::Building) => (StepsWord::Prepare, ReleaseWord::Building),
            (Status::Running, Phase::Built) => (StepsWord::Prepare, ReleaseWord::Built),
            (Status::Running, Phase::Deploying | Phase::Network) => {
                (StepsWord::Deploy, ReleaseWord::Deploying)
            }
            (Status::Running, Phase::Finalizing | Phase::Ready | Phase::Superseded) => {
                (StepsWord::Finalize, ReleaseWord::Ready)
            }
        };
        Self { steps, release }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use strum::VariantArray;

    fn words(status: DeploymentStatus, phase: Phase, is_settled: bool) -> String {
        let words = Vocabulary::at(status, phase, is_settled);
        let text = serde_json::to_value(words).expect("words");
        format!(
            "{} {}",
            text["steps"].as_str().unwrap_or_default(),
            text["release"].as_str().unwrap_or_default()
        )
    }

    #[test]
    fn a_release_is_told_in_others_words_as_it_goes_on() {
        use DeploymentStatus::{Completed, Queued, Running};
        let way = [
            (Queued, Phase::Pending, false, "queued pending"),
            (Running, Phase::Starting, false, "prepare pending"),
            (Running, Phase::Building, false, "prepare building"),
            (Running, Phase::Built, false, "prepare built"),
            (Running, Phase::Deploying, false, "deploy deploying"),
            (Running, Phase::Network, false, "deploy deploying"),
            (Completed, Phase::Network, false, "finalize ready"),
            (Completed, Phase::Finalizing, false, "finalize ready"),
            (Completed, Phase::Ready, true, "completed ready"),
            (Completed, Phase::Superseded, true, "completed superseded"),
        ];
        for (status, phase, is_settled, told) in way {
            assert_eq!(words(status, phase, is_settled), told);
        }
    }

    #[test]
    fn what_failed_or_was_cancelled_is_failed_wherever_it_stood() {
        for phase in Phase::VARIANTS {
            for status in [DeploymentStatus::Failed, DeploymentStatus::Cancelled] {
                assert_eq!(words(status, *phase, true), "failed failed");
            }
        }
    }
}
