//! What may be a name, a domain, a title: judged once, here, before anything is stored.
//!
//! Promise: what passes has no control character, no space at its ends and no meaning to a shell, nginx or SQL where it must not have one.

/// Why some text was refused; the field's name comes from the caller.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
#[error("{0}")]
pub struct BadName(pub String);

fn bad<T>(why: &str) -> Result<T, BadName> {
    Err(BadName(why.to_string()))
}

/// A host name in the form it is stored and served: lower case, punycode, no dot at the end.
pub fn domain(text: &str) -> Result<String, BadName> {
    let text = text.strip_suffix('.').unwrap_or(text);
    let Ok(ascii) = idna::domain_to_ascii_strict(text) else {
        return bad("is not a domain name");
    };
    let labels: Vec<&str> = ascii.split('.').collect();
    if ascii.len() > 253 || labels.len() < 2 {
        return bad("must be a full domain name such as shop.example.com");
    }
    let label_ok = |label: &&str| {
        !label.is_empty()
            && label.len() <= 63
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
    };
    if !labels.iter().all(label_ok) {
        return bad("is not a domain name");
    }
    if labels
        .last()
        .is_some_and(|top| top.bytes().all(|b| b.is_ascii_digit()))
    {
        return bad("is an address, not a domain name");
    }
    Ok(ascii)
}

/// A short name of a site or server: `[a-z][a-z0-9-]*`, 2 to 30 characters, one label of a host name.
pub fn slug(text: &str) -> Result<String, BadName> {
    let ok = (2..=30).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && !text.ends_with('-')
        && !text.contains("--")
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be 2 to 30 lower-case letters, digits and single dashes, beginning with a letter")
    }
}

/// One line for people: 1 to 200 characters, any script, no control characters.
pub fn title(text: &str) -> Result<String, BadName> {
    let text = text.trim();
    let length = text.chars().count();
    if length == 0 || length > 200 {
        return bad("must have 1 to 200 characters");
    }
    if text.chars().any(is_invisible) {
        return bad("must not hold control characters or invisible marks");
    }
    Ok(text.to_string())
}

/// Controls, line separators, and the marks that turn the direction of text.
fn is_invisible(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{200b}')
}

/// A WordPress login: 1 to 60 of letters, digits and `_.-@`, as WordPress's strict rule keeps them.
pub fn login(text: &str) -> Result<String, BadName> {
    let ok = (1..=60).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"_.-@".contains(&b));
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be 1 to 60 letters, digits, or _ . - @, beginning with a letter or digit")
    }
}

