//! What is due, on records in this process, by a clock that stands until it is moved.
//!
//! The rule held: an occurrence is begun once, also by runs at once and after a long silence; a missing backup is told.

use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupReason, BackupScope,
    Deployment, DeploymentId, Dispatch, LockKey, RestorePointStatus, SCHEMA, Schedule, SiteId,
    StepError, TeamId, Time, Trigger, rfc3339,
};
use kit::notice::{Notice, Subject};
use records::{AuditEntry, RecordsError};
use scheduler::{Ran, Tell, run};
use serde_json::json;
use std::sync::Mutex;
use std::time::Duration;
use testkit::Bench;

const HOUR: Duration = Duration::from_secs(60 * 60);

#[derive(Default)]
struct Heard(Mutex<Vec<Notice>>);

impl Tell for Heard {
    async fn tell(&self, notice: &Notice) -> Result<(), StepError> {
        self.0.lock().expect("not poisoned").push(notice.clone());
        Ok(())
    }
}

impl Heard {
    fn notices(&self) -> Vec<Notice> {
        self.0.lock().expect("not poisoned").clone()
    }
}

/// A site, backed up every day at 03:00; it is 22:13 on 14 November 2023.
struct Stage {
    bench: Bench,
    people: Heard,
    site: SiteId,
    team: TeamId,
}

fn id() -> BackupConfigurationId {
    BackupConfigurationId::from_parts(7, 7)
}

impl Stage {
    async fn new() -> Self {
        Self::with(true).await
    }

    /// With a site that is created, or is being created still.
    async fn with(created: bool) -> Self {
        let pipeline = pipelines_find("create_site");
        let bench = Bench::new(&pipeline).await;
        let creation = bench.create(json!({"domain": "shop.example.com"})).await;
        if created {
            bench.run(creation, "run").await;
        }
        let deployment = bench.snapshot(creation).await.deployment;
        let stage = Self {
            people: Heard::default(),
            site: deployment.target.id.parse().expect("an id"),
            team: bench.team,
            bench,
        };
        stage.configured().await;
        stage
    }

    fn now(&self) -> Time {
        self.bench.cloud.clock.now()
    }

    fn advance(&self, hours: u32) {
        self.bench.cloud.clock.advance(HOUR * hours);
    }

    fn audit(&self) -> AuditEntry {
        let (time, random) = self.bench.cloud.id_parts();
        let id = DeploymentId::from_parts(time, random).to_string();
        let entry = json!({"id": id, "at": rfc3339(self.now()),
            "actor": {"kind": "system", "id": "test", "name": "Tess", "role": "owner"},
            "from": "", "action": "test", "target": id, "detail": ""});
        serde_json::from_value(entry).expect("an entry")
    }

    async fn configured(&self) {
        let now = self.now();
        let mut configuration = BackupConfiguration {
            schema: SCHEMA,
            id: id(),
            team_id: self.team,
            site_id: self.site,
            name: "nightly".into(),
            scope: BackupScope::Site,
            exclude: vec!["wp-content/cache".into()],
            schedule: Schedule {
                cron: "0 3 * * *".into(),
                time_zone: "UTC".into(),
            },
            full_every: 2,
            retention: None,
            enabled: true,
            next_due_at: None,
            due_since: now,
            created_at: now,
        };
        configuration.scheduled(now);
        let records = &self.bench.cloud.records;
        let audit = self.audit();
        let made = records.backup_configuration_create(&configuration, &audit);
        made.await.expect("stored");
    }

    async fn changed(&self, change: impl Fn(&mut BackupConfiguration)) {
        let named = (self.team, self.site, id());
        let records = &self.bench.cloud.records;
        records
            .backup_configuration_update(named, &self.audit(), |configuration| {
                change(configuration);
                Ok::<_, RecordsError>(())
            })
            .await
            .expect("changed");
    }

