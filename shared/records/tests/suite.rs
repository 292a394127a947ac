//! What the records promise, on a DynamoDB in this process, or on the one that `TRIPHAMMER_DYNAMODB_ENDPOINT` names.

mod fixture;

use domain::lifecycle::{self, Begin, Cancel};
use domain::{
    Role, Scope, SecretId, ServerId, ServerStatus, StepError, TargetKind, TeamId, TokenId,
};
use fixture::*;
use records::{
    Applied, CreateRefused, Created, Idempotency, RecordsError, SealedSecret, TokenRecord,
};

#[tokio::test]
async fn what_is_created_reads_back_equal_in_one_snapshot() {
    let records = records().await;
    let new = new(1);
    let (input, lock) = (new.input.clone(), lock(&new));
    let id = created(&records, new).await;
    let snapshot = records
        .deployment_snapshot(team(), id)
        .await
        .expect("there");
    assert_eq!(snapshot.input, input);
    assert_eq!(
        snapshot
            .steps
            .iter()
            .map(|step| step.name.as_str())
            .collect::<Vec<_>>(),
        ["first", "last"]
    );
    assert_eq!(
        records.lock_holder(team(), &lock).await.expect("an answer"),
        Some(id)
    );
    assert_eq!(
        records
            .audit_page(team(), None, 10)
            .await
            .expect("a page")
            .items[0]
            .action,
        "server.register"
    );
}

#[tokio::test]
async fn another_teams_deployment_is_not_found() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    let other = TeamId::from_parts(2, 2);
    assert!(matches!(
        records.deployment_snapshot(other, id).await,
        Err(RecordsError::NotFound("deployment"))
    ));
    assert!(
        records
            .history_page(other, None, 10)
            .await
            .expect("a page")
            .items
            .is_empty()
    );
}

#[tokio::test]
async fn of_twenty_creations_at_one_lock_one_wins_and_the_others_name_it() {
    let records = records().await;
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let records = records.clone();
        let mut new = new(5);
        (new.target, new.claims) = (None, Vec::new());
        calls.spawn(async move { records.deployment_create(new).await });
    }
    let (mut won, mut held) = (Vec::new(), Vec::new());
    while let Some(answer) = calls.join_next().await {
        match answer.expect("no panic") {
            Ok(Created::New(id)) => won.push(id),
            Err(CreateRefused::Held {
                deployment_id,
                since,
                operation_name,
            }) => {
                assert_eq!(
                    (since, operation_name.as_str()),
                    (Some(at(0)), "Register server")
                );
                held.push(deployment_id);
            }
            other => panic!("{other:?}"),
        }
    }
    assert_eq!((won.len(), held.len()), (1, 19));
    assert!(held.iter().all(|holder| *holder == won[0]));
    assert_eq!(
        records
            .history_page(team(), None, 100)
            .await
            .expect("a page")
            .items
            .len(),
        1,
        "what was refused left nothing"
    );
}

#[tokio::test]
async fn the_same_idempotency_key_makes_one_deployment_and_another_body_is_refused() {
    let records = records().await;
    let with = |target: u64, body: &str| {
        let mut new = new(target);
        new.idempotency = Some(Idempotency {
            key: "k".into(),
            body_hash: body.into(),
        });
        new
    };
    let mut calls = tokio::task::JoinSet::new();
    for target in 10..20 {
        let (records, new) = (records.clone(), with(target, "same"));
        calls.spawn(async move { records.deployment_create(new).await.expect("an answer") });
    }
    let mut ids = std::collections::BTreeSet::new();
    let mut made = 0;
    while let Some(answer) = calls.join_next().await {
        let answer = answer.expect("no panic");
        made += u32::from(matches!(answer, Created::New(_)));
        let (Created::New(id) | Created::Repeat(id)) = answer;
        ids.insert(id);
    }
    assert_eq!((made, ids.len()), (1, 1));
    assert!(matches!(
        records.deployment_create(with(30, "other")).await,
        Err(CreateRefused::KeyReused)
    ));
    let mut late = with(31, "other");
    late.deployment.created_at = at(2 * 86_400);
    assert!(
        matches!(records.deployment_create(late).await, Ok(Created::New(_))),
        "an expired key is free again"
    );
}

