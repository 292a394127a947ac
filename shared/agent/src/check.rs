//! Every name, host, path and text of a request, judged again here.
//!
//! Promise: what passes has no meaning to nginx, SQL, PHP, cron, sudo or a path beyond being that name.

use crate::fault::{Result, bad_request};
use std::path::{Component, Path};

/// MySQL allows no longer user name, and useradd none either.
const NAME_LIMIT: usize = 32;
/// With what is added to it, a DNS label and a Docker name.
const ENVIRONMENT_LIMIT: usize = 48;
/// DNS's own limit.
const HOST_LIMIT: usize = 253;
/// An nginx line stays readable, and no site has more names of its own.
const ALIASES_LIMIT: usize = 100;
/// WordPress's column for a login.
const LOGIN_LIMIT: usize = 60;
/// WordPress's column for a mail address.
const EMAIL_LIMIT: usize = 100;
/// A title is one line in a browser's tab.
const TITLE_LIMIT: usize = 200;
/// WordPress cuts passwords at 4096; nobody needs more than this.
const PASSWORD_LIMIT: usize = 256;
/// As long as anybody's, and a hundred of them are still a small configuration.
const ROUTE_PATH_LIMIT: usize = 256;
/// Longer ones are no archive's address.
const URL_LIMIT: usize = 2048;

/// The name of a site or a database: `[a-z][a-z0-9_]{0,31}`.
pub fn name(what: &str, text: &str) -> Result<()> {
    let ok = text.len() <= NAME_LIMIT
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    pass(ok, || {
        format!(
            "The {what} name must be 1 to 32 lower-case letters, digits and underscores, beginning with a letter."
        )
    })
}

/// An environment's: `[a-z][a-z0-9-]{0,47}`, because it names Compose projects, networks and volumes.
pub fn environment(text: &str) -> Result<()> {
    let ok = text.len() <= ENVIRONMENT_LIMIT
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    pass(ok, || {
        "The environment's name must be 1 to 48 lower-case letters, digits and dashes, beginning with a letter.".into()
    })
}

/// A host name: lower-case labels of letters, digits and inner dashes.
pub fn host(what: &str, text: &str) -> Result<()> {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    pass(
        text.len() <= HOST_LIMIT && text.split('.').all(label),
        || {
            format!(
                "The {what} is no host name: lower-case letters, digits, dashes and dots, at most 253."
            )
        },
    )
}

/// The beginning of a route's paths: plain letters, without what a proxy's configuration gives a meaning to.
pub fn route_path(text: &str) -> Result<()> {
    let ok = text.len() <= ROUTE_PATH_LIMIT
        && text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-._~@+:".contains(&b))
        && !text.contains("//")
        && text.split('/').all(|part| part != "." && part != "..");
    pass(ok, || {
        "The route's path must begin with / and hold letters, digits and - . _ ~ @ + : only, at most 256 of them.".into()
    })
}

/// Aliases: host names, each one once.
pub fn hosts(domain: &str, aliases: &[String]) -> Result<()> {
    host("domain", domain)?;
    pass(aliases.len() <= ALIASES_LIMIT, || {
        format!("At most {ALIASES_LIMIT} aliases.")
    })?;
    aliases.iter().try_for_each(|alias| host("alias", alias))?;
    let mut all: Vec<&str> = aliases.iter().map(String::as_str).chain([domain]).collect();
    all.sort_unstable();
    pass(all.windows(2).all(|pair| pair[0] != pair[1]), || {
        "A host name is given twice.".into()
    })
}

/// The id of a deployment or a server's record, which goes into comments and file names.
pub fn id(what: &str, text: &str) -> Result<()> {
    let ok = (1..=64).contains(&text.len())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    pass(ok, || format!("The {what} is not one."))
}

/// A target's lock key.
pub fn target(text: &str) -> Result<()> {
    let ok = (1..=80).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic());
    pass(ok, || "The lease's target is not one.".into())
}

/// `8.2`.
pub fn php(text: &str) -> Result<()> {
    let digits =
        |part: &str| (1..=2).contains(&part.len()) && part.bytes().all(|b| b.is_ascii_digit());
    let ok = text
        .split_once('.')
        .is_some_and(|(major, minor)| digits(major) && digits(minor));
    pass(ok, || "The PHP version must look like 8.2.".into())
}

/// A site's title.
pub fn title(text: &str) -> Result<()> {
    let length = text.chars().count();
    pass(
        (1..=TITLE_LIMIT).contains(&length) && !has_control(text),
        || format!("The title must have 1 to {TITLE_LIMIT} characters and no control characters."),
    )
}

/// A WordPress login.
pub fn login(text: &str) -> Result<()> {
    let ok = (1..=LOGIN_LIMIT).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b));
    pass(ok, || {
        "The administrator's login must be 1 to 60 letters, digits or _ . - @.".into()
    })
}

/// A password; its text never appears in the error.
pub fn password(text: &str) -> Result<()> {
    let length = text.chars().count();
    pass(
        (1..=PASSWORD_LIMIT).contains(&length) && !has_control(text),
        || {
            format!(
                "The administrator's password must have 1 to {PASSWORD_LIMIT} characters and no control characters."
            )
        },
    )
}

