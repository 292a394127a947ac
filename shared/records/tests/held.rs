//! Automatic triggers wait for a busy target in slots of its lock, and are passed the lock in the order of arrival.
//!
//! The rule held: at most one holder, nobody forgotten, and whoever does not run says why.

mod fixture;

use domain::lifecycle::{self, Cancel, lock::SLOTS_LIMIT};
use domain::{
    DeploymentId, DeploymentStatus, Dispatch, LockKey, Outcome, Settlement, StepError, Trigger,
};
use fixture::*;
use records::{CreateRefused, Created, NewDeployment, Records};
use std::collections::BTreeSet;

/// One that works on a server that is there, set off by this.
fn on(target: u64, trigger: Trigger, slot: Option<&str>) -> NewDeployment {
    let mut new = new(target);
    new.deployment.trigger = trigger;
    new.deployment.slot = slot.map(str::to_string);
    new.deployment.creates_target = false;
    new.deployment.claims.clear();
    new.target = None;
    new.claims.clear();
    new
}

fn push(target: u64, branch: &str) -> NewDeployment {
    on(target, Trigger::Webhook, Some(branch))
}

async fn dispatch(records: &Records, id: DeploymentId) -> (DeploymentStatus, Dispatch) {
    let deployment = records.deployment(team(), id).await.expect("there");
    (deployment.status, deployment.dispatch)
}

/// From its start to its settlement.
async fn worked(records: &Records, id: DeploymentId) {
    done(records, id, "first").await;
    done(records, id, "last").await;
    settle(records, id).await;
}

async fn reason(records: &Records, id: DeploymentId) -> String {
    let deployment = records.deployment(team(), id).await.expect("there");
    assert_eq!(
        (deployment.status, deployment.outcome, deployment.settlement),
        (
            DeploymentStatus::Cancelled,
            Some(Outcome::Skipped),
            Settlement::Settled
        )
    );
    deployment.error.expect("a reason").message
}

#[tokio::test]
async fn an_automatic_one_waits_and_starts_when_the_holder_is_settled() {
    let records = records().await;
    let holder = created(&records, on(1, Trigger::Api, None)).await;
    let waits = created(&records, push(1, "main")).await;
    assert_eq!(
        dispatch(&records, waits).await,
        (DeploymentStatus::Queued, Dispatch::Held)
    );
    done(&records, holder, "first").await;
    done(&records, holder, "last").await;
    assert_eq!(
        dispatch(&records, waits).await.1,
        Dispatch::Held,
        "a verdict is no settlement"
    );
    settle(&records, holder).await;
    assert_eq!(
        dispatch(&records, waits).await,
        (DeploymentStatus::Queued, Dispatch::Ready)
    );
    let key = LockKey::server(domain::ServerId::from_parts(1, 7));
    assert_eq!(
        records.lock_holder(team(), &key).await.expect("there"),
        Some(waits)
    );
    let before = records.deployment(team(), holder).await.expect("there");
    worked(&records, waits).await;
    let after = records.deployment(team(), waits).await.expect("there");
    assert!(
        after.fence > before.fence,
        "the fence rises from holder to holder"
    );
    assert_eq!(
        records.lock(team(), &key).await.expect("there").holder,
        None
    );
}

#[tokio::test]
async fn a_newer_push_takes_the_place_of_the_one_that_waits_and_never_of_one_that_started() {
    let records = records().await;
    let holder = created(&records, push(1, "main")).await;
    let old = created(&records, push(1, "main")).await;
    let other = created(&records, push(1, "next")).await;
    let newer = created(&records, push(1, "main")).await;
    assert_eq!(
        reason(&records, old).await,
        format!("Skipped: replaced by {newer}")
    );
    assert_eq!(
        dispatch(&records, holder).await,
        (DeploymentStatus::Queued, Dispatch::Ready),
        "it has the lock already"
    );
    worked(&records, holder).await;
    assert_eq!(
        dispatch(&records, newer).await.1,
        Dispatch::Ready,
        "in the place of the first of its branch"
    );
    worked(&records, newer).await;
    assert_eq!(dispatch(&records, other).await.1, Dispatch::Ready);
}

#[tokio::test]
async fn a_second_occurrence_of_a_schedule_is_recorded_and_never_runs() {
    let records = records().await;
    let nightly = || on(1, Trigger::Schedule, Some("backup_site:nightly"));
    created(&records, on(1, Trigger::Cli, None)).await;
    let first = created(&records, nightly()).await;
    let second = created(&records, nightly()).await;
    assert_eq!(
        reason(&records, second).await,
        format!("Skipped: {first} of the same schedule still waits")
    );
    assert_eq!(dispatch(&records, first).await.1, Dispatch::Held);
}

#[tokio::test]
async fn only_so_many_wait_and_one_more_says_so() {
    let records = records().await;
    let holder = created(&records, on(1, Trigger::Api, None)).await;
    for branch in 0..SLOTS_LIMIT {
        created(&records, push(1, &format!("branch-{branch}"))).await;
    }
    let over = created(&records, push(1, "one-too-many")).await;
    assert_eq!(
        reason(&records, over).await,
        format!("Skipped: {SLOTS_LIMIT} others wait for {holder} already")
    );
    let pushed = created(&records, push(1, "branch-0")).await;
    assert_eq!(
        dispatch(&records, pushed).await.1,
        Dispatch::Held,
        "a branch that has its slot keeps it"
    );
}

