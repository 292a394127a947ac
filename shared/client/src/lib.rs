//! The HTTP API, from the caller's side: one typed method for each operation.
//!
//! Promise: a create is sent with an idempotency key and repeated with the same one, so it happens once however often
//! the network fails. The token goes to the given address only: redirects are not followed.

mod backups;
mod call;
mod error;
mod live;
mod projects;
mod releases;
mod routes;

pub use error::Error;
pub use live::{Channel, Rhythm, Update, Watch};
pub use projects::Deletion;
pub use releases::Act;
pub use routes::DeploymentsAsked;

use reqwest::header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, HeaderValue};
use reqwest::{ClientBuilder, Url};
use std::time::Duration;

/// Because a server that does not even take the connection in this time is away.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// Because API Gateway gives up on a call after 30 seconds; later than this no answer comes.
const CALL_TIMEOUT: Duration = Duration::from_secs(31);
/// Because three repeats outlast a function's cold start or a moment of throttling, and a person still waits for them.
const TRIES: u32 = 4;
/// The wait before the first repeat; it doubles with each, and chance shortens it by up to a half.
const BACKOFF: Duration = Duration::from_millis(300);

/// The API at one address, as one token.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    /// For the live channel: its tickets speak for themselves, so the token stays away from it.
    sockets: reqwest::Client,
    base: Url,
    tries: u32,
    backoff: Duration,
}

/// Where the API is, and who calls.
#[derive(Clone)]
pub struct Settings<'a> {
    /// `https://api.example.com`, with a path prefix if the API stands under one.
    pub base_url: &'a str,
    /// `th_…`
    pub token: &'a str,
    /// What calls, for the record: `cli/0.1.0`.
    pub origin: &'a str,
    /// Another `Host` than the address says, for an API behind a name that does not resolve.
    pub host_header: Option<&'a str>,
}

impl Client {
    /// The API at this address, called with this token by this program (`cli/0.1.0`).
    pub fn new(base_url: &str, token: &str, origin: &str) -> Result<Self, Error> {
        Self::with(Settings {
            base_url,
            token,
            origin,
            host_header: None,
        })
    }

    /// The same with every setting.
    #[allow(
        clippy::disallowed_methods,
        reason = "the API's address is the caller's own configuration, often of a private network"
    )]
    pub fn with(settings: Settings<'_>) -> Result<Self, Error> {
        let built = |builder: ClientBuilder| {
            builder
                .user_agent(concat!("triphammer-client/", env!("CARGO_PKG_VERSION")))
                .connect_timeout(CONNECT_TIMEOUT)
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .map_err(|error| Error::Setting(format!("the HTTP client cannot start: {error}")))
        };
        let http = ClientBuilder::new()
            .default_headers(headers(&settings)?)
            .timeout(CALL_TIMEOUT);
        Ok(Self {
            http: built(http)?,
            // A WebSocket begins as HTTP/1.1, and has no end that could be timed.
            sockets: built(ClientBuilder::new().http1_only())?,
            base: base(settings.base_url)?,
            tries: TRIES,
            backoff: BACKOFF,
        })
    }

    /// How often a call is tried at most. A caller that polls anyway says 1, and sees each failure.
    pub fn with_tries(mut self, tries: u32) -> Self {
        self.tries = tries.max(1);
        self
    }

    /// The wait before the first repeat.
    pub fn with_backoff(mut self, backoff: Duration) -> Self {
        self.backoff = backoff;
        self
    }

    /// The address with these segments behind its own path.
    fn address(&self, segments: &[&str]) -> Url {
        let mut address = self.base.clone();
        if let Ok(mut path) = address.path_segments_mut() {
            path.pop_if_empty().extend(segments);
        }
        address
    }
}

fn base(text: &str) -> Result<Url, Error> {
    let url: Url = text
        .trim()
        .parse()
        .map_err(|why| Error::Setting(format!("the API's address {text:?} is not a URL: {why}")))?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(Error::Setting(format!(
            "the API's address {text:?} must begin with https:// or http://"
        )));
    }
    if url.query().is_some() || url.fragment().is_some() || !url.username().is_empty() {
        return Err(Error::Setting(format!(
            "the API's address {text:?} must be a plain URL, without user, query or fragment"
        )));
    }
    Ok(url)
}

fn headers(settings: &Settings<'_>) -> Result<HeaderMap, Error> {
    let value = |what: &str, text: &str| {
        HeaderValue::from_str(text)
            .map_err(|_| Error::Setting(format!("{what} has characters that no header may have")))
    };
    let mut headers = HeaderMap::new();
    let mut token = value("the token", &format!("Bearer {}", settings.token.trim()))?;
    token.set_sensitive(true);
    headers.insert(AUTHORIZATION, token);
    headers.insert(
        HeaderName::from_static("x-triphammer-client"),
        value("the program's name", settings.origin)?,
    );
    if let Some(host) = settings.host_header {
        headers.insert(HOST, value("the host header", host)?);
    }
    Ok(headers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(base: &str) -> String {
        Client::new(base, "th_x", "cli/0")
            .expect("a client")
            .address(&["v1", "sites", "01J"])
            .to_string()
    }

    #[test]
    fn a_path_prefix_stays_in_front_with_or_without_a_slash() {
        for base in [
            "http://127.0.0.1:4566/_aws/execute-api/0000cafe/$default",
            "http://127.0.0.1:4566/_aws/execute-api/0000cafe/$default/",
        ] {
            assert_eq!(
                address(base),
                "http://127.0.0.1:4566/_aws/execute-api/0000cafe/$default/v1/sites/01J"
            );
        }
        assert_eq!(
            address("https://api.example.com"),
            "https://api.example.com/v1/sites/01J"
        );
    }

    #[test]
    fn an_address_that_is_none_is_refused_with_words() {
        for base in [
            "api.example.com",
            "ftp://x",
            "https://x/?a=b",
            "",
            "https://me@x/",
        ] {
            assert!(
                matches!(
                    Client::new(base, "th_x", "cli/0"),
                    Err(Error::Setting(why)) if why.contains("address")
                ),
                "{base}"
            );
        }
        assert!(matches!(
            Client::new("https://x", "th_\n", "cli/0\n"),
            Err(Error::Setting(_))
        ));
    }
}
