//! What comes from outside is understood whole or refused.
//!
//! Rules: nothing panics; what is accepted has one spelling and reads back as itself; what becomes a part of a path, a
//! command or a key holds nothing that means more there; a refusal repeats no more than a little of what it refuses.

use bolero::{TypeGenerator, check};
use contract::{LiveCommand, Topic};
use domain::{DeploymentId, Failure, SiteId, StepError, TeamId, names};
use serde_json::{Value, json};
use std::time::Duration;

/// What each target gets in an ordinary run of the tests.
const LONG_ENOUGH: Duration = Duration::from_millis(1200);

/// The most of foreign text that an error may repeat.
const ECHO_LIMIT_BYTES: usize = 200;

/// Text that is nearly right: pieces that parsers look for, strung together, and the odd stranger.
#[derive(Debug, Clone, TypeGenerator)]
enum Piece {
    Id(u64, u64),
    Word(#[generator(0..WORDS.len())] usize),
    Letter(char),
    Text(String),
}

const WORDS: [&str; 30] = [
    "team",
    "deployment",
    ":",
    "site",
    "server",
    ".",
    "example",
    "com",
    "@",
    "-",
    "_",
    "/",
    "..",
    "\n",
    "\0",
    " ",
    "\u{202e}",
    "xn--",
    "8",
    "A",
    "a",
    "th_",
    "Bearer ",
    "\"",
    "{",
    "}",
    "=",
    "%00",
    "\u{ad}",
    "7ZZZZZZZZZZZZZZZZZZZZZZZZZ",
];

fn text(pieces: &[Piece]) -> String {
    let piece = |piece: &Piece| match piece {
        Piece::Id(time, random) => {
            DeploymentId::from_parts(*time & 0xffff_ffff_ffff, (*random).into()).to_string()
        }
        Piece::Word(at) => WORDS[*at].to_string(),
        Piece::Letter(letter) => letter.to_string(),
        Piece::Text(text) => text.clone(),
    };
    pieces.iter().map(piece).collect()
}

fn apply(rule: impl Fn(&str), text: &str) {
    rule(text);
}

/// A macro, so that each test is a target of its own for a fuzzer.
macro_rules! each_text {
    ($rule:expr) => {
        check!()
            .with_type::<Vec<Piece>>()
            .with_test_time(LONG_ENOUGH)
            .for_each(|pieces| apply($rule, &text(pieces)))
    };
}

/// Our own words and at most a little of what was refused.
fn echoes_little(error: &str) {
    assert!(error.len() <= ECHO_LIMIT_BYTES, "{error}");
}

fn one_line(text: &str) {
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

#[test]
fn an_id_has_one_spelling_in_text_and_in_json() {
    each_text!(|text| {
        let read = text.parse::<DeploymentId>();
        if let Ok(id) = &read {
            assert_eq!(id.to_string(), text);
            assert!(text.len() == 26 && text.bytes().all(|b| b.is_ascii_alphanumeric()));
        }
        for spelling in [text.to_string(), text.to_lowercase()] {
            let from_json = serde_json::from_value::<DeploymentId>(json!(spelling));
            assert_eq!(from_json.ok(), spelling.parse().ok(), "{spelling}");
        }
    });
}

#[test]
fn a_name_that_is_accepted_stays_as_it_is() {
    type Rule = fn(&str) -> Result<String, names::BadName>;
    let rules: [(Rule, &[u8]); 7] = [
        (names::domain, b"-."),
        (names::slug, b"-"),
        (names::login, b"_.-@"),
        (names::unix_user, b"_-"),
        (names::php_version, b"."),
        (names::email, b"!#$%&'*+-/=?^_`{|}~.@"),
        (names::title, b""),
    ];
    each_text!(|text| {
        for (at, (rule, marks)) in rules.iter().enumerate() {
            match rule(text) {
                Ok(stored) => {
                    one_line(&stored);
                    assert_eq!(
                        rule(&stored).as_deref(),
                        Ok(stored.as_str()),
                        "stored form of {text:?}"
                    );
                    let title = marks.is_empty();
                    assert!(
                        title
                            || stored
                                .bytes()
                                .all(|b| b.is_ascii_alphanumeric() || marks.contains(&b)),
                        "{stored:?}"
                    );
                    assert!(
                        at >= 5
                            || !stored.contains('/')
                                && !stored.starts_with('.')
                                && !stored.starts_with('-'),
                        "{stored:?}"
                    );
                }
                Err(error) => echoes_little(&error.to_string()),
            }
        }
    });
}

#[test]
fn a_topic_reads_back_as_it_was_written() {
    each_text!(|text| match text.parse::<Topic>() {
        Ok(topic) => assert_eq!(topic.to_string(), text),
        Err(error) => echoes_little(&error.to_string()),
    });
}

#[test]
fn a_cursor_is_only_what_a_page_gave() {
    each_text!(|text| {
        if let Ok(last) = records::read_cursor(text) {
            assert_eq!(records::write_cursor(last), text, "a second spelling");
        }
        if let Ok(last) = text.parse() {
            assert_eq!(
                records::read_cursor(&records::write_cursor(last)).ok(),
                Some(last)
            );
        }
    });
}

#[test]
fn bytes_that_are_a_cursor_are_the_one_spelling_of_it() {
    check!().with_test_time(LONG_ENOUGH).for_each(|bytes| {
        if let Ok(last) = records::read_cursor(&String::from_utf8_lossy(bytes)) {
            assert_eq!(records::write_cursor(last).as_bytes(), bytes);
        }
    });
}

#[test]
fn a_live_command_reads_back_and_brings_nothing_along() {
    each_text!(|text| {
        for action in ["subscribe", "unsubscribe", "ping", text] {
            for said in [
                json!({"action": action, "topic": text}),
                json!({"action": action}),
                json!({"action": action, text: text}),
            ] {
                if let Ok(command) = serde_json::from_value::<LiveCommand>(said.clone()) {
                    assert_eq!(serde_json::to_value(&command).ok(), Some(said));
                }
            }
        }
    });
}

#[test]
fn bytes_that_are_a_live_command_mean_one() {
    check!().with_test_time(LONG_ENOUGH).for_each(|bytes| {
        for said in [bytes.to_vec(), [br#"{"action":"ping""#, bytes].concat()] {
            let Ok(command) = serde_json::from_slice::<LiveCommand>(&said) else {
                continue;
            };
            let again = serde_json::to_vec(&command).expect("what was read can be written");
            assert_eq!(serde_json::from_slice(&again).ok(), Some(command));
        }
    });
}

fn understood_or_refused(bytes: &[u8]) {
    match agent::serve::understand(bytes) {
        Ok(request) => {
            assert_eq!(request.version, protocol::PROTOCOL_VERSION);
            assert!((1..=3600).contains(&request.deadline_seconds));
            let again = serde_json::to_vec(&request).expect("what was read can be written");
            let read = agent::serve::understand(&again).expect("and read again");
            assert_eq!(serde_json::to_vec(&read).ok(), Some(again));
        }
        Err(error) => {
            let told = format!("{error:?}");
            assert!(told.len() <= 2 * ECHO_LIMIT_BYTES, "{told}");
            one_line(&error.message);
            assert!(!told.contains("canary"), "{told}");
        }
    }
}

#[test]
fn the_agent_understands_bytes_whole_or_says_no_more_than_that() {
    check!()
        .with_test_time(LONG_ENOUGH)
        .for_each(understood_or_refused);
}

#[test]
fn the_agent_understands_a_request_whole_or_says_no_more_than_that() {
    each_text!(|text| {
        for call in [
            "facts",
            "version",
            "site_remove",
            "database_create",
            "site_probe",
            text,
        ] {
            let mut request = json!({
                "version": protocol::PROTOCOL_VERSION, "deadline_seconds": 5,
                "lease": {"target": text, "fence": 1, "deployment_id": text},
                "call": {"name": call, "site": text, "database": text, "canary": text},
            });
            understood_or_refused(request.to_string().as_bytes());
            request["call"]
                .as_object_mut()
                .expect("an object")
                .remove("canary");
            understood_or_refused(request.to_string().as_bytes());
            request["call"]
                .as_object_mut()
                .expect("an object")
                .remove("database");
            understood_or_refused(request.to_string().as_bytes());
            request["deadline_seconds"] = json!(format!("canary{text}"));
            understood_or_refused(request.to_string().as_bytes());
        }
    });
}

#[test]
fn what_the_agent_takes_for_a_name_is_one_and_no_more() {
    use agent::check;
    each_text!(|text| {
        let plain = |marks: &[u8]| {
            text.bytes()
                .all(|b| b.is_ascii_alphanumeric() || marks.contains(&b))
        };
        assert!(
            check::name("site", text).is_err() || plain(b"_"),
            "{text:?}"
        );
        assert!(
            check::host("domain", text).is_err() || plain(b"-."),
            "{text:?}"
        );
        assert!(check::id("id", text).is_err() || plain(b"_-"), "{text:?}");
        assert!(check::php(text).is_err() || plain(b"."), "{text:?}");
        assert!(check::login(text).is_err() || plain(b"_.-@"), "{text:?}");
        assert!(check::locale(text).is_err() || plain(b"_"), "{text:?}");
        assert!(
            check::directory(text).is_err() || !text.split('/').any(|part| part == ".."),
            "{text:?}"
        );
        for passed in [
            check::title(text),
            check::target(text),
            check::url(text),
            check::directory(text),
            check::email(text),
        ] {
            if passed.is_ok() {
                one_line(text);
            }
        }
        if let Ok(key) = check::public_key(text) {
            assert_eq!(check::public_key(&key).ok().as_deref(), Some(key.as_str()));
        }
        // What the API lets into a domain, the agent serves.
        if let Ok(domain) = names::domain(text) {
            assert!(check::host("domain", &domain).is_ok(), "{domain:?}");
        }
    });
}

#[test]
fn what_the_machine_caught_becomes_a_failure_and_leaks_no_cause() {
    each_text!(|text| {
        let whole: Value = json!({"errorType": text, "errorMessage": text});
        for error in [
            "Triphammer.Refused",
            "States.Timeout",
            "Lambda.Unknown",
            text,
        ] {
            for cause in [whole.to_string(), text.to_string(), String::new()] {
                let failure = kit::errors::caught(error, &cause);
                assert!(failure.message.len() <= ECHO_LIMIT_BYTES && !failure.code.is_empty());
            }
        }
        let sent = Failure::from(&StepError::refused("code", text));
        let cause =
            json!({"errorMessage": serde_json::to_string(&sent).expect("JSON")}).to_string();
        assert_eq!(kit::errors::caught("Triphammer.Refused", &cause), sent);
    });
}

#[test]
fn a_steps_call_names_its_deployment_in_one_way() {
    each_text!(|text| {
        let id = SiteId::from_parts(1, 1).to_string();
        for (team, deployment, mode) in [
            (text, id.as_str(), "run"),
            (&id, text, "undo"),
            (&id, &id, text),
        ] {
            let sent = json!({"team_id": team, "deployment_id": deployment, "step": text, "mode": mode, "token": text});
            let Ok(call) = serde_json::from_value::<kit::handler::Call>(sent) else {
                continue;
            };
            assert_eq!(
                (
                    call.team_id.to_string().as_str(),
                    call.deployment_id.to_string().as_str()
                ),
                (team, deployment)
            );
            assert_eq!(call.step, text);
        }
        assert!(serde_json::from_value::<TeamId>(json!([text])).is_err());
    });
}

#[test]
fn a_stream_image_of_any_shape_is_read_whole_or_passed_over() {
    const ID: &str = "01JD2Z6E9W8Q4S5T6V7X8Y9ZAB";
    let whole = |name: &str, value: serde_json::Value| {
        let mut image = json!({"schema": {"N": "1"}, "name": {"S": "x"}, "title": {"S": "x"}, "function": {"S": "x"},
            "kind": {"S": "step"}, "status": {"S": "queued"}, "sort_order": {"N": "1"}, "seq": {"N": "3"},
            "gives": {"M": {}}, "fence": {"N": "0"}});
        image[name] = value;
        json!({"dynamodb": {"Keys": {"pk": {"S": format!("TEAM#{ID}#DEPLOYMENT#{ID}")}, "sk": {"S": "STEP#001#x"}}, "NewImage": image}})
    };
    assert!(
        records::stream::change(&whole("title", json!({"S": "y"}))).is_some(),
        "the image that is changed is a whole one"
    );
    bolero::check!()
        .with_type::<(String, String, u8)>()
        .with_test_time(LONG_ENOUGH)
        .for_each(|(text, word, at)| {
            let names = [
                "schema",
                "name",
                "kind",
                "status",
                "sort_order",
                "seq",
                "gives",
            ];
            let value = match at % 3 {
                0 => json!({"S": text}),
                1 => json!({"N": text}),
                _ => json!({word.as_str(): text}),
            };
            let record = whole(names[usize::from(*at) % names.len()], value);
            if let Some(records::StreamChange::Step { step, team_id, .. }) =
                records::stream::change(&record)
            {
                let image = &record["dynamodb"]["NewImage"];
                assert_eq!(image["status"]["S"], step.status.to_string());
                assert_eq!(team_id.to_string(), ID);
            }
        });
}
