//! A Compose file as the engine reads it.
//!
//! Promise: judged before anything of it is used; what is asked of Compose has nobody's rights, and no value is in an error or a log.
//!
//! The text is read here, its variables are filled in here, and Compose gets the result: written anew, without anchors,
//! variables or anything that names another file. So nothing in it can mean one thing to the judge and another to Compose,
//! and a value is never a variable of a program's environment.

mod complaint;
mod engine;
mod grammar;
mod node;
mod outside;
mod services;
mod template;
mod yaml;

pub use engine::Engine;

use super::policy::{self, Violation};
use crate::check;
use crate::fault::{Result, bad_request, refused};
use protocol::release::{REPLICAS_LIMIT, ReleasePrepare, ValueFrom, Variable};
use serde_json::Value;
use std::collections::BTreeSet;

/// More lines than this help nobody.
const VIOLATIONS_TOLD: usize = 20;

/// A file that was read and passed.
#[derive(Clone)]
pub struct Resolved {
    /// `docker compose config --format json` with the real values: secrets among them. A `$` of a value is `$$` in it, as
    /// Compose prints it and as a file for Compose must have it; names are as they are. [`text`] makes such a file of it.
    pub model: Value,
    /// By name.
    pub variables: Vec<Variable>,
    /// What people should know, without values.
    pub notes: Vec<String>,
}

/// A model as a file for Compose. It is JSON, but not as any writer has it: Compose reads it as YAML, which refuses some
/// characters that JSON lets stand, and takes others for line breaks.
pub fn text(model: &Value) -> String {
    let mut text = String::new();
    put(model, &mut text);
    text
}

fn put(value: &Value, text: &mut String) {
    match value {
        Value::String(value) => node::quote(value, text),
        Value::Array(items) => {
            text.push('[');
            for (at, item) in items.iter().enumerate() {
                text.push_str(if at > 0 { ",\n" } else { "" });
                put(item, text);
            }
            text.push(']');
        }
        Value::Object(entries) => {
            text.push('{');
            for (at, (name, value)) in entries.iter().enumerate() {
                text.push_str(if at > 0 { ",\n" } else { "" });
                node::quote(name, text);
                text.push_str(": ");
                put(value, text);
            }
            text.push('}');
        }
        other => text.push_str(&other.to_string()),
    }
}

/// Read the file with its values and profiles, and judge it by [`super::policy::judge`].
pub fn resolve(asked: &ReleasePrepare) -> Result<Resolved> {
    resolve_by(&Engine::host()?, asked)
}

/// The same, by this Compose.
pub fn resolve_by(engine: &Engine, asked: &ReleasePrepare) -> Result<Resolved> {
    check_asked(asked)?;
    let file = yaml::parse(&asked.compose)?;
    let mut filling = template::Filling::new(&asked.values, &asked.environment);
    let mut problems = Vec::new();
    let file = filling.tree(&file, &mut Vec::new(), &mut problems)?;
    let wanted = services::wanted(&file, &asked.profiles);
    tell_problems(&problems, &wanted)?;
    let mut notes = notes_of(&file, asked);

    let mut file = services::kept(file, &wanted);
    services::give_images(&mut file, &asked.images);
    services::pass_environment(&mut file, &mut filling);
    tell(&outside::judge(&file))?;
    if let Some(service) = outside::builds(&file).first() {
        return Err(refused(
            "build_not_supported",
            format!(
                "Service {service} is to be built, and there is only a Compose file. Name an image, or build it from a repository or an archive."
            ),
        ));
    }
    let known = complaint::Known::of(&file);
    let model = engine.config(
        &node::write(&file),
        &asked.environment,
        &asked.profiles,
        &known,
    )?;
    let model = plain_names(model);
    check_services(&model, asked)?;
    tell(&policy::judge(&model, &asked.allow))?;
    notes.extend(notes_of_model(&model));
    let variables = filling.variables();
    notes.extend(notes_of_values(&variables, &filling.unused()));
    Ok(Resolved {
        model,
        variables,
        notes,
    })
}

fn check_asked(asked: &ReleasePrepare) -> Result<()> {
    check::environment(&asked.environment)?;
    for profile in &asked.profiles {
        let ok = profile == "*"
            || (profile.starts_with(|c: char| c.is_ascii_alphanumeric())
                && profile
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b)));
        if !ok {
            return Err(bad_request(
                "A profile is named by letters, digits and _ . - and begins with a letter or a digit.",
            ));
        }
    }
    match asked.values.iter().find(|(_, value)| value.contains('\0')) {
        Some((name, _)) => Err(bad_request(format!(
            "The value of {name} holds a zero byte, which no environment can."
        ))),
        None => Ok(()),
    }
}

fn tell_problems(problems: &[template::Problem], wanted: &BTreeSet<String>) -> Result<()> {
    let mut demanded = BTreeSet::new();
    for problem in problems {
        // What no profile enables may want anything, and so may extensions: they are not used.
        match problem.path.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["services", service, ..] if !wanted.contains(service) => continue,
            [top, ..] if top.starts_with("x-") => continue,
            _ => {}
        }
        match &problem.demanded {
            Some(name) => demanded.insert(name.as_str()),
            None => {
                return Err(yaml::invalid(format!(
                    "{}: a ${{ begins no variable. Write $${{ for one that is meant as it stands.",
                    problem.path.join(".")
                )));
            }
        };
    }
    if demanded.is_empty() {
        return Ok(());
    }
    Err(refused(
        "variables_missing",
        format!(
            "The Compose file demands variables that have no value: {}. Give them to the environment.",
            demanded.into_iter().collect::<Vec<_>>().join(", ")
        ),
    ))
}