#[tokio::test]
async fn a_taken_name_is_refused_by_name_and_takes_nothing() {
    let records = records().await;
    created(&records, new(1)).await;
    let mut second = new(2);
    second.claims[0].name = "server-name:1".into();
    let free = lock(&second);
    assert!(
        matches!(records.deployment_create(second).await, Err(CreateRefused::Taken(claim)) if claim.what == "The server name web1")
    );
    assert_eq!(
        records.lock_holder(team(), &free).await.expect("an answer"),
        None
    );
}

#[tokio::test]
async fn a_begin_raises_the_fence_everywhere_and_an_old_state_cannot_be_written_over() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    let old = records
        .deployment_snapshot(team(), id)
        .await
        .expect("there");
    let Begin::Go(change) = lifecycle::begin(&old, "first", false, &worker(0), at(1)).expect("may")
    else {
        panic!("go")
    };
    assert_eq!(
        records.deployment_apply(&change).await.expect("an answer"),
        Applied::Yes
    );
    assert_eq!(
        records.deployment_apply(&change).await.expect("an answer"),
        Applied::No,
        "the same change again"
    );
    let snapshot = records
        .deployment_snapshot(team(), id)
        .await
        .expect("there");
    assert_eq!(
        (
            snapshot.deployment.fence,
            snapshot.step("first").expect("a step").fence,
            snapshot.deployment.seq
        ),
        (1, 1, 2)
    );
}

#[tokio::test]
async fn a_completed_deployment_activates_its_target_and_frees_its_lock_for_a_higher_fence() {
    let records = records().await;
    let first = new(1);
    let lock = lock(&first);
    let id = created(&records, first).await;
    done(&records, id, "first").await;
    done(&records, id, "last").await;
    settle(&records, id).await;
    assert_eq!(
        records.lock_holder(team(), &lock).await.expect("an answer"),
        None
    );
    let server = records
        .server(team(), ServerId::from_parts(1, 7))
        .await
        .expect("there");
    assert_eq!(server.status, ServerStatus::Active);
    let mut next = new(1);
    (next.target, next.claims) = (None, Vec::new());
    let next = created(&records, next).await;
    assert_eq!(
        records
            .deployment_snapshot(team(), next)
            .await
            .expect("there")
            .deployment
            .fence,
        2,
        "it goes on where the lock stood"
    );
}

#[tokio::test]
async fn a_deployment_that_does_not_complete_takes_its_target_and_claims_with_it() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    cancel(&records, id).await;
    assert!(matches!(
        records.server(team(), ServerId::from_parts(1, 7)).await,
        Err(RecordsError::NotFound("server"))
    ));
    assert_eq!(
        records
            .claim_owner(team(), "server-name:1")
            .await
            .expect("an answer"),
        None
    );
    assert!(
        records
            .open_deployments()
            .await
            .expect("an answer")
            .is_empty(),
        "what is settled is not open"
    );
    created(&records, new(1)).await;
    assert_eq!(
        records.open_deployments().await.expect("an answer").len(),
        1
    );
}

