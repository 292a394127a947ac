//! Until the containers are ready.
//!
//! Promise: no containers are never ready; what is not ready in time is told with its last lines, exit code and replies.

mod judge;
mod probe;
mod watch;

pub use judge::ended;
#[cfg(test)]
pub(crate) use judge::tests::container;
pub use watch::{Watch, until_ready};

use crate::fault::Result;
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::release::container::Container;
use crate::release::containers;
use crate::release::engine;
use crate::release::mask::Mask;
use crate::release::scene::Scene;
use protocol::release::{EnvironmentName, HealthSeen};

/// Enough to see the cause, and few enough for a message.
const LAST_LINES: usize = 20;

/// See [`protocol::job::Work::AwaitHealth`].
pub fn wait(context: &Context, asked: &EnvironmentName) -> Result<Finished> {
    let scene = Scene::of(context.paths(), &asked.environment, context.deployment_id())?;
    context.log(&format!(
        "Waiting until the containers of {} are ready",
        asked.environment
    ));
    let mut containers = until_ready(context, &scene, Watch::Started(&scene.names_beside()))?;
    let in_place = scene.names_in_place();
    if !in_place.is_empty() {
        // Before the first of them changes: the undo looks for it.
        scene.release.set_updated(true)?;
        for note in scene
            .plan
            .notes
            .iter()
            .filter(|note| note.contains(" restarts: "))
        {
            context.log(note);
        }
        containers::up(context, &scene, &scene.in_place(), &[])?;
        containers.extend(until_ready(context, &scene, Watch::Started(&in_place))?);
    }
    let summary = match containers.len() {
        1 => "1 container is ready".to_string(),
        many => format!("{many} containers are ready"),
    };
    Finished::new(HealthSeen { containers }, summary)
}

/// The last lines of a container, masked, into the job's log; and as they are there.
pub fn last_lines(context: &Context, scene: &Scene, container: &Container) -> Vec<String> {
    let lines = read_lines(&scene.mask, &container.id).unwrap_or_default();
    if lines.is_empty() {
        context.complain(&format!("{} printed nothing", container.name));
    } else {
        context.complain(&format!("The last lines of {}:", container.name));
    }
    lines.iter().for_each(|line| context.complain(line));
    lines
}

fn read_lines(mask: &Mask, id: &str) -> Result<Vec<String>> {
    let tail = LAST_LINES.to_string();
    let seen = engine::ask(["logs", "--timestamps", "--tail", &tail, id])?;
    // Both streams, each in order; a time of fixed length stands before each line.
    let mut lines: Vec<(&str, &str)> = seen
        .output
        .lines()
        .chain(seen.errors.lines())
        .filter_map(|line| line.split_once(' ').or(Some((line, ""))))
        .filter(|(time, _)| chrono::DateTime::parse_from_rfc3339(time).is_ok())
        .collect();
    lines.sort_by_key(|(time, _)| chrono::DateTime::parse_from_rfc3339(time).ok());
    let from = lines.len().saturating_sub(LAST_LINES);
    Ok(lines[from..]
        .iter()
        .map(|(_, line)| mask.line(line))
        .collect())
}
