//! What a registry's refusal means, as the engine or its builder tells it.
//!
//! Promise: the engine has prose and no codes for this. Its words decide the kind only; none of them is passed on.

use super::engine::{Failure, away};
use super::reference::Reference;
use crate::fault::{disk_full, refused, unavailable};
use protocol::AgentError;
use std::path::Path;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// No such name, tag or digest.
    NotFound,
    /// There is, but not for this kind of machine.
    OtherPlatform,
    /// Wrong login, or none.
    Denied,
    /// It has no certificate that counts, or speaks plain HTTP.
    Untrusted,
    /// It wants fewer questions.
    TooMany,
    /// It does not answer.
    Away,
    /// No room here.
    NoRoom,
    /// The engine itself is going.
    Engine,
}

/// The first that is met counts.
const WORDS: [(&str, Trouble); 37] = [
    ("no space left on device", Trouble::NoRoom),
    ("disk quota exceeded", Trouble::NoRoom),
    // A cancel of ours ends the connection, so that nothing is said of it.
    ("context canceled", Trouble::Engine),
    ("connection is closing", Trouble::Engine),
    ("no matching manifest for", Trouble::OtherPlatform),
    ("no match for platform", Trouble::OtherPlatform),
    ("toomanyrequests", Trouble::TooMany),
    ("too many requests", Trouble::TooMany),
    ("server gave http response", Trouble::Untrusted),
    ("x509:", Trouble::Untrusted),
    ("tls: ", Trouble::Untrusted),
    ("no basic auth credentials", Trouble::Denied),
    ("unauthorized", Trouble::Denied),
    ("authentication required", Trouble::Denied),
    ("authorization failed", Trouble::Denied),
    ("incorrect username or password", Trouble::Denied),
    ("denied", Trouble::Denied),
    ("forbidden", Trouble::Denied),
    ("insufficient_scope", Trouble::Denied),
    ("manifest unknown", Trouble::NotFound),
    ("name unknown", Trouble::NotFound),
    ("name_unknown", Trouble::NotFound),
    ("manifest_unknown", Trouble::NotFound),
    ("blob unknown", Trouble::NotFound),
    ("dial tcp", Trouble::Away),
    ("connection re", Trouble::Away),
    ("no such host", Trouble::Away),
    ("server misbehaving", Trouble::Away),
    ("timeout", Trouble::Away),
    ("deadline exceeded", Trouble::Away),
    ("eof", Trouble::Away),
    ("unexpected http status: 5", Trouble::Away),
    ("service unavailable", Trouble::Away),
    ("bad gateway", Trouble::Away),
    ("broken pipe", Trouble::Away),
    ("network is unreachable", Trouble::Away),
    ("not found", Trouble::NotFound),
];

/// The kind of it, by its words about this image, whose own name does not count.
pub fn trouble_of(reference: &Reference, said: &str) -> Option<Trouble> {
    let path = reference
        .name
        .strip_prefix(reference.registry())
        .unwrap_or(&reference.name);
    trouble(&said.replace(path, ""))
}

/// The kind of it, by its words.
pub fn trouble(said: &str) -> Option<Trouble> {
    let said = said.to_ascii_lowercase();
    let met = WORDS.iter().find(|(words, _)| said.contains(words));
    met.map(|(_, trouble)| *trouble)
}

/// As an error about this image; `room` is where the engine keeps images.
pub fn fault(reference: &Reference, trouble: Option<Trouble>, room: &Path) -> AgentError {
    let image = reference.asked();
    let registry = reference.registry();
    match trouble {
        Some(Trouble::NotFound) => refused(
            "image_not_found",
            format!("There is no image {image} in its registry. Check its name and tag."),
        ),
        Some(Trouble::OtherPlatform) => refused(
            "image_other_platform",
            format!("The image {image} is not made for this server's processor. Push one that is."),
        ),
        // Some registries say the same of what is not there.
        Some(Trouble::Denied) => refused(
            "registry_denied",
            format!(
                "The registry {registry} does not give {image} with this login, or without one. Check the login of {registry}, or add one, and check the image's name."
            ),
        ),
        Some(Trouble::Untrusted) => refused(
            "registry_untrusted",
            format!(
                "Docker does not trust the registry {registry}: it has no valid certificate. Give it one, or name it in insecure-registries of /etc/docker/daemon.json."
            ),
        ),
        Some(Trouble::TooMany) => unavailable(
            "registry_away",
            format!(
                "The registry {registry} had too many requests from here. Try again later, or add a login."
            ),
        ),
        Some(Trouble::NoRoom) => disk_full(room),
        Some(Trouble::Engine) => away(),
        Some(Trouble::Away) | None => unavailable(
            "registry_away",
            format!("The registry {registry} does not answer this server now."),
        ),
    }
}

/// An act of the engine that needed a registry.
pub fn failed(reference: &Reference, failure: Failure, room: &Path) -> AgentError {
    match failure {
        Failure::Lost(error) => error,
        Failure::Said(complaint) => {
            let by_status = match complaint.status {
                401 | 403 => Some(Trouble::Denied),
                404 => Some(Trouble::NotFound),
                _ => None,
            };
            match trouble_of(reference, &complaint.said).or(by_status) {
                None if complaint.status == 503 => away(),
                trouble => fault(reference, trouble, room),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of Docker 20.10 and a registry 2.8, and of Docker Hub.
    #[test]
    fn each_refusal_of_a_registry_is_told_apart() {
        for (said, expected) in [
            ("manifest unknown: manifest unknown", Trouble::NotFound),
            (
                "manifest for registry.test:5000/a:b not found: manifest unknown: manifest unknown",
                Trouble::NotFound,
            ),
            (
                "Head \"http://r.test:5001/v2/a/manifests/1\": no basic auth credentials",
                Trouble::Denied,
            ),
            ("unauthorized: authentication required", Trouble::Denied),
            (
                "pull access denied for nope, repository does not exist or may require 'docker login': denied: requested access to the resource is denied",
                Trouble::Denied,
            ),
            (
                "Get \"https://r.test:5009/v2/\": dial tcp 10.77.3.242:5009: connect: connection refused",
                Trouble::Away,
            ),
            (
                "Get \"https://nowhere.test/v2/\": dial tcp: lookup nowhere.test on [::1]:53: no such host",
                Trouble::Away,
            ),
            ("unexpected EOF", Trouble::Away),
            (
                "Get \"https://r.test/v2/\": http: server gave HTTP response to HTTPS client",
                Trouble::Untrusted,
            ),
            (
                "x509: certificate signed by unknown authority",
                Trouble::Untrusted,
            ),
            (
                "toomanyrequests: You have reached your pull rate limit.",
                Trouble::TooMany,
            ),
            (
                "write /var/lib/docker/tmp/GetImageBlob1: no space left on device",
                Trouble::NoRoom,
            ),
            (
                "no matching manifest for linux/amd64 in the manifest list entries",
                Trouble::OtherPlatform,
            ),
        ] {
            assert_eq!(trouble(said), Some(expected), "{said}");
        }
        assert_eq!(trouble("something else"), None);
        let named = Reference::parse("registry.test:5000/lab/denied").expect("a reference");
        let said = "manifest for registry.test:5000/lab/denied:1 not found: manifest unknown: manifest unknown";
        assert_eq!(trouble_of(&named, said), Some(Trouble::NotFound));
    }
}
