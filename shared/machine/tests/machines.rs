//! The generated machines: no dead end, no task without a limit, no error without a way back.

use machine::{asl, functions, template};
use pipelines::Pipeline;
use serde_json::Value;
use std::collections::BTreeSet;

fn everything() -> Vec<Pipeline> {
    pipelines::all()
        .into_iter()
        .chain(pipelines::sketches::all())
        .collect()
}

fn states(machine: &Value) -> Vec<(&String, &Value)> {
    machine["States"]
        .as_object()
        .into_iter()
        .flatten()
        .collect()
}

fn follow_ups(state: &Value) -> Vec<&str> {
    let catches = state["Catch"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|catcher| &catcher["Next"]);
    let choices = state["Choices"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|choice| &choice["Next"]);
    catches
        .chain(choices)
        .chain([&state["Next"], &state["Default"]])
        .filter_map(Value::as_str)
        .collect()
}

#[test]
fn every_state_is_reached_and_every_path_ends_in_settle_or_ended() {
    for pipeline in everything() {
        let machine = asl::definition(&pipeline);
        let mut reached = BTreeSet::from([machine["StartAt"].as_str().expect("a start")]);
        let mut open: Vec<&str> = reached.iter().copied().collect();
        while let Some(name) = open.pop() {
            let state = &machine["States"][name];
            assert!(
                state.is_object(),
                "{}: {name} is named but not there",
                pipeline.name
            );
            let next = follow_ups(state);
            if next.is_empty() || state["End"] == true {
                assert!(
                    matches!(name, "settle" | "ended"),
                    "{}: {name} ends",
                    pipeline.name
                );
            }
            open.extend(next.into_iter().filter(|next| reached.insert(next)));
        }
        let all: BTreeSet<&str> = states(&machine)
            .into_iter()
            .map(|(name, _)| name.as_str())
            .collect();
        assert_eq!(reached, all, "{}", pipeline.name);
    }
}

#[test]
fn every_task_has_a_limit_retries_by_name_and_a_catch_that_lets_a_stale_execution_end() {
    for pipeline in everything() {
        for (name, state) in states(&asl::definition(&pipeline)) {
            if state["Type"] != "Task" {
                continue;
            }
            let about = format!("{} {name}", pipeline.name);
            assert!(
                state["TimeoutSeconds"]
                    .as_u64()
                    .is_some_and(|limit| limit > 0),
                "{about}"
            );
            assert!(
                state["Retry"]
                    .as_array()
                    .is_some_and(|retry| !retry.is_empty()),
                "{about}"
            );
            // A job's first catch may be that it is done already.
            let catches = state["Catch"].as_array().expect("a list");
            let stale = catches
                .iter()
                .find(|catch| catch["ErrorEquals"][0] == "Triphammer.Stale")
                .unwrap_or(&state["Catch"][0]);
            assert_eq!(
                (stale["ErrorEquals"][0].as_str(), stale["Next"].as_str()),
                (Some("Triphammer.Stale"), Some("ended")),
                "{about}"
            );
            let waits = state["Resource"]
                .as_str()
                .is_some_and(|resource| resource.ends_with("waitForTaskToken"));
            assert_eq!(
                state["HeartbeatSeconds"].is_u64(),
                waits,
                "{about}: who waits for a token hears its heart"
            );
            for retrier in state["Retry"]
                .as_array()
                .into_iter()
                .flatten()
                .filter(|retrier| retrier["MaxAttempts"] != 0)
            {
                for never in [
                    "Triphammer.Refused",
                    "Triphammer.Cancelled",
                    "Triphammer.Broken",
                ] {
                    assert!(
                        retrier["ErrorEquals"]
                            .as_array()
                            .into_iter()
                            .flatten()
                            .all(|error| error != never),
                        "{about} repeats {never}"
                    );
                }
            }
        }
    }
}

#[test]
fn undos_follow_each_other_in_reverse_and_never_behind_a_failed_one() {
    for pipeline in everything() {
        let machine = asl::definition(&pipeline);
        let undos: Vec<&str> = pipeline
            .steps
            .iter()
            .rev()
            .filter_map(|step| step.undo_name())
            .collect();
        for (at, undo) in undos.iter().enumerate() {
            let state = &machine["States"][*undo];
            assert_eq!(
                state["Next"].as_str(),
                Some(*undos.get(at + 1).unwrap_or(&"settle")),
                "{} {undo}",
                pipeline.name
            );
            assert_eq!(
                state["Catch"][1]["Next"], "settle",
                "{} {undo}",
                pipeline.name
            );
        }
    }
}

#[test]
fn a_states_limit_is_longer_than_its_functions() {
    for pipeline in pipelines::all() {
        let functions = functions::list(std::slice::from_ref(&pipeline));
        let machine = asl::definition(&pipeline);
        for function in functions {
            let limit = machine["States"][function.name]["TimeoutSeconds"]
                .as_u64()
                .expect("a limit");
            assert!(limit > function.timeout.as_secs(), "{}", function.name);
        }
    }
}

#[test]
fn the_template_with_all_planned_pipelines_stays_well_under_the_500_resources_of_a_stack() {
    let base: Value =
        serde_yaml_ng::from_str(include_str!("../../../infra/base.yaml")).expect("YAML");
    let resources = template::resources(&template::template(&base, &everything()));
    assert!((100..475).contains(&resources), "{resources}");
}

#[test]
fn only_functions_whose_steps_say_so_may_open_secrets() {
    let base: Value =
        serde_yaml_ng::from_str(include_str!("../../../infra/base.yaml")).expect("YAML");
    let template = template::template(&base, &pipelines::all());
    let opens = |name: &str| {
        template["Resources"][name]["Properties"]["Policies"]
            .to_string()
            .contains("kms:Decrypt")
    };
    assert!(opens("InstallAgent") && opens("ProvisionDatabase"));
    // It shows an environment's value to who may read secrets.
    assert!(opens("Api"));
    assert!(!opens("Settle") && !opens("Dispatcher") && !opens("PinHostKey"));
}
