//! From the records of a batch to frames: one for each (deployment, seq), in order.
//!
//! Promise: a frame is whole (the deployment and every step that changed with it) or says that its reader is behind.

use chrono::DateTime;
use contract::{DeploymentView, FRAME_LIMIT_BYTES, LiveEvent, LogLineView, StepView};
use domain::{Deployment, DeploymentId, DeploymentStep, TeamId};
use records::{LogChunk, StreamChange};
use std::collections::BTreeMap;

/// The frames of one deployment, the oldest first.
#[derive(Debug)]
pub struct Frames {
    /// Whose.
    pub team: TeamId,
    /// Of which deployment.
    pub deployment: DeploymentId,
    /// As they are sent.
    pub frames: Vec<String>,
    /// Lines of its log, for those who listen to it alone.
    pub log: Vec<String>,
}

#[derive(Default)]
struct Changes {
    deployments: BTreeMap<u64, Box<Deployment>>,
    steps: BTreeMap<u64, BTreeMap<String, Box<DeploymentStep>>>,
    log: BTreeMap<(String, u64, u64), Box<LogChunk>>,
}

/// What a batch told of each deployment, in whatever order, however often.
#[derive(Default)]
pub struct Batch(BTreeMap<(TeamId, DeploymentId), Changes>);

impl Batch {
    /// One more record.
    pub fn add(&mut self, change: StreamChange) {
        match change {
            StreamChange::Deployment { after, .. } => {
                let changes = self.0.entry((after.team_id, after.id)).or_default();
                changes.deployments.insert(after.seq, after);
            }
            StreamChange::Step {
                team_id,
                deployment_id,
                step,
            } => {
                let changes = self.0.entry((team_id, deployment_id)).or_default();
                let steps = changes.steps.entry(step.seq).or_default();
                steps.insert(step.name.clone(), step);
            }
            StreamChange::Log {
                team_id,
                deployment_id,
                chunk,
            } => {
                let changes = self.0.entry((team_id, deployment_id)).or_default();
                let key = (chunk.job.clone(), chunk.fence, chunk.first);
                changes.log.insert(key, chunk);
            }
            StreamChange::TokenRevoked { .. } => {}
        }
    }

    /// What is to be sent.
    pub fn frames(self) -> Vec<Frames> {
        let each = self.0.into_iter().map(|((team, deployment), mut changes)| {
            let frames = std::mem::take(&mut changes.deployments).into_values();
            let frames = frames
                .map(|deployment| frame(&deployment, &changes))
                .collect();
            let log = std::mem::take(&mut changes.log).into_values();
            Frames {
                team,
                deployment,
                frames,
                log: log.flat_map(|chunk| lines(deployment, &chunk)).collect(),
            }
        });
        each.filter(|of: &Frames| !of.frames.is_empty() || !of.log.is_empty())
            .collect()
    }
}

fn frame(deployment: &Deployment, changes: &Changes) -> String {
    let empty = BTreeMap::new();
    let steps = changes.steps.get(&deployment.seq).unwrap_or(&empty);
    let behind = LiveEvent::Behind {
        deployment_id: deployment.id,
        seq: deployment.seq,
    };
    let whole = steps.len() == deployment.changed_steps as usize;
    let changed = whole.then(|| LiveEvent::Changed {
        deployment: Box::new(DeploymentView::from(deployment)),
        steps: in_order(steps, &deployment.commit_step),
    });
    let text = |event: &LiveEvent| serde_json::to_string(event).unwrap_or_default();
    match changed.as_ref().map(text) {
        Some(frame) if frame.len() <= FRAME_LIMIT_BYTES => frame,
        _ => text(&behind),
    }
}

/// A chunk's lines in one frame, or in as many as they need.
fn lines(deployment_id: DeploymentId, chunk: &LogChunk) -> Vec<String> {
    let lines: Vec<_> = (chunk.first..)
        .zip(&chunk.lines)
        .map(|(number, line)| LogLineView {
            attempt: chunk.fence,
            number,
            at: DateTime::from_timestamp_millis(line.at_ms).unwrap_or_default(),
            is_error: line.is_error,
            text: line.text.clone(),
        })
        .collect();
    split(deployment_id, &chunk.job, &lines)
}

fn split(deployment_id: DeploymentId, job: &str, lines: &[LogLineView]) -> Vec<String> {
    let event = LiveEvent::Log {
        deployment_id,
        step: job.split('@').next().unwrap_or(job).to_string(),
        server_id: job.split_once('@').and_then(|(_, id)| id.parse().ok()),
        lines: lines.to_vec(),
    };
    let frame = serde_json::to_string(&event).unwrap_or_default();
    match lines.split_at_checked(lines.len() / 2) {
        _ if frame.len() <= FRAME_LIMIT_BYTES => vec![frame],
        Some((first, second)) if !first.is_empty() => [first, second]
            .into_iter()
            .flat_map(|half| split(deployment_id, job, half))
            .collect(),
        // A line that is too long for a frame is read over HTTP.
        _ => Vec::new(),
    }
}

fn in_order(steps: &BTreeMap<String, Box<DeploymentStep>>, commit_step: &str) -> Vec<StepView> {
    let mut steps: Vec<_> = steps.values().collect();
    steps.sort_by_key(|step| (step.kind == domain::StepKind::Undo, step.sort_order));
    steps
        .iter()
        .map(|step| StepView::of(step, commit_step))
        .collect()
}
