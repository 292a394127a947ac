//! What a team's endpoints are told of a change.
//!
//! Promise: of each thing that happens once, however often the stream tells it.

use domain::backup_configuration::META;
use domain::lifecycle::lock::SAME_SCHEDULE_WAITS;
use domain::{Deployment, Outcome, Settlement, Trigger};
use kit::notice::{Notice, Subject};
use std::str::FromStr;

/// See the module.
pub fn of(before: Option<&Deployment>, after: &Deployment) -> Vec<Notice> {
    let subjects = [needs_attention(before, after), backup_failed(before, after)];
    let notice = |subject| Notice {
        team_id: after.team_id,
        subject,
    };
    subjects.into_iter().flatten().map(notice).collect()
}

fn needs_attention(before: Option<&Deployment>, after: &Deployment) -> Option<Subject> {
    let needs = |deployment: &Deployment| deployment.settlement == Settlement::NeedsAttention;
    (needs(after) && !before.is_some_and(needs)).then_some(Subject::NeedsAttention {
        deployment_id: after.id,
        seq: after.seq,
    })
}

/// Only of what nobody watches: a person who began a backup sees how it ends.
fn backup_failed(before: Option<&Deployment>, after: &Deployment) -> Option<Subject> {
    let is_over = |deployment: &Deployment| deployment.outcome.is_some();
    if !is_over(after) || before.is_some_and(is_over) {
        return None;
    }
    let failed = after.outcome != Some(Outcome::Succeeded);
    let waits = after.error.as_ref().map(|why| why.code.as_str()) == Some(SAME_SCHEDULE_WAITS);
    let scheduled = after.trigger == Trigger::Schedule && after.pipeline == "backup_site";
    if !failed || waits || !scheduled {
        return None;
    }
    Some(Subject::BackupFailed {
        deployment_id: after.id,
        site_id: after.target.id.parse().ok()?,
        configuration_id: FromStr::from_str(after.meta.get(META)?.as_str()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use domain::{DeploymentStatus, ErrorKind, Failure};
    use serde_json::json;

    fn deployment(trigger: &str) -> Deployment {
        let id = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
        serde_json::from_value(json!({"schema": 1, "id": id, "team_id": id,
            "actor": {"kind": "system", "id": "scheduler", "name": "Triphammer", "role": ""},
            "trigger": trigger, "type": "backup_site", "operation_name": "Back up site",
            "target": {"kind": "site", "id": id, "name": "shop"}, "status": "running", "phase": null,
            "outcome": null, "settlement": "active", "dispatch": "started", "commit_step": "finalize_backup",
            "locks": [], "fence": 1, "meta": {"configuration_id": id}, "creates_target": false,
            "created_at": "2026-01-02T12:00:00.000Z", "error": null, "attention": null, "retry_of": null,
            "rollback_of": null, "seq": 3, "undo_starts": 0}))
        .expect("a deployment")
    }

    fn ended(mut deployment: Deployment, outcome: Outcome, code: &str) -> Deployment {
        deployment.outcome = Some(outcome);
        deployment.status = match outcome {
            Outcome::Succeeded => DeploymentStatus::Completed,
            Outcome::Failed => DeploymentStatus::Failed,
            Outcome::Canceled | Outcome::Skipped => DeploymentStatus::Cancelled,
        };
        deployment.error = (!code.is_empty()).then(|| Failure {
            kind: ErrorKind::Refused,
            code: code.to_string(),
            message: "No.".to_string(),
        });
        deployment
    }

    fn kinds(before: Option<&Deployment>, after: &Deployment) -> Vec<&'static str> {
        let notices = of(before, after);
        notices.iter().map(|notice| notice.subject.kind()).collect()
    }

    #[test]
    fn a_scheduled_backup_that_does_not_complete_is_told_once() {
        let running = deployment("schedule");
        for (outcome, code) in [
            (Outcome::Failed, "disk_full"),
            (Outcome::Canceled, "cancelled"),
            (Outcome::Skipped, "skipped"),
        ] {
            let over = ended(running.clone(), outcome, code);
            assert_eq!(kinds(Some(&running), &over), ["backup.failed"]);
            assert_eq!(
                kinds(None, &over),
                ["backup.failed"],
                "skipped when it was made"
            );
            let mut settled = over.clone();
            settled.settlement = Settlement::Settled;
            assert!(
                kinds(Some(&over), &settled).is_empty(),
                "the verdict fell before"
            );
        }
    }

    #[test]
    fn nobody_is_told_of_what_went_well_waits_still_or_was_begun_by_a_person() {
        let running = deployment("schedule");
        assert!(kinds(None, &running).is_empty());
        let good = ended(running.clone(), Outcome::Succeeded, "");
        assert!(kinds(Some(&running), &good).is_empty());
        let waits = ended(running, Outcome::Skipped, SAME_SCHEDULE_WAITS);
        assert!(kinds(None, &waits).is_empty());
        let by_hand = deployment("cli");
        let failed = ended(by_hand.clone(), Outcome::Failed, "disk_full");
        assert!(kinds(Some(&by_hand), &failed).is_empty());
    }

    #[test]
    fn what_needs_attention_is_told_when_it_begins_to() {
        let running = deployment("cli");
        let mut needs = ended(running.clone(), Outcome::Failed, "x");
        needs.settlement = Settlement::NeedsAttention;
        assert_eq!(
            kinds(Some(&running), &needs),
            ["deployment.needs_attention"]
        );
        let mut later = needs.clone();
        later.seq += 1;
        assert!(kinds(Some(&needs), &later).is_empty());
    }
}
