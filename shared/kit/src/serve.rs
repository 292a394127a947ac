//! A step's Lambda process.
//!
//! Promise: made once, then one call after another; what fails at the start says so and ends.

use crate::errors::Wire;
use crate::handler::{Call, Handled, handle};
use crate::{Cloud, Step, StepError};
use domain::Time;
use domain::lifecycle::Worker;
use lambda_runtime::{Context, Diagnostic, LambdaEvent, service_fn};
use std::process::ExitCode as StdExit;
use std::sync::Arc;

/// How a process ends.
pub type Exit = StdExit;

/// Log lines as JSON, at the level that `RUST_LOG` says.
pub fn log_to_stdout() {
    let filter = tracing_subscriber::EnvFilter::try_from_default_env()
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let _already_set = tracing_subscriber::fmt()
        .json()
        .with_env_filter(filter)
        .with_target(false)
        .without_time()
        .try_init();
}

/// Who is at work, from the invocation.
pub fn worker(context: &Context) -> Worker {
    let deadline = Time::from_timestamp_millis(i64::try_from(context.deadline).unwrap_or(i64::MAX))
        .unwrap_or_default();
    Worker {
        request_id: context.request_id.clone(),
        deadline,
    }
}

/// Everything a function's process needs at its start, or how it ends without it.
pub async fn start() -> Result<Cloud, Exit> {
    log_to_stdout();
    Cloud::from_env().await.map_err(|error| {
        tracing::error!(%error, "cannot start");
        Exit::FAILURE
    })
}

/// How a process ends when its runtime did.
pub fn ended(served: Result<(), lambda_runtime::Error>) -> Exit {
    match served {
        Ok(()) => Exit::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "the runtime ended");
            Exit::FAILURE
        }
    }
}

/// The machine waits for a token that nobody would send back: it catches this, and goes on.
fn nothing_to_wait_for() -> Diagnostic {
    Diagnostic {
        error_type: domain::JOB_DONE.to_string(),
        error_message: String::new(),
    }
}

/// Serve a step until the process is stopped.
pub async fn serve<S: Step>(make: impl FnOnce(&Cloud) -> S) -> Exit {
    let cloud = match start().await {
        Ok(cloud) => cloud,
        Err(exit) => return exit,
    };
    let step = Arc::new(make(&cloud));
    let served = lambda_runtime::run(service_fn(|event: LambdaEvent<serde_json::Value>| {
        let (cloud, step) = (cloud.clone(), Arc::clone(&step));
        async move {
            let worker = worker(&event.context);
            let call: Call = serde_json::from_value(event.payload)
                .map_err(|error| Diagnostic::from(Wire(StepError::broken(error))))?;
            let waits = call.token.is_some();
            match handle(&cloud, step, call, worker).await {
                Ok(Handled::Done) if waits => Err(nothing_to_wait_for()),
                Ok(_) => Ok(()),
                Err(error) => Err(Diagnostic::from(Wire(error))),
            }
        }
    }))
    .await;
    ended(served)
}
