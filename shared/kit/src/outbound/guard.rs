//! What may be called: the look at a URL before anything is asked of the network, and at each address that its name has.
//!
//! Promise: what passes both looks leads to the public internet by https, or into a range that the configuration allows.

use super::address::is_public;
use domain::names::BadName;
use ipnet::IpNet;
use reqwest::Url;
use std::net::IpAddr;

/// Because no receiver's address is longer, and a record has room for it.
const URL_LIMIT_CHARACTERS: usize = 2048;

/// How it is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Scheme {
    /// By TLS.
    Https,
    /// In clear.
    Http,
}

/// See the module.
#[derive(Debug, Clone, Default)]
pub struct Guard {
    allowed: Vec<IpNet>,
}

impl Guard {
    /// The public internet, and these ranges.
    pub fn new(allowed: &[IpNet]) -> Self {
        Self {
            allowed: allowed.to_vec(),
        }
    }

    /// A URL in the form it is stored and called, or what is wrong with it. The addresses of its name are judged when it is called.
    pub fn url(&self, text: &str) -> Result<Url, BadName> {
        self.judged(text).map(|(url, _)| url)
    }

    pub(super) fn judged(&self, text: &str) -> Result<(Url, Scheme), BadName> {
        let bad = |why: &str| Err(BadName(why.to_string()));
        if text.len() > URL_LIMIT_CHARACTERS {
            return bad("must have 2048 characters at most");
        }
        let Ok(url) = text.parse::<Url>() else {
            return bad("must be a URL such as https://hooks.example.com/deployments");
        };
        let scheme = match url.scheme() {
            "https" => Scheme::Https,
            "http" if !self.allowed.is_empty() => Scheme::Http,
            _ => return bad("must begin with https://"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return bad("must not hold a user name or password");
        }
        let host = url.host_str().unwrap_or_default();
        // The parser has turned every spelling of an IPv4 address into the usual one.
        let literal = host.trim_start_matches('[').trim_end_matches(']').parse();
        if literal.is_ok_and(|ip: IpAddr| !self.lets(ip, scheme)) {
            return bad("must be an address of the public internet");
        }
        if url.as_str().len() > URL_LIMIT_CHARACTERS {
            return bad("must have 2048 characters at most, those counted that it is written with");
        }
        Ok((url, scheme))
    }

    /// May this address be connected to? In clear only inside an allowed range.
    pub(super) fn lets(&self, ip: IpAddr, scheme: Scheme) -> bool {
        let ip = ip.to_canonical();
        self.allowed.iter().any(|range| range.contains(&ip))
            || (scheme == Scheme::Https && is_public(ip))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn why(guard: &Guard, text: &str) -> String {
        guard.url(text).expect_err(text).to_string()
    }

    #[test]
    fn a_public_https_address_passes_in_its_usual_form() {
        let guard = Guard::default();
        for (given, stored) in [
            ("https://hooks.example.com", "https://hooks.example.com/"),
            (
                "HTTPS://Hooks.Example.COM:443/a?b=c",
                "https://hooks.example.com/a?b=c",
            ),
            (
                "https://b\u{fc}cher.example/",
                "https://xn--bcher-kva.example/",
            ),
            ("https://8.8.8.8:8443/x", "https://8.8.8.8:8443/x"),
            ("https://[2606:4700::1111]/", "https://[2606:4700::1111]/"),
        ] {
            assert_eq!(guard.url(given).expect(given).as_str(), stored);
        }
    }

    #[test]
    fn every_spelling_of_a_refused_address_is_refused() {
        for text in [
            "https://127.0.0.1/",
            "https://127.1/",
            "https://2130706433/",
            "https://0x7f.0.0.1/",
            "https://0177.0.0.1/",
            "https://127.0.0.1./",
            "https://\u{ff11}27.0.0.1/",
            "https://127%2e0%2e0%2e1/",
            "https://169.254.169.254/latest/meta-data/",
            "https://[::1]/",
            "https://[::ffff:169.254.169.254]/",
            "https://[::ffff:a9fe:a9fe]/",
            "https://[64:ff9b::7f00:1]/",
            "https://[fd00:ec2::254]/",
            "https://0/",
            "https://10.0.0.1:8080/",
        ] {
            assert_eq!(
                why(&Guard::default(), text),
                "must be an address of the public internet",
                "{text}"
            );
        }
    }

    #[test]
    fn other_schemes_user_names_and_text_that_is_no_url_are_refused_with_the_reason() {
        let guard = Guard::default();
        for text in [
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://x/",
            "data:,x",
        ] {
            assert_eq!(why(&guard, text), "must begin with https://", "{text}");
        }
        for text in [
            "https://me@example.com/",
            "https://me:secret@example.com/",
            "https://:secret@example.com/",
        ] {
            assert_eq!(
                why(&guard, text),
                "must not hold a user name or password",
                "{text}"
            );
        }
        for text in [
            "",
            "example.com",
            "https://",
            "https:// x/",
            "https://[::1/",
            "https://a:99999/",
        ] {
            assert!(why(&guard, text).starts_with("must be a URL"), "{text}");
        }
    }

    #[test]
    fn a_url_over_the_limit_is_refused_as_typed_and_as_written() {
        let guard = Guard::default();
        let fits = format!("https://example.com/{}", "a".repeat(2028));
        assert!(guard.url(&fits).is_ok());
        assert!(why(&guard, &format!("{fits}a")).contains("2048"));
        let grows = format!("https://example.com/{}", "\u{e9}".repeat(700));
        assert!(grows.len() < 2048 && why(&guard, &grows).contains("2048"));
    }

    #[test]
    fn an_allowed_range_opens_itself_alone_and_clear_text_for_itself_alone() {
        let guard = Guard::new(&["10.77.0.0/16".parse().expect("a range")]);
        for text in [
            "https://10.77.1.2/",
            "http://10.77.1.2:8080/",
            "http://[::ffff:10.77.1.2]/",
            "https://8.8.8.8/",
        ] {
            assert!(guard.url(text).is_ok(), "{text}");
        }
        for text in ["https://10.78.1.2/", "http://8.8.8.8/", "http://127.0.0.1/"] {
            assert!(why(&guard, text).contains("public internet"), "{text}");
        }
    }
}
