//! `triphammer deployments show`: all there is to know about one deployment.

use super::when_exactly;
use crate::ending::Fault;
use crate::follow;
use crate::output::{Output, plain};
use crate::style::standing;
use crate::table::{Cell, Table};
use crate::times::took;
use contract::{DeploymentDetail, StepView};

/// See the module.
pub fn show(output: &Output, detail: &DeploymentDetail) -> Result<(), Fault> {
    output.table(&facts(detail))?;
    output.line("")?;
    if output.terminal {
        for line in follow::steps(detail, follow::Moment::still()) {
            output.line(line)?;
        }
    } else {
        output.table(&steps(detail))?;
    }
    let last_words = follow::verdict(detail);
    if !last_words.is_empty() {
        output.line("")?;
    }
    for line in last_words {
        output.line(line)?;
    }
    Ok(())
}

fn facts(detail: &DeploymentDetail) -> Table {
    let deployment = &detail.deployment;
    let words = plain(&deployment.standing);
    let coloured = standing(deployment.status, deployment.settlement, &words);
    let kind = deployment.target.kind;
    let mut table = Table::facts();
    table.fact("operation", &deployment.operation_name);
    table.fact("id", deployment.id.to_string());
    table.fact("pipeline", &deployment.pipeline);
    table.fact(
        "target",
        format!(
            "{} {} ({})",
            kind.as_str(),
            deployment.target.name,
            deployment.target.id
        ),
    );
    table.fact("status", Cell::both(coloured, words));
    table.fact_if("phase", deployment.phase.map(|phase| phase.to_string()));
    table.fact(
        "asked for by",
        format!(
            "{} ({}), through {}",
            deployment.actor.name, deployment.actor.role, deployment.trigger
        ),
    );
    table.fact_if("retry of", deployment.retry_of.map(|id| id.to_string()));
    table.fact_if(
        "rollback to",
        deployment.rollback_of.map(|id| id.to_string()),
    );
    table.fact("created", when_exactly(deployment.created_at));
    table.fact_if("started", deployment.started_at.map(when_exactly));
    table.fact_if("finished", deployment.finished_at.map(when_exactly));
    table.fact_if("settled", deployment.settled_at.map(when_exactly));
    table.fact_if(
        "error",
        deployment
            .error
            .as_ref()
            .map(|error| format!("{} ({})", error.message, error.code)),
    );
    table.fact_if("left behind", deployment.attention.as_ref());
    table
}

/// For programs: a row a step.
fn steps(detail: &DeploymentDetail) -> Table {
    let mut table = Table::with(&[
        "STEP", "KIND", "STATUS", "TOOK", "OUTPUT", "WARNING", "ERROR",
    ]);
    for step in &detail.steps {
        let error = step.error.as_ref().map_or(String::new(), |error| {
            format!("{}: {}", error.code, error.message)
        });
        table.row([
            Cell::from(&step.name),
            kind(step).into(),
            step.status.to_string().into(),
            time(step).into(),
            step.output.as_deref().unwrap_or_default().into(),
            step.warning.as_deref().unwrap_or_default().into(),
            error.into(),
        ]);
    }
    table
}

fn kind(step: &StepView) -> &'static str {
    match step.kind {
        domain::StepKind::Step => "step",
        domain::StepKind::Tidy => "tidy",
        domain::StepKind::Undo => "undo",
    }
}

fn time(step: &StepView) -> String {
    match (step.started_at, step.finished_at) {
        (Some(began), Some(ended)) => took(ended - began),
        _ => String::new(),
    }
}
