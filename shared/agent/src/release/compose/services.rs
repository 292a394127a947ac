//! The services of a file that are wanted, and what they take from the environment by name.
//!
//! Promise: what no wanted profile enables is left out before it is judged, unless a wanted service extends it.

use super::node::Node;
use super::template::Filling;
use std::collections::{BTreeMap, BTreeSet};

/// Every profile.
const ALL: &str = "*";

/// The names of those that the profiles enable, and of those that these extend.
pub fn wanted(file: &Node, profiles: &[String]) -> BTreeSet<String> {
    let services = file.get("services").map_or(&[][..], Node::entries);
    let mut wanted = BTreeSet::new();
    let mut open: Vec<&str> = services
        .iter()
        .filter(|(_, service)| enabled(service, profiles))
        .map(|(name, _)| name.as_str())
        .collect();
    while let Some(name) = open.pop() {
        let Some((_, service)) = services.iter().find(|(known, _)| known == name) else {
            continue;
        };
        if wanted.insert(name.to_string())
            && let Some(extends) = service.get("extends")
        {
            let other = extends.get("service").unwrap_or(extends);
            open.extend(other.as_text());
        }
    }
    wanted
}

fn enabled(service: &Node, profiles: &[String]) -> bool {
    let own = profiles_of(service);
    own.is_empty()
        || own
            .iter()
            .any(|own| profiles.iter().any(|one| one == own || one == ALL))
}

fn profiles_of(service: &Node) -> Vec<&str> {
    service.get("profiles").map(Node::texts).unwrap_or_default()
}

/// Wanted profiles that no service has.
pub fn unknown_profiles<'a>(file: &Node, profiles: &'a [String]) -> Vec<&'a str> {
    let services = file.get("services").map_or(&[][..], Node::entries);
    let known: BTreeSet<&str> = services
        .iter()
        .flat_map(|(_, service)| profiles_of(service))
        .collect();
    profiles
        .iter()
        .map(String::as_str)
        .filter(|profile| *profile != ALL && !known.contains(profile))
        .collect()
}

/// Only what Compose shall see: wanted services, no extensions, and neither a version nor a name of the file's own.
pub fn kept(file: Node, wanted: &BTreeSet<String>) -> Node {
    let Node::Map(entries) = file else {
        return file;
    };
    let unseen = |name: &str| name.starts_with("x-") || matches!(name, "version" | "name");
    Node::Map(
        entries
            .into_iter()
            .filter(|(name, _)| !unseen(name))
            .map(|(name, value)| match value {
                Node::Map(services) if name == "services" => {
                    let kept = services
                        .into_iter()
                        .filter(|(service, _)| wanted.contains(service))
                        .collect();
                    (name, Node::Map(kept))
                }
                other => (name, other),
            })
            .collect(),
    )
}

/// Change each service.
pub fn each(file: &mut Node, mut change: impl FnMut(&str, &mut Vec<(String, Node)>)) {
    let Node::Map(entries) = file else { return };
    for (name, services) in entries {
        let Node::Map(services) = services else {
            continue;
        };
        if name != "services" {
            continue;
        }
        for (name, service) in services {
            if let Node::Map(service) = service {
                change(name, service);
            }
        }
    }
}

/// `environment: [NAME]` and `environment: {NAME: }` with the values they stand for. Compose would ask its own environment,
/// which is the agent's; what has no value is left out.
pub fn pass_environment(file: &mut Node, filling: &mut Filling) {
    each(file, |_, service| {
        for (key, environment) in service.iter_mut() {
            if key != "environment" {
                continue;
            }
            match environment {
                Node::List(items) => items.retain_mut(|item| {
                    let Some(name) = item.as_text().filter(|text| !text.contains('=')) else {
                        return true;
                    };
                    let (name, value) = (name.to_string(), filling.passed(name));
                    value.is_some_and(|value| {
                        *item = Node::text(format!("{name}={value}"));
                        true
                    })
                }),
                Node::Map(entries) => entries.retain_mut(|(name, value)| {
                    if !value.is_nothing() {
                        return true;
                    }
                    filling.passed(name).is_some_and(|given| {
                        *value = Node::text(given);
                        true
                    })
                }),
                Node::Scalar(_) => {}
            }
        }
    });
}

/// A service whose image is given from outside needs neither a build nor an image of the file.
pub fn give_images(file: &mut Node, images: &BTreeMap<String, String>) {
    each(file, |name, service| {
        if let Some(image) = images.get(name) {
            service.retain(|(key, _)| key != "build");
            if !service.iter().any(|(key, _)| key == "image") {
                service.push(("image".into(), Node::text(image.as_str())));
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::super::node::write;
    use super::super::yaml::parse;
    use super::*;

    const FILE: &str = "
name: mine
version: '3'
x-a: 1
services:
  web: {image: a, extends: {service: base}}
  base: {image: b, profiles: [never], extends: deep}
  deep: {image: c, profiles: [never]}
  tool: {image: d, profiles: [tools, more]}
";

    fn names(profiles: &[&str]) -> Vec<String> {
        let profiles: Vec<String> = profiles.iter().map(|one| (*one).to_string()).collect();
        wanted(&parse(FILE).expect("parsed"), &profiles)
            .into_iter()
            .collect()
    }

    #[test]
    fn a_service_is_wanted_by_its_profile_or_by_one_that_extends_it() {
        assert_eq!(names(&[]), ["base", "deep", "web"]);
        assert_eq!(names(&["more"]), ["base", "deep", "tool", "web"]);
        assert_eq!(names(&["*"]), ["base", "deep", "tool", "web"]);
        let file = parse(FILE).expect("parsed");
        let profiles = ["tools".to_string(), "typo".to_string(), "*".to_string()];
        assert_eq!(unknown_profiles(&file, &profiles), ["typo"]);
    }

    #[test]
    fn what_is_not_wanted_is_not_seen_by_compose() {
        let file = parse(FILE).expect("parsed");
        let text = write(&kept(file, &["web".to_string()].into()));
        for gone in ["mine", "version", "x-a", "deep", "tool"] {
            assert!(!text.contains(&format!("\"{gone}\":")), "{text}");
        }
    }

    #[test]
    fn a_name_in_the_environment_stands_for_its_value() {
        let given = [("A", "$x=1"), ("B", "")]
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .into();
        let mut filling = Filling::new(&given, "shop");
        let mut file = parse(
            "services:\n  a: {environment: [A, B, PATH, C=, D=$]}\n  b: {environment: {A: , PATH: null, C: '', D: 'null'}}",
        )
        .expect("parsed");
        pass_environment(&mut file, &mut filling);
        let text = write(&file).replace('\n', "");
        assert!(
            text.contains(r#"["A=$$x=1", "B=", "C=", "D=$$", ]"#),
            "{text}"
        );
        assert!(
            text.contains(r#"{"A": "$$x=1","C": "","D": "null",}"#),
            "{text}"
        );
        assert_eq!(filling.variables().len(), 3);
    }

    #[test]
    fn an_image_from_outside_takes_the_place_of_a_build() {
        let mut file = parse("services: {a: {build: .}, b: {image: c, build: .}, c: {build: .}}")
            .expect("parsed");
        let images = [("a", "x:1"), ("b", "y:1")].map(|(s, i)| (s.to_string(), i.to_string()));
        give_images(&mut file, &images.into());
        let text = write(&file).replace('\n', "");
        assert!(text.contains(r#""a": {"image": "x:1",}"#), "{text}");
        assert!(text.contains(r#""b": {"image": "c",}"#), "{text}");
        assert!(text.contains(r#""c": {"build": ".",}"#), "{text}");
    }
}
