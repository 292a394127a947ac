//! Automatic triggers on a busy target, on the local stack: held, replaced, started in order, for a real pipeline.

use domain::{
    Actor, ActorKind, DeploymentId, LockKey, ServerId, TargetKind, TargetRef, TeamId, Trigger,
};
use e2e::Stack;
use kit::{Clock, draft};
use records::{AuditEntry, Created, NewDeployment, Records};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;

/// What the scheduler and the webhook put into the records: a check of the server, set off by this.
async fn automatic(
    records: &Records,
    team: TeamId,
    server: ServerId,
    (trigger, slot): (Trigger, &str),
) -> DeploymentId {
    let pipeline = pipelines::find("check_server").expect("a pipeline");
    let actor = Actor {
        kind: ActorKind::System,
        id: "test".to_string(),
        name: "test".to_string(),
        role: "owner".to_string(),
    };
    let id_parts = (
        Clock::System.milliseconds().unsigned_abs(),
        rand::random::<u128>() >> 48,
    );
    let asked = draft::Asked {
        team_id: team,
        actor: actor.clone(),
        trigger,
        slot: Some(slot.to_string()),
        target: TargetRef {
            kind: TargetKind::Server,
            id: server.to_string(),
            name: "web1".to_string(),
        },
        locks: vec![LockKey::server(server)],
        input: json!({"server_id": server}),
        meta: BTreeMap::from([("server_id".to_string(), json!(server))]),
        claims: Vec::new(),
    };
    let input = asked.input.clone();
    let (deployment, steps) =
        draft::at(id_parts, Clock::System.now(), &pipeline, asked).expect("a draft");
    let new = NewDeployment {
        audit: AuditEntry {
            id: deployment.id.to_string(),
            at: deployment.created_at,
            actor,
            from: "test".to_string(),
            action: "test".to_string(),
            target: server.to_string(),
            detail: String::new(),
        },
        deployment,
        input,
        steps,
        target: None,
        claims: Vec::new(),
        idempotency: None,
    };
    match records.deployment_create(new).await.expect("created") {
        Created::New(id) | Created::Repeat(id) => id,
    }
}

fn count<'a>(all: &'a [Value], what: impl Fn(&'a Value) -> bool) -> usize {
    all.iter().filter(|deployment| what(deployment)).count()
}

#[tokio::test]
async fn fifty_automatic_and_twenty_manual_starts_at_once_leave_one_active_at_any_time() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let (records, team) = (
        stack.records().await.expect("records"),
        stack.team().await.parse().expect("a team"),
    );
    let server_id: ServerId = server.parse().expect("an id");
    let mut starts = tokio::task::JoinSet::new();
    for number in 0..50_u32 {
        let records = records.clone();
        starts.spawn(async move {
            let slot = match number % 6 {
                0 => (Trigger::Schedule, "nightly"),
                1 => (Trigger::Schedule, "weekly"),
                branch => (Trigger::Webhook, ["a", "b", "c", "d"][branch as usize - 2]),
            };
            automatic(&records, team, server_id, slot).await
        });
    }
    let manual = async {
        let path = format!("/v1/servers/{server}/check");
        let each = (0..20).map(|_| stack.post(&path, json!({})));
        let mut answers = Vec::new();
        for answer in each {
            answers.push(answer.await);
        }
        answers
    };
    let (made, answers) = tokio::join!(starts.join_all(), manual);
    for answer in &answers {
        assert!(
            answer.status == 201 || (answer.status == 409 && !answer.body["held_by"].is_null()),
            "a person is told at once who is in the way: {:#}",
            answer.body
        );
    }
    let target = format!("/v1/deployments?limit=100&target=server:{server}");
    let waited = tokio::time::timeout(Duration::from_secs(240), async {
        loop {
            let listed = stack.get(&target).await.body["items"].clone();
            let all = listed.as_array().cloned().unwrap_or_default();
            let active = count(&all, |deployment| {
                deployment["settlement"] != "settled" && deployment["dispatch"] != "held"
            });
            assert!(active <= 1, "one at a time: {listed:#}");
            if all
                .iter()
                .all(|deployment| deployment["settlement"] == "settled")
            {
                return all;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    });
    let all = waited.await.expect("nothing is stuck");
    let ours: Vec<_> = all
        .into_iter()
        .filter(|deployment| made.iter().any(|id| deployment["id"] == id.to_string()))
        .collect();
    assert_eq!(ours.len(), 50);
    let ran = count(&ours, |deployment| deployment["status"] == "completed");
    assert!(ran >= 6, "the newest of each slot ran: {ran}");
    for deployment in &ours {
        let why = deployment["error"]["message"].as_str().unwrap_or_default();
        let skipped = deployment["outcome"] == "skipped"
            && (why.contains("replaced by") || why.contains("still waits"));
        assert!(
            deployment["status"] == "completed" || skipped,
            "it ran, or says why not: {deployment:#}"
        );
    }
}