/// A mail address: enough of a check to keep other things out; only a delivered mail proves one.
pub fn email(text: &str) -> Result<String, BadName> {
    let Some((local, host)) = text.rsplit_once('@') else {
        return bad("is not a mail address");
    };
    let local_ok = (1..=64).contains(&local.len())
        && local
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-/=?^_`{|}~.".contains(&b))
        && !local.starts_with('.')
        && !local.ends_with('.')
        && !local.contains("..");
    match (local_ok, domain(host)) {
        (true, Ok(host)) => Ok(format!("{local}@{host}")),
        _ => bad("is not a mail address"),
    }
}

/// A PHP version as in `8.2`.
pub fn php_version(text: &str) -> Result<String, BadName> {
    let ok = matches!(text.split_once('.'), Some((major, minor)) if matches!(major, "7" | "8" | "9") && (1..=2).contains(&minor.len()) && minor.bytes().all(|b| b.is_ascii_digit()));
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a PHP version such as 8.2")
    }
}

/// A user name on a server, as useradd's default rule has it.
pub fn unix_user(text: &str) -> Result<String, BadName> {
    let ok = (1..=32).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && text
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_' || b == b'-');
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a user name on the server, such as root or ubuntu")
    }
}

/// A name of an environment's values, as a shell takes one: 1 to 128 letters, digits and underscores, no digit first.
pub fn value_name(text: &str) -> Result<String, BadName> {
    let ok = (1..=128).contains(&text.len())
        && !text.starts_with(|c: char| c.is_ascii_digit())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be 1 to 128 letters, digits and underscores, not beginning with a digit")
    }
}

/// A service of a Compose file, as Compose takes one.
pub fn compose_service(text: &str) -> Result<String, BadName> {
    let ok = (1..=63).contains(&text.len())
        && text.starts_with(|c: char| c.is_ascii_alphanumeric())
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a service of the Compose file: 1 to 63 letters, digits, or . _ -")
    }
}

/// An image of a registry: `ghcr.io/example/app:1.2`, `nginx@sha256:…`.
pub fn image(text: &str) -> Result<String, BadName> {
    let (name, digest) = match text.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (text, None),
    };
    let digest_ok = digest.is_none_or(|digest| {
        digest.strip_prefix("sha256:").is_some_and(|hex| {
            hex.len() == 64
                && hex
                    .bytes()
                    .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
        })
    });
    let ok = (1..=255).contains(&name.len())
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && name
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-/:".contains(&b))
        && !name.contains("//");
    if ok && digest_ok {
        Ok(text.to_string())
    } else {
        bad("must be an image such as ghcr.io/example/app:1.2")
    }
}

/// A registry: `ghcr.io`, `registry.example.com:5000`.
pub fn registry(text: &str) -> Result<String, BadName> {
    let (host, port) = match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let host_ok = (1..=253).contains(&host.len())
        && host.starts_with(|c: char| c.is_ascii_alphanumeric())
        && host
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b".-".contains(&b));
    let port_ok = port.is_none_or(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    if host_ok && port_ok {
        Ok(text.to_string())
    } else {
        bad("must be a registry such as ghcr.io or registry.example.com:5000")
    }
}

/// A Git repository: `https://…`, `http://…`, `ssh://…` or `git@host:path`. What opens it is said apart, never in its URL.
pub fn repository(text: &str) -> Result<String, BadName> {
    const SHAPE: &str = "must be a repository such as https://git.example.com/app.git or git@git.example.com:app.git";
    let harmless = (1..=2048).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_graphic())
        && !text.contains(['\'', '"', '\\', '`', '<', '>']);
    if !harmless {
        return bad(SHAPE);
    }
    for scheme in ["https://", "http://"] {
        if let Some(rest) = text.strip_prefix(scheme) {
            let host = rest.split('/').next().unwrap_or_default();
            return match (host.contains('@'), host_of(host)) {
                (true, _) => {
                    bad("must not hold a user name or password: say what opens it in `access`")
                }
                (false, true) if rest.len() > host.len() + 1 => Ok(text.to_string()),
                _ => bad(SHAPE),
            };
        }
    }
    let (account, path) = match text.strip_prefix("ssh://") {
        Some(rest) => rest.split_once('/'),
        // Without a user it would be taken for a scheme: `ext::`, `file://`.
        None => text
            .split_once(':')
            .filter(|(account, _)| account.contains('@')),
    }
    .unwrap_or_default();
    let (user, host) = account.split_once('@').unwrap_or(("git", account));
    let path_ok = !path.is_empty() && !path.starts_with(['-', ':']);
    if unix_user(user).is_ok() && host_of(host) && path_ok {
        Ok(text.to_string())
    } else {
        bad(SHAPE)
    }
}

/// A host name or address, perhaps with a port.
fn host_of(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '[')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-:[]".contains(&b))
}

/// A branch, a tag or a commit, as `git check-ref-format` takes them.
pub fn git_reference(text: &str) -> Result<String, BadName> {
    let ok = (1..=255).contains(&text.len())
        && !text.starts_with(['-', '/', '.'])
        && !text.ends_with(['/', '.'])
        && !text.ends_with(".lock")
        && !text.contains("..")
        && !text.contains("//")
        && !text.contains("@{")
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"~^:?*[\\'\"`$%;&|<>(){}".contains(&b));
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a branch, a tag or a commit")
    }
}

/// A commit: 40 hex digits.
pub fn commit(text: &str) -> Result<String, BadName> {
    let ok = text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if ok {
        Ok(text.to_ascii_lowercase())
    } else {
        bad("must be a commit of 40 hex digits")
    }
}

/// A file or folder beneath another one: no `..`, not absolute.
pub fn beneath(text: &str) -> Result<String, BadName> {
    let ok = (1..=255).contains(&text.len())
        && !text.starts_with(['/', '-'])
        && !text.split('/').any(|part| part == "..")
        && !text.chars().any(is_invisible);
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a path beneath the source, without ..")
    }
}

