//! What would happen, for `--dry-run`.
//!
//! Promise: nothing was changed, and the exit code says so.

use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{bold, dim};
use crate::table::{Cell, Table};
use crate::times::limit;
use contract::Plan;
use serde::Serialize;
use serde_json::json;

/// The API's plan of a pipeline.
pub fn show(invocation: &Invocation, plan: &Plan) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(plan)?;
        return Ok(Ending::DryRun);
    }
    let mut table = Table::with(&["STEP", "WHAT", "AT MOST", "UNDO", "NOTE"]);
    for step in &plan.steps {
        let note = match (&step.skipped, step.commit) {
            (Some(why), _) => format!("skipped: {why}"),
            (None, true) => "its end is the verdict: nothing is undone after it".to_string(),
            (None, false) => String::new(),
        };
        table.row([
            Cell::from(&step.name),
            Cell::from(&step.title),
            limit(step.timeout_seconds).into(),
            Cell::from(&step.undo),
            note.into(),
        ]);
    }
    output.line(bold(format!(
        "{}: what would happen",
        plain(&plan.operation_name)
    )))?;
    output.table(&table)?;
    if !plan.locks.is_empty() {
        output.line(dim(format!(
            "meanwhile nothing else may work on {}",
            plain(&plan.locks.join(", "))
        )))?;
    }
    ended(invocation)
}

/// What would be asked of the API by a command that has no pipeline, and so no plan.
pub fn say(
    invocation: &Invocation,
    would: &str,
    of: impl Serialize,
    words: &str,
) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(&json!({ "would": would, "of": of }))?;
        return Ok(Ending::DryRun);
    }
    output.line(format!("would {words}"))?;
    ended(invocation)
}

/// The last word of a dry run.
pub fn ended(invocation: &Invocation) -> Result<Ending, Fault> {
    invocation.output.note("dry run: nothing was changed");
    Ok(Ending::DryRun)
}
