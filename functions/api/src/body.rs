//! Reading requests: bodies, ids in paths, idempotency keys.
//!
//! Promise: what cannot be read is refused with where and why, before anything else happens.

use crate::auth::Caller;
use crate::problem::ApiError;
use axum::body::Bytes;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use contract::FieldProblem;
use records::Idempotency;
use serde::Deserialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::str::FromStr;

/// A JSON body, and the hash that tells a repeat from another request.
pub struct Body<T> {
    /// What was sent.
    pub value: T,
    /// Of method, path and body.
    pub hash: String,
    key: Option<String>,
}

impl<T> Body<T> {
    /// The caller's idempotency key, when one was sent.
    pub fn idempotency(&self, caller: &Caller) -> Option<Idempotency> {
        self.key.as_ref().map(|key| Idempotency {
            key: format!("{}:{key}", caller.token_id),
            body_hash: self.hash.clone(),
        })
    }
}

/// What an Idempotency-Key may look like: visible ASCII, at most this long.
const KEY_LIMIT_CHARACTERS: usize = 200;

/// The header, as it is described; [`Body`] reads it.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "it is described only")]
pub struct IdempotencyKey {
    /// Makes a repeat answer as the first call did: any text of the caller's, new for each call.
    #[param(
        rename = "idempotency-key",
        nullable = false,
        min_length = 1,
        max_length = 200,
        pattern = "^[!-~]+$"
    )]
    idempotency_key: Option<String>,
}

/// The most of a parser's message that is passed on: it may repeat a word of the request, which may be all of it.
const MESSAGE_LIMIT_BYTES: usize = 200;

fn short(message: &impl ToString) -> String {
    let mut text = message.to_string();
    if text.len() > MESSAGE_LIMIT_BYTES {
        text.truncate(text.floor_char_boundary(MESSAGE_LIMIT_BYTES));
        text.push('…');
    }
    text
}

fn idempotency_key(request: &Request) -> Result<Option<String>, ApiError> {
    let Some(header) = request.headers().get("idempotency-key") else {
        return Ok(None);
    };
    match header.to_str() {
        Ok(key)
            if (1..=KEY_LIMIT_CHARACTERS).contains(&key.len())
                && key.bytes().all(|b| b.is_ascii_graphic()) =>
        {
            Ok(Some(key.to_string()))
        }
        _ => Err(ApiError::bad_request(
            "bad_idempotency_key",
            "An Idempotency-Key has 1 to 200 visible ASCII characters.",
        )),
    }
}

/// JSON has one kind of number: where 22 is taken, 22.0 is. A list is no object, though serde would take its items for fields.
fn read<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(serde_json::Error::custom("a list where an object belongs"));
    }
    serde_json::from_slice(bytes).or_else(|error| {
        let Ok(mut value) = serde_json::from_slice(bytes) else {
            return Err(error);
        };
        whole_numbers(&mut value);
        // What it said of the body as it was sent names a place in it.
        serde_json::from_value(value).map_err(|_| error)
    })
}

fn whole_numbers(value: &mut Value) {
    /// Beyond these a double stands for several whole numbers.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Value::Number(number) => {
            let float = number.as_f64().filter(|_| number.is_f64());
            if let Some(float) = float.filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)
            {
                *number = (float as i64).into();
            }
        }
        Value::Array(all) => all.iter_mut().for_each(whole_numbers),
        Value::Object(members) => members.values_mut().for_each(whole_numbers),
        _ => {}
    }
}

impl<T: DeserializeOwned, S: Send + Sync> FromRequest<S> for Body<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let key = idempotency_key(&request)?;
        let place = format!("{} {}", request.method(), request.uri().path());
        let json = request
            .headers()
            .get(CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .is_none_or(|kind| {
                kind.starts_with("application/json") || kind.starts_with("text/plain")
            });
        let bytes =
            Bytes::from_request(request, state)
                .await
                .map_err(|rejection| match rejection.status() {
                    StatusCode::PAYLOAD_TOO_LARGE => ApiError::new(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "too_large",
                        "Too large",
                        "A request may weigh 64 KB at most; 512 KB where a Compose file or values are sent.",
                    ),
                    _ => ApiError::bad_request("unreadable", "The body could not be read."),
                })?;
        if !json {
            return Err(ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "not_json",
                "Not JSON",
                "Send the body as application/json.",
            ));
        }
        let bytes: &[u8] = if bytes.is_empty() { b"{}" } else { &bytes };
        let value = read(bytes).map_err(|error| {
            ApiError::bad_request(
                "malformed_json",
                format!("The body is not what is expected: {}.", short(&error)),
            )
        })?;
        let mut digest = Sha256::new();
        digest.update(place.as_bytes());
        digest.update(bytes);
        Ok(Self {
            value,
            hash: hex::encode(digest.finalize()),
            key,
        })
    }
}

