//! The object store, as a presigned URL shows it: one part put, one range got.
//!
//! Promise: every answer is one of a few kinds, each of which says what to do next; nothing waits without an end.

use crate::jobs::Tempo;
use crate::jobs::callback::{client, reason};
use protocol::job::Url;
use std::io::Read;
use std::time::Duration;
use ureq::http::{Response, StatusCode};

/// A line that is slower than this cannot carry a backup in a useful time.
const BYTES_A_SECOND_AT_LEAST: u64 = 32 * 1024;
/// S3 explains itself in some hundred bytes of XML, which nobody reads.
const REST_LIMIT_BYTES: u64 = 64 * 1024;

/// The client for all objects of a job.
#[derive(Debug)]
pub struct Store {
    agent: ureq::Agent,
    silence: Duration,
}

/// What came of a part.
#[derive(Debug, PartialEq, Eq)]
pub enum Put {
    /// The store has it.
    Stored {
        /// As the store names it.
        etag: String,
    },
    /// Not now: the store is away, slow, overworked, or broke off.
    Again {
        /// For operators.
        why: String,
    },
    /// The URL is not good any more.
    Expired,
    /// It will not have this.
    Refused(u16),
}

/// What came of a range.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// All of it came.
    All,
    /// Some of it, or nothing: the store is away, slow, overworked, or broke off.
    Cut {
        /// For operators.
        why: String,
    },
    /// The URL is not good any more.
    Expired,
    /// The object has another length than it should.
    OtherLength,
    /// It will not give this.
    Refused(u16),
}

/// A stretch of an object.
#[derive(Debug, Clone, Copy)]
pub struct Range {
    /// Its first byte.
    pub from: u64,
    /// The byte after its last; beyond `from`.
    pub to: u64,
    /// The length that the whole object should have.
    pub of: u64,
}

impl Store {
    /// With this patience.
    pub fn new(tempo: &Tempo) -> Self {
        Self {
            agent: client(tempo, None, Some(tempo.silence)),
            silence: tempo.silence,
        }
    }

    fn within(&self, bytes: u64) -> Option<Duration> {
        Some(self.silence + Duration::from_secs(bytes / BYTES_A_SECOND_AT_LEAST))
    }

    /// Put a part.
    pub fn put(&self, url: &Url, bytes: &[u8]) -> Put {
        let mut request = self.agent.put(&url.url);
        for (name, value) in &url.headers {
            request = request.header(name, value);
        }
        let request = request
            .config()
            .timeout_global(self.within(bytes.len() as u64))
            .build();
        let mut answer = match request.send(bytes) {
            Ok(answer) => answer,
            Err(error) => {
                let why = reason(&error);
                return Put::Again { why };
            }
        };
        let etag = header(&answer, "etag");
        // Read to its end, so that the connection serves the next part.
        let rest = answer
            .body_mut()
            .with_config()
            .limit(REST_LIMIT_BYTES)
            .read_to_vec();
        match answer.status() {
            status if status.is_success() => match (etag, rest) {
                (Some(etag), Ok(_)) => Put::Stored { etag },
                _ => Put::Again {
                    why: "it broke off".into(),
                },
            },
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => Put::Expired,
            status if is_passing(status) => Put::Again {
                why: status.to_string(),
            },
            status => Put::Refused(status.as_u16()),
        }
    }

    /// Get a range, added to `into`; what came before it broke off is there too.
    pub fn get(&self, url: &Url, range: Range, into: &mut Vec<u8>) -> Got {
        let wanted = range.to - range.from;
        let mut request = self
            .agent
            .get(&url.url)
            .header("Range", format!("bytes={}-{}", range.from, range.to - 1));
        for (name, value) in &url.headers {
            request = request.header(name, value);
        }
        let request = request.config().timeout_global(self.within(wanted)).build();
        let answer = match request.call() {
            Ok(answer) => answer,
            Err(error) => {
                let why = reason(&error);
                return Got::Cut { why };
            }
        };
        match answer.status() {
            StatusCode::PARTIAL_CONTENT => {
                if header(&answer, "content-range") != Some(said(range)) {
                    return Got::OtherLength;
                }
            }
            // Without ranges all of it comes, which will do when all of it was asked for.
            StatusCode::OK if wanted == range.of => {
                let length = answer.body().content_length();
                if length.is_some_and(|length| length != range.of) {
                    return Got::OtherLength;
                }
            }
            StatusCode::RANGE_NOT_SATISFIABLE => return Got::OtherLength,
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => return Got::Expired,
            status if is_passing(status) => {
                let why = status.to_string();
                return Got::Cut { why };
            }
            status => return Got::Refused(status.as_u16()),
        }
        let before = into.len() as u64;
        let mut body = answer.into_body().into_reader().take(wanted);
        match body.read_to_end(into) {
            Ok(_) if into.len() as u64 - before == wanted => Got::All,
            _ => Got::Cut {
                why: "it broke off".into(),
            },
        }
    }
}

fn said(range: Range) -> String {
    format!("bytes {}-{}/{}", range.from, range.to - 1, range.of)
}

fn header<T>(answer: &Response<T>, name: &str) -> Option<String> {
    Some(answer.headers().get(name)?.to_str().ok()?.to_string())
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS | StatusCode::CONFLICT
        )
}
