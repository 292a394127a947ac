//! Notices against receivers on this machine, with records, secrets and deployments as production has them.
//!
//! The rule held: each endpoint has each notice, signed, once; what fails comes again for those alone who do not have it.

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use domain::{
    Actor, ActorKind, BackupConfiguration, BackupConfigurationId, BackupId, DeploymentId,
    ErrorKind, SecretId, SiteId, TeamId, WebhookEndpointId,
};
use kit::Outbound;
use kit::notice::{Notice, Subject};
use kit::outbound::Guard;
use kit::webhook_signature::{new_secret, sign};
use records::{AuditEntry, WebhookEndpoint};
use sender::{Event, Reply, Sender};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use testkit::{Bench, Fault};

/// When the notice was put into the queue, in milliseconds since 1970 and as people write it.
const HAPPENED: (&str, &str) = ("1699999990123", "2023-11-14T22:13:10.123Z");

struct Seen {
    headers: HeaderMap,
    body: Bytes,
}

/// A receiver that answers in this order, then 200, and keeps what it was told.
#[derive(Clone, Default)]
struct Receiver {
    answers: Arc<Mutex<VecDeque<Response>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

async fn answer(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    receiver
        .seen
        .lock()
        .expect("not poisoned")
        .push(Seen { headers, body });
    let next = receiver.answers.lock().expect("not poisoned").pop_front();
    next.unwrap_or_else(|| StatusCode::OK.into_response())
}

impl Receiver {
    async fn answering(answers: impl IntoIterator<Item = Response>) -> (Self, String) {
        let receiver = Self::default();
        receiver
            .answers
            .lock()
            .expect("not poisoned")
            .extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let router = Router::new().fallback(answer).with_state(receiver.clone());
        tokio::spawn(async move { axum::serve(listener, router).await });
        (receiver, format!("http://{address}/hook"))
    }

    fn count(&self) -> usize {
        self.seen.lock().expect("not poisoned").len()
    }

    /// The message's id, if it is signed with this secret.
    fn verified(&self, number: usize, secret: &str) -> String {
        let seen = self.seen.lock().expect("not poisoned");
        let Seen { headers, body } = &seen[number];
        let text = |name: &str| headers[name].to_str().expect("text").to_string();
        let (id, timestamp) = (text("webhook-id"), text("webhook-timestamp"));
        let timestamp = timestamp.parse().expect("seconds");
        let expected = sign(secret, &id, timestamp, body).expect("a signature");
        assert_eq!(text("webhook-signature"), expected);
        assert_eq!(text("content-type"), "application/json");
        id
    }

    fn told(&self, number: usize) -> Value {
        let seen = self.seen.lock().expect("not poisoned");
        serde_json::from_slice(&seen[number].body).expect("JSON")
    }
}

fn status(code: u16) -> Response {
    StatusCode::from_u16(code)
        .expect("a status")
        .into_response()
}

/// A team with a deployment that needs attention.
struct Stage {
    bench: Bench,
    sender: Sender,
    notice: Notice,
}

impl Stage {
    async fn new() -> Self {
        Self::allowing(&["127.0.0.0/8"]).await
    }

    async fn allowing(ranges: &[&str]) -> Self {
        let pipeline = pipelines::find("create_site").expect("a pipeline");
        let input = json!({"domain": "shop.example.com"});
        let commit = pipeline
            .commit_step(&input)
            .expect("a commit")
            .definition
            .name;
        let undo = pipeline
            .steps
            .iter()
            .find_map(|step| step.undo_name())
            .expect("an undo");
        let bench = Bench::new(&pipeline).await;
        bench.world.plan(commit, [Fault::After(ErrorKind::Refused)]);
        bench
            .world
            .plan(undo, [Fault::Before(ErrorKind::Unavailable); 40]);
        let deployment_id = bench.create(input).await;
        bench.run(deployment_id, "run").await;
        let allowed: Vec<_> = ranges
            .iter()
            .map(|range| range.parse().expect("a range"))
            .collect();
        let outbound = Outbound::new(Guard::new(&allowed)).expect("a client");
        let notice = Notice {
            team_id: bench.team,
            subject: Subject::NeedsAttention {
                deployment_id,
                seq: bench.snapshot(deployment_id).await.deployment.seq,
            },
        };
        Self {
            sender: Sender::new(bench.cloud.clone(), outbound),
            notice,
            bench,
        }
    }

    fn deployment_id(&self) -> DeploymentId {
        match self.notice.subject {
            Subject::NeedsAttention { deployment_id, .. } => deployment_id,
            _ => panic!("{:?}", self.notice),
        }
    }

