//! What a job says to the callback is understood whole or refused: a hacked site may one day speak in its place.

use bolero::check;
use protocol::job::{Report, ReportReply};
use serde_json::json;
use std::time::Duration;

/// What each target gets in an ordinary run of the tests.
const LONG_ENOUGH: Duration = Duration::from_millis(1200);

fn reads_back(bytes: &[u8]) {
    if let Ok(report) = serde_json::from_slice::<Report>(bytes) {
        let written = serde_json::to_vec(&report).expect("what was read can be written");
        let again: Report = serde_json::from_slice(&written).expect("and read again");
        assert_eq!(serde_json::to_vec(&again).ok(), Some(written));
    }
}

#[test]
fn bytes_that_are_a_report_mean_one() {
    check!().with_test_time(LONG_ENOUGH).for_each(|bytes| {
        reads_back(bytes);
        reads_back(&[br#"{"fence":1,"say":{"alive":{"log":["#, bytes, b"]}}}"].concat());
    });
}

#[test]
fn a_report_of_any_words_and_numbers_reads_back_and_brings_nothing_along() {
    check!()
        .with_test_time(LONG_ENOUGH)
        .with_type::<(u64, String, i64, u32)>()
        .for_each(|(number, text, signed, part)| {
            let line = json!({"number": number, "at_ms": signed, "stream": "out", "text": text});
            let parts = json!([{"number": part, "size_bytes": number, "sha256": text}]);
            for say in [
                json!({"alive": {"progress": null, "log": [line]}}),
                json!({"parts": {"object": text, "parts": parts}}),
                json!({"fetch": {"object": text}}),
                json!({"ended": {"result": {"done": {"gives": {text: number}, "summary": text}}, "log": []}}),
                json!({text: {}}),
            ] {
                let said = json!({"fence": number, "say": say, text: signed}).to_string();
                assert!(serde_json::from_str::<Report>(&said).is_err() || text == "fence" || text == "say");
                reads_back(json!({"fence": number, "say": say}).to_string().as_bytes());
            }
        });
}

#[test]
fn a_reply_of_any_bytes_is_read_by_a_job_or_refused() {
    check!().with_test_time(LONG_ENOUGH).for_each(|bytes| {
        if let Ok(reply) = serde_json::from_slice::<ReportReply>(bytes) {
            assert!(serde_json::to_vec(&reply).is_ok());
        }
    });
}
