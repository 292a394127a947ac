//! What changed between two looks, one plain line each: for pipes and logs.
//!
//! Promise: each change is told once, with the time it happened; no colour, no cursor movement.

use crate::output::plain;
use crate::times::{clock, took};
use chrono::{DateTime, Utc};
use contract::{DeploymentDetail, StepServerView, StepView};
use domain::{DeploymentStatus, StepKind, StepStatus};

/// Lines for everything that differs from the look before; everything that happened so far when there was none.
pub fn changes(
    before: Option<&DeploymentDetail>,
    after: &DeploymentDetail,
    now: DateTime<Utc>,
) -> Vec<String> {
    let mut changes = Vec::new();
    changes.extend(standing_change(before, after, now));
    // Steps that were never reached have no time of their own: they end with the verdict.
    let ended = after.deployment.finished_at.unwrap_or(now);
    for step in &after.steps {
        let earlier = before.and_then(|before| before.steps.iter().find(|b| b.name == step.name));
        changes.extend(step_changes(earlier, step, now, ended));
    }
    changes.sort_by_key(|(at, _)| *at);
    changes
        .into_iter()
        .map(|(at, words)| format!("{} {words}", clock(at)))
        .collect()
}

type Change = (DateTime<Utc>, String);

fn standing_change(
    before: Option<&DeploymentDetail>,
    after: &DeploymentDetail,
    now: DateTime<Utc>,
) -> Option<Change> {
    let deployment = &after.deployment;
    if before.is_some_and(|before| before.deployment.standing == deployment.standing) {
        return None;
    }
    let at = match deployment.status {
        DeploymentStatus::Queued => Some(deployment.created_at),
        DeploymentStatus::Running => deployment.started_at,
        _ => deployment.settled_at.or(deployment.finished_at),
    };
    let why = deployment.error.as_ref().map_or(String::new(), |error| {
        format!(": {}", plain(&error.message))
    });
    let words = format!("deployment {}{why}", plain(&deployment.standing));
    Some((at.unwrap_or(now), words))
}

fn step_changes(
    before: Option<&StepView>,
    after: &StepView,
    now: DateTime<Utc>,
    ended: DateTime<Utc>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    let name = &after.name;
    let status = before.map_or(StepStatus::Queued, |before| before.status);
    if status != after.status {
        let at = match after.status {
            StepStatus::Running => after.started_at.unwrap_or(now),
            _ => after.finished_at.unwrap_or(ended),
        };
        changes.push((at, status_words(after)));
    }
    // One server says nothing that its step does not say.
    if after.servers.len() > 1 && after.status != StepStatus::Skipped {
        let rows = after.servers.iter();
        changes.extend(rows.filter_map(|row| row_change(before, name, row, now)));
    }
    if let Some(warning) = &after.warning
        && before.is_none_or(|before| before.warning.as_ref() != Some(warning))
    {
        let at = after.finished_at.unwrap_or(now);
        changes.push((at, format!("{name} warning: {}", plain(warning))));
    }
    if after.status == StepStatus::Running
        && let Some(said) = progress_words(before, after)
    {
        changes.push((now, format!("{name} {said}")));
    }
    changes
}

/// `start_containers on docker1 completed 1.2s: 3 containers`
fn row_change(
    before: Option<&StepView>,
    step: &str,
    row: &StepServerView,
    now: DateTime<Utc>,
) -> Option<Change> {
    let earlier = before.and_then(|before| before.servers.iter().find(|b| b.id == row.id));
    let status = earlier.map_or(StepStatus::Queued, |earlier| earlier.status);
    if status == row.status {
        return None;
    }
    let at = match row.status {
        StepStatus::Running => row.started_at,
        _ => row.finished_at,
    };
    let mut words = format!("{step} on {} {}", plain(&row.name), row.status);
    if let (Some(began), Some(ended)) = (row.started_at, row.finished_at) {
        words.push_str(&format!(" {}", took(ended - began)));
    }
    let said = match &row.error {
        Some(error) => Some(&error.message),
        None => row.output.as_ref(),
    };
    if let Some(said) = said {
        words.push_str(&format!(": {}", plain(said)));
    }
    Some((at.unwrap_or(now), words))
}

fn status_words(step: &StepView) -> String {
    let mut line = format!("{} {}", step.name, step.status);
    if let (Some(began), Some(ended)) = (step.started_at, step.finished_at) {
        line.push_str(&format!(" {}", took(ended - began)));
    }
    let said = match &step.error {
        Some(error) => Some(&error.message),
        None => step.output.as_ref(),
    };
    if let Some(said) = said {
        line.push_str(&format!(": {}", plain(said)));
    }
    if step.kind == StepKind::Undo
        && let Some(of) = &step.undo_of
    {
        line.push_str(&format!(" (undo of {of})"));
    }
    line
}

/// Its new words, or each full tenth: once a second would fill a log.
fn progress_words(before: Option<&StepView>, after: &StepView) -> Option<String> {
    let now = after.progress.as_ref()?;
    let earlier = before.and_then(|before| before.progress.as_ref());
    let tenth = |done: u64, total: Option<u64>| (done * 10).checked_div(total?);
    let tenths = tenth(now.done, now.total);
    let same_words = earlier.is_some_and(|earlier| earlier.message == now.message);
    let same_tenth = earlier.is_some_and(|earlier| tenth(earlier.done, earlier.total) == tenths);
    if same_words && same_tenth {
        return None;
    }
    let percent = tenths.map_or(String::new(), |tenths| format!("{}% ", tenths.min(10) * 10));
    let said = format!("{percent}{}", plain(&now.message));
    Some(said.trim().to_string()).filter(|said| !said.is_empty())
}