#[tokio::test]
async fn histories_are_newest_first_across_pages() {
    let records = records().await;
    let mut ids = Vec::new();
    for target in 1..=7 {
        ids.push(created(&records, new(target)).await);
    }
    ids.reverse();
    let (mut seen, mut cursor) = (Vec::new(), None);
    loop {
        let page = records
            .history_page(team(), cursor.as_deref(), 3)
            .await
            .expect("a page");
        seen.extend(page.items.iter().map(|deployment| deployment.id));
        cursor = page.next_cursor;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(seen, ids);
    let target = ServerId::from_parts(3, 7).to_string();
    let of_one = records
        .target_history_page(team(), TargetKind::Server, &target, None, 10)
        .await
        .expect("a page");
    assert_eq!(of_one.items.len(), 1);
    for bad in ["", "x", "!!", "AAAA"] {
        assert!(
            matches!(
                records.history_page(team(), Some(bad), 3).await,
                Err(RecordsError::BadCursor)
            ),
            "{bad:?}"
        );
    }
}

#[tokio::test]
async fn a_token_is_found_by_its_hash_until_it_is_revoked() {
    let records = records().await;
    let token = TokenRecord::new(
        TokenId::from_parts(1, 1),
        team(),
        "ci",
        Role::Member,
        vec![Scope::DeployRead],
        "abc".into(),
        at(0),
    );
    records
        .token_create(&token, &audit("token.create"))
        .await
        .expect("stored");
    assert_eq!(
        records
            .token_by_hash("abc")
            .await
            .expect("an answer")
            .map(|token| token.id),
        Some(token.id)
    );
    assert!(matches!(
        records
            .token_delete(TeamId::from_parts(9, 9), token.id, &audit("token.revoke"))
            .await,
        Err(RecordsError::NotFound("token"))
    ));
    records
        .token_delete(team(), token.id, &audit("token.revoke"))
        .await
        .expect("revoked");
    assert!(
        records
            .token_by_hash("abc")
            .await
            .expect("an answer")
            .is_none()
    );
    assert!(records.tokens(team()).await.expect("an answer").is_empty());
}

#[tokio::test]
async fn two_changes_of_a_server_at_once_both_stay() {
    let records = records().await;
    created(&records, new(1)).await;
    let id = ServerId::from_parts(1, 7);
    let (one, two) = tokio::join!(
        records.server_update(team(), id, |server| server.agent_version = Some("1".into())),
        records.server_update(team(), id, |server| server.ip = Some("192.0.2.1".into())),
    );
    one.expect("written");
    two.expect("written");
    let server = records.server(team(), id).await.expect("there");
    assert_eq!(
        (server.agent_version.as_deref(), server.ip.as_deref()),
        (Some("1"), Some("192.0.2.1"))
    );
}

#[tokio::test]
async fn a_persons_change_is_written_with_its_audit_entry() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    let entry = audit("deployment.cancel");
    let decide = |snapshot: &lifecycle::Snapshot| match lifecycle::cancel(snapshot, "Tess", at(2))?
    {
        Cancel::Go(change) => Ok::<_, StepError>((Some(*change), ())),
        _ => Ok((None, ())),
    };
    records
        .deployment_change_audited(team(), id, &entry, decide)
        .await
        .expect("cancelled");
    records
        .deployment_change_audited(team(), id, &audit("again"), decide)
        .await
        .expect("nothing to do");
    let actions: Vec<String> = records
        .audit_page(team(), None, 10)
        .await
        .expect("a page")
        .items
        .into_iter()
        .map(|entry| entry.action)
        .collect();
    assert_eq!(
        actions,
        ["deployment.cancel", "server.register"],
        "newest first, and none for what changed nothing"
    );
}

#[tokio::test]
async fn a_secret_ends_at_its_time_and_is_its_teams_alone() {
    let records = records().await;
    let secret = SealedSecret {
        id: SecretId::from_parts(1, 1),
        purpose: "test".into(),
        data_key: "a".into(),
        ciphertext: "b".into(),
        kind: None,
        expires_at: Some(100),
    };
    records.secret_put(team(), &secret).await.expect("stored");
    assert_eq!(
        records
            .secret_get(team(), secret.id, 99)
            .await
            .expect("there")
            .ciphertext,
        "b"
    );
    assert!(matches!(
        records.secret_get(team(), secret.id, 100).await,
        Err(RecordsError::NotFound("secret"))
    ));
    assert!(matches!(
        records
            .secret_get(TeamId::from_parts(9, 9), secret.id, 1)
            .await,
        Err(RecordsError::NotFound("secret"))
    ));
    records
        .secret_delete(team(), secret.id)
        .await
        .expect("gone");
    records
        .secret_delete(team(), secret.id)
        .await
        .expect("gone already");
}
