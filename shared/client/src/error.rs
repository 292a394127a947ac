//! Why a call did not give what was asked for.
//!
//! Promise: one variant for each thing a caller may do differently; no message holds the token or a terminal's control characters.

use contract::Problem;
use reqwest::StatusCode;
use std::error::Error as _;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API said no, with its reasons.
    #[error("{}", .0.detail)]
    Problem(Box<Problem>),
    /// No answer came, even after repeats.
    #[error("{0}")]
    Transport(String),
    /// An answer came that is not the API's: a proxy's page, or another release's shape.
    #[error("{message}")]
    Unexpected {
        /// The HTTP status.
        status: u16,
        /// For people.
        message: String,
    },
    /// The client was given something it cannot call with.
    #[error("{0}")]
    Setting(String),
}

impl Error {
    /// The HTTP status, when there was an answer.
    pub fn status(&self) -> Option<u16> {
        match self {
            Self::Problem(problem) => Some(problem.status),
            Self::Unexpected { status, .. } => Some(*status),
            Self::Transport(_) | Self::Setting(_) => None,
        }
    }

    /// The caller is not known, or may not do this.
    pub fn is_denied(&self) -> bool {
        matches!(self.status(), Some(401 | 403))
    }

    /// The same call may well succeed in a moment.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Transport(_) => true,
            Self::Setting(_) => false,
            Self::Problem(_) | Self::Unexpected { .. } => self
                .status()
                .is_some_and(|status| status == 429 || status >= 500),
        }
    }

    pub(crate) fn transport(error: reqwest::Error, address: &reqwest::Url) -> Self {
        let host = address.origin().ascii_serialization();
        if error.is_timeout() && !error.is_connect() {
            return Self::Transport(format!("{host} did not answer in time"));
        }
        let error = error.without_url();
        let mut cause = error.source();
        let mut why = error.to_string();
        while let Some(deeper) = cause {
            why = deeper.to_string();
            cause = deeper.source();
        }
        if error.is_connect() {
            Self::Transport(format!("{host} cannot be reached: {}", plain(&why)))
        } else {
            Self::Transport(format!("the answer of {host} broke off: {}", plain(&why)))
        }
    }

    /// An answer that is no success: the API's own problem, or whatever stands between.
    pub(crate) fn answer(status: StatusCode, body: &[u8]) -> Self {
        if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
            return Self::Problem(Box::new(problem));
        }
        let name = status.canonical_reason().unwrap_or("an unknown status");
        let said = match excerpt(body) {
            said if said.is_empty() || said == name => String::new(),
            said => format!(": {said}"),
        };
        // A gateway's or proxy's word for an API that is away needs no doubt about the address.
        let doubt = match status.as_u16() {
            429 | 500.. => "",
            _ => ", but not as Triphammer's API does",
        };
        let code = status.as_u16();
        Self::Unexpected {
            status: code,
            message: format!("the API's address answered {code} {name}{doubt}{said}"),
        }
    }

    /// A success whose body is not what this release knows.
    pub(crate) fn shape(status: StatusCode, why: &serde_json::Error) -> Self {
        Self::Unexpected {
            status: status.as_u16(),
            message: format!(
                "the answer is not what this release expects ({}); is the address Triphammer's API, and of the same release?",
                plain(&why.to_string())
            ),
        }
    }
}

/// Because a person reads one line, not a page.
const EXCERPT_CHARACTERS: usize = 160;

/// The first words of a body; nothing of a web page, which says nothing in its first words.
fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    if let Ok(value) = serde_json::from_str::<serde_json::Value>(&text)
        && let Some(message) = value.get("message").and_then(|message| message.as_str())
    {
        return plain(message);
    }
    if text.trim_start().starts_with('<') {
        return String::new();
    }
    plain(&text)
}

fn plain(text: &str) -> String {
    let flat: String = text
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(EXCERPT_CHARACTERS)
        .collect();
    flat.trim().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(status: u16, body: &str) -> String {
        let status = StatusCode::from_u16(status).expect("a status");
        Error::answer(status, body.as_bytes()).to_string()
    }

    #[test]
    fn a_problem_is_read_as_one() {
        let body = r#"{"type":"t","title":"Conflict","status":409,"code":"target_busy","detail":"Busy.",
            "held_by":{"deployment_id":"01JD2Z6E9W8Q4S5T6V7X8Y9ZAB","operation_name":"Create site","since":"2026-01-02T03:04:05Z"}}"#;
        let error = Error::answer(StatusCode::CONFLICT, body.as_bytes());
        let Error::Problem(problem) = error else {
            panic!("{error:?}")
        };
        assert_eq!(problem.code, "target_busy");
        assert_eq!(
            problem.held_by.expect("a holder").operation_name,
            "Create site"
        );
    }

    #[test]
    fn what_stands_between_is_named_without_its_page_or_its_escape_codes() {
        assert_eq!(
            message(502, "<html><body>Bad gateway</body></html>"),
            "the API's address answered 502 Bad Gateway"
        );
        assert!(message(403, r#"{"message":"Explicit deny"}"#).ends_with("does: Explicit deny"));
        assert!(!message(500, "a\u{1b}[31mb").contains('\u{1b}'));
    }

    #[test]
    fn a_refusal_of_the_gateway_counts_as_denied() {
        assert!(Error::answer(StatusCode::FORBIDDEN, br#"{"message":"Forbidden"}"#).is_denied());
        assert!(Error::answer(StatusCode::BAD_GATEWAY, b"").is_transient());
        assert!(!Error::answer(StatusCode::CONFLICT, b"").is_transient());
    }
}
