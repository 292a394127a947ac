//! The API's description, where no request is needed to judge it.
//!
//! The rule held: its words are those that are spoken, and every way to be refused is one of problem+json.

use domain::Scope;
use serde_json::{Value, json};
use strum::VariantArray;

fn description() -> Value {
    serde_json::from_str(&api::openapi()).expect("JSON")
}

#[test]
fn scopes_are_described_in_the_words_that_tokens_speak() {
    let spoken: Vec<Value> = Scope::VARIANTS.iter().map(|scope| json!(scope)).collect();
    assert_eq!(
        description()["components"]["schemas"]["Scope"]["enum"],
        json!(spoken)
    );
}

#[test]
fn every_refusal_is_a_problem_and_no_status_is_left_to_chance() {
    let description = description();
    let paths = description["paths"].as_object().expect("paths");
    for (path, item) in paths {
        for (method, operation) in item.as_object().expect("methods") {
            let responses = operation["responses"].as_object().expect("responses");
            for (status, response) in responses {
                let number: u16 = status
                    .parse()
                    .unwrap_or_else(|_| panic!("{method} {path}: {status}"));
                if number < 400 {
                    assert!(
                        response["description"].is_string(),
                        "{method} {path}: {status}"
                    );
                    continue;
                }
                let name = response["$ref"].as_str().expect("a shared response");
                let name = name.rsplit('/').next().expect("a name");
                let shared = &description["components"]["responses"][name];
                assert_eq!(
                    shared["content"]["application/problem+json"]["schema"]["$ref"],
                    "#/components/schemas/Problem",
                    "{method} {path}: {status}"
                );
            }
            let is_public = operation["security"] == json!([{}]);
            assert_eq!(responses.contains_key("401"), !is_public, "{method} {path}");
            assert!(
                responses.contains_key("404") || !path.contains('{'),
                "{method} {path}"
            );
        }
    }
}
