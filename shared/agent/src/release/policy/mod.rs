//! Which forms of a Compose file reach beyond its own containers.
//!
//! Promise: a pure function: what is not known to be harmless is refused, each with the form, the service and who may allow it.

mod host_path;
mod keys;
mod resources;
mod service;

use protocol::release::Allowance;
use serde_json::Value;

/// A form that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The service, or the top-level entry: `web`, `volumes.data`.
    pub at: String,
    /// The form, without its value when that could be secret: `privileged: true`.
    pub form: String,
    /// What an owner may allow; absent when nobody can.
    pub allowance: Option<Allowance>,
}

impl Violation {
    /// A sentence for people.
    pub fn message(&self) -> String {
        let kinds = ["networks.", "volumes.", "configs.", "secrets."];
        let who = match self.at.as_str() {
            FILE => "The Compose file".to_string(),
            at if kinds.iter().any(|kind| at.starts_with(kind)) => format!("The entry {at}"),
            at => format!("Service {at}"),
        };
        match self.allowance {
            Some(allowance) => format!(
                "{who} asks for {}, which reaches beyond its own containers. An owner can allow it: {}.",
                self.form,
                word(allowance)
            ),
            None => match self.form.split_once(": ") {
                Some((form, instead)) => {
                    format!("{who} asks for {form}, which is not supported: {instead}.")
                }
                None => format!("{who} asks for {}, which is not supported.", self.form),
            },
        }
    }
}

/// Where an entry of the top level stands.
const FILE: &str = "file";

/// An allowance as it is given.
fn word(allowance: Allowance) -> String {
    serde_json::to_value(allowance)
        .ok()
        .and_then(|word| word.as_str().map(str::to_string))
        .unwrap_or_default()
}

/// All that is refused of a model that Compose has resolved.
pub fn judge(model: &Value, allow: &[Allowance]) -> Vec<Violation> {
    let mut found = Found::default();
    let project = model["name"].as_str().unwrap_or_default();
    for (key, value) in object(model) {
        match key.as_str() {
            "name" | "version" => {}
            key if key.starts_with("x-") => {}
            _ if is_nothing(value) => {}
            "services" => {
                for (name, value) in object(value) {
                    service::judge(name, value, &mut found);
                }
            }
            kind @ ("networks" | "volumes" | "configs" | "secrets") => {
                for (name, value) in object(value) {
                    resources::judge(kind, name, value, project, &mut found);
                }
            }
            key => found.add(FILE, format!("`{key}`"), None),
        }
    }
    found.0.retain(|violation| {
        violation
            .allowance
            .is_none_or(|allowance| !allow.contains(&allowance))
    });
    found.0
}

/// What was found so far.
#[derive(Debug, Default)]
struct Found(Vec<Violation>);

impl Found {
    fn add(&mut self, at: &str, form: impl Into<String>, allowance: Option<Allowance>) {
        let violation = Violation {
            at: at.to_string(),
            form: form.into(),
            allowance,
        };
        if !self.0.contains(&violation) {
            self.0.push(violation);
        }
    }

    /// Every key of an object that is not among these.
    fn unknown(&mut self, at: &str, within: &str, value: &Value, known: &[&str]) {
        for (key, value) in object(value) {
            if !known.contains(&key.as_str()) && !key.starts_with("x-") && !is_nothing(value) {
                self.add(at, format!("`{within}.{}`", shown(key)), None);
            }
        }
    }

    /// Labels that say whose something is.
    fn labels(&mut self, at: &str, labels: &Value) {
        let names: Vec<&str> = match labels {
            Value::Object(labels) => labels.keys().map(String::as_str).collect(),
            Value::Array(labels) => labels.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        const RESERVED: [&str; 4] = [
            "com.docker.compose.",
            "com.docker.stack.",
            "com.docker.swarm.",
            "triphammer",
        ];
        for name in names {
            let name = name.to_ascii_lowercase();
            if RESERVED
                .iter()
                .any(|prefix| name.starts_with(prefix) || name.contains("triphammer."))
            {
                self.add(
                    at,
                    "a label of com.docker.compose or triphammer, which say whose a container is",
                    None,
                );
            }
        }
    }
}

fn object(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// What asks for nothing.
fn is_nothing(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty(),
        _ => false,
    }
}

/// A name of the file, when it is one that may be shown.
fn shown(name: &str) -> &str {
    let fine = name.len() <= 64
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b));
    if fine { name } else { "…" }
}

#[cfg(test)]
mod tests;
