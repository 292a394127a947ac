//! What is known of one deployment, put together from snapshots and events.
//!
//! Promise: it only goes forward, one change at a time. Whatever comes twice, late, out of order or not at all, it is at every
//! moment the deployment as the API had it with some `seq`, and it says when a snapshot is needed to go on.

use contract::{DeploymentDetail, DeploymentView, LiveEvent, StepView};
use domain::{DeploymentId, StepKind};
use std::cmp::Reverse;
use std::collections::BTreeMap;

/// Because a client that is so many changes behind is brought on by a snapshot, not by what it kept.
const EARLY_LIMIT: usize = 256;

/// See the module.
pub(crate) struct Known {
    id: DeploymentId,
    detail: Option<DeploymentDetail>,
    /// Changes that came before the ones in front of them.
    early: BTreeMap<u64, (DeploymentView, Vec<StepView>)>,
    /// The highest `seq` that was heard of.
    heard: u64,
}

impl Known {
    /// Nothing, of this deployment.
    pub(crate) fn of(id: DeploymentId) -> Self {
        Self {
            id,
            detail: None,
            early: BTreeMap::new(),
            heard: 0,
        }
    }

    /// As it is known now.
    pub(crate) fn detail(&self) -> Option<&DeploymentDetail> {
        self.detail.as_ref()
    }

    /// Something is missing that only a snapshot can give.
    pub(crate) fn is_behind(&self) -> bool {
        self.detail
            .as_ref()
            .is_none_or(|detail| detail.deployment.seq < self.heard)
    }

    /// Keep what an event says until its turn comes. False when it says nothing of this deployment.
    pub(crate) fn hear(&mut self, event: LiveEvent) -> bool {
        match event {
            LiveEvent::Changed { deployment, steps } if deployment.id == self.id => {
                self.heard = self.heard.max(deployment.seq);
                if self.early.len() >= EARLY_LIMIT {
                    self.early.clear();
                }
                self.early.insert(deployment.seq, (*deployment, steps));
                true
            }
            LiveEvent::Behind { deployment_id, seq } if deployment_id == self.id => {
                self.heard = self.heard.max(seq);
                true
            }
            _ => false,
        }
    }

    /// Apply the next change, if it was heard. To be called until it says false.
    pub(crate) fn advance(&mut self) -> bool {
        let Some(detail) = &mut self.detail else {
            return false;
        };
        let next = detail.deployment.seq.saturating_add(1);
        self.early = self.early.split_off(&next);
        let Some((deployment, steps)) = self.early.remove(&next) else {
            return false;
        };
        detail.deployment = deployment;
        for step in steps {
            put(&mut detail.steps, step);
        }
        true
    }

    /// A snapshot. True when it is newer than what was known; an older one changes nothing.
    pub(crate) fn read(&mut self, snapshot: DeploymentDetail) -> bool {
        let seq = snapshot.deployment.seq;
        let known = self.detail.as_ref().map(|detail| detail.deployment.seq);
        if known.is_some_and(|known| known > seq) {
            return false;
        }
        self.heard = self.heard.max(seq);
        self.detail = Some(snapshot);
        known != Some(seq)
    }
}

