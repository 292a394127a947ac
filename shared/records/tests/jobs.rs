//! Jobs of agents: who writes about one, and what is kept of its log.

mod fixture;

use domain::{Access, DeploymentId, Job, JobObject, JobOrder};
use fixture::*;
use records::{JobKey, LogChunk, LogLine, LogPosition, Records};
use std::collections::BTreeMap;

const STEP: &str = "first";

fn order() -> JobOrder {
    JobOrder {
        objects: BTreeMap::from([("files".to_string(), JobObject::write("backups/1"))]),
        gives: None,
    }
}

fn of(deployment: DeploymentId, fence: u64) -> JobKey<'static> {
    JobKey {
        team: team(),
        deployment,
        job: STEP,
        fence,
    }
}

/// A worker of this fence gives a job to an agent.
async fn given(records: &Records, id: DeploymentId, fence: u64) -> bool {
    let earlier = stored(records, id).await;
    let hash = format!("hash{fence}");
    let job = Job::begun(STEP, None, fence, "token", hash, order(), earlier.as_ref());
    let put = records.job_put(team(), id, &job).await;
    put.expect("the records answer")
}

async fn stored(records: &Records, id: DeploymentId) -> Option<Job> {
    let snapshot = records.deployment_snapshot(team(), id).await;
    snapshot.expect("there").job(STEP, None).cloned()
}

fn chunk(fence: u64, first: u64, lines: &[&str]) -> LogChunk {
    let lines = lines.iter().map(|text| LogLine {
        at_ms: 1,
        is_error: false,
        text: (*text).to_string(),
    });
    LogChunk {
        job: STEP.to_string(),
        fence,
        first,
        lines: lines.collect(),
        expires_at: 4_000_000_000,
    }
}

#[tokio::test]
async fn only_the_newest_worker_of_a_step_writes_about_its_job() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    assert!(given(&records, id, 5).await);
    assert!(!given(&records, id, 5).await, "it was given once");
    assert!(given(&records, id, 7).await);
    assert!(!given(&records, id, 6).await, "an older one comes late");

    let before = stored(&records, id).await.expect("a job");
    assert_eq!(before.fence, 7);
    let old = of(id, 5);
    assert!(!records.job_heard(old, at(9)).await.expect("an answer"));
    assert!(!records.job_log_key(old, "key").await.expect("an answer"));
    assert!(!records.job_log(old, &[], 10).await.expect("an answer"));
    let upload = records.job_upload(old, "files", "its-own").await;
    assert_eq!(upload.expect("an answer"), None);
    let complete = records.job_object_complete(old, "files", "00").await;
    assert!(!complete.expect("an answer"));
    assert_eq!(stored(&records, id).await, Some(before), "as it was");
}

#[tokio::test]
async fn a_job_that_was_heard_of_is_silent_from_its_last_word_on() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    given(&records, id, 1).await;
    let silent = async |seconds| {
        let job = stored(&records, id).await.expect("a job");
        job.is_silent(at(seconds))
    };
    assert!(!silent(1_000).await, "nobody listened to it yet");
    let key = of(id, 1);
    assert!(records.job_heard(key, at(10)).await.expect("an answer"));
    let limit = i64::from(domain::SILENCE_SECONDS);
    assert_eq!(
        (silent(10 + limit).await, silent(11 + limit).await),
        (false, true)
    );
    assert!(records.job_heard(key, at(11)).await.expect("an answer"));
    assert!(!silent(11 + limit).await);
    given(&records, id, 2).await;
    assert!(!silent(1_000).await, "a new worker's is a new one");
}

#[tokio::test]
async fn of_two_uploads_of_an_object_the_first_stands_and_its_end_is_kept() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    given(&records, id, 1).await;
    let key = of(id, 1);
    for upload in ["one", "two"] {
        let stands = records.job_upload(key, "files", upload).await;
        assert_eq!(stands.expect("an answer").as_deref(), Some("one"));
    }
    let other = records.job_upload(key, "other", "three").await;
    assert_eq!(other.expect("an answer"), None, "it may not send that");
    let complete = records.job_object_complete(key, "files", "abc").await;
    assert!(complete.expect("an answer"));
    let job = stored(&records, id).await.expect("a job");
    let kept = JobObject {
        key: "backups/1".to_string(),
        access: Access::Write,
        upload_id: None,
        sha256: Some("abc".to_string()),
    };
    assert_eq!(job.objects["files"], kept);
}

#[tokio::test]
async fn lines_that_come_twice_are_read_once_and_in_order() {
    let records = records().await;
    let id = created(&records, new(1)).await;
    given(&records, id, 1).await;
    let key = of(id, 1);
    for chunks in [
        vec![chunk(1, 0, &["a", "b"])],
        vec![chunk(1, 0, &["a", "b"]), chunk(1, 2, &["c"])],
    ] {
        let kept = records.job_log(key, &chunks, 1).await;
        assert!(kept.expect("an answer"));
    }
    let read = async |from| {
        let lines = records.log_lines(team(), id, STEP, from, 100).await;
        let lines = lines.expect("lines").into_iter();
        lines.map(|line| line.line.text).collect::<Vec<_>>()
    };
    assert_eq!(read(LogPosition::default()).await, ["a", "b", "c"]);
    let second = LogPosition {
        fence: 1,
        number: 1,
    };
    assert_eq!(read(second).await, ["b", "c"]);
    assert_eq!(stored(&records, id).await.expect("a job").log_bytes, 2);
}