/// A path of a URL: `/api`.
pub fn url_path(text: &str) -> Result<String, BadName> {
    let ok = (1..=200).contains(&text.len())
        && text.starts_with('/')
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"/-._~%?=&+:@,".contains(&b));
    if ok {
        Ok(text.to_string())
    } else {
        bad("must be a path such as /health")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &[&str] = &[
        "$(id)", "`id`", "a;b", "a b", "a\nb", "a\0b", "../x", "a'b", "a\"b", "a|b", "a&b", "a>b",
        "{a}", "a%00", "-rf", "", " ",
    ];

    #[test]
    fn shell_metacharacters_are_no_part_of_any_strict_name() {
        for text in HOSTILE {
            assert!(domain(&format!("{text}.example.com")).is_err(), "{text:?}");
            assert!(
                slug(text).is_err()
                    && unix_user(text).is_err()
                    && php_version(text).is_err()
                    && login(text).is_err(),
                "{text:?}"
            );
        }
    }

    #[test]
    fn a_title_may_hold_anything_that_can_be_seen() {
        assert_eq!(
            title(" It's \"A\" <b>$(id)</b> & Cö 🎉 ").as_deref(),
            Ok("It's \"A\" <b>$(id)</b> & Cö 🎉")
        );
        assert!(
            title("a\u{202e}b").is_err()
                && title("a\nb").is_err()
                && title("").is_err()
                && title(&"x".repeat(201)).is_err()
        );
    }

    #[test]
    fn a_domain_has_one_spelling() {
        assert_eq!(
            domain("Shop.Exämple.COM.").as_deref(),
            Ok("shop.xn--exmple-cua.com")
        );
        for text in [
            "localhost",
            "10.0.0.1",
            "a..b.com",
            "-a.com",
            "a-.com",
            "*.example.com",
            "exa_mple.com",
            "http://a.com",
            "a.com:80",
            "a.com/",
        ] {
            assert!(domain(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_mail_address_keeps_its_local_part() {
        assert_eq!(
            email("Ann.O'Hara+wp@Example.com").as_deref(),
            Ok("Ann.O'Hara+wp@example.com")
        );
        for text in ["a", "@b.com", "a@b", "a b@c.com", "a@b.com\n", "a..b@c.com"] {
            assert!(email(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_is_passed_to_git_docker_or_a_shell_has_no_meaning_there() {
        for text in HOSTILE {
            assert!(value_name(text).is_err(), "{text:?}");
            assert!(image(text).is_err(), "{text:?}");
            assert!(registry(text).is_err(), "{text:?}");
            assert!(commit(text).is_err() && compose_service(text).is_err());
            assert!(repository(text).is_err(), "{text:?}");
            assert!(git_reference(text).is_err(), "{text:?}");
            assert!(url_path(text).is_err(), "{text:?}");
        }
        for text in ["/etc/passwd", "../x", "a/../../x", "-f", "", "a\nb"] {
            assert!(beneath(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn what_people_release_is_taken_as_they_write_it() {
        for text in [
            "nginx",
            "ghcr.io/example/app:1.2",
            "registry.test:5000/app:v1",
            "app@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
        ] {
            assert_eq!(image(text).as_deref(), Ok(text));
        }
        for text in [
            "https://github.com/example/app.git",
            "ssh://git@git.example.com:2222/app.git",
            "git@github.com:example/app.git",
        ] {
            assert_eq!(repository(text).as_deref(), Ok(text));
        }
        for text in [
            "https://me:secret@github.com/app.git",
            "https://github.com",
            "file:///etc",
            "ext::sh -c id",
            "ext::sh",
            "git@host::x",
            "--upload-pack=id",
            "/srv/git/app.git",
        ] {
            assert!(repository(text).is_err(), "{text}");
        }
        for text in ["main", "feature/x-1", "v1.2.3", "renovate/all"] {
            assert_eq!(git_reference(text).as_deref(), Ok(text));
        }
        assert!(value_name("DATABASE_URL").is_ok() && value_name("9A").is_err());
        assert!(beneath("docker/Dockerfile").is_ok() && beneath(".").is_ok());
    }
}
