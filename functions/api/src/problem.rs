//! Errors as people and programs read them.
//!
//! Promise: one place turns every refusal and fault into problem+json; a fault's cause goes to the log, never out.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use contract::{FieldProblem, Holder, Problem};
use domain::{ErrorKind, StepError};
use kit::releases::Refused;
use records::{CreateRefused, RecordsError};

/// See the module.
#[derive(Debug)]
pub struct ApiError(Box<Problem>);

impl ApiError {
    /// Any problem.
    pub fn new(status: StatusCode, code: &str, title: &str, detail: impl Into<String>) -> Self {
        Self(Box::new(Problem {
            kind: format!("https://triphammer.dev/problems/{code}"),
            title: title.to_string(),
            status: status.as_u16(),
            code: code.to_string(),
            detail: detail.into(),
            errors: Vec::new(),
            held_by: None,
            request_id: None,
        }))
    }
    /// Not there, or not this team's: the two look the same.
    pub fn not_found(what: &str) -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "Not found",
            format!("There is no such {what}."),
        )
    }
    /// The address takes other methods.
    pub fn method_not_allowed() -> Self {
        Self::new(
            StatusCode::METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "Method not allowed",
            "This address does not take this method.",
        )
    }
    /// No token, or none that is known.
    pub fn unauthorized(detail: &str) -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "unauthorized",
            "Not authenticated",
            detail,
        )
    }
    /// A known token that may not do this.
    pub fn forbidden(scope: &str) -> Self {
        Self::new(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Not allowed",
            format!("This needs the scope {scope}, which the token or its role does not have."),
        )
    }
    /// The body is not what it must be.
    pub fn bad_request(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, "Malformed request", detail)
    }
    /// Fields at fault.
    pub fn invalid(errors: Vec<FieldProblem>) -> Self {
        let names: Vec<_> = errors
            .iter()
            .map(|error| format!("{} {}", error.field, error.message))
            .collect();
        let mut problem = Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            "invalid_fields",
            "Invalid fields",
            names.join("; "),
        );
        problem.0.errors = errors;
        problem
    }
    /// Well formed, but not possible as things stand.
    pub fn unprocessable(code: &str, detail: impl Into<String>) -> Self {
        Self::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            code,
            "Not possible",
            detail,
        )
    }
    /// In the way of something else.
    pub fn conflict(code: &str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, code, "Conflict", detail)
    }
    fn away() -> Self {
        Self::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable",
            "Away for now",
            "Triphammer's records are away for now; try again in a moment. Nothing was changed.",
        )
    }
    fn fault() -> Self {
        Self::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "internal_error",
            "Internal error",
            "An error of Triphammer's own; its operators find the cause in the logs.",
        )
    }
}

impl From<RecordsError> for ApiError {
    fn from(error: RecordsError) -> Self {
        match &error {
            RecordsError::NotFound(what) => Self::not_found(what),
            RecordsError::LimitReached { of, what, limit } => Self::conflict(
                "limit_reached",
                format!("A {of} has at most {limit} {what}; remove one first."),
            ),
            RecordsError::Taken(what) => {
                Self::conflict("taken", format!("{what} is taken by another one."))
            }
            RecordsError::InUse { code, why } => Self::conflict(code, why),
            RecordsError::BadCursor => {
                Self::bad_request("bad_cursor", "The cursor is not one that a page gave.")
            }
            RecordsError::Unavailable(_) | RecordsError::Contended => {
                tracing::warn!(error = StepError::from(error).chain(), "records are away");
                Self::away()
            }
            RecordsError::Malformed(..) => {
                tracing::error!(
                    error = StepError::from(error).chain(),
                    "records are malformed"
                );
                Self::fault()
            }
        }
    }
}

impl From<Refused> for ApiError {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::AutoDeploysPaused(_)
            | Refused::NoLongerAllowed(_)
            | Refused::ServersChanged(_) => Self::conflict(refused.code(), refused.to_string()),
            _ => Self::unprocessable(refused.code(), refused.to_string()),
        }
    }
}

impl From<StepError> for ApiError {
    fn from(error: StepError) -> Self {
        match error.kind {
            ErrorKind::Refused => Self::unprocessable(&error.code, &error.public),
            ErrorKind::Busy | ErrorKind::Unavailable => {
                tracing::warn!(error = error.chain(), "away");
                Self::away()
            }
            ErrorKind::Cancelled | ErrorKind::Stale => Self::conflict(
                "changed_meanwhile",
                "The deployment was changed by someone else; look again.",
            ),
            ErrorKind::Broken => {
                tracing::error!(error = error.chain(), "fault");
                Self::fault()
            }
        }
    }
}

impl From<CreateRefused> for ApiError {
    fn from(refused: CreateRefused) -> Self {
        match refused {
            CreateRefused::KeyReused => Self::unprocessable(
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request; use a new one.",
            ),
            CreateRefused::Held {
                deployment_id,
                operation_name,
                since,
            } => {
                let when = since.map_or(String::new(), |since| {
                    format!(" since {}", domain::rfc3339(since))
                });
                let mut problem = Self::conflict(
                    "target_busy",
                    format!(
                        "\u{201c}{operation_name}\u{201d} ({deployment_id}) is at work on it{when}; try again when it has ended, or cancel it."
                    ),
                );
                problem.0.held_by = Some(Holder {
                    deployment_id,
                    operation_name,
                    since: since.unwrap_or_default(),
                });
                problem
            }
            CreateRefused::Taken(claim) => {
                Self::conflict("taken", format!("{} is taken by another one.", claim.what))
            }
            CreateRefused::NotDue => Self::conflict(
                "changed_meanwhile",
                "This occurrence was begun by someone else; look again.",
            ),
            CreateRefused::TargetExists => Self::conflict("already_exists", "It exists already."),
            CreateRefused::Records(error) => error.into(),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0)).into_response();
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if status == StatusCode::UNAUTHORIZED {
            response
                .headers_mut()
                .insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
