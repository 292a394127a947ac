//! References of images: `ghcr.io/team/app:v3`, `postgres`, `shop@sha256:…`.
//!
//! Promise: what passes is one reference by the engine's own grammar, and never looks like an option or a path.

use crate::fault::{Result, refused};

/// The engine takes no longer name.
const NAME_LIMIT: usize = 255;
/// Nor a longer tag.
const TAG_LIMIT: usize = 128;
/// Hex digits of a SHA-256.
const DIGEST_DIGITS: usize = 64;
/// Where images without a registry come from.
const HUB: &str = "docker.io";

/// A reference, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// As it was written, without tag and digest: `registry.test:5000/shop/web`.
    pub name: String,
    /// `v3`
    pub tag: Option<String>,
    /// `sha256:…`
    pub digest: Option<String>,
}

impl Reference {
    /// Judge and take apart.
    pub fn parse(text: &str) -> Result<Self> {
        taken_apart(text).ok_or_else(|| {
            let shown: String = text
                .chars()
                .filter(|c| c.is_ascii_graphic())
                .take(NAME_LIMIT)
                .collect();
            refused(
                "bad_reference",
                format!("{shown:?} is no image. Write it like ghcr.io/team/app:v3, in lower case."),
            )
        })
    }

    /// The registry, as logins name it.
    pub fn registry(&self) -> &str {
        match self.name.split_once('/') {
            Some((first, _)) if is_registry(first) => first,
            _ => HUB,
        }
    }

    /// `name@digest`; none without a digest.
    pub fn pinned(&self) -> Option<String> {
        let digest = self.digest.as_deref()?;
        Some(format!("{}@{digest}", self.name))
    }

    /// As the engine is asked for it: the digest counts where there is one, else the tag.
    pub fn asked(&self) -> String {
        self.pinned().unwrap_or_else(|| self.tagged())
    }

    /// `name:tag`.
    pub fn tagged(&self) -> String {
        format!("{}:{}", self.name, self.tag.as_deref().unwrap_or("latest"))
    }
}

/// A registry has a dot, a port, or is this very host; else it is a part of a name on the hub.
fn is_registry(first: &str) -> bool {
    first.contains(['.', ':']) || first == "localhost"
}

/// The one spelling of a registry's name.
pub fn same_registry(one: &str) -> &str {
    let one = one
        .trim_start_matches("https://")
        .trim_start_matches("http://");
    let one = one.split('/').next().unwrap_or(one);
    match one {
        "index.docker.io"
        | "registry-1.docker.io"
        | "registry.hub.docker.com"
        | "hub.docker.com" => HUB,
        other => other,
    }
}

fn taken_apart(text: &str) -> Option<Reference> {
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (text, None),
    };
    // A colon before the last slash is a port's.
    let (name, tag) = match rest.rsplit_once(':') {
        Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
        _ => (rest, None),
    };
    let ok = digest.is_none_or(is_digest) && tag.is_none_or(is_tag) && is_name(name);
    ok.then(|| Reference {
        name: name.to_string(),
        tag: tag.map(str::to_string),
        digest: digest.map(str::to_string),
    })
}

fn is_digest(text: &str) -> bool {
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    text.strip_prefix("sha256:")
        .is_some_and(|digits| digits.len() == DIGEST_DIGITS && digits.bytes().all(hex))
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= TAG_LIMIT
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || b == b'.' || b == b'-')
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((first, path)) if is_registry(first) => {
            if !is_host(first) {
                return false;
            }
            path
        }
        _ => name,
    };
    name.len() <= NAME_LIMIT && path.split('/').all(is_part)
}

fn is_host(text: &str) -> bool {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.split('.').all(label) && port.is_none_or(|port| port.parse::<u16>().is_ok())
}

/// Lower-case letters and digits, apart by `.`, `_`, `__` or dashes.
fn is_part(part: &str) -> bool {
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends = part.bytes().next().is_some_and(letter) && part.bytes().last().is_some_and(letter);
    let inner = part.bytes().all(|b| letter(b) || b"._-".contains(&b));
    let between =
        |run: &str| matches!(run, "" | "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    ends && inner
        && part
            .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
            .all(between)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_falls_into_the_parts_the_engine_sees() {
        let parts = |text: &str| {
            let one = Reference::parse(text).expect(text);
            (one.registry().to_string(), one.asked())
        };
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(
            parts("postgres"),
            ("docker.io".into(), "postgres:latest".into())
        );
        assert_eq!(
            parts("team/app:v3"),
            ("docker.io".into(), "team/app:v3".into())
        );
        assert_eq!(
            parts("registry.test:5000/a/b__c:1.0-x"),
            (
                "registry.test:5000".into(),
                "registry.test:5000/a/b__c:1.0-x".into()
            )
        );
        assert_eq!(
            parts(&format!("localhost/a:1@{digest}")),
            ("localhost".into(), format!("localhost/a@{digest}"))
        );
    }

    #[test]
    fn what_is_no_reference_is_refused() {
        let digest = "a".repeat(64);
        for bad in [
            "",
            "-v",
            "--help",
            "-registry.test/a",
            "../etc",
            "/etc",
            "a b",
            "a\nb",
            "A/b",
            "a//b",
            "a/",
            "a:",
            "a:-x",
            "a:b:c",
            "a@sha256:abc",
            &format!("a@sha512:{digest}"),
            &format!("a@sha256:{}", digest.to_uppercase()),
            "a?b=c",
            "a%2fb",
            "registry.test:99999/a",
            "a___b",
            "a._b",
            "https://ghcr.io/a",
            &"a".repeat(256),
        ] {
            assert!(Reference::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_hub_is_one_however_it_is_written() {
        for hub in [
            "docker.io",
            "index.docker.io",
            "https://index.docker.io/v1/",
            "registry-1.docker.io",
        ] {
            assert_eq!(same_registry(hub), "docker.io");
        }
        assert_eq!(
            same_registry("http://registry.test:5000/"),
            "registry.test:5000"
        );
    }
}
