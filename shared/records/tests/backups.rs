//! Backups and their configurations, on a DynamoDB in this process.
//!
//! The rule held: a backup goes on from one that can be restored, an occurrence is begun once, and what belongs together
//! is written together.

mod fixture;

use domain::backup_configuration::CONFIGURATIONS_LIMIT;
use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupReason, BackupScope,
    DeploymentId, LockKey, RestorePointStatus, SCHEMA, Schedule, SiteId, TeamId, Trigger,
};
use fixture::*;
use records::{CreateRefused, Created, NewDeployment, Occurrence, Put, Records, RecordsError};

fn site() -> SiteId {
    SiteId::from_parts(5, 5)
}

fn configuration(number: u64) -> BackupConfiguration {
    let mut configuration = BackupConfiguration {
        schema: SCHEMA,
        id: BackupConfigurationId::from_parts(number, 1),
        team_id: team(),
        site_id: site(),
        name: format!("number-{number}"),
        scope: BackupScope::Site,
        exclude: vec!["wp-content/cache".into()],
        schedule: Schedule {
            cron: "@hourly".into(),
            time_zone: "UTC".into(),
        },
        full_every: 7,
        retention: None,
        enabled: true,
        next_due_at: None,
        due_since: at(0),
        created_at: at(0),
    };
    configuration.scheduled(at(0));
    configuration
}

async fn create(records: &Records, number: u64) -> Result<(), RecordsError> {
    let entry = audit("backup_configuration.create");
    records
        .backup_configuration_create(&configuration(number), &entry)
        .await
}

fn names(number: u64) -> (TeamId, SiteId, BackupConfigurationId) {
    let id = BackupConfigurationId::from_parts(number, 1);
    (team(), site(), id)
}

async fn update(
    records: &Records,
    number: u64,
    change: impl Fn(&mut BackupConfiguration),
) -> Result<BackupConfiguration, RecordsError> {
    let entry = audit("backup_configuration.update");
    records
        .backup_configuration_update(names(number), &entry, |configuration| {
            change(configuration);
            Ok::<_, RecordsError>(())
        })
        .await
}

async fn due(records: &Records, seconds: i64) -> Vec<BackupConfigurationId> {
    let due = records.due_backup_configurations(at(seconds)).await;
    let due = due.expect("a list");
    assert!(due.iter().all(|(of, on, _)| (*of, *on) == (team(), site())));
    due.into_iter().map(|(_, _, id)| id).collect()
}

#[tokio::test]
async fn a_configuration_comes_changes_and_goes_with_its_audit_entries() {
    let records = records().await;
    create(&records, 1).await.expect("stored");
    let found = records.backup_configurations(team(), site()).await;
    assert_eq!(found.expect("a list"), [configuration(1)]);
    let changed = update(&records, 1, |configuration| configuration.name = "b".into()).await;
    assert_eq!(changed.expect("changed").name, "b");
    let other = TeamId::from_parts(9, 9);
    let (_, _, id) = names(1);
    assert!(matches!(
        records.backup_configuration(other, site(), id).await,
        Err(RecordsError::NotFound("backup configuration"))
    ));
    let entry = audit("backup_configuration.delete");
    let gone = records.backup_configuration_delete(names(1), &entry).await;
    gone.expect("gone");
    assert!(matches!(
        update(&records, 1, |_| ()).await,
        Err(RecordsError::NotFound("backup configuration"))
    ));
    let page = records.audit_page(team(), None, 100).await.expect("a page");
    let actions: Vec<_> = page.items.into_iter().map(|entry| entry.action).collect();
    assert_eq!(
        actions,
        [
            "backup_configuration.delete",
            "backup_configuration.update",
            "backup_configuration.create"
        ]
    );
}

#[tokio::test]
async fn of_many_configurations_at_once_as_many_as_may_be_are_made() {
    let records = records().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..15 {
        let records = records.clone();
        calls.spawn(async move {
            loop {
                match create(&records, number).await {
                    Err(RecordsError::Contended) => {}
                    other => return other,
                }
            }
        });
    }
    let (mut made, mut refused) = (0, 0);
    while let Some(answer) = calls.join_next().await {
        match answer.expect("no panic") {
            Ok(()) => made += 1,
            Err(RecordsError::LimitReached { of: "site", .. }) => refused += 1,
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made, refused), (CONFIGURATIONS_LIMIT, 5));
    let stored = records.backup_configurations(team(), site()).await;
    assert_eq!(stored.expect("a list").len(), CONFIGURATIONS_LIMIT);
}

#[tokio::test]
async fn a_name_is_of_one_configuration_of_a_site() {
    let records = records().await;
    create(&records, 1).await.expect("stored");
    create(&records, 2).await.expect("stored");
    let mut same = configuration(3);
    same.name = "number-1".into();
    let entry = audit("backup_configuration.create");
    assert!(matches!(
        records.backup_configuration_create(&same, &entry).await,
        Err(RecordsError::Taken(what)) if what.contains("number-1")
    ));
    let renamed = update(&records, 2, |other| other.name = "number-1".into()).await;
    assert!(matches!(renamed, Err(RecordsError::Taken(_))));
    let kept = update(&records, 1, |one| one.name = "number-1".into()).await;
    kept.expect("its own name");
}