#[tokio::test]
async fn a_person_is_refused_while_somebody_holds_or_waits() {
    let records = records().await;
    let holder = created(&records, push(1, "main")).await;
    created(&records, push(1, "next")).await;
    let refused = records.deployment_create(on(1, Trigger::Api, None)).await;
    assert!(
        matches!(refused, Err(CreateRefused::Held { deployment_id, .. }) if deployment_id == holder),
        "{refused:?}"
    );
}

#[tokio::test]
async fn one_that_waits_is_cancelled_in_one_write_and_leaves_its_slot() {
    let records = records().await;
    let holder = created(&records, on(1, Trigger::Api, None)).await;
    let (first, second) = (
        created(&records, push(1, "a")).await,
        created(&records, push(1, "b")).await,
    );
    cancel(&records, first).await;
    let cancelled = records.deployment(team(), first).await.expect("there");
    assert_eq!(
        (
            cancelled.status,
            cancelled.settlement,
            cancelled.outcome,
            cancelled.started_at
        ),
        (
            DeploymentStatus::Cancelled,
            Settlement::Settled,
            Some(Outcome::Canceled),
            None
        )
    );
    worked(&records, holder).await;
    assert_eq!(dispatch(&records, second).await.1, Dispatch::Ready);
}

#[tokio::test]
async fn a_holder_that_is_cancelled_before_its_start_passes_the_lock_on() {
    let records = records().await;
    let holder = created(&records, on(1, Trigger::Api, None)).await;
    let waits = created(&records, push(1, "a")).await;
    cancel(&records, holder).await;
    assert_eq!(dispatch(&records, waits).await.1, Dispatch::Ready);
}

#[tokio::test]
async fn seventy_starts_at_once_leave_one_active_at_any_time_and_nothing_stuck() {
    let records = records().await;
    let key = LockKey::server(domain::ServerId::from_parts(1, 7));
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..70_u32 {
        let records = records.clone();
        starts.spawn(async move {
            let new = match number % 7 {
                0 | 1 => on(1, Trigger::Cli, None),
                2 => on(1, Trigger::Schedule, Some("backup_site:nightly")),
                slot => push(1, &format!("branch-{slot}")),
            };
            (new.deployment.trigger, records.deployment_create(new).await)
        });
    }
    let (mut made, mut refused) = (Vec::new(), 0);
    while let Some(start) = starts.join_next().await {
        match start.expect("no panic") {
            (_, Ok(Created::New(id))) => made.push(id),
            (Trigger::Cli, Err(CreateRefused::Held { .. })) => refused += 1,
            (trigger, other) => panic!("{trigger}: {other:?}"),
        }
    }
    assert_eq!(made.len() + refused, 70);
    let mut ran = BTreeSet::new();
    while let Some(holder) = records.lock_holder(team(), &key).await.expect("an answer") {
        let mut active = Vec::new();
        for id in &made {
            let deployment = records.deployment(team(), *id).await.expect("there");
            if deployment.dispatch == Dispatch::Ready && deployment.settlement == Settlement::Active
            {
                active.push(*id);
            }
        }
        assert_eq!(active, [holder], "exactly one is active");
        worked(&records, holder).await;
        assert!(ran.insert(holder), "nobody runs twice");
    }
    assert!(ran.len() >= 5, "the newest of each slot ran: {ran:?}");
    for id in made.iter().filter(|id| !ran.contains(id)) {
        let why = reason(&records, *id).await;
        assert!(
            why.contains("replaced by") || why.contains("still waits"),
            "{why}"
        );
    }
    assert_eq!(
        records.open_deployments().await.expect("an answer"),
        [],
        "nothing is stuck"
    );
}

#[tokio::test]
async fn a_cancel_and_a_promotion_at_once_end_in_one_of_both_orders() {
    for _ in 0..20 {
        let records = records().await;
        let holder = created(&records, on(1, Trigger::Api, None)).await;
        let waits = created(&records, push(1, "a")).await;
        done(&records, holder, "first").await;
        done(&records, holder, "last").await;
        let decide = |snapshot: &lifecycle::Snapshot| {
            Ok::<_, StepError>(match lifecycle::cancel(snapshot, "Tess", at(2))? {
                Cancel::Go(change) => (Some(*change), ()),
                Cancel::AlreadyFinished | Cancel::TooLate => (None, ()),
            })
        };
        let (cancelled, ()) = tokio::join!(
            records.deployment_change(team(), waits, decide),
            settle(&records, holder)
        );
        cancelled.expect("cancelled");
        let key = LockKey::server(domain::ServerId::from_parts(1, 7));
        let lock = records.lock(team(), &key).await.expect("there");
        assert_eq!((lock.holder, lock.slots.len()), (None, 0));
        assert_eq!(
            dispatch(&records, waits).await.0,
            DeploymentStatus::Cancelled
        );
    }
}