    async fn run(&self) -> (u64, u64) {
        let Ran {
            begun,
            passed,
            failed,
            ..
        } = run(&self.bench.cloud, &self.people).await.expect("it ran");
        assert_eq!(failed, 0);
        (begun, passed)
    }

    async fn next_due(&self) -> Option<String> {
        let records = &self.bench.cloud.records;
        let found = records
            .backup_configuration(self.team, self.site, id())
            .await
            .expect("a configuration");
        found.next_due_at.map(|due| rfc3339(due)[..16].to_string())
    }

    /// The scheduled deployments, oldest first.
    async fn begun(&self) -> Vec<Deployment> {
        let page = self
            .bench
            .cloud
            .records
            .history_page(self.team, None, 100)
            .await
            .expect("a page");
        let mut all = page.items;
        all.retain(|deployment| deployment.trigger == Trigger::Schedule);
        all.reverse();
        all
    }

    /// A backup of the configuration is complete now.
    async fn backed_up(&self, parent: Option<BackupId>) -> BackupId {
        let (time, random) = self.bench.cloud.id_parts();
        let sealed = json!({"size_bytes": 1, "sha256": "00"});
        let backup = Backup {
            schema: SCHEMA,
            id: BackupId::from_parts(time, random),
            team_id: self.team,
            site_id: self.site,
            scope: BackupScope::Site,
            reason: BackupReason::Schedule,
            prefix: "backups/x".into(),
            deployment_id: DeploymentId::from_parts(time, random),
            parent,
            database: None,
            files: serde_json::from_value(
                json!({"object": sealed, "manifest": sealed, "entries": 1,
                "tree_bytes": 1, "changed": 1, "deleted": 0}),
            )
            .expect("files"),
            size_bytes: 1,
            notes: Vec::new(),
            restore_point: RestorePointStatus::Available,
            created_at: self.now(),
            configuration_id: Some(id()),
            restored_at: None,
            expires_at: None,
        };
        let records = &self.bench.cloud.records;
        records.backup_put(&backup).await.expect("stored");
        backup.id
    }
}

fn pipelines_find(name: &str) -> pipelines::Pipeline {
    pipelines::find(name).expect("a pipeline")
}

#[tokio::test]
async fn nothing_is_begun_before_its_time_and_then_what_the_configuration_says_once() {
    let stage = Stage::new().await;
    assert_eq!(stage.run().await, (0, 0));
    stage.advance(5);
    assert_eq!(stage.run().await, (1, 0));
    assert_eq!(stage.run().await, (0, 0), "the next hour's run");
    assert_eq!(stage.next_due().await.as_deref(), Some("2023-11-16T03:00"));
    let begun = stage.begun().await;
    assert_eq!(begun.len(), 1);
    let deployment = &begun[0];
    assert_eq!(deployment.dispatch, Dispatch::Ready);
    assert_eq!(
        deployment.slot.as_deref(),
        Some(format!("backup_site:{}", id()).as_str())
    );
    assert_eq!(deployment.meta["configuration_id"], id().to_string());
    let snapshot = stage.bench.snapshot(deployment.id).await;
    let plan = &snapshot.input["backup"];
    assert_eq!(
        (&plan["reason"], &plan["exclude"], &plan["configuration_id"]),
        (
            &json!("schedule"),
            &json!(["wp-content/cache"]),
            &json!(id())
        )
    );
    assert!(stage.people.notices().is_empty());
}

#[tokio::test]
async fn runs_at_once_begin_one_between_them() {
    let stage = Stage::new().await;
    stage.advance(5);
    let (one, two, three) = tokio::join!(stage.run(), stage.run(), stage.run());
    assert_eq!(one.0 + two.0 + three.0, 1);
    assert_eq!(stage.begun().await.len(), 1);
}

#[tokio::test]
async fn what_was_due_while_nothing_ran_is_begun_once() {
    let stage = Stage::new().await;
    stage.advance(24 * 9);
    assert_eq!(stage.run().await, (1, 0));
    assert_eq!(stage.run().await, (0, 0));
    assert_eq!(stage.next_due().await.as_deref(), Some("2023-11-24T03:00"));
    assert_eq!(stage.begun().await.len(), 1);
}