#[tokio::test]
async fn what_is_due_is_in_the_index_for_as_long_as_it_is_enabled() {
    let records = records().await;
    for number in 1..4 {
        create(&records, number).await.expect("stored");
    }
    assert!(due(&records, 0).await.is_empty());
    let first = configuration(1).next_due_at.expect("due");
    let seconds = (first - at(0)).num_seconds();
    assert_eq!(due(&records, seconds).await.len(), 3);
    let off = |configuration: &mut BackupConfiguration| {
        configuration.enabled = false;
        configuration.scheduled(at(0));
    };
    update(&records, 2, off).await.expect("disabled");
    assert_eq!(
        due(&records, seconds).await,
        [names(1).2, names(3).2],
        "a disabled one never is"
    );
    let occurrence = Occurrence {
        site_id: site(),
        configuration_id: names(1).2,
        due_at: first,
        next_due_at: Some(first + chrono::TimeDelta::hours(1)),
    };
    for expected in [true, false] {
        let passed = records.occurrence_passed(team(), &occurrence).await;
        assert_eq!(passed.expect("an answer"), expected, "once");
    }
    assert_eq!(due(&records, seconds).await, [names(3).2]);
    let last = Occurrence {
        due_at: first + chrono::TimeDelta::hours(1),
        next_due_at: None,
        ..occurrence
    };
    let passed = records.occurrence_passed(team(), &last).await;
    assert!(passed.expect("an answer"));
    assert_eq!(due(&records, seconds + 86_400).await, [names(3).2]);
}

/// A scheduled deployment on the site.
fn scheduled() -> NewDeployment {
    let mut new = new(number());
    new.deployment.trigger = Trigger::Schedule;
    new.deployment.slot = Some("backup_site:x".into());
    new.deployment.locks = vec![LockKey::site(site())];
    new.deployment.creates_target = false;
    new.deployment.claims.clear();
    new.target = None;
    new.claims.clear();
    new
}