    /// A backup configuration of the deployment's site, with a backup that is older than all of this when it has one.
    async fn configuration(&self, with_backup: bool) -> (SiteId, BackupConfigurationId) {
        let (records, team) = (&self.bench.cloud.records, self.bench.team);
        let deployment = self.bench.snapshot(self.deployment_id()).await.deployment;
        let site: SiteId = deployment.target.id.parse().expect("an id");
        let id = BackupConfigurationId::from_parts(1, 1);
        let configuration = json!({"schema": 1, "id": id, "team_id": team, "site_id": site, "name": "nightly",
            "scope": "site", "exclude": [], "schedule": {"cron": "@daily", "time_zone": "UTC"}, "full_every": 7,
            "enabled": true, "due_since": "2023-01-01T00:00:00Z", "created_at": "2023-01-01T00:00:00Z"});
        let configuration: BackupConfiguration =
            serde_json::from_value(configuration).expect("a configuration");
        let audit = self.audit(id);
        let made = records.backup_configuration_create(&configuration, &audit);
        made.await.expect("stored");
        if with_backup {
            let backup = json!({"schema": 1, "id": BackupId::from_parts(1, 1), "team_id": team, "site_id": site,
                "scope": "site", "reason": "schedule", "prefix": "x", "deployment_id": deployment.id, "parent": null,
                "database": null, "files": null, "size_bytes": 1, "restore_point": "available",
                "configuration_id": id, "created_at": "2023-11-01T00:10:00.000Z"});
            let backup = serde_json::from_value(backup).expect("a backup");
            records.backup_put(&backup).await.expect("stored");
        }
        (site, id)
    }

    fn audit(&self, id: impl ToString) -> AuditEntry {
        AuditEntry {
            id: id.to_string(),
            at: self.bench.cloud.clock.now(),
            actor: Actor {
                kind: ActorKind::System,
                id: "test".into(),
                name: "Tess".into(),
                role: "owner".into(),
            },
            from: String::new(),
            action: "test".into(),
            target: id.to_string(),
            detail: String::new(),
        }
    }

    /// An endpoint with its secret, as the API makes them.
    async fn endpoint(&self, url: &str) -> (WebhookEndpointId, String) {
        let cloud = &self.bench.cloud;
        let (time, random) = cloud.id_parts();
        let id = WebhookEndpointId::from_parts(time, random);
        let secret_id = SecretId::from_parts(time, random);
        let secret = new_secret();
        let sealed = cloud
            .secrets
            .sealed(self.bench.team, secret_id, "test", secret.as_bytes(), None)
            .await
            .expect("sealed");
        let now = cloud.clock.now();
        let endpoint = WebhookEndpoint::new(id, self.bench.team, url, secret_id, now);
        let audit = AuditEntry {
            id: id.to_string(),
            at: now,
            actor: Actor {
                kind: ActorKind::System,
                id: "test".into(),
                name: "Tess".into(),
                role: "owner".into(),
            },
            from: String::new(),
            action: "webhook_endpoint.create".into(),
            target: id.to_string(),
            detail: String::new(),
        };
        cloud
            .records
            .webhook_endpoint_create(&endpoint, &sealed, &audit)
            .await
            .expect("stored");
        (id, secret.to_string())
    }

    /// The messages as SQS hands them over, and the ids of those that come again.
    async fn send(&self, bodies: &[String]) -> Vec<String> {
        let records: Vec<Value> = bodies
            .iter()
            .zip(1..)
            .map(|(body, number)| {
                json!({"messageId": format!("m{number}"), "receiptHandle": "x", "body": body,
                    "attributes": {"SentTimestamp": HAPPENED.0, "ApproximateReceiveCount": "1"}})
            })
            .collect();
        let event: Event = serde_json::from_value(json!({"Records": records})).expect("an event");
        let reply: Reply = self.sender.send(event).await;
        let reply = serde_json::to_value(reply).expect("JSON");
        reply["batchItemFailures"]
            .as_array()
            .expect("a list")
            .iter()
            .map(|failed| {
                failed["itemIdentifier"]
                    .as_str()
                    .expect("an id")
                    .to_string()
            })
            .collect()
    }

    async fn send_notice(&self) -> Vec<String> {
        self.send(&[text(&self.notice)]).await
    }