#[tokio::test]
async fn a_second_occurrence_waits_and_a_third_is_recorded_as_skipped() {
    let stage = Stage::new().await;
    for _ in 0..3 {
        stage.advance(24);
        assert_eq!(stage.run().await, (1, 0));
    }
    let begun = stage.begun().await;
    let standing: Vec<_> = begun.iter().map(Deployment::standing).collect();
    assert_eq!(standing, ["queued", "held until its turn", "skipped"]);
    let lock = LockKey::site(stage.site);
    let lock = stage.bench.cloud.records.lock(stage.team, &lock).await;
    assert_eq!(lock.expect("a lock").holder, Some(begun[0].id));
}

#[tokio::test]
async fn what_is_disabled_or_deleted_is_not_begun() {
    let stage = Stage::new().await;
    stage
        .changed(|configuration| {
            configuration.enabled = false;
            configuration.scheduled(configuration.created_at);
        })
        .await;
    stage.advance(24);
    assert_eq!(stage.run().await, (0, 0));
    let now = stage.now();
    stage
        .changed(|configuration| {
            configuration.enabled = true;
            configuration.scheduled(now);
        })
        .await;
    stage.advance(24);
    let named = (stage.team, stage.site, id());
    let records = &stage.bench.cloud.records;
    let audit = stage.audit();
    let deleted = records.backup_configuration_delete(named, &audit);
    deleted.await.expect("gone");
    assert_eq!(stage.run().await, (0, 0));
    assert!(stage.begun().await.is_empty());
}

#[tokio::test]
async fn a_site_that_is_not_there_to_be_backed_up_lets_its_time_pass() {
    let stage = Stage::with(false).await;
    stage.advance(5);
    assert_eq!(stage.run().await, (0, 1));
    assert_eq!(stage.run().await, (0, 0));
    assert_eq!(stage.next_due().await.as_deref(), Some("2023-11-16T03:00"));
    assert!(stage.begun().await.is_empty());
}

#[tokio::test]
async fn a_configuration_goes_on_from_its_own_backups_until_a_full_one_is_due() {
    let stage = Stage::new().await;
    let parent = async |deployment: &Deployment| {
        let input = stage.bench.snapshot(deployment.id).await.input;
        input["backup"]["parent"]["id"].clone()
    };
    let first = stage.backed_up(None).await;
    stage.advance(24);
    stage.run().await;
    assert_eq!(
        parent(&stage.begun().await[0]).await,
        json!(first),
        "the second of two"
    );
    stage.backed_up(Some(first)).await;
    stage.advance(24);
    stage.run().await;
    assert_eq!(
        parent(&stage.begun().await[1]).await,
        json!(null),
        "full_every is 2"
    );
}

#[tokio::test]
async fn a_backup_that_is_missing_for_a_whole_period_is_told_for_each_time_it_was_due() {
    let stage = Stage::new().await;
    stage.advance(5);
    stage.run().await;
    assert!(stage.people.notices().is_empty(), "a period is not over");
    stage.advance(24);
    stage.run().await;
    let due = |notice: &Notice| match &notice.subject {
        Subject::BackupMissing {
            due_at,
            configuration_id,
            ..
        } if *configuration_id == id() => rfc3339(*due_at)[..16].to_string(),
        other => panic!("{other:?}"),
    };
    let told = || stage.people.notices().iter().map(due).collect::<Vec<_>>();
    assert_eq!(told(), ["2023-11-15T03:00"]);
    stage.backed_up(None).await;
    stage.advance(24);
    stage.run().await;
    assert_eq!(told(), ["2023-11-15T03:00"], "there is one since");
    stage.advance(24);
    stage.run().await;
    assert_eq!(told(), ["2023-11-15T03:00", "2023-11-17T03:00"]);
}
