//! What went wrong, told to people and to programs.
//!
//! Promise: the first line says what is wrong; what follows says where, who is in the way, and what to name when asking for help.

use crate::ending::Fault;
use crate::output::{Output, plain};
use crate::times::ago;
use chrono::{DateTime, Utc};
use client::Error;
use console::style;
use contract::Problem;
use std::io::ErrorKind;

/// To standard error; with `--json` the API's own problem to standard output too.
pub fn tell(fault: &Fault, json: bool) {
    let output = Output::new(json);
    match fault {
        Fault::Api(Error::Problem(problem)) => {
            if json {
                // Whether or not anybody reads it, the exit code says the same.
                let _unread = output.record(problem);
            }
            for line in words(problem, Utc::now()) {
                output.note(line);
            }
        }
        // The reader went away: there is nobody to tell.
        Fault::Output(error) if error.kind() == ErrorKind::BrokenPipe => {}
        Fault::Interrupted => output.note("interrupted"),
        other => output.note(format!("{} {other}", label())),
    }
}

fn label() -> String {
    style("error:").for_stderr().red().bold().to_string()
}

fn words(problem: &Problem, now: DateTime<Utc>) -> Vec<String> {
    // The detail of wrong fields only lists them on one line.
    let listed = !problem.errors.is_empty()
        && problem
            .errors
            .iter()
            .all(|field| problem.detail.contains(&field.message));
    let first = if listed {
        &problem.title
    } else {
        &problem.detail
    };
    let mut lines = vec![format!("{} {}", label(), plain(first))];
    for field in &problem.errors {
        lines.push(format!(
            "  {}: {}",
            plain(&field.field),
            plain(&field.message)
        ));
    }
    if let Some(holder) = &problem.held_by {
        let since = if holder.since == DateTime::UNIX_EPOCH {
            String::new()
        } else {
            format!(" since {}", ago(holder.since, now))
        };
        lines.push(format!(
            "  held by {} {}{since}; follow it: triphammer deployments show {} --follow",
            plain(&holder.operation_name),
            holder.deployment_id,
            holder.deployment_id
        ));
    }
    let request = problem
        .request_id
        .as_ref()
        .map_or(String::new(), |id| format!(", request {}", plain(id)));
    let code = format!("  ({}{request})", plain(&problem.code));
    lines.push(style(code).for_stderr().dim().to_string());
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(json: &str) -> String {
        console::set_colors_enabled_stderr(false);
        let problem: Problem = serde_json::from_str(json).expect("a problem");
        words(&problem, "2026-01-02T03:07:05Z".parse().expect("a time")).join("\n")
    }

    #[test]
    fn a_busy_target_names_its_holder_and_how_to_follow_it() {
        let text = told(
            r#"{"type":"t","title":"Conflict","status":409,"code":"target_busy","detail":"It is busy.","request_id":"r-1",
            "held_by":{"deployment_id":"01JD2Z6E9W8Q4S5T6V7X8Y9ZAB","operation_name":"Create site","since":"2026-01-02T03:04:05Z"}}"#,
        );
        assert_eq!(
            text,
            "error: It is busy.\n  held by Create site 01JD2Z6E9W8Q4S5T6V7X8Y9ZAB since 3 min ago; \
             follow it: triphammer deployments show 01JD2Z6E9W8Q4S5T6V7X8Y9ZAB --follow\n  (target_busy, request r-1)"
        );
    }

    #[test]
    fn wrong_fields_stand_one_on_a_line_and_are_not_told_twice() {
        let text = told(
            r#"{"type":"t","title":"Invalid fields","status":422,"code":"invalid_fields","detail":"name must be a slug; host must be a name",
            "errors":[{"field":"name","message":"must be a slug"},{"field":"host","message":"must be a name"}]}"#,
        );
        assert_eq!(
            text,
            "error: Invalid fields\n  name: must be a slug\n  host: must be a name\n  (invalid_fields)"
        );
    }
}
