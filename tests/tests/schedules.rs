//! Scheduled backups on the local stack: due ones are begun once, what their retention does not keep goes, and what is
//! missing is told.

use domain::{BackupConfigurationId, SiteId, TeamId, Time};
use e2e::{Receiver, Stack, settled};
use kit::Clock;
use records::{AuditEntry, RecordsError};
use serde_json::{Value, json};
use std::time::Duration;

/// A site with one backup configuration of its database, which is quick.
struct Scheduled {
    stack: Stack,
    site: String,
    configuration: String,
}

impl Scheduled {
    async fn new(name: &str, body: Value) -> Self {
        let stack = Stack::from_env();
        let server = stack.registered().await;
        // Sites stay when a test fails, and a stack may be asked again.
        let name = format!("{name}-{:x}", std::process::id());
        let ended = stack.create_site(stack.site_create(&server, &name)).await;
        settled(&ended, "completed").expect("a site");
        let site = ended["target"]["id"].as_str().expect("an id").to_string();
        let path = format!("/v1/sites/{site}/backup-configurations");
        let made = stack.post(&path, body).await;
        assert_eq!(made.status, 201, "{:#}", made.body);
        Self {
            configuration: made.body["id"].as_str().expect("an id").to_string(),
            site,
            stack,
        }
    }

    async fn get(&self, path: &str) -> Value {
        let path = format!("/v1/sites/{}{path}", self.site);
        let answer = self.stack.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {:#}", answer.body);
        answer.body
    }

    /// Its time came an hour ago, and its schedule has counted for long.
    async fn is_due(&self) {
        let now = Clock::System.now();
        let team: TeamId = self.stack.team().await.parse().expect("an id");
        let site: SiteId = self.site.parse().expect("an id");
        let id: BackupConfigurationId = self.configuration.parse().expect("an id");
        let entry = json!({"id": format!("{:026}", rand::random::<u32>()), "at": domain::rfc3339(now), "from": "",
            "actor": {"kind": "system", "id": "test", "name": "test", "role": "owner"}, "action": "test",
            "target": self.site, "detail": ""});
        let entry: AuditEntry = serde_json::from_value(entry).expect("an entry");
        let records = self.stack.records().await.expect("records");
        records
            .backup_configuration_update((team, site, id), &entry, |configuration| {
                configuration.next_due_at =
                    Time::from_timestamp_millis(now.timestamp_millis() - 3_600_000);
                configuration.due_since = Time::UNIX_EPOCH;
                Ok::<_, RecordsError>(())
            })
            .await
            .expect("changed");
    }

    async fn run(&self) -> Value {
        let ran = self.stack.invoke("scheduler", json!({})).await;
        assert_eq!(ran["failed"], 0, "{ran:#}");
        ran
    }

    /// The deployments that the schedule began, newest first.
    async fn begun(&self) -> Vec<Value> {
        let path = format!("/v1/deployments?limit=100&target=site:{}", self.site);
        let all = self.stack.get(&path).await.body["items"].clone();
        let mut all = all.as_array().cloned().unwrap_or_default();
        all.retain(|deployment| deployment["trigger"] == "schedule");
        all
    }

    /// The newest of them, when it has ended.
    async fn ended(&self) -> Value {
        let begun = self.begun().await;
        let id = begun[0]["id"].as_str().expect("an id");
        self.stack.ended(id).await
    }

    async fn backups(&self) -> Vec<Value> {
        let page = self.get("/backups").await;
        page["items"].as_array().expect("a list").clone()
    }
}

fn status<'a>(deployment: &'a Value, step: &str) -> Option<&'a str> {
    let steps = deployment["steps"].as_array().into_iter().flatten();
    let mut found = steps.filter(|found| found["name"] == step);
    found.next().and_then(|found| found["status"].as_str())
}

