//! The last words about a deployment: what happened, what was undone, what is left to do.
//!
//! Promise: plain sentences; when a person must act, the commands stand there to be copied.

use crate::output::plain;
use crate::style::{bold, dim, red, sign, yellow};
use crate::times::took;
use contract::DeploymentDetail;
use domain::{DeploymentStatus, Outcome, Settlement, StepKind, StepStatus};

/// See the module. Nothing while it is not over.
pub fn words(detail: &DeploymentDetail) -> Vec<String> {
    let deployment = &detail.deployment;
    let (id, settlement) = (deployment.id, deployment.settlement);
    if !settlement.is_at_rest() {
        return Vec::new();
    }
    let what = format!(
        "{} {}",
        plain(&deployment.operation_name),
        plain(&deployment.target.name)
    );
    let began = deployment.started_at.unwrap_or(deployment.created_at);
    let time = deployment
        .finished_at
        .map_or(String::new(), |ended| took(ended - began));
    let why = deployment
        .error
        .as_ref()
        .map(|error| plain(&error.message))
        .unwrap_or_default();
    let mut lines = match (deployment.status, deployment.outcome) {
        (DeploymentStatus::Completed, _) => vec![format!(
            "{} {} in {time}{}",
            sign(StepStatus::Completed, None),
            bold(format!("{what} completed")),
            warnings(detail)
        )],
        (DeploymentStatus::Cancelled, Some(Outcome::Skipped)) => {
            vec![format!(
                "{} {}: {why}",
                yellow("–"),
                bold(format!("{what} never ran"))
            )]
        }
        (DeploymentStatus::Cancelled, _) => vec![format!(
            "{} {} after {time}: {why}",
            yellow("✗"),
            bold(format!("{what} was cancelled"))
        )],
        _ => vec![format!(
            "{} {} after {time}: {why}",
            red("✗"),
            bold(format!("{what} failed"))
        )],
    };
    if deployment.status == DeploymentStatus::Completed {
        return lines;
    }
    if deployment.started_at.is_some() {
        lines.push(undone(detail));
    }
    if settlement == Settlement::NeedsAttention {
        lines.push(format!(
            "{} {}",
            red(bold("Needs attention.")),
            plain(deployment.attention.as_deref().unwrap_or("An undo failed."))
        ));
        lines.push(
            "The target stays locked until one of these. Mend the cause, then try the undo again:"
                .to_string(),
        );
        lines.push(format!("  triphammer deployments undo {id} --follow"));
        lines.push("Or accept what is left, and free the target:".to_string());
        lines.push(format!(
            "  triphammer deployments acknowledge {id} --reason \"…\""
        ));
    } else {
        lines.push(dim(format!(
            "Try it again: triphammer deployments retry {id} --follow"
        )));
    }
    lines
}

fn warnings(detail: &DeploymentDetail) -> String {
    // A tidy step that failed did no harm to what completed, but somebody should know.
    let count = detail
        .steps
        .iter()
        .filter(|step| step.warning.is_some() || step.status == StepStatus::Failed)
        .count();
    match count {
        0 => String::new(),
        1 => yellow(", with 1 warning"),
        count => yellow(format!(", with {count} warnings")),
    }
}

fn undone(detail: &DeploymentDetail) -> String {
    let undone: Vec<_> = detail
        .steps
        .iter()
        .filter(|step| step.kind == StepKind::Undo && step.status == StepStatus::Completed)
        .map(|step| plain(step.title.trim_start_matches("Undo: ")))
        .collect();
    match (undone.is_empty(), detail.deployment.settlement) {
        (true, Settlement::Settled) => "There was nothing to undo.".to_string(),
        (true, _) => "Nothing was undone.".to_string(),
        (false, _) => format!("Undone: {}.", undone.join(", ")),
    }
}
