//! Asking a server's agent.
//!
//! Promise: every request carries the deployment's mark and fence; the agent's errors keep their kind and words.

use crate::AGENT_USER;
use crate::keys::read_private;
use crate::ssh::{Login, Session};
use domain::{ErrorKind, Server, ServerId, StepError};
use kit::job::Ticket;
use kit::{At, Cloud};
use protocol::job::{JobStart, JobStarted, Work};
use protocol::{AgentError, AgentErrorKind, Call, Lease, PROTOCOL_VERSION, Reply, Request};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// The agent gives up before our own wait ends, so that its word arrives.
const CALL_WITHIN: Duration = Duration::from_secs(45);
/// Between its end and ours.
const GRACE: Duration = Duration::from_secs(5);

/// All servers of all teams.
#[derive(Debug, Clone)]
pub struct Hosts {
    cloud: Cloud,
}

impl Hosts {
    /// With what a function is given.
    pub fn new(cloud: &Cloud) -> Self {
        Self {
            cloud: cloud.clone(),
        }
    }

    /// The records and secrets behind it.
    pub fn cloud(&self) -> &Cloud {
        &self.cloud
    }

    /// A connection to a server's agent.
    pub async fn connect(&self, at: &At, id: ServerId) -> Result<Host, StepError> {
        let server = self.cloud.records.server(at.team, id).await?;
        let clear = self
            .cloud
            .secrets
            .open(
                at.team,
                server.agent_key,
                self.cloud.clock.now().timestamp(),
            )
            .await?;
        let text = std::str::from_utf8(&clear).map_err(StepError::broken)?;
        let pinned = server.host_key.clone().ok_or_else(|| {
            StepError::refused(
                "host_key_not_pinned",
                "The server's host key is not pinned; register the server again.",
            )
        })?;
        let login = Login {
            host: &server.host,
            port: server.port,
            user: AGENT_USER,
            key: read_private(text)?,
        };
        let session = Session::open(login, &pinned).await?;
        let lease = Lease {
            target: at.lock.to_string(),
            fence: at.fence,
            deployment_id: at.deployment_id.to_string(),
        };
        Ok(Host {
            session,
            server,
            lease,
        })
    }
}

/// A server whose agent answers.
pub struct Host {
    session: Session,
    /// Its record, as it was when the connection was made.
    pub server: Server,
    lease: Lease,
}

impl Host {
    /// Start the job of a ticket, or take it over when it runs already.
    pub async fn start(
        &self,
        ticket: Ticket,
        limit: Duration,
        work: Work,
    ) -> Result<JobStarted, StepError> {
        let start = JobStart {
            job: ticket.job,
            callback: ticket.callback,
            limit_seconds: limit.as_secs(),
            work,
        };
        self.call(Call::JobStart(Box::new(start))).await
    }

    /// One typed call.
    pub async fn call<R: DeserializeOwned>(&self, call: Call) -> Result<R, StepError> {
        let deadline_seconds = u32::try_from(CALL_WITHIN.as_secs()).unwrap_or(u32::MAX);
        let reads = matches!(
            call,
            Call::Version
                | Call::Facts
                | Call::SiteProbe(_)
                | Call::SourceResolve(_)
                | Call::ImagesCheck(_)
                | Call::EnvironmentObserve(_)
        );
        let request = Request {
            version: PROTOCOL_VERSION,
            deadline_seconds,
            lease: (!reads).then(|| self.lease.clone()),
            call,
        };
        let input =
            zeroize::Zeroizing::new(serde_json::to_vec(&request).map_err(StepError::broken)?);
        // The key's forced command decides what runs; the words here are for the server's log.
        let answer = self
            .session
            .exec("serve", &input, CALL_WITHIN + GRACE)
            .await?;
        reply(&answer.output, answer.code, &answer.complaint)
    }
}

/// What the agent answered, or why it did not.
pub fn reply<R: DeserializeOwned>(
    output: &[u8],
    code: Option<u32>,
    complaint: &str,
) -> Result<R, StepError> {
    match serde_json::from_slice::<Reply>(output) {
        Ok(Reply::Ok(value)) => serde_json::from_value(value).map_err(StepError::broken),
        Ok(Reply::Error(error)) => Err(step_error(error)),
        Err(_) if code.is_none() => Err(StepError::unavailable(
            "connection_lost",
            "The connection to the server was lost while its agent was at work.",
        )),
        Err(error) => Err(StepError::unavailable(
            "agent_silent",
            "The server's agent did not answer; register the server again if this stays so.",
        )
        .caused_by(format!("exit {code:?}: {complaint}: {error}"))),
    }
}

fn step_error(error: AgentError) -> StepError {
    let kind = match error.kind {
        AgentErrorKind::Busy => ErrorKind::Busy,
        AgentErrorKind::Unavailable => ErrorKind::Unavailable,
        AgentErrorKind::Refused => ErrorKind::Refused,
        AgentErrorKind::Broken => ErrorKind::Broken,
    };
    let said = StepError::new(kind, error.code, error.message);
    if error.detail.is_empty() {
        said
    } else {
        said.caused_by(error.detail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_agents_refusal_keeps_its_code_and_words() {
        let output = serde_json::to_vec(&Reply::Error(AgentError {
            kind: AgentErrorKind::Refused,
            code: "disk_full".into(),
            message: "No room on /home.".into(),
            detail: String::new(),
        }))
        .expect("json");
        let error = reply::<()>(&output, Some(0), "").expect_err("refused");
        assert_eq!(
            (error.kind, error.code.as_str(), error.public.as_str()),
            (ErrorKind::Refused, "disk_full", "No room on /home.")
        );
    }

    #[test]
    fn a_connection_lost_in_the_middle_is_worth_another_try() {
        assert_eq!(
            reply::<()>(b"{\"ok", None, "").expect_err("lost").kind,
            ErrorKind::Unavailable
        );
        assert_eq!(
            reply::<()>(b"", Some(127), "sudo: not found")
                .expect_err("silent")
                .code,
            "agent_silent"
        );
    }
}