/// An id in the path. Text that is no id is the id of nothing: a 404.
pub struct Id<I>(pub I);

impl<I: FromStr + Send, S: Send + Sync> FromRequestParts<S> for Id<I> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Path(text) = Path::<String>::from_request_parts(parts, state)
            .await
            .map_err(|_| ApiError::not_found("id"))?;
        text.parse()
            .map(Self)
            .map_err(|_| ApiError::not_found("id"))
    }
}

/// Query parameters; unknown ones are refused by their types.
pub struct Asked<T>(pub T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Asked<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let Query(value) =
            Query::<T>::from_request_parts(parts, state)
                .await
                .map_err(|rejection| {
                    ApiError::bad_request(
                        "bad_query",
                        format!(
                            "The query is not what is expected: {}.",
                            short(&rejection.body_text())
                        ),
                    )
                })?;
        Ok(Self(value))
    }
}

/// `?dry_run=true`: answer with the plan, change nothing.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct DryRun {
    /// Answer with the plan, change nothing.
    #[serde(default)]
    pub dry_run: bool,
}

/// No parameters: a `dry_run` that would be ignored must not be taken for one that was heard.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoQuery {}

/// Where a page begins and how long it is.
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Paging {
    /// From the page before.
    pub cursor: Option<String>,
    /// 1 to 100 entries.
    #[param(minimum = 1, maximum = 100, default = 20)]
    pub limit: Option<u32>,
}

impl Paging {
    /// Within its bounds.
    pub fn limit(&self) -> Result<u32, ApiError> {
        limit(self.limit)
    }
}

/// Within its bounds.
pub fn limit(asked: Option<u32>) -> Result<u32, ApiError> {
    match asked.unwrap_or(20) {
        limit @ 1..=100 => Ok(limit),
        _ => Err(ApiError::bad_request(
            "bad_query",
            "The query is not what is expected: limit must be 1 to 100.",
        )),
    }
}

/// Collects what is wrong with a request's fields, so that all of it is said at once.
#[derive(Default)]
pub struct Fields(Vec<FieldProblem>);

impl Fields {
    /// The value in its stored form, or a note.
    pub fn check<T>(&mut self, field: &str, value: Result<T, domain::names::BadName>) -> Option<T> {
        value
            .map_err(|why| self.refuse(field, why.to_string()))
            .ok()
    }
    /// A note.
    pub fn refuse(&mut self, field: &str, message: impl Into<String>) {
        self.0.push(FieldProblem {
            field: field.to_string(),
            message: message.into(),
        });
    }
    /// All notes as an error.
    pub fn end(self) -> Result<(), ApiError> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(ApiError::invalid(self.0))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_no_object() {
        #[derive(Debug, Deserialize)]
        struct Asked {
            #[serde(default)]
            _name: Option<String>,
        }
        assert!(read::<Asked>(b" [null]").is_err());
        assert!(read::<Asked>(b"{}").is_ok());
    }

    #[test]
    fn a_whole_number_may_be_written_with_a_point_and_no_other() {
        #[derive(Debug, PartialEq, Deserialize)]
        struct Asked {
            replicas: u32,
        }
        for text in [
            r#"{"replicas":2}"#,
            r#"{"replicas":2.0}"#,
            r#"{"replicas":2e0}"#,
        ] {
            assert_eq!(
                read::<Asked>(text.as_bytes()).ok(),
                Some(Asked { replicas: 2 })
            );
        }
        for text in [
            r#"{"replicas":2.5}"#,
            r#"{"replicas":-1.0}"#,
            r#"{"replicas":1e300}"#,
            "{",
        ] {
            assert!(read::<Asked>(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn what_is_refused_is_not_repeated_at_length() {
        let unknown = format!(r#"{{"{}":1}}"#, "ä".repeat(10_000));
        let error = serde_json::from_str::<NoQuery>(&unknown).expect_err("refused");
        assert!(short(&error).len() <= MESSAGE_LIMIT_BYTES + '…'.len_utf8());
        assert_eq!(short(&"short"), "short");
    }
}
