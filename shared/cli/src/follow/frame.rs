//! A deployment as lines on a terminal: its standing, its steps, its undos.
//!
//! Promise: a pure function of what was read and of the moment, so that a still picture and a moving one are the same.

use crate::output::plain;
use crate::style::{self, bar, bold, dim, red, sign, yellow};
use crate::times::{size, took};
use chrono::{DateTime, Utc};
use console::{Alignment, measure_text_width, pad_str};
use contract::{DeploymentDetail, StepServerView, StepView};
use domain::{Progress, StepKind, StepStatus};

/// When the picture is taken.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: DateTime<Utc>,
    /// Turns the spinner; nothing for a still picture.
    pub tick: Option<usize>,
}

impl Moment {
    /// A still picture of now.
    pub fn still() -> Self {
        Self {
            now: Utc::now(),
            tick: None,
        }
    }
}

/// `Create site shop  running, 12.3s`
pub fn heading(detail: &DeploymentDetail, moment: Moment) -> String {
    let deployment = &detail.deployment;
    let standing = style::standing(
        deployment.status,
        deployment.settlement,
        &plain(&deployment.standing),
    );
    let since = deployment.started_at.unwrap_or(deployment.created_at);
    let until = deployment
        .settled_at
        .or(deployment.finished_at)
        .unwrap_or(moment.now);
    format!(
        "{}  {standing}  {}",
        bold(format!(
            "{} {}",
            plain(&deployment.operation_name),
            plain(&deployment.target.name)
        )),
        dim(format!("{}  {}", took(until - since), deployment.id))
    )
}

/// The steps, and under their own heading the undos.
pub fn steps(detail: &DeploymentDetail, moment: Moment) -> Vec<String> {
    let (undos, forward): (Vec<_>, Vec<_>) = detail
        .steps
        .iter()
        .partition(|step| step.kind == StepKind::Undo);
    let width = detail
        .steps
        .iter()
        .map(|step| measure_text_width(&title(step)))
        .max()
        .unwrap_or_default();
    let mut lines: Vec<_> = forward
        .into_iter()
        .flat_map(|step| step_lines(step, width, moment))
        .collect();
    if !undos.is_empty() {
        lines.push(bold("Undo"));
        lines.extend(
            undos
                .into_iter()
                .flat_map(|step| step_lines(step, width, moment)),
        );
    }
    lines
}

fn title(step: &StepView) -> String {
    let title = plain(&step.title);
    match step.kind {
        StepKind::Undo => title.trim_start_matches("Undo: ").to_string(),
        StepKind::Step | StepKind::Tidy => title,
    }
}

/// `✓ Create database & user   1.2s  created shop_db`
fn step_lines(step: &StepView, width: usize, moment: Moment) -> Vec<String> {
    let time = match step.status {
        StepStatus::Queued | StepStatus::Skipped => String::new(),
        _ => step.started_at.map_or(String::new(), |began| {
            took(step.finished_at.unwrap_or(moment.now) - began)
        }),
    };
    let title = pad_str(&title(step), width, Alignment::Left, None).into_owned();
    let title = match step.status {
        StepStatus::Queued | StepStatus::Skipped => dim(title),
        _ => title,
    };
    let tail = match (&step.progress, step.status) {
        (Some(progress), StepStatus::Running) => progress_text(progress),
        (_, StepStatus::Skipped) => dim(format!(
            "skipped: {}",
            plain(step.output.as_deref().unwrap_or("not needed"))
        )),
        _ => step
            .output
            .as_ref()
            .map_or(String::new(), |output| dim(plain(output))),
    };
    let time = pad_str(&time, 7, Alignment::Right, None).into_owned();
    let first = format!(
        "  {} {title} {}  {tail}",
        sign(step.status, moment.tick),
        dim(time)
    );
    let mut lines = vec![first.trim_end().to_string()];
    // One server says nothing that its step does not say.
    if step.servers.len() > 1 && step.status != StepStatus::Skipped {
        lines.extend(
            step.servers
                .iter()
                .flat_map(|row| server_lines(row, moment)),
        );
    }
    if let Some(warning) = &step.warning {
        lines.push(yellow(format!("      warning: {}", plain(warning))));
    }
    if let Some(error) = &step.error {
        lines.push(red(format!(
            "      {} ({})",
            plain(&error.message),
            plain(&error.code)
        )));
    }
    lines
}

/// `    ✓ docker1   1.2s  3 containers started`
fn server_lines(row: &StepServerView, moment: Moment) -> Vec<String> {
    let time = match row.status {
        StepStatus::Queued | StepStatus::Skipped => String::new(),
        _ => row.started_at.map_or(String::new(), |began| {
            took(row.finished_at.unwrap_or(moment.now) - began)
        }),
    };
    let tail = match (&row.progress, row.status) {
        (Some(progress), StepStatus::Running) => progress_text(progress),
        _ => dim(plain(row.output.as_deref().unwrap_or_default())),
    };
    let first = format!(
        "      {} {} {}  {tail}",
        sign(row.status, moment.tick),
        plain(&row.name),
        dim(pad_str(&time, 7, Alignment::Right, None))
    );
    let mut lines = vec![first.trim_end().to_string()];
    if let Some(error) = &row.error {
        lines.push(red(format!(
            "          {} ({})",
            plain(&error.message),
            plain(&error.code)
        )));
    }
    lines
}

