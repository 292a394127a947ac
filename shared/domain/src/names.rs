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
}
