//! Lambda's Runtime API, as far as one function needs it, and a function's process at its other end.
//!
//! Promise: the real binary, started as Lambda starts it; what is timed begins when its event is ready and ends when its
//! answer is here.

use anyhow::{Context, Result, bail};
use axum::extract::{Path as Segments, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::Value;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, mpsc};

/// A function that is not there by then will not come.
const START_WITHIN: Duration = Duration::from_secs(20);
/// What an invocation may take: the template's usual limit.
const CALL_WITHIN: Duration = Duration::from_secs(60);

/// An answer of the function: a value or an error, and when it came.
type Answered = (Result<Value, Value>, Instant);

struct Api {
    events: Mutex<mpsc::UnboundedReceiver<Value>>,
    polled: mpsc::UnboundedSender<Instant>,
    answered: mpsc::UnboundedSender<Answered>,
}

/// A running function.
pub struct Function {
    process: Child,
    events: mpsc::UnboundedSender<Value>,
    polled: mpsc::UnboundedReceiver<Instant>,
    answered: mpsc::UnboundedReceiver<Answered>,
}

impl Function {
    /// Start a binary with these variables and nothing else. Also says how long it took to ask for its first event.
    pub async fn start(binary: &Path, variables: &[(&str, &str)]) -> Result<(Self, Duration)> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let (events, incoming) = mpsc::unbounded_channel();
        let (poll, mut polled) = mpsc::unbounded_channel();
        let (answer, answered) = mpsc::unbounded_channel();
        let api = Arc::new(Api {
            events: Mutex::new(incoming),
            polled: poll,
            answered: answer,
        });
        let routes = Router::new()
            .route("/2018-06-01/runtime/invocation/next", get(next))
            .route(
                "/2018-06-01/runtime/invocation/{id}/response",
                post(response),
            )
            .route("/2018-06-01/runtime/invocation/{id}/error", post(error))
            .with_state(api);
        tokio::spawn(async move { axum::serve(listener, routes).await });
        let began = Instant::now();
        let process = Command::new(binary)
            .env_clear()
            .envs(variables.iter().copied())
            .envs([
                ("AWS_LAMBDA_RUNTIME_API", address.to_string().as_str()),
                ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
                ("AWS_LAMBDA_FUNCTION_VERSION", "1"),
                ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
                ("AWS_REGION", "us-east-1"),
                ("AWS_ACCESS_KEY_ID", "test"),
                ("AWS_SECRET_ACCESS_KEY", "test"),
            ])
            .stdout(Stdio::null())
            .spawn()
            .with_context(|| format!("{} cannot be started", binary.display()))?;
        let first = tokio::time::timeout(START_WITHIN, polled.recv()).await;
        let Ok(Some(asked)) = first else {
            bail!("{} asked for no event", binary.display());
        };
        let function = Self {
            process,
            events,
            polled,
            answered,
        };
        Ok((function, asked - began))
    }

    /// One invocation: what it answered, and how long it took.
    pub async fn call(&mut self, event: Value) -> Result<(Result<Value, Value>, Duration)> {
        let began = Instant::now();
        self.events.send(event)?;
        let answered = tokio::time::timeout(CALL_WITHIN, self.answered.recv()).await;
        let (answer, at) = answered
            .context("no answer")?
            .context("the Runtime API is gone")?;
        // The next one finds it waiting.
        tokio::time::timeout(CALL_WITHIN, self.polled.recv()).await?;
        Ok((answer, at - began))
    }

    /// The most memory it had, in MB.
    pub fn peak_megabytes(&self) -> Result<f64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.process.id()))?;
        let kilobytes: f64 = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().strip_suffix(" kB"))
            .context("/proc has no VmHWM")?
            .parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }
}

impl Drop for Function {
    fn drop(&mut self) {
        let _ended_already = self.process.kill();
        let _reaped = self.process.wait();
    }
}

async fn next(State(api): State<Arc<Api>>) -> Response {
    let _function_is_gone = api.polled.send(Instant::now());
    let Some(event) = api.events.lock().await.recv().await else {
        return StatusCode::GONE.into_response();
    };
    let deadline = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        + CALL_WITHIN;
    let headers = [
        (
            "lambda-runtime-aws-request-id",
            format!("{:032x}", rand::random::<u128>()),
        ),
        (
            "lambda-runtime-deadline-ms",
            deadline.as_millis().to_string(),
        ),
        (
            "lambda-runtime-invoked-function-arn",
            "arn:aws:lambda:us-east-1:000000000000:function:bench".to_string(),
        ),
    ];
    (headers, Json(event)).into_response()
}

async fn response(
    State(api): State<Arc<Api>>,
    Segments(_id): Segments<String>,
    body: String,
) -> StatusCode {
    answered(&api, &body, Ok)
}

async fn error(
    State(api): State<Arc<Api>>,
    Segments(_id): Segments<String>,
    body: String,
) -> StatusCode {
    answered(&api, &body, Err)
}

/// The body is JSON, whatever its header says.
fn answered(api: &Api, body: &str, as_what: fn(Value) -> Result<Value, Value>) -> StatusCode {
    let at = Instant::now();
    let answer = serde_json::from_str(body).unwrap_or_else(|_| Value::String(body.to_string()));
    let _function_is_gone = api.answered.send((as_what(answer), at));
    StatusCode::ACCEPTED
}
