//! What a file refers to outside of itself: other files, folders to build, other Compose files.
//!
//! Promise: judged before Compose sees anything, because Compose reads such files as soon as it reads the one that names
//! them. A file that comes as a text has no folder, so that none of them can be meant.

use super::node::Node;
use crate::release::policy::Violation;

/// Of a service: each reads a file of the server.
const FILES: [&str; 3] = ["env_file", "label_file", "credential_spec"];
/// Of the top level: each reads other Compose files or is kept in one.
const TOP: [&str; 1] = ["include"];

/// Everything that is refused.
pub fn judge(file: &Node) -> Vec<Violation> {
    let mut found: Vec<Violation> = TOP
        .iter()
        .filter(|key| named(file, key))
        .map(|key| {
            violation(
                "file",
                format!("`{key}`: there are no other files beside it"),
            )
        })
        .collect();
    for (name, service) in of(file, "services") {
        for key in FILES.iter().filter(|key| named(service, key)) {
            let instead = match *key {
                "env_file" => {
                    ": give the values to the environment, and name them in `environment`"
                }
                _ => ": there are no other files beside it",
            };
            found.push(violation(name, format!("`{key}`{instead}")));
        }
        if let Some(extends) = service.get("extends") {
            // Anything but the name of a service of this file.
            let own = extends.as_text().is_some()
                || extends.is_empty()
                || (extends.entries().iter().all(|(key, _)| key == "service")
                    && extends.get("service").and_then(Node::as_text).is_some());
            if !own {
                found.push(violation(name, "`extends` of another file".into()));
            }
        }
    }
    for kind in ["configs", "secrets"] {
        for (name, entry) in of(file, kind) {
            for (key, instead) in [("file", "`file`"), ("environment", "`environment`")] {
                if named(entry, key) {
                    found.push(violation(
                        &format!("{kind}.{name}"),
                        format!("{instead}: give its text in `content` of a config, or a value in `environment` of the service"),
                    ));
                }
            }
        }
    }
    found
}

/// Services that are to be built.
pub fn builds(file: &Node) -> Vec<&str> {
    of(file, "services")
        .iter()
        .filter(|(_, service)| named(service, "build"))
        .map(|(name, _)| name.as_str())
        .collect()
}

fn of<'a>(file: &'a Node, kind: &str) -> &'a [(String, Node)] {
    file.get(kind).map_or(&[], Node::entries)
}

fn named(node: &Node, key: &str) -> bool {
    node.get(key).is_some_and(|value| !value.is_empty())
}

fn violation(at: &str, form: String) -> Violation {
    Violation {
        at: at.to_string(),
        form,
        allowance: None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn found(text: &str) -> Vec<String> {
        judge(&parse(text).expect("parsed"))
            .into_iter()
            .map(|violation| format!("{} {}", violation.at, violation.form))
            .collect()
    }

    #[test]
    fn every_way_to_another_file_is_found() {
        for text in [
            "include: [a.yaml]",
            "include: a.yaml",
            "include: [{path: a.yaml, env_file: b}]",
            "services: {web: {env_file: .env}}",
            "services: {web: {env_file: [a, b]}}",
            "services: {web: {env_file: [{path: a, required: false}]}}",
            "services: {web: {label_file: a}}",
            "services: {web: {credential_spec: {file: a}}}",
            "services: {web: {extends: {file: a, service: b}}}",
            "services: {web: {extends: {file: a}}}",
            "services: {web: {extends: [a]}}",
            "x: &x {env_file: a}\nservices: {web: {<<: *x}}",
            "x: &x {env_file: a}\nservices: {web: *x}",
            "configs: {a: {file: /etc/shadow}}",
            "secrets: {a: {file: ./b}}",
            "secrets: {a: {environment: B}}",
            "configs: {a: {environment: PATH}}",
        ] {
            assert_eq!(found(text).len(), 1, "{text}");
        }
    }

    #[test]
    fn what_stays_in_the_file_passes() {
        let text = "
services:
  web: {extends: base, env_file: [], label_file: }
  base: {extends: {service: web}, environment: {A: b}}
configs: {a: {content: b}}
";
        assert_eq!(found(text), [""; 0]);
    }

    #[test]
    fn builds_are_named() {
        let file = parse("services: {a: {build: .}, b: {build: {context: c}}, c: {build: }}");
        assert_eq!(builds(&file.expect("parsed")), ["a", "b"]);
    }
}
