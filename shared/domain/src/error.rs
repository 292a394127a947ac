//! Why a step did not do its work, in words for two readers.
//!
//! Promise: one enum owns the wire strings, so the Lambda's `errorType` and the machine's `ErrorEquals` cannot differ.

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// The code of an error that came before anything was done on a server: no connection to it.
pub const SERVER_UNREACHABLE: &str = "server_unreachable";

/// What can be done about an error.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    Hash,
    Serialize,
    Deserialize,
    EnumString,
    IntoStaticStr,
    VariantArray,
    utoipa::ToSchema,
)]
#[serde(rename_all = "snake_case")]
pub enum ErrorKind {
    /// Someone else holds it: soon again.
    #[strum(serialize = "Triphammer.Busy")]
    Busy,
    /// Something is away for now: again, with backoff.
    #[strum(serialize = "Triphammer.Unavailable")]
    Unavailable,
    /// The caller's to mend; a repeat will not help.
    #[strum(serialize = "Triphammer.Refused")]
    Refused,
    /// A person stopped it.
    #[strum(serialize = "Triphammer.Cancelled")]
    Cancelled,
    /// This execution no longer owns its deployment: end, touching nothing.
    #[strum(serialize = "Triphammer.Stale")]
    Stale,
    /// Ours to mend.
    #[strum(serialize = "Triphammer.Broken")]
    Broken,
}

impl ErrorKind {
    /// The name that Step Functions matches.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// May the same call succeed later?
    pub fn retryable(self) -> bool {
        match self {
            Self::Busy | Self::Unavailable => true,
            Self::Refused | Self::Cancelled | Self::Stale | Self::Broken => false,
        }
    }
}

/// What a step returns instead of its result.
#[derive(Debug, thiserror::Error)]
#[error("{kind:?} {code}: {public}")]
pub struct StepError {
    /// What can be done.
    pub kind: ErrorKind,
    /// Stable, snake_case: what programs match.
    pub code: String,
    /// For people: what is wrong and what they can do. No internals, no secrets.
    pub public: String,
    /// For operators: the whole chain.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl StepError {
    /// An error of any kind.
    pub fn new(kind: ErrorKind, code: impl Into<String>, public: impl Into<String>) -> Self {
        Self {
            kind,
            code: code.into(),
            public: public.into(),
            source: None,
        }
    }
    /// See [`ErrorKind::Busy`].
    pub fn busy(code: &str, public: impl Into<String>) -> Self {
        Self::new(ErrorKind::Busy, code, public)
    }
    /// See [`ErrorKind::Unavailable`].
    pub fn unavailable(code: &str, public: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, code, public)
    }
    /// See [`ErrorKind::Refused`].
    pub fn refused(code: &str, public: impl Into<String>) -> Self {
        Self::new(ErrorKind::Refused, code, public)
    }
    /// See [`ErrorKind::Stale`].
    pub fn stale(public: impl Into<String>) -> Self {
        Self::new(ErrorKind::Stale, "stale", public)
    }
    /// A fault of ours: people read that it was noted, operators read the cause.
    pub fn broken(source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::new(
            ErrorKind::Broken,
            "internal_error",
            "An error of Triphammer's own; its operators find the cause in the logs.",
        )
        .caused_by(source)
    }
    /// With its cause.
    pub fn caused_by(
        mut self,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        self.source = Some(source.into());
        self
    }
    /// The cause and its causes, in one line, for logs only.
    pub fn chain(&self) -> String {
        let mut line = self.to_string();
        let mut next: Option<&dyn std::error::Error> =
            self.source.as_ref().map(|source| source.as_ref() as _);
        while let Some(cause) = next {
            line.push_str(": ");
            line.push_str(&cause.to_string());
            next = cause.source();
        }
        line
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wire_strings_read_back() {
        for kind in ErrorKind::VARIANTS {
            assert_eq!(kind.as_str().parse::<ErrorKind>().as_ref(), Ok(kind));
        }
    }

    #[test]
    fn the_public_text_of_a_fault_of_ours_names_no_cause() {
        let error = StepError::broken(std::io::Error::other("password=hunter2"));
        assert!(!error.public.contains("hunter2"));
        assert!(error.chain().contains("hunter2"));
    }
}
