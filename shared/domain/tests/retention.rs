//! Retention: what is kept and why, for policies as people write them and for any others.

use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupReason, BackupScope,
    DeploymentId, RestorePointStatus, Retention, SCHEMA, Schedule, SiteId, TeamId, Time, retention,
};
use proptest::prelude::*;
use std::collections::BTreeSet;

fn configuration_id(number: u64) -> BackupConfigurationId {
    BackupConfigurationId::from_parts(number, 0)
}

fn configuration(policy: Option<Retention>, zone: &str) -> BackupConfiguration {
    let now = Time::from_timestamp(0, 0).expect("a time");
    BackupConfiguration {
        schema: SCHEMA,
        id: configuration_id(1),
        team_id: TeamId::from_parts(1, 1),
        site_id: SiteId::from_parts(1, 1),
        name: "nightly".into(),
        scope: BackupScope::Site,
        exclude: Vec::new(),
        schedule: Schedule {
            cron: "@daily".into(),
            time_zone: zone.into(),
        },
        full_every: 7,
        retention: policy,
        enabled: true,
        next_due_at: None,
        due_since: now,
        created_at: now,
    }
}

fn id(number: usize) -> BackupId {
    BackupId::from_parts(number as u64, 0)
}

fn backup(number: usize, at: Time) -> Backup {
    Backup {
        schema: SCHEMA,
        id: id(number),
        team_id: TeamId::from_parts(1, 1),
        site_id: SiteId::from_parts(1, 1),
        scope: BackupScope::Site,
        reason: BackupReason::Schedule,
        prefix: format!("backups/{number}"),
        deployment_id: DeploymentId::from_parts(number as u64, 0),
        parent: None,
        database: None,
        files: None,
        size_bytes: 1,
        notes: Vec::new(),
        restore_point: RestorePointStatus::Available,
        created_at: at,
        configuration_id: Some(configuration_id(1)),
        restored_at: None,
        expires_at: None,
    }
}

/// One a day at this time of day, the first on 1 November 2026.
fn daily(count: usize, time: &str) -> Vec<Backup> {
    let first: Time = format!("2026-11-01T{time}Z").parse().expect("a time");
    let at = |number: usize| first + chrono::TimeDelta::days(number as i64);
    (0..count)
        .map(|number| backup(number, at(number)))
        .collect()
}

/// The kept ones' numbers with their reasons, newest first.
fn kept(policy: Retention, zone: &str, backups: &[Backup]) -> Vec<String> {
    let number = |of: BackupId| backups.iter().position(|backup| backup.id == of);
    let plan = retention::plan(&configuration(Some(policy), zone), backups);
    let kept = plan.iter().filter(|decision| !decision.expires());
    kept.map(|decision| {
        let number = number(decision.id).expect("one of them");
        format!("{number}: {}", decision.keep.join(", "))
    })
    .collect()
}

const NONE: Retention = Retention {
    keep_last: 0,
    keep_daily: 0,
    keep_weekly: 0,
    keep_monthly: 0,
    keep_yearly: 0,
};

#[test]
fn each_rule_keeps_the_newest_of_its_periods_and_says_so() {
    let backups = daily(40, "03:00:00");
    assert_eq!(
        kept(
            Retention {
                keep_last: 2,
                ..NONE
            },
            "UTC",
            &backups
        ),
        ["39: last 1", "38: last 2"]
    );
    let policy = Retention {
        keep_last: 1,
        keep_daily: 2,
        keep_weekly: 2,
        keep_monthly: 3,
        keep_yearly: 1,
    };
    assert_eq!(
        kept(policy, "UTC", &backups),
        [
            "39: last 1, daily 2026-12-10, weekly 2026-W50, monthly 2026-12, yearly 2026",
            "38: daily 2026-12-09",
            "35: weekly 2026-W49",
            "29: monthly 2026-11",
        ]
    );
}

#[test]
fn a_day_begins_when_it_does_in_the_configurations_zone() {
    let backups = daily(2, "23:30:00");
    let policy = Retention {
        keep_daily: 2,
        ..NONE
    };
    assert_eq!(
        kept(policy, "UTC", &backups),
        ["1: daily 2026-11-02", "0: daily 2026-11-01"]
    );
    assert_eq!(
        kept(policy, "Europe/Berlin", &backups),
        ["1: daily 2026-11-03", "0: daily 2026-11-02"]
    );
}

#[test]
fn days_without_a_backup_do_not_count() {
    let mut backups = daily(20, "03:00:00");
    backups.truncate(10);
    backups.extend(daily(20, "03:00:00").split_off(19));
    let policy = Retention {
        keep_daily: 3,
        ..NONE
    };
    assert_eq!(kept(policy, "UTC", &backups).len(), 3);
}

#[test]
fn what_a_kept_one_goes_on_from_is_kept_whoever_made_it() {
    let mut backups = daily(6, "03:00:00");
    // 0 <- 1 <- 2 of ours, and 3 of somebody's goes on from 2.
    backups[1].parent = Some(id(0));
    backups[2].parent = Some(id(1));
    backups[3].parent = Some(id(2));
    backups[3].configuration_id = None;
    let policy = Retention {
        keep_last: 1,
        ..NONE
    };
    let by = |number: usize| format!("needed by {}", id(number));
    assert_eq!(
        kept(policy, "UTC", &backups),
        [
            "5: last 1".to_string(),
            format!("2: {}", by(3)),
            format!("1: {}", by(2)),
            format!("0: {}", by(1)),
        ],
        "and 4 expires"
    );
    backups[3].restore_point = RestorePointStatus::Expired;
    assert_eq!(kept(policy, "UTC", &backups), ["5: last 1"]);
}

