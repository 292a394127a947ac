//! Step errors on the wire.
//!
//! Promise: `errorType` is the kind's wire string, `errorMessage` is the failure as JSON: codes are matched, prose is not parsed.

use domain::{ErrorKind, Failure, StepError};
use lambda_runtime::Diagnostic;

/// A step error as Lambda reports it. A type of its own, because both types of the conversion are others'.
#[derive(Debug)]
pub struct Wire(pub StepError);

impl From<Wire> for Diagnostic {
    fn from(Wire(error): Wire) -> Self {
        let failure = Failure::from(&error);
        Diagnostic {
            error_type: error.kind.as_str().to_string(),
            error_message: serde_json::to_string(&failure).unwrap_or(failure.message),
        }
    }
}

/// What Step Functions caught, as a failure for the record.
pub fn caught(error: &str, cause: &str) -> Failure {
    #[derive(serde::Deserialize)]
    struct Cause {
        #[serde(rename = "errorMessage")]
        message: String,
    }
    let ours = serde_json::from_str::<Cause>(cause)
        .ok()
        .and_then(|cause| serde_json::from_str::<Failure>(&cause.message).ok());
    if let (Ok(_), Some(failure)) = (error.parse::<ErrorKind>(), ours) {
        return failure;
    }
    let (code, message) = match error {
        "States.Timeout" | "Sandbox.Timedout" | "States.HeartbeatTimeout" => {
            ("timed_out", "The step took longer than it may.")
        }
        "Lambda.TooManyRequestsException" => (
            "throttled",
            "AWS had no room for the step's function; raise the account's Lambda concurrency.",
        ),
        _ => ("worker_lost", "The step's worker ended without a word."),
    };
    Failure {
        kind: ErrorKind::Broken,
        code: code.to_string(),
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_of_ours_comes_back_from_the_machine_as_it_was() {
        let error =
            StepError::refused("domain_taken", "shop.example.com is served by another site");
        let failure = Failure::from(&error);
        let sent = Diagnostic::from(Wire(error));
        let cause =
            serde_json::json!({"errorType": sent.error_type, "errorMessage": sent.error_message})
                .to_string();
        assert_eq!(caught(&sent.error_type, &cause), failure);
    }

    #[test]
    fn a_dead_worker_is_named_as_such_and_its_cause_stays_out_of_the_record() {
        let failure = caught(
            "Runtime.ExitError",
            "{\"errorMessage\":\"RequestId: x secret=hunter2\"}",
        );
        assert_eq!(failure.code, "worker_lost");
        assert!(!failure.message.contains("hunter2"));
    }
}
