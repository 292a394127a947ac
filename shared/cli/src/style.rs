//! Colours and signs.
//!
//! Promise: colour says nothing that the words do not say, and goes to terminals only, never when NO_COLOR is set.

use console::{Style, style};
use domain::{DeploymentStatus, Settlement, StepStatus};
use std::io::IsTerminal;

/// For the whole program, before the first word.
pub fn decide_colours() {
    let wanted = std::env::var_os("NO_COLOR").is_none_or(|set| set.is_empty())
        && std::env::var_os("TERM").is_some_and(|term| term != "dumb");
    console::set_colors_enabled(wanted && std::io::stdout().is_terminal());
    console::set_colors_enabled_stderr(wanted && std::io::stderr().is_terminal());
}

/// Less important.
pub fn dim(text: impl AsRef<str>) -> String {
    style(text.as_ref()).dim().to_string()
}

/// More important.
pub fn bold(text: impl AsRef<str>) -> String {
    style(text.as_ref()).bold().to_string()
}

/// Went wrong.
pub fn red(text: impl AsRef<str>) -> String {
    style(text.as_ref()).red().to_string()
}

/// Might have gone better.
pub fn yellow(text: impl AsRef<str>) -> String {
    style(text.as_ref()).yellow().to_string()
}

/// A deployment's standing in its colour.
pub fn standing(status: DeploymentStatus, settlement: Settlement, text: &str) -> String {
    let colour = match (status, settlement) {
        (_, Settlement::NeedsAttention) => Style::new().red().bold(),
        (DeploymentStatus::Completed, _) => Style::new().green(),
        (DeploymentStatus::Failed, _) => Style::new().red(),
        (DeploymentStatus::Cancelled, _) => Style::new().yellow(),
        (DeploymentStatus::Running, _) => Style::new().cyan(),
        (DeploymentStatus::Queued, _) => Style::new().dim(),
    };
    colour.apply_to(text).to_string()
}

const SPINNER: [&str; 10] = ["⠋", "⠙", "⠹", "⠸", "⠼", "⠴", "⠦", "⠧", "⠇", "⠏"];

/// A step's sign; a running one turns with the ticks, if there are any.
pub fn sign(status: StepStatus, tick: Option<usize>) -> String {
    let (sign, colour) = match status {
        StepStatus::Queued => ("·", Style::new().dim()),
        StepStatus::Running => (
            tick.map_or("▸", |tick| SPINNER[tick % SPINNER.len()]),
            Style::new().cyan(),
        ),
        StepStatus::Completed => ("✓", Style::new().green()),
        StepStatus::Failed => ("✗", Style::new().red()),
        StepStatus::Skipped => ("–", Style::new().dim()),
    };
    colour.apply_to(sign).to_string()
}

const BAR_CELLS: u64 = 20;

/// `██████░░░░`
pub fn bar(done: u64, total: u64) -> String {
    let full = (done.min(total) * BAR_CELLS)
        .checked_div(total)
        .unwrap_or_default();
    let (full, empty) = (full as usize, (BAR_CELLS - full) as usize);
    let full = Style::new().cyan().apply_to("█".repeat(full));
    format!("{full}{}", dim("░".repeat(empty)))
}
