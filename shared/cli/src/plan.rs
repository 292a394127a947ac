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
use domain::ReleaseDiff;
use domain::release::Route;
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
    if let Some(diff) = &plan.diff {
        output.line("")?;
        output.line(bold("what differs from what is live"))?;
        differs(invocation, diff)?;
    }
    if !plan.locks.is_empty() {
        output.line(dim(format!(
            "meanwhile nothing else may work on {}",
            plain(&plan.locks.join(", "))
        )))?;
    }
    ended(invocation)
}

/// What differs between two releases.
pub fn differs(invocation: &Invocation, diff: &ReleaseDiff) -> Result<(), Fault> {
    let output = &invocation.output;
    if diff.is_empty() {
        output.note("nothing differs");
        return Ok(());
    }
    let mut table = Table::with(&["WHAT", "FROM", "TO"]);
    let mut row = |what: &str, from: Option<&str>, to: Option<&str>| {
        let cell = |text: Option<&str>| Cell::from(text.unwrap_or("-"));
        table.row([Cell::from(what), cell(from), cell(to)]);
    };
    for (what, changed) in [("commit", &diff.commit), ("branch", &diff.reference)] {
        if let Some(changed) = changed {
            row(what, changed.from.as_deref(), changed.to.as_deref());
        }
    }
    for image in &diff.images {
        let what = format!("image of {}", image.service);
        row(&what, image.from.as_deref(), image.to.as_deref());
    }
    for name in &diff.values.added {
        row(&format!("value {name}"), None, Some("set"));
    }
    for name in &diff.values.removed {
        row(&format!("value {name}"), Some("set"), None);
    }
    for name in &diff.values.changed {
        row(&format!("value {name}"), Some("set"), Some("another"));
    }
    let shown = |route: &Route| {
        let path = route.path.as_deref().unwrap_or_default();
        let tls = <&'static str>::from(route.tls);
        format!(
            "{}{path} to {}:{}, tls {tls}",
            route.host, route.service, route.port
        )
    };
    for route in &diff.routes.removed {
        row("route", Some(&shown(route)), None);
    }
    for route in &diff.routes.added {
        row("route", None, Some(&shown(route)));
    }
    for service in &diff.gates {
        row(&format!("gate of {service}"), None, Some("another"));
    }
    for (what, differs) in [
        ("Compose file", diff.compose),
        ("limits", diff.limits),
        ("allowed forms", diff.allow),
    ] {
        if differs {
            row(what, None, Some("another"));
        }
    }
    output.table(&table)
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
