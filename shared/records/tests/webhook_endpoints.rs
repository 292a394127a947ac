//! Webhook endpoints and their notices, on a DynamoDB in this process.
//!
//! The rule held: an endpoint, its secret, its audit entry and the team's count are written together or not at all.

mod fixture;

use domain::{SecretId, TeamId, WebhookEndpointId};
use fixture::*;
use records::{Records, RecordsError, SealedSecret, WEBHOOK_ENDPOINTS_LIMIT, WebhookEndpoint};

fn webhook(number: u64) -> (WebhookEndpoint, SealedSecret) {
    let secret = SealedSecret {
        id: SecretId::from_parts(number, 3),
        purpose: "webhook".into(),
        data_key: "a".into(),
        ciphertext: "b".into(),
        kind: None,
        expires_at: None,
    };
    let endpoint = WebhookEndpoint::new(
        WebhookEndpointId::from_parts(number, 3),
        team(),
        "https://hooks.example.com/",
        secret.id,
        at(0),
    );
    (endpoint, secret)
}

async fn endpoint_create(records: &Records, number: u64) -> Result<(), RecordsError> {
    let (endpoint, secret) = webhook(number);
    records
        .webhook_endpoint_create(&endpoint, &secret, &audit("webhook_endpoint.create"))
        .await
}

async fn actions(records: &Records) -> Vec<String> {
    let page = records.audit_page(team(), None, 100).await.expect("a page");
    page.items.into_iter().map(|entry| entry.action).collect()
}

#[tokio::test]
async fn a_webhook_endpoint_comes_and_goes_with_its_secret_and_its_audit_entry() {
    let records = records().await;
    let (first, secret) = webhook(1);
    endpoint_create(&records, 1).await.expect("stored");
    let found = records.webhook_endpoints(team()).await.expect("a list");
    assert_eq!(
        (found.len(), found[0].id, found[0].url.as_str()),
        (1, first.id, "https://hooks.example.com/")
    );
    assert!(records.secret_get(team(), secret.id, 0).await.is_ok());
    let other = TeamId::from_parts(9, 9);
    assert!(matches!(
        records
            .webhook_endpoint_delete(other, first.id, &audit("stolen"))
            .await,
        Err(RecordsError::NotFound("webhook endpoint"))
    ));
    assert!(
        records
            .webhook_endpoints(other)
            .await
            .expect("a list")
            .is_empty()
    );
    let entry = audit("webhook_endpoint.delete");
    records
        .webhook_endpoint_delete(team(), first.id, &entry)
        .await
        .expect("gone");
    assert!(
        records
            .webhook_endpoints(team())
            .await
            .expect("a list")
            .is_empty()
    );
    assert!(matches!(
        records.secret_get(team(), secret.id, 0).await,
        Err(RecordsError::NotFound("secret"))
    ));
    assert!(matches!(
        records
            .webhook_endpoint_delete(team(), first.id, &audit("again"))
            .await,
        Err(RecordsError::NotFound("webhook endpoint"))
    ));
    assert_eq!(
        actions(&records).await,
        ["webhook_endpoint.delete", "webhook_endpoint.create"]
    );
}

#[tokio::test]
async fn of_many_webhook_endpoints_at_once_as_many_as_may_be_are_made_and_one_gone_makes_room_for_one()
 {
    let records = records().await;
    let mut calls = tokio::task::JoinSet::new();
    for number in 0..8 {
        endpoint_create(&records, number).await.expect("room");
    }
    for number in 10..20 {
        let records = records.clone();
        calls.spawn(async move {
            loop {
                match endpoint_create(&records, number).await {
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
            Err(RecordsError::LimitReached { limit, .. }) => {
                assert_eq!(limit, WEBHOOK_ENDPOINTS_LIMIT);
                refused += 1;
            }
            Err(other) => panic!("{other:?}"),
        }
    }
    assert_eq!((made, refused), (2, 8));
    assert_eq!(
        records
            .webhook_endpoints(team())
            .await
            .expect("a list")
            .len(),
        10
    );
    assert_eq!(
        actions(&records).await.len(),
        10,
        "what was refused left nothing"
    );
    let (first, _) = webhook(0);
    records
        .webhook_endpoint_delete(team(), first.id, &audit("webhook_endpoint.delete"))
        .await
        .expect("gone");
    endpoint_create(&records, 30).await.expect("room");
    assert!(matches!(
        endpoint_create(&records, 31).await,
        Err(RecordsError::LimitReached { .. })
    ));
}

#[tokio::test]
async fn an_endpoint_deleted_twice_at_once_is_deleted_and_counted_once() {
    let records = records().await;
    for number in 0..3 {
        endpoint_create(&records, number).await.expect("stored");
    }
    let (first, _) = webhook(0);
    let (one, two) = (audit("one"), audit("two"));
    let (one, two) = tokio::join!(
        records.webhook_endpoint_delete(team(), first.id, &one),
        records.webhook_endpoint_delete(team(), first.id, &two),
    );
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    for number in 10..18 {
        endpoint_create(&records, number)
            .await
            .expect("2 and 8 are 10");
    }
    assert!(matches!(
        endpoint_create(&records, 20).await,
        Err(RecordsError::LimitReached { .. })
    ));
}

#[tokio::test]
async fn a_delivered_notice_is_known_to_its_team_until_no_queue_holds_it() {
    let records = records().await;
    let known = async |team: TeamId, message: &str, seconds: i64| {
        records
            .notice_is_delivered(team, message, at(seconds))
            .await
            .expect("an answer")
    };
    assert!(!known(team(), "msg_1", 0).await);
    records
        .notice_delivered(team(), "msg_1", at(0))
        .await
        .expect("noted");
    assert!(known(team(), "msg_1", 14 * 86_400).await);
    assert!(!known(team(), "msg_1", 15 * 86_400).await);
    assert!(!known(team(), "msg_2", 0).await);
    assert!(!known(TeamId::from_parts(9, 9), "msg_1", 0).await);
}