/// `██████░░░░ 52%  31 of 60 files  Copying`
fn progress_text(progress: &Progress) -> String {
    let amount = |count: u64| match progress.unit.as_str() {
        "bytes" => size(count),
        _ => count.to_string(),
    };
    let unit = match progress.unit.as_str() {
        "bytes" => String::new(),
        unit => format!(" {}", plain(unit)),
    };
    let message = plain(&progress.message);
    match progress.total {
        Some(total) if total > 0 => {
            let percent = progress.done.min(total) * 100 / total;
            format!(
                "{} {percent:>3}%  {} of {}{unit}{}  {message}",
                bar(progress.done, total),
                amount(progress.done),
                amount(total),
                pace(progress, total, amount)
            )
        }
        _ if progress.done > 0 => format!("{}{unit}  {message}", amount(progress.done)),
        _ => message,
    }
}

/// `  31.2 MB/s, 4 s left`, when it is known.
fn pace(progress: &Progress, total: u64, amount: impl Fn(u64) -> String) -> String {
    let Some(rate) = progress.rate.filter(|rate| *rate >= 1.0) else {
        return String::new();
    };
    let left = total.saturating_sub(progress.done) as f64 / rate;
    let left = took(chrono::TimeDelta::seconds(left.ceil() as i64));
    format!("  {}/s, {left} left", amount(rate as u64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::Failure;

    fn step(name: &str, status: StepStatus) -> StepView {
        let at = |text: &str| Some(text.parse().expect("a time"));
        StepView {
            name: name.to_string(),
            title: format!("Make {name}"),
            kind: StepKind::Step,
            status,
            commit: false,
            undo_of: None,
            output: None,
            error: None,
            warning: None,
            progress: None,
            started_at: at("2026-01-02T12:00:00Z"),
            finished_at: status
                .is_finished()
                .then_some("2026-01-02T12:00:01.500Z")
                .and_then(at),
            servers: Vec::new(),
        }
    }

    fn row(name: &str, status: StepStatus) -> StepServerView {
        StepServerView {
            id: domain::ServerId::from_parts(1, 1),
            name: name.to_string(),
            status,
            output: Some("done".to_string()),
            error: None,
            progress: None,
            started_at: None,
            finished_at: None,
        }
    }

    #[test]
    fn a_step_on_several_servers_has_a_row_for_each_and_on_one_it_has_none() {
        let mut spread = step("one", StepStatus::Running);
        spread.servers = vec![row("docker1", StepStatus::Completed)];
        assert_eq!(drawn(&spread).lines().count(), 1);
        spread.servers.push(row("docker2", StepStatus::Queued));
        let lines = drawn(&spread);
        let lines: Vec<_> = lines.lines().collect();
        assert!(lines[1].starts_with("      ✓ docker1"), "{lines:?}");
        assert!(lines[2].contains("docker2"), "{lines:?}");
    }

    fn drawn(step: &StepView) -> String {
        let moment = Moment {
            now: "2026-01-02T12:00:03Z".parse().expect("a time"),
            tick: Some(0),
        };
        step_lines(step, 8, moment).join("\n")
    }

    #[test]
    fn a_running_step_shows_how_far_it_is() {
        let mut running = step("one", StepStatus::Running);
        running.progress = Some(Progress {
            done: 30_000_000,
            total: Some(60_000_000),
            unit: "bytes".to_string(),
            rate: Some(10_000_000.0),
            message: "Copying".to_string(),
        });
        assert_eq!(
            drawn(&running),
            "  ⠋ Make one    3.0s  ██████████░░░░░░░░░░  50%  30.0 MB of 60.0 MB  10.0 MB/s, 3.0s left  Copying"
        );
    }

    #[test]
    fn a_failed_step_shows_what_went_wrong_below_it() {
        let mut failed = step("one", StepStatus::Failed);
        failed.warning = Some("tried twice".to_string());
        failed.error = Some(Failure {
            kind: domain::ErrorKind::Refused,
            code: "disk_full".to_string(),
            message: "No room\u{1b}[2J.".to_string(),
        });
        assert_eq!(
            drawn(&failed),
            "  ✗ Make one    1.5s\n      warning: tried twice\n      No room\u{fffd}[2J. (disk_full)"
        );
    }

    #[test]
    fn an_undo_is_named_by_what_it_takes_back() {
        let mut undo = step("one", StepStatus::Completed);
        undo.kind = StepKind::Undo;
        undo.title = "Undo: Make one".to_string();
        assert_eq!(drawn(&undo), "  ✓ Make one    1.5s");
    }
}
