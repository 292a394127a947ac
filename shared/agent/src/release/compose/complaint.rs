//! What Docker Compose complains of, in words of ours.
//!
//! Promise: Compose prints parts of the file, values among them. Only the place is passed on, made of names that stand in
//! the file, and a sentence that is chosen here.

use super::node::Node;
use super::yaml::invalid;
use protocol::AgentError;
use std::collections::BTreeSet;

/// Words of Compose, and what they mean to a person.
const MEANINGS: [(&str, &str); 32] = [
    (
        "is not allowed",
        "Docker Compose of this server does not know it. Look at its spelling and indentation",
    ),
    ("neither an image nor a build", "it has no image. Name one"),
    (
        "depends on undefined service",
        "it depends on a service that is not in the file, or that no wanted profile enables",
    ),
    (
        "undefined network",
        "it names a network that is not among the file's networks",
    ),
    (
        "undefined volume",
        "it names a volume that is not among the file's volumes",
    ),
    (
        "undefined config",
        "it names a config that is not among the file's configs",
    ),
    (
        "undefined secret",
        "it names a secret that is not among the file's secrets",
    ),
    (
        "dependency cycle",
        "services depend on each other in a circle",
    ),
    (
        "Circular reference",
        "services extend each other in a circle",
    ),
    (
        "cannot extend service",
        "it extends a service that is not in the file",
    ),
    (
        "container name must be unique",
        "a service with a container_name cannot have several replicas",
    ),
    (
        "mutually exclusive",
        "two of its entries exclude each other, such as network_mode and networks",
    ),
    (
        "conflicting parameters",
        "what is external has no other entries",
    ),
    (
        "can't set distinct values",
        "two of its entries set the same thing to different values",
    ),
    (
        "Invalid hostPort",
        "the port of the host is not one. Write ports as \"8080:80\", in quotes",
    ),
    (
        "Invalid containerPort",
        "the port of the container is not one. Write ports as \"8080:80\", in quotes",
    ),
    ("Invalid ip", "the address of a port is not one"),
    (
        "Invalid proto",
        "the protocol of a port must be tcp, udp or sctp",
    ),
    ("Invalid range", "a range of ports is not one"),
    (
        "No port specified",
        "a port is missing. Write ports as \"8080:80\", in quotes",
    ),
    (
        "healthcheck.test must start",
        "the test of a healthcheck must begin with CMD, CMD-SHELL or NONE",
    ),
    ("missing IP", "a host of extra_hosts has no address"),
    ("invalid size", "a size is not one. Write 512m or 1g"),
    (
        "invalid duration",
        "a duration is not one. Write 10s or 1m30s",
    ),
    ("unknown unit", "a duration is not one. Write 10s or 1m30s"),
    ("missing unit", "a duration has no unit. Write 10s or 1m30s"),
    (
        "failed to cast",
        "its value is of the wrong kind, such as a text in the place of a number",
    ),
    (
        "must be one of",
        "its value is not one of those that it may have",
    ),
    ("unexpected type", "its value is of the wrong kind"),
    (
        "empty section between colons",
        "an entry has nothing between two colons",
    ),
    ("is required", "something that it needs is missing"),
    ("error decoding", "its value is not understood"),
];
/// Which kind a value must be of.
const KINDS: [(&str, &str); 8] = [
    ("must be a list", "a list"),
    ("must be a array", "a list"),
    ("must be a mapping or null", "a mapping"),
    ("must be a mapping", "a mapping"),
    ("must be a string", "a text; numbers and truths in quotes"),
    ("must be a integer", "a whole number"),
    ("must be a number", "a number"),
    ("must be a boolean", "true or false"),
];
/// What names in a message of Compose stand around.
const ROOTS: [&str; 5] = ["services", "networks", "volumes", "configs", "secrets"];

/// The names of a file: those of its services, and all others.
#[derive(Debug, Default)]
pub struct Known {
    names: BTreeSet<String>,
    services: Vec<String>,
}

impl Known {
    /// Of this file.
    pub fn of(file: &Node) -> Self {
        let mut known = Self {
            services: file
                .get("services")
                .map_or(&[][..], Node::entries)
                .iter()
                .map(|(name, _)| name.clone())
                .collect(),
            ..Self::default()
        };
        known.add(file);
        known
    }

