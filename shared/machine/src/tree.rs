//! A pipeline as text, for people.

use pipelines::{Effect, Mode, Pipeline, Servers, TargetUse};
use std::fmt::Write;

/// The steps in order, with what takes each one back.
pub fn tree(pipeline: &Pipeline) -> String {
    let mut text = format!("{} \u{2014} {}\n", pipeline.name, pipeline.title);
    let targets: Vec<String> = pipeline
        .targets
        .iter()
        .map(|target| match target {
            TargetUse::Reads(kind) => format!("reads the {}", kind.as_str()),
            TargetUse::Writes(kind) => format!("writes the {}", kind.as_str()),
            TargetUse::Creates(kind) => format!("creates the {}", kind.as_str()),
        })
        .collect();
    let _infallible = writeln!(text, "  locks: {}", targets.join(", "));
    for (number, step) in (1..).zip(&pipeline.steps) {
        let mut notes = vec![match step.effect {
            Effect::Undo(name) => format!("undo: {name}"),
            Effect::Keeps(why) => format!("stays: {why}"),
            Effect::Reads => "changes nothing".to_string(),
        }];
        notes.push(format!("within {} s", step.within.as_secs()));
        if step.definition.mode == Mode::Job {
            notes.push("job".to_string());
        }
        match step.servers {
            None => {}
            Some(Servers::OfEnvironment) => notes.push("on each server".to_string()),
            Some(Servers::Left) => notes.push("on each server that is left".to_string()),
        }
        if let Some(rule) = step.skip {
            notes.push(format!("skipped: {}", rule.reason));
        }
        let mark = match (step.commits, step.kind) {
            (true, _) => " [commit]",
            (false, domain::StepKind::Tidy) => " [tidy]",
            _ => "",
        };
        let _infallible = writeln!(
            text,
            "  {number}. {}{mark} ({})\n     {}",
            step.title(),
            step.definition.name,
            notes.join("; ")
        );
    }
    text
}
