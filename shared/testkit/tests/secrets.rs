//! Secrets, with the client of KMS that production uses.
//!
//! The rule held: a secret opens as it was sealed, for its own team and id alone, and is nowhere in clear.

use domain::{ErrorKind, SecretId, TeamId};
use testkit::Bench;

async fn bench() -> Bench {
    Bench::new(&pipelines::all()[0]).await
}

#[tokio::test]
async fn a_secret_opens_as_it_was_sealed_for_its_own_team_and_id_alone() {
    let cloud = bench().await.cloud;
    let (team, other) = (TeamId::from_parts(1, 1), TeamId::from_parts(2, 2));
    let (id, second) = (SecretId::from_parts(1, 1), SecretId::from_parts(2, 2));
    let secrets = &cloud.secrets;
    let sealed = secrets
        .sealed(team, id, "test", b"canary", None)
        .await
        .expect("sealed");
    assert!(
        secrets.open(team, id, 0).await.is_err(),
        "sealing alone stores nothing"
    );
    assert!(!format!("{sealed:?}").contains("canary"));
    cloud
        .records
        .secret_put(team, &sealed)
        .await
        .expect("stored");
    let clear = secrets.open(team, id, 0).await.expect("opened");
    assert_eq!(clear.as_slice(), b"canary");
    // The same ciphertext under another team's or secret's name does not open.
    cloud
        .records
        .secret_put(other, &sealed)
        .await
        .expect("stored");
    assert!(secrets.open(other, id, 0).await.is_err());
    let mut moved = sealed;
    moved.id = second;
    cloud
        .records
        .secret_put(team, &moved)
        .await
        .expect("stored");
    assert!(secrets.open(team, second, 0).await.is_err());
}

#[tokio::test]
async fn an_expired_secret_is_gone() {
    let cloud = bench().await.cloud;
    let (team, id) = (TeamId::from_parts(1, 1), SecretId::from_parts(3, 3));
    cloud
        .secrets
        .seal(team, id, "test", b"x", Some(100))
        .await
        .expect("sealed");
    assert!(cloud.secrets.open(team, id, 99).await.is_ok());
    let error = cloud
        .secrets
        .open(team, id, 100)
        .await
        .expect_err("expired");
    assert_eq!(error.kind, ErrorKind::Refused);
}
