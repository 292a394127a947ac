//! What differs between two releases.
//!
//! Promise: a pure function of what is known of both, names of values and never values; what is known of one side alone
//! is not told as a change.

use crate::release::{Allowance, FrozenRelease, Gate, Limits, Route};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use utoipa::ToSchema;

/// What is known of a release, frozen or only asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Side {
    /// The commit, once it is known.
    pub commit: Option<String>,
    /// The branch or tag.
    pub reference: Option<String>,
    /// By service.
    pub images: BTreeMap<String, SideImage>,
    /// Are these all of its services? Before its Compose file was read nobody knows.
    pub all_images: bool,
    /// By name, the version that set the value.
    pub values: BTreeMap<String, u64>,
    /// The Compose file's text, when there is one to compare.
    pub compose: Option<String>,
    /// What the proxy passes on.
    pub routes: Vec<Route>,
    /// When its services count as ready.
    pub gates: BTreeMap<String, Gate>,
    /// What its containers may use.
    pub limits: Limits,
    /// What an owner allowed.
    pub allow: Vec<Allowance>,
}

/// An image of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SideImage {
    /// As people named it.
    pub asked: String,
    /// What is run, once it is known.
    pub pinned: Option<String>,
}

/// A value before and after; absent where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Changed {
    /// Before.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

/// An image of a service before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ImageChanged {
    /// The service.
    pub service: String,
    /// Before.
    pub from: Option<String>,
    /// After.
    pub to: Option<String>,
}

/// Names of values that differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ValuesChanged {
    /// Only after.
    pub added: Vec<String>,
    /// Only before.
    pub removed: Vec<String>,
    /// Set anew in between.
    pub changed: Vec<String>,
}

/// Routes that differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RoutesChanged {
    /// Only after, or as they are after.
    pub added: Vec<Route>,
    /// Only before, or as they were before.
    pub removed: Vec<Route>,
}

/// See the module. What is empty or absent does not differ.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ReleaseDiff {
    /// The commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Changed>,
    /// The branch or tag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<Changed>,
    /// Images by service.
    pub images: Vec<ImageChanged>,
    /// Names of values.
    pub values: ValuesChanged,
    /// Does the Compose file's text differ?
    pub compose: bool,
    /// Routes.
    pub routes: RoutesChanged,
    /// Services whose gate differs.
    pub gates: Vec<String>,
    /// Do the limits differ?
    pub limits: bool,
    /// Does what an owner allowed differ?
    pub allow: bool,
}

impl ReleaseDiff {
    /// Nothing differs.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Side {
    /// Of what was frozen.
    pub fn frozen(frozen: &FrozenRelease, values: BTreeMap<String, u64>) -> Self {
        let asked: BTreeMap<_, _> = frozen
            .services
            .iter()
            .map(|service| (&service.service, &service.asked))
            .collect();
        let images = frozen.images.iter().map(|(service, pinned)| {
            let asked = asked.get(service).map_or(pinned, |asked| *asked);
            let image = SideImage {
                asked: asked.clone(),
                pinned: Some(pinned.clone()),
            };
            (service.clone(), image)
        });
        Self {
            commit: frozen.commit.clone(),
            reference: frozen.reference.as_deref().map(short),
            images: images.collect(),
            all_images: true,
            values,
            compose: Some(frozen.compose.clone()),
            routes: frozen.routes.clone(),
            gates: frozen.gates.clone(),
            limits: frozen.limits.clone(),
            allow: frozen.allow.clone(),
        }
    }
}

/// `refs/heads/main` is `main` to people.
fn short(reference: &str) -> String {
    let short = ["refs/heads/", "refs/tags/"]
        .iter()
        .find_map(|prefix| reference.strip_prefix(prefix));
    short.unwrap_or(reference).to_string()
}

/// What of `to` is not as in `from`.
pub fn diff(from: &Side, to: &Side) -> ReleaseDiff {
    let compose = match (&from.compose, &to.compose) {
        (Some(from), Some(to)) => from != to,
        _ => false,
    };
    ReleaseDiff {
        commit: both(&from.commit, &to.commit),
        reference: both(&from.reference, &to.reference),
        images: images(from, to),
        values: values(&from.values, &to.values),
        compose,
        routes: RoutesChanged {
            added: only(&to.routes, &from.routes),
            removed: only(&from.routes, &to.routes),
        },
        gates: names(&from.gates, &to.gates)
            .filter(|name| from.gates.get(*name) != to.gates.get(*name))
            .cloned()
            .collect(),
        limits: from.limits != to.limits,
        allow: set(&from.allow) != set(&to.allow),
    }
}

/// Both are known, and differ.
fn both(from: &Option<String>, to: &Option<String>) -> Option<Changed> {
    (from.is_some() && to.is_some() && from != to).then(|| Changed {
        from: from.clone(),
        to: to.clone(),
    })
}

fn set(of: &[Allowance]) -> BTreeSet<Allowance> {
    of.iter().copied().collect()
}

fn only(these: &[Route], others: &[Route]) -> Vec<Route> {
    let is_other = |route: &&Route| !others.contains(route);
    these.iter().filter(is_other).cloned().collect()
}

fn names<'a, T>(
    from: &'a BTreeMap<String, T>,
    to: &'a BTreeMap<String, T>,
) -> impl Iterator<Item = &'a String> {
    from.keys()
        .chain(to.keys())
        .collect::<BTreeSet<_>>()
        .into_iter()
}