#[tokio::test]
async fn a_due_backup_is_begun_once_by_two_runs_at_once_and_the_next_one_lets_the_first_expire() {
    let body = json!({"name": "nightly", "schedule": "@daily", "scope": "database", "retention": {"keep_last": 1}});
    let scheduled = Scheduled::new("scheduled", body).await;
    let stack = &scheduled.stack;
    let path = format!("/backup-configurations/{}", scheduled.configuration);
    let planned = scheduled.get(&path).await["next_due_at"].clone();
    scheduled.is_due().await;
    let (one, two) = tokio::join!(scheduled.run(), scheduled.run());
    let begun = scheduled.begun().await;
    assert_eq!(begun.len(), 1, "{one:#} {two:#} {begun:#?}");
    assert_eq!(scheduled.get(&path).await["next_due_at"], planned);
    let first = scheduled.ended().await;
    settled(&first, "completed").expect("backed up");
    assert_eq!(status(&first, "apply_retention"), Some("completed"));
    let backups = scheduled.backups().await;
    assert_eq!(
        (
            backups.len(),
            &backups[0]["reason"],
            &backups[0]["configuration_id"]
        ),
        (1, &json!("schedule"), &json!(scheduled.configuration))
    );
    let old = backups[0]["id"].as_str().expect("an id").to_string();
    let folder = format!("backups/{}/{}/{old}/", stack.team().await, scheduled.site);
    let stored = stack.stored(&folder).await;
    assert_eq!(stored.len(), 2, "the dump and its mark: {stored:?}");

    // A backup by hand that no retention counts.
    let by_hand = stack
        .post(
            &format!("/v1/sites/{}/backups", scheduled.site),
            json!({"scope": "database"}),
        )
        .await;
    let by_hand = by_hand.body["deployment"]["id"].as_str().expect("an id");
    let by_hand = stack.ended(by_hand).await;
    settled(&by_hand, "completed").expect("backed up");
    assert_eq!(status(&by_hand, "apply_retention"), Some("skipped"));

    scheduled.is_due().await;
    scheduled.run().await;
    let second = scheduled.ended().await;
    settled(&second, "completed").expect("backed up");
    assert_eq!(
        status(&second, "apply_retention"),
        Some("completed"),
        "{second:#}"
    );
    assert_eq!(stack.stored(&folder).await, Vec::<String>::new());
    let points = scheduled.get("/restore-points").await;
    let standing: Vec<_> = points["items"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|point| (point["reason"].clone(), point["status"].clone()))
        .collect();
    assert_eq!(
        standing,
        [
            (json!("schedule"), json!("available")),
            (json!("manual"), json!("available")),
            (json!("schedule"), json!("expired")),
        ]
    );
    let restore = format!("/v1/sites/{}/backups/{old}/restore", scheduled.site);
    let refused = stack.post(&restore, json!({})).await;
    assert_eq!(
        (refused.status, refused.code()),
        (409, "restore_point_expired")
    );
    let plan = scheduled.get(&format!("{path}/retention")).await;
    assert_eq!(plan["backups"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn a_restore_point_is_restored_and_says_so() {
    let body =
        json!({"name": "nightly", "schedule": "@daily", "scope": "database", "enabled": false});
    let scheduled = Scheduled::new("restoring", body).await;
    let stack = &scheduled.stack;
    let path = format!("/v1/sites/{}/backups", scheduled.site);
    let asked = json!({"configuration_id": scheduled.configuration});
    let made = stack.post(&path, asked).await;
    assert_eq!(made.status, 201, "{:#}", made.body);
    let made = made.body["deployment"]["id"].as_str().expect("an id");
    settled(&stack.ended(made).await, "completed").expect("backed up");
    let id = scheduled.backups().await[0]["id"].clone();
    let id = id.as_str().expect("an id");
    let restoring = stack.post(&format!("{path}/{id}/restore"), json!({})).await;
    let restoring = restoring.body["deployment"]["id"].as_str().expect("an id");
    let kept = stack
        .send(
            reqwest::Method::DELETE,
            &format!("{path}/{id}"),
            &stack.token,
            &[],
            None,
        )
        .await;
    assert_eq!((kept.status, kept.code()), (409, "target_busy"));
    settled(&stack.ended(restoring).await, "completed").expect("restored");
    let backup = stack.get(&format!("{path}/{id}")).await.body;
    assert_eq!(backup["restore_point"], "restored", "{backup:#}");
    assert!(backup["restored_at"].is_string(), "{backup:#}");
}

#[tokio::test]
async fn a_missing_backup_is_told_once() {
    let receiver = Receiver::listen().await;
    let body = json!({"name": "monthly", "schedule": "@monthly", "scope": "database"});
    let scheduled = Scheduled::new("missing", body).await;
    let stack = &scheduled.stack;
    let endpoint = stack
        .post("/v1/webhook-endpoints", json!({"url": receiver.url}))
        .await;
    assert_eq!(endpoint.status, 201, "{:#}", endpoint.body);
    // Two runs with no backup between them, as of one that died and came again.
    for _ in 0..2 {
        scheduled.is_due().await;
        scheduled.run().await;
    }
    let told = || {
        let mut told = receiver.requests();
        told.retain(|request| {
            request.contains("backup.missing") && request.contains(&scheduled.configuration)
        });
        told
    };
    let waited = tokio::time::timeout(Duration::from_secs(60), async {
        while told().is_empty() {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    waited.await.expect("it is told");
    for deployment in scheduled.begun().await {
        stack.ended(deployment["id"].as_str().expect("an id")).await;
    }
    let told = told();
    assert_eq!(told.len(), 1, "{told:#?}");
    assert!(
        told[0].contains("webhook-signature: v1,") && told[0].contains("There is no good one."),
        "{told:#?}"
    );
    let endpoint = endpoint.body["endpoint"]["id"].as_str().expect("an id");
    let path = format!("/v1/webhook-endpoints/{endpoint}");
    let removed = stack
        .send(reqwest::Method::DELETE, &path, &stack.token, &[], None)
        .await;
    assert_eq!(removed.status, 204);
}