    fn add(&mut self, node: &Node) {
        for (name, value) in node.entries() {
            // Longer ones are no names, and not worth a line of a message.
            if name.len() <= 64 {
                self.names.insert(name.clone());
            }
            self.add(value);
        }
        if let Node::List(items) = node {
            items.iter().for_each(|item| self.add(item));
        }
    }
}

/// The complaint for people.
pub fn explain(errors: &str, known: &Known) -> AgentError {
    let place = place(errors, known);
    let kind = KINDS
        .iter()
        .find(|(words, _)| errors.contains(words))
        .map(|(_, kind)| format!("it must be {kind}"));
    let meaning = kind.or_else(|| {
        MEANINGS
            .iter()
            .find(|(words, _)| errors.contains(words))
            .map(|(_, meaning)| (*meaning).to_string())
    });
    let extra = extra(errors, known);
    match (place, meaning) {
        (Some(place), Some(meaning)) => invalid(format!("{place}{extra}: {meaning}.")),
        (None, Some(meaning)) => invalid(format!("{meaning}{extra}.")),
        (Some(place), None) => invalid(format!(
            "{place}: Docker Compose refuses it. Run `docker compose config` on it to see why."
        )),
        (None, None) => {
            invalid("Docker Compose refuses it. Run `docker compose config` on it to see why.")
        }
    }
}

/// `services.web.ports`, as far as its names are the file's own.
fn place(errors: &str, known: &Known) -> Option<String> {
    let roots = ROOTS.iter().filter_map(|root| {
        let at = errors.find(&format!("{root}."));
        at.or_else(|| errors.find(&format!("{root}[")))
            .map(|at| (at, root))
    });
    if let Some((at, root)) = roots.min() {
        let mut rest = &errors[at + root.len()..];
        let mut path = (*root).to_string();
        while let Some(after) = rest.strip_prefix(['.', '[', ']']) {
            rest = after;
            // The longest name first: names may hold dots.
            let name = known
                .names
                .iter()
                .rev()
                .filter(|name| {
                    rest.strip_prefix(name.as_str()).is_some_and(|after| {
                        !after.starts_with(|c: char| c.is_ascii_alphanumeric() || "_-".contains(c))
                    })
                })
                .max_by_key(|name| name.len());
            if let Some(name) = name.filter(|name| !name.is_empty()) {
                path = format!("{path}.{name}");
                rest = &rest[name.len()..];
            }
        }
        if path != *root {
            return Some(path);
        }
    }
    known
        .services
        .iter()
        .filter(|name| {
            errors.contains(&format!("service \"{name}\""))
                || errors.contains(&format!("service {name} "))
        })
        .max_by_key(|name| name.len())
        .map(|name| format!("services.{name}"))
}

/// The name that is not known, or that is not there: one of the file's own.
fn extra(errors: &str, known: &Known) -> String {
    let between = |before: &str, after: &str| {
        let rest = &errors[errors.find(before)? + before.len()..];
        let name = &rest[..rest.find(after)?];
        known.names.contains(name).then(|| format!(".{name}"))
    };
    between("Additional property ", " is not allowed").unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::yaml::parse;
    use super::*;

    fn told(errors: &str) -> String {
        let file = "services: {web: {ports: [], foo: 1, healthcheck: {interval: hush}}, web.two: {restart: a}}";
        explain(errors, &Known::of(&parse(file).expect("parsed"))).message
    }

    #[test]
    fn the_place_and_a_meaning_are_told() {
        for (errors, wanted) in [
            (
                "validating -: services.web.ports must be a list",
                "services.web.ports: it must be a list.",
            ),
            (
                "services.web Additional property foo is not allowed",
                "services.web.foo: Docker Compose",
            ),
            (
                "service \"web\" has neither an image nor a build context",
                "services.web: it has no image",
            ),
            (
                "error decoding 'services[web].healthcheck.interval': time: unknown unit \"hush\"",
                "services.web.healthcheck.interval: a duration",
            ),
            (
                "services.web.two.restart must be a string",
                "services.web.two.restart: it must be a text",
            ),
            ("Invalid hostPort: hush", ": the port of the host"),
            ("something hush", "Run `docker compose config`"),
        ] {
            let told = told(errors);
            assert!(told.contains(wanted) && !told.contains("hush"), "{told}");
        }
    }

    #[test]
    fn a_name_that_is_not_the_files_is_not_told() {
        let told = told("services.web.hush.ports Additional property hush2 is not allowed");
        assert!(
            told.contains("services.web:") && !told.contains("hush"),
            "{told}"
        );
    }
}