#[test]
fn what_is_being_restored_stays_and_what_holds_something_else_is_counted_by_itself() {
    let mut backups = daily(4, "03:00:00");
    backups[0].restore_point = RestorePointStatus::Restoring;
    backups[1].scope = BackupScope::Files;
    let policy = Retention {
        keep_last: 1,
        ..NONE
    };
    assert_eq!(
        kept(policy, "UTC", &backups),
        ["3: last 1", "1: last 1", "0: being restored"]
    );
}

#[test]
fn without_a_policy_all_are_kept() {
    let backups = daily(30, "03:00:00");
    let plan = retention::plan(&configuration(None, "UTC"), &backups);
    assert_eq!(plan.len(), 30);
    assert!(
        plan.iter()
            .all(|decision| decision.keep == ["all are kept"])
    );
}

#[test]
fn a_policy_reads_whole_numbers_and_nothing_else() {
    let read = |text: &str| serde_json::from_str::<Retention>(text).ok();
    let seven = Retention {
        keep_last: 7,
        ..NONE
    };
    assert_eq!(read(r#"{"keep_last": 7}"#), Some(seven));
    assert_eq!(read(r#"{"keep_last": 7.0}"#), Some(seven));
    for text in [
        r#"{"keep_last": 7.5}"#,
        r#"{"keep_last": -1}"#,
        r#"{"keep_last": "7"}"#,
        r#"{"keep_hourly": 1}"#,
        r#"{"keep_last": 1e20}"#,
    ] {
        assert_eq!(read(text), None, "{text}");
    }
    assert!(NONE.keeps_nothing() && !seven.keeps_nothing());
}

/// A site's backups: whose each is, what it goes on from, how it stands, how many hours after the one before.
fn some() -> impl Strategy<Value = Vec<Backup>> {
    let one = (
        prop::option::of(1_u64..3),
        prop::option::of(any::<prop::sample::Index>()),
        0_u8..12,
        0_i64..200,
        0_u8..3,
    );
    prop::collection::vec(one, 0..40).prop_map(|made| {
        let mut at = Time::from_timestamp(1_780_000_000, 0).expect("a time");
        let each = made.into_iter().enumerate();
        each.map(|(number, (whose, parent, standing, hours, scope))| {
            at += chrono::TimeDelta::hours(hours);
            let mut backup = backup(number, at);
            backup.configuration_id = whose.map(configuration_id);
            backup.parent = parent.filter(|_| number > 0).map(|of| id(of.index(number)));
            backup.scope =
                [BackupScope::Site, BackupScope::Files, BackupScope::Database][usize::from(scope)];
            backup.restore_point = match standing {
                0 => RestorePointStatus::Expired,
                1 => RestorePointStatus::Restoring,
                2 => RestorePointStatus::Restored,
                _ => RestorePointStatus::Available,
            };
            backup
        })
        .collect()
    })
}

prop_compose! {
    fn policy()(keep_last in 0_u32..5, keep_daily in 0_u32..5, keep_weekly in 0_u32..4, keep_monthly in 0_u32..4, keep_yearly in 0_u32..3) -> Retention {
        Retention { keep_last, keep_daily, keep_weekly, keep_monthly, keep_yearly }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn no_plan_breaks_a_chain_takes_the_newest_or_touches_what_others_made(
        backups in some(), policy in policy(), zone in prop::sample::select(vec!["UTC", "Pacific/Auckland"]),
    ) {
        let configuration = configuration(Some(policy), zone);
        let plan = retention::plan(&configuration, &backups);
        let expired: BTreeSet<BackupId> = plan.iter().filter(|decision| decision.expires()).map(|decision| decision.id).collect();
        let there = |backup: &&Backup| backup.restore_point != RestorePointStatus::Expired;
        for backup in backups.iter().filter(there) {
            let goes = expired.contains(&backup.id);
            prop_assert!(!goes || backup.configuration_id == Some(configuration.id), "only its own");
            prop_assert!(!goes || backup.restore_point != RestorePointStatus::Restoring);
            if let (false, Some(parent)) = (goes, backup.parent) {
                prop_assert!(!expired.contains(&parent), "{} goes on from {parent}", backup.id);
            }
        }
        let ours: Vec<&Backup> = backups.iter().filter(there).filter(|backup| backup.configuration_id == Some(configuration.id)).collect();
        prop_assert_eq!(plan.len(), ours.len());
        if let Some(newest) = ours.iter().max_by_key(|backup| (backup.created_at, backup.id)) {
            prop_assert!(!expired.contains(&newest.id), "the newest is kept");
        }
        let mut after = backups.clone();
        for backup in &mut after {
            if expired.contains(&backup.id) {
                backup.restore_point = RestorePointStatus::Expired;
            }
        }
        prop_assert!(retention::plan(&configuration, &after).iter().all(|decision| !decision.expires()), "a second look finds nothing to do");
        let mut turned = backups.clone();
        turned.reverse();
        prop_assert_eq!(retention::plan(&configuration, &turned).len(), plan.len(), "in whatever order they come");
    }
}