#[tokio::test]
async fn of_many_that_begin_an_occurrence_at_once_one_does_and_the_others_leave_nothing() {
    let records = records().await;
    create(&records, 1).await.expect("stored");
    let due_at = configuration(1).next_due_at.expect("due");
    let occurrence = Occurrence {
        site_id: site(),
        configuration_id: names(1).2,
        due_at,
        next_due_at: Some(due_at + chrono::TimeDelta::hours(1)),
    };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..6 {
        let records = records.clone();
        calls.spawn(async move {
            records
                .deployment_create_due(scheduled(), &occurrence)
                .await
        });
    }
    let mut made = Vec::new();
    while let Some(answer) = calls.join_next().await {
        match answer.expect("no panic") {
            Ok(Created::New(id)) => made.push(id),
            Err(CreateRefused::NotDue) => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(made.len(), 1, "{made:?}");
    let lock = records.lock(team(), &LockKey::site(site())).await;
    let lock = lock.expect("a lock");
    assert_eq!((lock.holder, lock.slots.len()), (Some(made[0]), 0));
    let page = records.audit_page(team(), None, 100).await.expect("a page");
    assert_eq!(page.items.len(), 2, "the configuration's and one more");
    assert_eq!(due(&records, 3600).await, [], "the next hour is not yet");
}

#[tokio::test]
async fn a_change_does_not_bring_back_an_occurrence_that_was_begun_meanwhile() {
    let records = records().await;
    create(&records, 1).await.expect("stored");
    let due_at = configuration(1).next_due_at.expect("due");
    let next = due_at + chrono::TimeDelta::hours(1);
    let occurrence = Occurrence {
        site_id: site(),
        configuration_id: names(1).2,
        due_at,
        next_due_at: Some(next),
    };
    let seen = std::sync::atomic::AtomicU32::new(0);
    let entry = audit("backup_configuration.update");
    let (beside, called) = (records.clone(), &seen);
    let changed = records
        .backup_configuration_update(names(1), &entry, |configuration| {
            if called.fetch_add(1, std::sync::atomic::Ordering::SeqCst) == 0 {
                let records = beside.clone();
                let begun = std::thread::spawn(move || {
                    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
                    runtime.block_on(records.occurrence_passed(team(), &occurrence))
                });
                assert!(begun.join().expect("no panic").expect("an answer"));
            }
            configuration.full_every = 3;
            Ok::<_, RecordsError>(())
        })
        .await
        .expect("changed");
    assert_eq!(seen.into_inner(), 2, "it was read again");
    assert_eq!((changed.full_every, changed.next_due_at), (3, Some(next)));
}

fn backup(number: u64, parent: Option<u64>) -> Backup {
    Backup {
        schema: SCHEMA,
        id: BackupId::from_parts(number, 2),
        team_id: team(),
        site_id: site(),
        scope: BackupScope::Files,
        reason: BackupReason::Manual,
        prefix: format!("backups/{number}"),
        deployment_id: DeploymentId::from_parts(number, 2),
        parent: parent.map(|number| BackupId::from_parts(number, 2)),
        database: None,
        files: None,
        size_bytes: 1,
        notes: Vec::new(),
        restore_point: RestorePointStatus::Available,
        created_at: at(i64::try_from(number).expect("small")),
        configuration_id: None,
        restored_at: None,
        expires_at: None,
    }
}

fn of(number: u64) -> (TeamId, SiteId, BackupId) {
    (team(), site(), BackupId::from_parts(number, 2))
}

async fn stands(records: &Records, number: u64) -> RestorePointStatus {
    let (team, site, id) = of(number);
    let backup = records.backup(team, site, id).await.expect("a backup");
    backup.restore_point
}

#[tokio::test]
async fn a_backup_is_stored_once_and_only_behind_one_that_can_be_restored() {
    let records = records().await;
    let put = async |number, parent| {
        let put = records.backup_put(&backup(number, parent)).await;
        put.expect("an answer")
    };
    assert_eq!(put(1, None).await, Put::Stored);
    assert_eq!(put(1, None).await, Put::Stored, "a repeat");
    assert_eq!(put(2, Some(1)).await, Put::Stored);
    assert_eq!(put(3, Some(9)).await, Put::ParentGone, "it never was");
    let (team, site, id) = of(2);
    assert!(
        records
            .backup_expire(team, site, id)
            .await
            .expect("an answer")
    );
    assert_eq!(put(4, Some(2)).await, Put::ParentGone, "it was pruned");
    let stored = records.backups(team, site).await.expect("a list");
    let stored: Vec<_> = stored.into_iter().map(|backup| backup.id).collect();
    assert_eq!(stored, [of(2).2, of(1).2]);
}

#[tokio::test]
async fn a_restore_point_is_restoring_for_one_deployment_and_goes_back_to_what_it_was() {
    let records = records().await;
    records.backup_put(&backup(1, None)).await.expect("stored");
    let (one, two) = (
        DeploymentId::from_parts(1, 1),
        DeploymentId::from_parts(2, 2),
    );
    let begun = async |by| records.restore_begun(of(1), by).await.expect("an answer");
    assert!(begun(one).await && begun(one).await, "a repeat is no fault");
    let (team, site, id) = of(1);
    let expired = records.backup_expire(team, site, id).await;
    assert!(!expired.expect("an answer"), "not while it is restored");
    records.restore_undone(of(1), two).await.expect("an answer");
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Restoring);
    records.restore_undone(of(1), one).await.expect("an answer");
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Available);
    assert!(begun(two).await);
    let done = records.restore_done(of(1), two, at(100)).await;
    done.expect("an answer");
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Restored);
    assert!(begun(one).await);
    assert!(
        begun(two).await,
        "the first one is over: the second has the site"
    );
    records.restore_undone(of(1), one).await.expect("an answer");
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Restoring);
    records.restore_undone(of(1), two).await.expect("an answer");
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Restored);
    let expired = records.backup_expire(team, site, id).await;
    assert!(expired.expect("an answer"));
    assert!(!begun(one).await, "there is nothing to restore any more");
}

#[tokio::test]
async fn a_pruned_backup_is_shown_for_a_while_and_its_time_is_set_once() {
    let records = records().await;
    records.backup_put(&backup(1, None)).await.expect("stored");
    records.backup_pruned(of(1), at(0)).await.expect("answered");
    let (team, site, id) = of(1);
    let shown = async || records.backup(team, site, id).await.expect("a backup");
    assert_eq!(shown().await.expires_at, None, "it is not expired yet");
    let expired = records.backup_expire(team, site, id).await;
    assert!(expired.expect("an answer"));
    for seconds in [10, 20] {
        let pruned = records.backup_pruned(of(1), at(seconds)).await;
        pruned.expect("answered");
    }
    let until = (at(10) + chrono::TimeDelta::days(90)).timestamp();
    assert_eq!(shown().await.expires_at, Some(until));
}

#[tokio::test]
async fn nothing_is_deleted_while_the_site_is_held() {
    let records = records().await;
    records.backup_put(&backup(1, None)).await.expect("stored");
    let id = created(&records, scheduled()).await;
    let (team, site, backup) = of(1);
    let expire = async || {
        let expired = records.backup_expire_idle(team, site, backup).await;
        expired.expect("an answer")
    };
    assert!(!expire().await);
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Available);
    cancel(&records, id).await;
    assert!(expire().await);
    assert_eq!(stands(&records, 1).await, RestorePointStatus::Expired);
    records
        .backup_delete(team, site, backup)
        .await
        .expect("gone");
    assert!(matches!(
        records.backup_expire_idle(team, site, backup).await,
        Err(RecordsError::NotFound("backup"))
    ));
}
