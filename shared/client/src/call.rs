//! One call: sent, repeated when that is safe, read.
//!
//! Promise: every try sends the same bytes and the same key. What could happen twice is repeated only if it was surely not done.

use crate::{Client, Error};
use reqwest::header::{CONTENT_TYPE, HeaderMap, RETRY_AFTER};
use reqwest::{Method, StatusCode, Url};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Because a longer pause than this is better left to the person who waits.
const RETRY_AFTER_LIMIT: Duration = Duration::from_secs(20);

/// What a repeat of a call does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repeat {
    /// The same again: it reads, it is sent with a key, or the second time changes nothing.
    Harmless,
    /// Something else, so it is repeated only when the first was surely not done.
    Telling,
}

/// A call in the making.
pub(crate) struct Call {
    method: Method,
    address: Url,
    body: Option<Vec<u8>>,
    key: Option<String>,
    repeat: Repeat,
}

enum Failed {
    /// The connection was not made, or the API took nothing on.
    NotDone(Error, Option<Duration>),
    /// Nobody knows whether it was done.
    Unknown(Error, Option<Duration>),
    /// A repeat gives the same.
    Final(Error),
}

impl Client {
    /// A read.
    pub(crate) fn get(&self, segments: &[&str]) -> Call {
        self.call(Method::GET, segments, Repeat::Harmless)
    }

    /// A change that the API makes once, however often it is sent.
    pub(crate) fn post(&self, segments: &[&str]) -> Call {
        let mut call = self.call(Method::POST, segments, Repeat::Harmless);
        call.body = Some(b"{}".to_vec());
        call
    }

    /// A change of what is there: a second time it comes to the same.
    pub(crate) fn patch(&self, segments: &[&str]) -> Call {
        self.call(Method::PATCH, segments, Repeat::Harmless)
    }

    /// Something in the place of what is there: a second time it comes to the same.
    pub(crate) fn put(&self, segments: &[&str]) -> Call {
        self.call(Method::PUT, segments, Repeat::Harmless)
    }

    /// A removal.
    pub(crate) fn delete(&self, segments: &[&str]) -> Call {
        self.call(Method::DELETE, segments, Repeat::Telling)
    }

    fn call(&self, method: Method, segments: &[&str], repeat: Repeat) -> Call {
        Call {
            method,
            address: self.address(segments),
            body: None,
            key: None,
            repeat,
        }
    }

    /// Until it is answered, or enough was tried.
    pub(crate) async fn send<T: DeserializeOwned>(&self, call: Call) -> Result<T, Error> {
        let mut tried = 1;
        loop {
            let (error, pause) = match self.try_once(&call).await {
                Ok(value) => return Ok(value),
                Err(Failed::Final(error)) => return Err(error),
                Err(Failed::Unknown(error, _)) if call.repeat == Repeat::Telling => {
                    return Err(error);
                }
                Err(Failed::NotDone(error, pause) | Failed::Unknown(error, pause)) => {
                    (error, pause)
                }
            };
            if tried >= self.tries {
                return Err(error);
            }
            let backoff = self.backoff * 2u32.saturating_pow(tried - 1);
            let jittered = backoff.mul_f64(rand::random_range(0.5..=1.0));
            tokio::time::sleep(pause.map_or(jittered, |pause| pause.max(jittered))).await;
            tried += 1;
        }
    }

    async fn try_once<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Failed> {
        let mut request = self.http.request(call.method.clone(), call.address.clone());
        if let Some(body) = &call.body {
            request = request
                .header(CONTENT_TYPE, "application/json")
                .body(body.clone());
        }
        if let Some(key) = &call.key {
            request = request.header("idempotency-key", key);
        }
        let answer = request.send().await.map_err(|error| {
            let unsent = error.is_connect();
            let error = Error::transport(error, &call.address);
            if unsent {
                Failed::NotDone(error, None)
            } else {
                Failed::Unknown(error, None)
            }
        })?;
        let status = answer.status();
        let pause = retry_after(answer.headers());
        let body = answer
            .bytes()
            .await
            .map_err(|error| Failed::Unknown(Error::transport(error, &call.address), None))?;
        if status.is_success() {
            let body: &[u8] = if body.is_empty() { b"null" } else { &body };
            return serde_json::from_slice(body)
                .map_err(|why| Failed::Final(Error::shape(status, &why)));
        }
        let error = Error::answer(status, &body);
        Err(match status {
            StatusCode::TOO_MANY_REQUESTS => Failed::NotDone(error, pause),
            // A gateway says these of a function that may have done its work.
            StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT => Failed::Unknown(error, pause),
            _ => Failed::Final(error),
        })
    }
}

impl Call {
    /// With this as JSON.
    pub(crate) fn body(mut self, body: &impl Serialize) -> Result<Self, Error> {
        let bytes = serde_json::to_vec(body)
            .map_err(|why| Error::Setting(format!("the request cannot be written: {why}")))?;
        self.body = Some(bytes);
        Ok(self)
    }

    /// A create: the API makes one of it, by a key that chance picks.
    pub(crate) fn once(mut self) -> Self {
        self.key = Some(format!("{:032x}", rand::random::<u128>()));
        self
    }

    /// A second one says something else than the first.
    pub(crate) fn telling(mut self) -> Self {
        self.repeat = Repeat::Telling;
        self
    }

    /// With a parameter, when there is a value.
    pub(crate) fn query(mut self, name: &str, value: Option<impl ToString>) -> Self {
        if let Some(value) = value {
            self.address
                .query_pairs_mut()
                .append_pair(name, &value.to_string());
        }
        self
    }
}

/// As seconds; a date is left to the backoff, because clocks differ.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds = headers
        .get(RETRY_AFTER)?
        .to_str()
        .ok()?
        .trim()
        .parse()
        .ok()?;
    Some(Duration::from_secs(seconds).min(RETRY_AFTER_LIMIT))
}