fn tell(violations: &[Violation]) -> Result<()> {
    if violations.is_empty() {
        return Ok(());
    }
    let mut lines: Vec<String> = violations
        .iter()
        .take(VIOLATIONS_TOLD)
        .map(Violation::message)
        .collect();
    if let Some(more @ 1..) = violations.len().checked_sub(VIOLATIONS_TOLD) {
        lines.push(format!("And {more} more."));
    }
    Err(refused("compose_refused", lines.join("\n")))
}

/// Compose doubles a `$` in all of its output, and undoes it only in values.
fn plain_names(model: Value) -> Value {
    match model {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(name, value)| (name.replace("$$", "$"), plain_names(value)))
            .collect(),
        Value::Array(items) => items.into_iter().map(plain_names).collect(),
        other => other,
    }
}

fn check_services(model: &Value, asked: &ReleasePrepare) -> Result<()> {
    let Some(services) = model["services"].as_object().filter(|all| !all.is_empty()) else {
        return Err(refused(
            "no_services",
            if asked.profiles.is_empty() {
                "The Compose file has no service to run: it names none, or each has a profile and none is wanted."
            } else {
                "The Compose file has no service to run with the wanted profiles."
            },
        ));
    };
    for (name, service) in services {
        match replicas(service) {
            0 => {
                return Err(refused(
                    "no_replicas",
                    format!(
                        "Service {name} is to run zero times. Ask for one or more, or leave it out by a profile."
                    ),
                ));
            }
            many if many > u64::from(REPLICAS_LIMIT) => {
                return Err(refused(
                    "too_many_replicas",
                    format!(
                        "Service {name} is to run {many} times. At most {REPLICAS_LIMIT} run on one server."
                    ),
                ));
            }
            _ => {}
        }
    }
    let routed = asked.routes.iter().map(|route| &route.service);
    let named = routed
        .chain(asked.gates.keys())
        .chain(asked.images.keys())
        .chain(&asked.built);
    for name in named {
        if !services.contains_key(name) {
            return Err(refused(
                "unknown_service",
                format!(
                    "There is no service {name}. The Compose file has {}.",
                    services.keys().cloned().collect::<Vec<_>>().join(", ")
                ),
            ));
        }
    }
    Ok(())
}

/// How often a service is to run; what is no number is none.
fn replicas(service: &Value) -> u64 {
    [&service["scale"], &service["deploy"]["replicas"]]
        .into_iter()
        .find(|count| !count.is_null())
        .map_or(1, |count| count.as_u64().unwrap_or(0))
}

fn notes_of(file: &node::Node, asked: &ReleasePrepare) -> Vec<String> {
    let mut notes = Vec::new();
    let own = file.get("name").and_then(node::Node::as_text);
    if own.is_some_and(|name| name != asked.environment) {
        notes.push(format!(
            "The file's own name is not used: the project is {}.",
            asked.environment
        ));
    }
    for profile in services::unknown_profiles(file, &asked.profiles) {
        notes.push(format!("No service has the profile {profile}."));
    }
    notes
}

fn notes_of_model(model: &Value) -> Vec<String> {
    let services = model["services"].as_object();
    services
        .into_iter()
        .flatten()
        .filter(|(_, service)| service["extra_hosts"].to_string().contains("host-gateway"))
        .map(|(name, _)| format!("Service {name} can reach this server itself, by host-gateway."))
        .collect()
}

fn notes_of_values(variables: &[Variable], unused: &[&str]) -> Vec<String> {
    let missing: Vec<&str> = variables
        .iter()
        .filter(|variable| variable.from == ValueFrom::Missing)
        .map(|variable| variable.name.as_str())
        .collect();
    let mut notes = Vec::new();
    if !missing.is_empty() {
        notes.push(format!(
            "Without a value, and so empty: {}.",
            missing.join(", ")
        ));
    }
    if !unused.is_empty() {
        notes.push(format!(
            "Given and not used by the file: {}.",
            unused.join(", ")
        ));
    }
    notes
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_model_as_a_file_is_json_of_printable_characters() {
        let model = json!({"a\u{85}b": ["\u{7f}\u{feff}\u{2028}\"\\\n", 1, 1.5, null, true, {}, [], "\u{1f600}"]});
        let text = text(&model);
        assert_eq!(serde_json::from_str::<Value>(&text).ok(), Some(model));
        assert!(!text.contains(['\u{7f}', '\u{85}', '\u{feff}', '\u{2028}']));
    }

    #[test]
    fn what_is_asked_is_checked_before_it_is_read() {
        let asked = |profile: &str, value: &str| -> ReleasePrepare {
            serde_json::from_value(json!({
                "environment": "shop", "compose": "a: b", "profiles": [profile], "values": {"A": value}
            }))
            .expect("an order")
        };
        for profile in ["", "-f", "--file", "a b", "a\n"] {
            assert!(check_asked(&asked(profile, "")).is_err(), "{profile}");
        }
        let error = check_asked(&asked("p", "hush\0")).expect_err("holds a zero byte");
        assert!(error.message.contains('A') && !error.message.contains("hush"));
        assert!(check_asked(&asked("*", "fine")).is_ok());
    }
}
