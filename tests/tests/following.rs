//! The live channel on the local stack: what a person follows is what happened, in order, also when the stream stumbles.

use client::{Channel, Client, Watch};
use domain::{DeploymentId, Settlement};
use e2e::Stack;
use serde_json::json;
use std::time::Duration;

fn client(stack: &Stack) -> Client {
    let api = stack.api();
    Client::new(api, &stack.token, "test/0").expect("a client")
}

/// How long ago the newest moment in it was.
fn delay(detail: &contract::DeploymentDetail) -> Option<i64> {
    let deployment = &detail.deployment;
    let of_steps = detail
        .steps
        .iter()
        .flat_map(|step| [step.started_at, step.finished_at]);
    let of_it = [
        deployment.started_at,
        deployment.finished_at,
        deployment.settled_at,
    ];
    let newest = of_steps.chain(of_it).flatten().max()?;
    Some(kit::Clock::System.milliseconds() - newest.timestamp_millis())
}

/// Every `seq` that was told, and how often over the live channel.
async fn watched(stack: &Stack, id: &str) -> (Vec<u64>, usize) {
    let id: DeploymentId = id.parse().expect("an id");
    let mut watch = Watch::new(&client(stack), id);
    let (mut seen, mut live) = (Vec::new(), 0);
    let mut delays = Vec::new();
    let told = tokio::time::timeout(Duration::from_secs(120), async {
        loop {
            let update = watch.next().await.expect("an update");
            seen.push(update.detail.deployment.seq);
            if update.channel == Channel::Live {
                live += 1;
                delays.extend(delay(&update.detail));
            }
            if update.detail.deployment.settlement == Settlement::Settled {
                return update.detail;
            }
        }
    });
    let last = told.await.expect("it settles");
    println!("milliseconds from a write to its message: {delays:?}");
    let stored = stack.deployment(&id.to_string()).await;
    assert_eq!(
        serde_json::to_value(&last).expect("JSON"),
        stored,
        "what was told last is what is stored"
    );
    (seen, live)
}

async fn check(stack: &Stack, server: &str) -> String {
    let created = stack
        .post(&format!("/v1/servers/{server}/check"), json!({}))
        .await;
    assert_eq!(created.status, 201, "{:#}", created.body);
    let id = created.body["deployment"]["id"].as_str().expect("an id");
    id.to_string()
}

#[tokio::test]
async fn a_deployment_is_followed_live_in_order_to_its_end() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let name = format!("followed-{:04x}", rand::random::<u16>());
    let created = stack
        .post("/v1/sites", stack.site_create(&server, &name))
        .await;
    let id = created.body["deployment"]["id"].as_str().expect("an id");
    let (seen, live) = watched(&stack, id).await;
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    assert!(
        live > seen.len() / 2,
        "most of it came live: {live} of {seen:?}"
    );
}

#[tokio::test]
async fn what_the_stream_tells_twice_late_and_backwards_is_followed_in_order_all_the_same() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let _shuffled = stack.fault(json!({"stream": ["double", "reverse", "late"]}));
    let id = check(&stack, &server).await;
    let (seen, _) = watched(&stack, &id).await;
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}

#[tokio::test]
async fn a_stream_that_tells_people_nothing_is_made_up_for_by_looking() {
    let stack = Stack::from_env();
    let server = stack.registered().await;
    let _lost = stack.fault(json!({"lose": ["notifier"]}));
    let id = check(&stack, &server).await;
    let (seen, _) = watched(&stack, &id).await;
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
}