fn values(from: &BTreeMap<String, u64>, to: &BTreeMap<String, u64>) -> ValuesChanged {
    let mut told = ValuesChanged::default();
    for name in names(from, to) {
        match (from.get(name), to.get(name)) {
            (None, _) => told.added.push(name.clone()),
            (_, None) => told.removed.push(name.clone()),
            (before, after) if before != after => told.changed.push(name.clone()),
            _ => {}
        }
    }
    told
}

fn images(from: &Side, to: &Side) -> Vec<ImageChanged> {
    let told = names(&from.images, &to.images).filter_map(|service| {
        let (before, after) = match (from.images.get(service), to.images.get(service)) {
            (None, Some(after)) if from.all_images => (None, Some(after.shown())),
            (Some(before), None) if to.all_images => (Some(before.shown()), None),
            (Some(before), Some(after)) => match (&before.pinned, &after.pinned) {
                (Some(x), Some(y)) if x != y => (Some(x.clone()), Some(y.clone())),
                (Some(_), Some(_)) => return None,
                // One of the two is a name still: names are compared.
                _ if before.asked != after.asked => {
                    (Some(before.asked.clone()), Some(after.asked.clone()))
                }
                _ => return None,
            },
            _ => return None,
        };
        Some(ImageChanged {
            service: service.clone(),
            from: before,
            to: after,
        })
    });
    told.collect()
}

impl SideImage {
    fn shown(&self) -> String {
        self.pinned.clone().unwrap_or_else(|| self.asked.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::Tls;

    fn image(asked: &str, pinned: Option<&str>) -> SideImage {
        SideImage {
            asked: asked.to_string(),
            pinned: pinned.map(str::to_string),
        }
    }

    fn side(images: &[(&str, SideImage)]) -> Side {
        Side {
            images: images
                .iter()
                .map(|(name, image)| (name.to_string(), image.clone()))
                .collect(),
            all_images: true,
            ..Side::default()
        }
    }

    #[test]
    fn the_same_release_twice_does_not_differ() {
        let one = side(&[("app", image("app:1", Some("app@sha256:1")))]);
        assert!(diff(&one, &one).is_empty());
    }

    #[test]
    fn an_image_differs_by_its_digest_and_before_it_is_pinned_by_its_name() {
        let old = side(&[("app", image("app:latest", Some("app@sha256:1")))]);
        let new = side(&[("app", image("app:latest", Some("app@sha256:2")))]);
        let told = diff(&old, &new).images;
        assert_eq!(told.len(), 1);
        assert_eq!(told[0].to.as_deref(), Some("app@sha256:2"));
        let asked = side(&[("app", image("app:latest", None))]);
        assert_eq!(diff(&old, &asked).images, []);
        let asked = side(&[("app", image("app:2", None))]);
        assert_eq!(
            diff(&old, &asked).images[0].from.as_deref(),
            Some("app:latest")
        );
    }

    #[test]
    fn services_that_nobody_knows_yet_are_not_told_as_gone() {
        let old = side(&[
            ("app", image("app:1", Some("app@sha256:1"))),
            ("db", image("db:1", Some("db@sha256:1"))),
        ]);
        let mut asked = side(&[("app", image("app:2", None))]);
        asked.all_images = false;
        let told: Vec<_> = diff(&old, &asked).images;
        assert_eq!(told.len(), 1, "{told:?}");
        asked.all_images = true;
        assert_eq!(diff(&old, &asked).images.len(), 2);
    }

    #[test]
    fn values_are_told_by_name_and_changed_when_another_version_set_them() {
        let values = |pairs: &[(&str, u64)]| {
            let pairs = pairs.iter().map(|(name, by)| (name.to_string(), *by));
            Side {
                values: pairs.collect(),
                ..Side::default()
            }
        };
        let told = diff(
            &values(&[("A", 1), ("B", 1), ("C", 1)]),
            &values(&[("A", 1), ("B", 2), ("D", 2)]),
        );
        assert_eq!(told.values.added, ["D"]);
        assert_eq!(told.values.removed, ["C"]);
        assert_eq!(told.values.changed, ["B"]);
    }

    #[test]
    fn commit_compose_routes_gates_and_limits_are_told_each_for_itself() {
        let route = |port| Route {
            host: "shop.example.com".to_string(),
            path: None,
            service: "app".to_string(),
            port,
            tls: Tls::Acme,
        };
        let from = Side {
            commit: Some("a".to_string()),
            compose: Some("x".to_string()),
            routes: vec![route(80)],
            ..Side::default()
        };
        let mut to = Side {
            commit: Some("b".to_string()),
            reference: Some("main".to_string()),
            compose: Some("y".to_string()),
            routes: vec![route(81)],
            allow: vec![Allowance::Privileged],
            ..Side::default()
        };
        to.gates.insert("app".to_string(), Gate::default());
        to.limits.milli_cpus = Some(500);
        let told = diff(&from, &to);
        assert_eq!(
            told.commit.and_then(|commit| commit.to).as_deref(),
            Some("b")
        );
        assert_eq!(told.reference, None, "of one side nothing is known");
        assert!(told.compose && told.limits && told.allow);
        assert_eq!(told.gates, ["app"]);
        assert_eq!(told.routes.added, [route(81)]);
        assert_eq!(told.routes.removed, [route(80)]);
        to.compose = None;
        assert!(!diff(&from, &to).compose);
    }
}
