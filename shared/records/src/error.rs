//! Why the store did not answer.
//!
//! Promise: one variant per thing a caller may do differently.

use domain::StepError;

/// See the module.
#[derive(Debug, thiserror::Error)]
pub enum RecordsError {
    /// The table is away or throttled: again, with backoff.
    #[error("the records are away for now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A record is not as it must be, or a request is wrong: ours to mend.
    #[error("a record or request is malformed: {0}")]
    Malformed(
        String,
        #[source] Option<Box<dyn std::error::Error + Send + Sync>>,
    ),
    /// It kept changing under us.
    #[error("the record kept changing while it was being written")]
    Contended,
    /// There is no such record in this team.
    #[error("no such {0}")]
    NotFound(&'static str),
    /// There are as many as there may be.
    #[error("no more than {limit} {what} in a {of}")]
    LimitReached {
        /// In what: "team".
        of: &'static str,
        /// Of what, for people: "webhook endpoints".
        what: &'static str,
        /// How many it may have.
        limit: u64,
    },
    /// Another one has it; for people: "The name nightly of a backup configuration".
    #[error("{0} is taken")]
    Taken(String),
    /// Something else needs it.
    #[error("{why}")]
    InUse {
        /// For programs: `project_in_use`.
        code: &'static str,
        /// For people: what needs it, and what to do.
        why: String,
    },
    /// The cursor is none of ours.
    #[error("not a cursor")]
    BadCursor,
}

impl From<RecordsError> for StepError {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::Unavailable(_) => {
                StepError::unavailable("records_unavailable", "The records are away for now.")
                    .caused_by(error)
            }
            RecordsError::Contended => StepError::busy(
                "records_contended",
                "The record is being changed by others.",
            )
            .caused_by(error),
            RecordsError::NotFound(what) => {
                StepError::refused("not_found", format!("There is no such {what} any more."))
            }
            RecordsError::LimitReached { of, what, limit } => StepError::refused(
                "limit_reached",
                format!("A {of} has at most {limit} {what}."),
            ),
            RecordsError::Taken(what) => {
                StepError::refused("taken", format!("{what} is taken by another one."))
            }
            RecordsError::InUse { code, why } => StepError::refused(code, why),
            RecordsError::Malformed(..) | RecordsError::BadCursor => StepError::broken(error),
        }
    }
}

/// Throttling, time-outs and server faults are for another try; what is left is ours.
pub(crate) fn from_sdk<E>(error: aws_sdk_dynamodb::error::SdkError<E>) -> RecordsError
where
    E: aws_sdk_dynamodb::error::ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
    let passing = match &error {
        SdkError::ServiceError(service) => {
            service.raw().status().as_u16() >= 500
                || matches!(
                    service.err().code(),
                    Some(
                        "ThrottlingException"
                            | "ProvisionedThroughputExceededException"
                            | "RequestLimitExceeded"
                            | "TransactionInProgressException"
                    )
                )
        }
        SdkError::ConstructionFailure(_) => false,
        _ => true,
    };
    let code = error.code().unwrap_or("no code").to_string();
    if passing {
        RecordsError::Unavailable(Box::new(error))
    } else {
        RecordsError::Malformed(code, Some(Box::new(error)))
    }
}