/// In place of the step of this name, or where the API would list it: undos behind the steps, in reverse of what they take back.
fn put(steps: &mut Vec<StepView>, step: StepView) {
    let is_undo = |step: &StepView| step.kind == StepKind::Undo;
    let same = |known: &&mut StepView| known.name == step.name && is_undo(known) == is_undo(&step);
    if let Some(known) = steps.iter_mut().find(same) {
        *known = step;
        return;
    }
    let first_undo = steps.iter().position(is_undo).unwrap_or(steps.len());
    if !is_undo(&step) {
        steps.insert(first_undo, step);
        return;
    }
    steps.push(step);
    let (forward, undos) = steps.split_at_mut(first_undo);
    let place = |undo: &StepView| {
        forward
            .iter()
            .position(|step| undo.undo_of.as_ref() == Some(&step.name))
    };
    // What takes nothing known back stays behind the others.
    undos.sort_by_key(|undo| Reverse(place(undo)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const ID: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
    const OTHER: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAC";

    fn view(id: &str, seq: u64) -> Value {
        json!({"id": id, "type": "check_server", "operation_name": "Check server",
            "target": {"kind": "server", "id": OTHER, "name": "web1"},
            "actor": {"kind": "token", "id": "t", "name": "ci", "role": "admin"}, "trigger": "cli",
            "status": "running", "standing": "running", "outcome": null, "settlement": "active", "dispatch": "started",
            "phase": null, "error": null, "attention": null, "retry_of": null, "created_at": "2026-01-02T03:04:05Z",
            "started_at": null, "finished_at": null, "settled_at": null, "seq": seq})
    }

    fn step(name: &str, kind: &str, of: Option<&str>, status: &str) -> Value {
        json!({"name": name, "title": name, "kind": kind, "status": status, "commit": false, "undo_of": of,
            "output": null, "error": null, "warning": null, "progress": null, "started_at": null, "finished_at": null})
    }

    fn forward(status: &str) -> Vec<Value> {
        vec![
            step("one", "step", None, status),
            step("two", "step", None, "queued"),
            step("sweep", "tidy", None, "queued"),
        ]
    }

    fn snapshot(seq: u64, steps: Vec<Value>) -> DeploymentDetail {
        let mut detail = view(ID, seq);
        detail["steps"] = steps.into();
        serde_json::from_value(detail).expect("a deployment")
    }

    fn changed(id: &str, seq: u64, steps: Vec<Value>) -> LiveEvent {
        let event = json!({"event": "changed", "deployment": view(id, seq), "steps": steps});
        serde_json::from_value(event).expect("an event")
    }

    fn known(seq: u64) -> Known {
        let mut known = Known::of(ID.parse().expect("an id"));
        assert!(known.read(snapshot(seq, forward("queued"))));
        known
    }

    fn seq(known: &Known) -> u64 {
        known.detail().expect("a snapshot").deployment.seq
    }

    fn names(known: &Known) -> Vec<&str> {
        let detail = known.detail().expect("a snapshot");
        detail.steps.iter().map(|step| step.name.as_str()).collect()
    }

    #[test]
    fn the_next_change_replaces_the_steps_it_names_and_no_others() {
        let mut known = known(4);
        assert!(known.hear(changed(ID, 5, vec![step("two", "step", None, "running")])));
        assert!(known.advance());
        assert!(!known.advance() && !known.is_behind());
        assert_eq!(seq(&known), 5);
        let steps = &known.detail().expect("a snapshot").steps;
        let statuses: Vec<_> = steps.iter().map(|step| step.status.to_string()).collect();
        assert_eq!(statuses, ["queued", "running", "queued"]);
    }

    #[test]
    fn what_was_known_already_changes_nothing() {
        let mut known = known(4);
        for seq in [3, 4] {
            known.hear(changed(ID, seq, vec![step("one", "step", None, "running")]));
            assert!(!known.advance() && !known.is_behind());
        }
        let one = &known.detail().expect("a snapshot").steps[0];
        assert_eq!(one.status, domain::StepStatus::Queued);
    }

    #[test]
    fn a_gap_is_closed_by_a_snapshot_and_what_came_early_follows_it() {
        let mut known = known(4);
        known.hear(changed(ID, 6, vec![]));
        known.hear(changed(ID, 7, vec![]));
        assert!(!known.advance() && known.is_behind());
        assert!(known.read(snapshot(6, forward("running"))));
        assert!(known.advance() && !known.advance());
        assert_eq!(seq(&known), 7);
        assert!(!known.is_behind());
    }

    #[test]
    fn a_gap_is_closed_by_the_late_event_too() {
        let mut known = known(4);
        for late in [7, 6, 5] {
            known.hear(changed(ID, late, vec![]));
        }
        assert!(known.advance() && known.advance() && known.advance() && !known.advance());
        assert!(!known.is_behind());
    }

    #[test]
    fn a_snapshot_from_before_takes_nothing_back() {
        let mut known = known(4);
        known.hear(changed(ID, 5, vec![step("one", "step", None, "completed")]));
        assert!(known.advance());
        assert!(!known.read(snapshot(4, forward("queued"))));
        assert_eq!(seq(&known), 5);
        assert!(
            !known.read(snapshot(5, forward("completed"))),
            "the same is not newer"
        );
    }

    #[test]
    fn behind_needs_a_snapshot_of_at_least_what_it_names() {
        let mut known = known(4);
        let behind = |seq| LiveEvent::Behind {
            deployment_id: ID.parse().expect("an id"),
            seq,
        };
        assert!(known.hear(behind(4)) && !known.is_behind());
        assert!(known.hear(behind(6)) && known.is_behind());
        known.read(snapshot(5, vec![]));
        assert!(known.is_behind());
        known.read(snapshot(6, vec![]));
        assert!(!known.is_behind());
    }

    #[test]
    fn other_deployments_and_other_words_are_not_its_business() {
        let mut known = known(4);
        assert!(!known.hear(changed(OTHER, 9, vec![])));
        assert!(!known.hear(LiveEvent::Pong {}));
        assert!(!known.is_behind());
    }

    #[test]
    fn before_the_first_snapshot_events_are_kept() {
        let mut known = Known::of(ID.parse().expect("an id"));
        known.hear(changed(ID, 2, vec![]));
        assert!(!known.advance() && known.is_behind());
        known.read(snapshot(1, vec![]));
        assert!(known.advance() && !known.is_behind());
    }

    #[test]
    fn undos_stand_behind_the_steps_in_reverse_of_what_they_take_back() {
        let mut known = known(1);
        let undo = |name, of| step(name, "undo", Some(of), "running");
        known.hear(changed(ID, 2, vec![undo("unmake_one", "one")]));
        known.hear(changed(ID, 3, vec![undo("unmake_two", "two")]));
        known.hear(changed(ID, 4, vec![step("late", "tidy", None, "running")]));
        known.hear(changed(ID, 5, vec![undo("unmake_one", "one")]));
        while known.advance() {}
        assert_eq!(
            names(&known),
            ["one", "two", "sweep", "late", "unmake_two", "unmake_one"]
        );
    }

    #[test]
    fn a_flood_of_early_changes_is_not_hoarded() {
        let mut known = known(1);
        for seq in 3..1_000 {
            known.hear(changed(ID, seq, vec![]));
        }
        assert!(known.early.len() <= EARLY_LIMIT);
        assert!(known.is_behind());
        known.read(snapshot(999, vec![]));
        assert!(!known.advance() && !known.is_behind());
    }
}