    async fn endpoints(&self) -> Vec<WebhookEndpoint> {
        let records = &self.bench.cloud.records;
        records
            .webhook_endpoints(self.bench.team)
            .await
            .expect("a list")
    }
}

/// The notice of the deployment, some changes of it later.
fn later(notice: &Notice, changes: u64) -> Notice {
    let Subject::NeedsAttention { deployment_id, seq } = notice.subject else {
        panic!("{notice:?}");
    };
    let seq = seq + changes;
    Notice {
        subject: Subject::NeedsAttention { deployment_id, seq },
        ..notice.clone()
    }
}

fn text(notice: &Notice) -> String {
    serde_json::to_string(notice).expect("JSON")
}

#[tokio::test]
async fn an_endpoint_is_told_with_a_signature_of_its_own_secret() {
    let stage = Stage::new().await;
    let ((one, one_url), (two, two_url)) = (
        Receiver::answering([]).await,
        Receiver::answering([status(204)]).await,
    );
    let (one_id, one_secret) = stage.endpoint(&one_url).await;
    let (_, two_secret) = stage.endpoint(&two_url).await;
    assert!(stage.send_notice().await.is_empty());
    assert_eq!((one.count(), two.count()), (1, 1));
    assert_eq!(
        one.verified(0, &one_secret),
        stage.notice.message_id(one_id)
    );
    assert_ne!(two.verified(0, &two_secret), one.verified(0, &one_secret));
    let told = one.told(0);
    assert_eq!(told["type"], "deployment.needs_attention");
    assert_eq!(told["timestamp"], HAPPENED.1);
    let deployment = &told["data"]["deployment"];
    assert_eq!(deployment["id"], stage.deployment_id().to_string());
    assert_eq!(deployment["settlement"], "needs_attention");
    assert!(deployment["attention"].is_string(), "{deployment:#}");
    assert!(deployment.get("fence").is_none(), "{deployment:#}");
}

#[tokio::test]
async fn what_fails_comes_again_under_the_same_id_for_those_alone_who_do_not_have_it() {
    let stage = Stage::new().await;
    let (well, well_url) = Receiver::answering([]).await;
    let (ill, ill_url) = Receiver::answering([status(500), status(429), status(404)]).await;
    stage.endpoint(&well_url).await;
    let (_, secret) = stage.endpoint(&ill_url).await;
    for round in 1..=3 {
        assert_eq!(stage.send_notice().await, ["m1"]);
        assert_eq!((well.count(), ill.count()), (1, round));
        stage.bench.cloud.clock.advance(Duration::from_secs(600));
    }
    assert!(stage.send_notice().await.is_empty());
    assert!(
        stage.send_notice().await.is_empty(),
        "a message that comes again after all"
    );
    assert_eq!((well.count(), ill.count()), (1, 4));
    let ids: Vec<String> = (0..4).map(|number| ill.verified(number, &secret)).collect();
    assert!(ids.iter().all(|id| *id == ids[0]), "{ids:?}");
}

#[tokio::test]
async fn the_same_deployment_in_need_again_is_another_notice() {
    let stage = Stage::new().await;
    let (receiver, url) = Receiver::answering([]).await;
    let (_, secret) = stage.endpoint(&url).await;
    let again = later(&stage.notice, 5);
    let both = [text(&stage.notice), text(&again), text(&stage.notice)];
    assert!(stage.send(&both).await.is_empty());
    assert_eq!(receiver.count(), 2);
    assert_ne!(receiver.verified(0, &secret), receiver.verified(1, &secret));
}

#[tokio::test]
async fn gone_deletes_the_endpoint_and_its_secret_and_the_audit_trail_says_who_did() {
    let stage = Stage::new().await;
    let (gone, gone_url) = Receiver::answering([status(410)]).await;
    let (stays, stays_url) = Receiver::answering([]).await;
    let (gone_id, _) = stage.endpoint(&gone_url).await;
    let (stays_id, _) = stage.endpoint(&stays_url).await;
    let secret = stage
        .endpoints()
        .await
        .iter()
        .find(|endpoint| endpoint.id == gone_id)
        .expect("there")
        .secret;
    assert!(stage.send_notice().await.is_empty());
    assert!(stage.send_notice().await.is_empty());
    assert_eq!((gone.count(), stays.count()), (1, 1));
    let left: Vec<_> = stage
        .endpoints()
        .await
        .iter()
        .map(|endpoint| endpoint.id)
        .collect();
    assert_eq!(left, [stays_id]);
    let (cloud, team) = (&stage.bench.cloud, stage.bench.team);
    assert!(cloud.secrets.open(team, secret, 0).await.is_err());
    let trail = cloud
        .records
        .audit_page(team, None, 10)
        .await
        .expect("a page")
        .items;
    let entries: Vec<_> = trail
        .iter()
        .filter(|entry| entry.action == "webhook_endpoint.delete")
        .collect();
    assert_eq!(entries.len(), 1);
    assert_eq!(
        (entries[0].actor.kind, entries[0].target.as_str()),
        (ActorKind::System, gone_id.to_string().as_str())
    );
    assert!(entries[0].detail.contains("410"));
}

#[tokio::test]
async fn a_refused_address_is_not_called_and_brings_the_message_back() {
    let stage = Stage::allowing(&["127.0.0.2/32"]).await;
    let (receiver, url) = Receiver::answering([]).await;
    stage.endpoint(&url).await;
    assert_eq!(stage.send_notice().await, ["m1"]);
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_redirect_is_not_followed_and_brings_the_message_back() {
    let stage = Stage::new().await;
    let (elsewhere, to) = Receiver::answering([]).await;
    let moved = (StatusCode::PERMANENT_REDIRECT, [("location", to)]).into_response();
    let (receiver, url) = Receiver::answering([moved]).await;
    stage.endpoint(&url).await;
    assert_eq!(stage.send_notice().await, ["m1"]);
    assert_eq!((receiver.count(), elsewhere.count()), (1, 0));
}

#[tokio::test]
async fn of_a_batch_only_what_failed_comes_again() {
    let stage = Stage::new().await;
    let (receiver, url) = Receiver::answering([status(503)]).await;
    stage.endpoint(&url).await;
    let later = later(&stage.notice, 1);
    let bodies = [text(&stage.notice), "no notice".to_string(), text(&later)];
    assert_eq!(stage.send(&bodies).await, ["m1", "m2"]);
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn where_nobody_is_to_be_told_or_there_is_nothing_to_tell_the_message_is_done() {
    let stage = Stage::new().await;
    assert!(stage.send_notice().await.is_empty(), "no endpoint");
    let (receiver, url) = Receiver::answering([]).await;
    stage.endpoint(&url).await;
    let unknown = Notice {
        subject: Subject::NeedsAttention {
            deployment_id: DeploymentId::from_parts(9, 9),
            seq: 1,
        },
        ..stage.notice.clone()
    };
    let others = Notice {
        team_id: TeamId::from_parts(9, 9),
        ..stage.notice.clone()
    };
    assert!(
        stage
            .send(&[text(&unknown), text(&others)])
            .await
            .is_empty()
    );
    assert_eq!(
        receiver.count(),
        0,
        "another team's notice is not for this team"
    );
}

#[tokio::test]
async fn a_scheduled_backup_that_failed_is_told_with_its_site_its_configuration_and_the_last_good_one()
 {
    let stage = Stage::new().await;
    let (receiver, url) = Receiver::answering([]).await;
    stage.endpoint(&url).await;
    let (site_id, configuration_id) = stage.configuration(true).await;
    let notice = Notice {
        team_id: stage.bench.team,
        subject: Subject::BackupFailed {
            deployment_id: stage.deployment_id(),
            site_id,
            configuration_id,
        },
    };
    assert!(stage.send(&[text(&notice)]).await.is_empty());
    assert!(stage.send(&[text(&notice)]).await.is_empty());
    assert_eq!(receiver.count(), 1, "a repeat tells nobody");
    let told = receiver.told(0);
    assert_eq!(told["type"], "backup.failed");
    let data = &told["data"];
    assert_eq!(
        (&data["site"]["name"], &data["configuration"]["name"]),
        (&json!("shop"), &json!("nightly"))
    );
    assert_eq!(
        data["last_backup"]["id"],
        BackupId::from_parts(1, 1).to_string()
    );
    assert_eq!(data["deployment"]["status"], "failed");
    let message = data["message"].as_str().expect("words");
    assert!(
        message.contains("nightly of the site shop did not complete: It was scripted to fail.")
            && message.contains("The last good one is of 2023-11-01T00:10:00"),
        "{message}"
    );
}

#[tokio::test]
async fn a_missing_backup_is_told_once_for_each_time_it_was_due() {
    let stage = Stage::new().await;
    let (receiver, url) = Receiver::answering([]).await;
    stage.endpoint(&url).await;
    let (site_id, configuration_id) = stage.configuration(false).await;
    let notice = |due_at: &str| {
        text(&Notice {
            team_id: stage.bench.team,
            subject: Subject::BackupMissing {
                site_id,
                configuration_id,
                due_at: due_at.parse().expect("a time"),
            },
        })
    };
    let (one, two) = (
        notice("2023-11-13T00:00:00Z"),
        notice("2023-11-14T00:00:00Z"),
    );
    let all = [one.clone(), one, two];
    assert!(stage.send(&all).await.is_empty());
    assert_eq!(receiver.count(), 2);
    let told = receiver.told(0);
    assert_eq!(
        (&told["type"], &told["data"]["due_at"]),
        (&json!("backup.missing"), &json!("2023-11-13T00:00:00.000Z"))
    );
    assert_eq!(told["data"]["last_backup"], Value::Null);
    let message = told["data"]["message"].as_str().expect("words");
    assert!(message.contains("There is no good one."), "{message}");
}