/// A mail address, near enough: only a delivered mail proves one.
pub fn email(text: &str) -> Result<()> {
    let ok = text.len() <= EMAIL_LIMIT
        && text.rsplit_once('@').is_some_and(|(local, domain)| {
            (1..=64).contains(&local.len())
                && local
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
                && host("mail host", &domain.to_ascii_lowercase()).is_ok()
        });
    pass(ok, || "The administrator's mail address is not one.".into())
}

/// `en_US`, or empty.
pub fn locale(text: &str) -> Result<()> {
    let ok = text.len() <= 20 && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    pass(ok, || "The locale must look like en_US.".into())
}

/// Where an archive is fetched from.
pub fn url(text: &str) -> Result<()> {
    let ok = text.len() <= URL_LIMIT
        && (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|b| b.is_ascii_graphic());
    pass(ok, || {
        "The WordPress archive's address must begin with http:// or https:// and hold no spaces."
            .into()
    })
}

/// A SHA-256 in hex.
pub fn sha256(text: &str) -> Result<()> {
    pass(
        text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit()),
        || "The checksum must be 64 hex digits.".into(),
    )
}

/// A directory of the host: absolute, with no `..`.
pub fn directory(text: &str) -> Result<()> {
    let ok = text.len() <= 1024
        && !has_control(text)
        && Path::new(text).is_absolute()
        && Path::new(text)
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    pass(ok, || {
        "The WordPress directory must be an absolute path without ..".into()
    })
}

/// The key that may log in: ed25519 and nothing else, without options or a comment.
pub fn public_key(text: &str) -> Result<String> {
    let mut words = text.split(' ');
    let key = (words.next(), words.next());
    let (Some("ssh-ed25519"), Some(body)) = key else {
        return Err(bad_request(
            "The public key must be of the kind ssh-ed25519.",
        ));
    };
    // 51 bytes in base64: the kind's name, then 32 bytes of key.
    let ok = !has_control(text)
        && body.len() == 68
        && body.starts_with("AAAAC3NzaC1lZDI1NTE5AAAAI")
        && body
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'+' || b == b'/');
    pass(ok, || "The public key is damaged.".into())?;
    Ok(format!("ssh-ed25519 {body}"))
}

fn has_control(text: &str) -> bool {
    text.chars().any(char::is_control)
}

fn pass(ok: bool, message: impl FnOnce() -> String) -> Result<()> {
    if ok {
        Ok(())
    } else {
        Err(bad_request(message()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_with_meaning_elsewhere_are_refused() {
        for bad in [
            "",
            "Shop",
            "1shop",
            "shop-a",
            "../etc",
            "a;b",
            "a b",
            "a`b",
            "a%b",
            "shöp",
            "a\nb",
            &"a".repeat(33),
        ] {
            assert!(name("site", bad).is_err(), "{bad:?}");
        }
        assert!(name("site", "shop_ab12").is_ok());
    }

    #[test]
    fn hosts_with_meaning_to_nginx_are_refused() {
        for bad in [
            "",
            "a b.test",
            "*.test",
            "~^x",
            "a;b",
            "$host",
            "-a.test",
            "a-.test",
            "a..test",
            "A.test",
            ".a.test",
            "a.test.",
            "a_b.test",
            &"a.".repeat(127),
        ] {
            assert!(host("address", bad).is_err(), "{bad:?}");
        }
        assert!(host("address", "shop.example.test").is_ok());
    }

    #[test]
    fn an_alias_given_twice_is_refused() {
        assert!(hosts("a.test", &["b.test".into(), "a.test".into()]).is_err());
        assert!(hosts("a.test", &["b.test".into()]).is_ok());
    }

    #[test]
    fn a_title_may_hold_quotes_but_no_control_characters() {
        assert!(title("It's \"A\" <b>$(id)</b> & Co").is_ok());
        assert!(title("a\u{0}b").is_err());
        assert!(title("a\nb").is_err());
        assert!(title("").is_err());
    }

    #[test]
    fn a_password_is_not_repeated_in_its_error() {
        let error = password("hush\nhush").expect_err("holds a control character");
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn a_key_brings_no_options_along() {
        let body = format!("AAAAC3NzaC1lZDI1NTE5AAAAI{}", "b".repeat(43));
        let good = format!("ssh-ed25519 {body}");
        assert_eq!(
            public_key(&format!("{good} someone@there")).ok().as_deref(),
            Some(good.as_str())
        );
        assert!(public_key(&format!("command=\"id\" {good}")).is_err());
        assert!(public_key(&format!("{good}\nssh-ed25519 {body}")).is_err());
        assert!(public_key("ssh-rsa AAAA").is_err());
    }

    #[test]
    fn a_directory_has_no_way_up() {
        assert!(directory("/usr/share/wordpress").is_ok());
        assert!(directory("/usr/../etc").is_err());
        assert!(directory("usr").is_err());
    }
}
