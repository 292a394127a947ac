//! Addresses of repositories.
//!
//! Promise: what passes is fetched over https, http or ssh from the host it names, is no option to any program, and holds
//! no credential. Private addresses are fine: it is the user's own server that asks.

use crate::fault::{Result, bad_request};

/// Longer ones are no repository's.
const LIMIT: usize = 2048;

/// How it is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// With a token, or openly.
    Https,
    /// The same, readable on the way.
    Http,
    /// With a key.
    Ssh,
}

/// A repository's address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// As it was given.
    pub url: String,
    /// How it is reached.
    pub way: Way,
    /// The host's name or address.
    pub host: String,
    /// Where that is not the usual one.
    pub port: Option<u16>,
}

impl Address {
    /// Judge and take apart.
    pub fn parse(url: &str) -> Result<Self> {
        taken_apart(url).ok_or_else(|| {
            bad_request(
                "The repository's address must look like https://host/path, ssh://git@host/path or git@host:path, without a password in it.",
            )
        })
    }

    /// `https://host:8443`, which tokens belong to.
    pub fn origin(&self) -> String {
        let way = match self.way {
            Way::Https => "https",
            Way::Http => "http",
            Way::Ssh => "ssh",
        };
        match self.port {
            Some(port) => format!("{way}://{}:{port}", self.host),
            None => format!("{way}://{}", self.host),
        }
    }

    /// As ssh files its host keys: `host`, or `[host]:2222`.
    pub fn known_as(&self) -> String {
        match self.port {
            Some(port) if port != 22 => format!("[{}]:{port}", self.host),
            _ => self.host.clone(),
        }
    }
}

fn taken_apart(url: &str) -> Option<Address> {
    let plain = url.len() <= LIMIT && url.bytes().all(|b| b.is_ascii_graphic() && b != b'\\');
    if !plain {
        return None;
    }
    let address = |way, host: &str, port| {
        is_host(host).then(|| Address {
            url: url.to_string(),
            way,
            host: host.to_string(),
            port,
        })
    };
    let Some((scheme, rest)) = url.split_once("://") else {
        let (place, path) = url.split_once(':')?;
        let (user, host) = place.split_once('@')?;
        let ok = is_user(user) && !path.is_empty() && !path.starts_with(['-', ':']);
        return ok.then(|| address(Way::Ssh, host, None))?;
    };
    let (place, path) = rest.split_once('/')?;
    if path.is_empty() {
        return None;
    }
    let (user, place) = match place.rsplit_once('@') {
        Some((user, place)) => (Some(user), place),
        None => (None, place),
    };
    let (host, port) = match place.split_once(':') {
        Some((host, port)) => (
            host,
            Some(port.parse::<u16>().ok().filter(|port| *port > 0)?),
        ),
        None => (place, None),
    };
    match (scheme, user) {
        ("https", None) => address(Way::Https, host, port),
        ("http", None) => address(Way::Http, host, port),
        ("ssh", user) if user.is_none_or(is_user) => address(Way::Ssh, host, port),
        _ => None,
    }
}

fn is_user(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

fn is_host(text: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    text.len() <= 253 && text.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_three_ways_are_understood() {
        let parts = |url: &str| {
            let one = Address::parse(url).expect(url);
            (one.way, one.origin(), one.known_as())
        };
        assert_eq!(
            parts("https://github.com/team/shop.git"),
            (Way::Https, "https://github.com".into(), "github.com".into())
        );
        assert_eq!(parts("http://10.0.0.7:3000/shop").1, "http://10.0.0.7:3000");
        assert_eq!(
            parts("ssh://git@git.test:2222/shop.git"),
            (
                Way::Ssh,
                "ssh://git.test:2222".into(),
                "[git.test]:2222".into()
            )
        );
        assert_eq!(parts("git@git.test:team/shop.git").2, "git.test");
    }

    #[test]
    fn what_would_run_read_or_log_in_by_itself_is_refused() {
        for bad in [
            "",
            "/srv/git/shop.git",
            "./shop",
            "file:///srv/git/shop.git",
            "ext::sh -c id",
            "ext::id",
            "git://git.test/shop",
            "ftp://git.test/shop",
            "https://",
            "https://git.test",
            "https://git.test/",
            "https://user:hush@git.test/shop",
            "https://token@git.test/shop",
            "https:///shop",
            "https://-o/shop",
            "ssh://-oProxyCommand=id/shop",
            "ssh://git@-oProxyCommand=id/shop",
            "ssh://-l@git.test/shop",
            "ssh://git:hush@git.test/shop",
            "-u@git.test:shop",
            "git@-oProxyCommand=id:shop",
            "git@git.test:-shop",
            "git@git.test::ext",
            "git.test:shop",
            "https://git.test/a b",
            "https://git.test/a\nb",
            "https://git.test:0/a",
            "https://git.test:99999/a",
            "https://git.test\\@evil.test/a",
            &format!("https://git.test/{}", "a".repeat(2048)),
        ] {
            assert!(Address::parse(bad).is_err(), "{bad:?}");
        }
    }
}
