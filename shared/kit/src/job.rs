//! Jobs: what a step gives to an agent, and how the agent's word that it is over becomes the step's end.
//!
//! Promise: nothing is started before its record stands; how a job ended is stored before the machine is told; a report
//! of another worker's job changes nothing.

use crate::errors::Wire;
use crate::{At, Cloud, StepError};
use domain::lifecycle::{self, Change, End, Snapshot};
use domain::{
    DeploymentId, DeploymentStep, ErrorKind, Failure, Job, JobOrder, Progress, ServerId, StepKind,
    StepStatus, TeamId,
};
use lambda_runtime::Diagnostic;
use protocol::job::{Callback, JobResult};
use protocol::{AgentError, AgentErrorKind};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;

/// What an agent needs to know of the job it gets.
pub struct Ticket {
    /// `<deployment>.<step>`
    pub job: String,
    /// Where it reports.
    pub callback: Callback,
    /// What it may read and write, as an earlier worker of the step left it.
    pub resumed: bool,
}

/// What the machine is to be told about a job that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Word {
    /// Its step is done.
    Succeeded,
    /// Others of its step are at work still.
    Nothing,
    /// It is not: an error's name and cause, as a function of ours would fail.
    Failed {
        /// Matched by Retry and Catch.
        error: String,
        /// The failure as JSON.
        cause: String,
    },
}

/// What became of a report.
#[derive(Debug)]
pub enum Heard<T> {
    /// It is the job's; this came of it.
    Yes(T),
    /// The job is over: what it says changes nothing.
    Over,
}

impl At {
    /// Write down that an agent is about to get this step's work, and what it may touch.
    pub async fn job(&self, order: JobOrder) -> Result<Ticket, StepError> {
        self.job_on(None, order).await
    }

    /// The same for one of the servers that each get it.
    pub async fn job_on(
        &self,
        server: Option<ServerId>,
        order: JobOrder,
    ) -> Result<Ticket, StepError> {
        let token = self
            .token
            .as_deref()
            .ok_or_else(|| StepError::broken("nothing waits for this step's job"))?;
        let secret = hex::encode(rand::random::<[u8; 32]>());
        let step = self.held.name();
        let earlier = self.held.job(server).await;
        let mut job = Job::begun(
            step,
            server,
            self.fence,
            token,
            hash(&secret),
            order,
            earlier.as_ref(),
        );
        if server.is_some() {
            job.heard_at = Some(self.cloud.clock.now());
        }
        let records = &self.cloud.records;
        if !records.job_put(self.team, self.deployment_id, &job).await? {
            return Err(StepError::stale(format!("{step} is another worker's now")));
        }
        let base = &self.cloud.config.callback_url;
        Ok(Ticket {
            job: format!("{}.{step}", self.deployment_id),
            callback: Callback {
                url: format!(
                    "{base}/agent/jobs/{}/{}/{}",
                    self.team,
                    self.deployment_id,
                    job.name()
                ),
                secret,
            },
            resumed: earlier.is_some(),
        })
    }
}

/// What is stored of a job's secret.
pub fn hash(secret: &str) -> String {
    hex::encode(Sha256::digest(secret))
}

/// Is this job at work, for this deployment's step?
pub fn at_work(snapshot: &Snapshot, job: &Job) -> bool {
    snapshot
        .step(&job.step)
        .is_some_and(|step| step.status == StepStatus::Running && step.fence == job.fence)
}

/// A job said how far it is.
pub async fn progressed(
    cloud: &Cloud,
    (team, id): (TeamId, DeploymentId),
    job: &Job,
    progress: &Progress,
) -> Result<Heard<()>, StepError> {
    cloud
        .records
        .deployment_change(team, id, |snapshot| {
            if !at_work(snapshot, job) {
                return Ok((None, Heard::Over));
            }
            let (step, fence, progress) = (&job.step, job.fence, progress.clone());
            let change = match job.server {
                None => lifecycle::progress(snapshot, step, fence, progress)?,
                Some(server) => {
                    lifecycle::server_progress(snapshot, step, fence, server, progress)?
                }
            };
            Ok::<_, StepError>((Some(change), Heard::Yes(())))
        })
        .await
        .map(|(_, heard)| heard)
}

/// A job said how it ended. The first word counts; the machine may be told again.
pub async fn ended(
    cloud: &Cloud,
    (team, id): (TeamId, DeploymentId),
    job: &Job,
    result: &JobResult,
) -> Result<Heard<Word>, StepError> {
    let now = cloud.clock.now();
    let decide = |snapshot: &Snapshot| {
        let Some(step) = snapshot
            .step(&job.step)
            .filter(|step| step.fence == job.fence)
        else {
            return Ok((None, false));
        };
        if step.status != StepStatus::Running {
            return Ok((None, true));
        }
        match job.server {
            None => end(snapshot, job, result, now).map(|change| (Some(change), true)),
            Some(server) => {
                let (end, quorum) = (ending(job, result), quorum(snapshot, step));
                let on = (server, quorum);
                lifecycle::job_ended_on(snapshot, &job.step, job.fence, on, &end, now)
                    .map(|change| (change, true))
            }
        }
    };
    let (snapshot, ours) = cloud.records.deployment_change(team, id, decide).await?;
    if !ours {
        return Ok(Heard::Over);
    }
    Ok(Heard::Yes(match job.server {
        None => word(&snapshot, job, result),
        Some(_) => together(&snapshot, job),
    }))
}

/// So many of the step's servers must be done, as the frozen input says; all of them when there are fewer.
pub fn quorum(snapshot: &Snapshot, step: &DeploymentStep) -> usize {
    let wanted = snapshot.input["quorum"].as_u64();
    let wanted = wanted.and_then(|quorum| usize::try_from(quorum).ok());
    wanted.map_or(step.servers.len(), |wanted| wanted.min(step.servers.len()))
}

/// What the machine is told when a job on one of several servers is over: nothing before the last one.
fn together(snapshot: &Snapshot, job: &Job) -> Word {
    let Some(step) = snapshot.step(&job.step) else {
        return Word::Nothing;
    };
    match (
        step.status,
        lifecycle::together(&step.servers, quorum(snapshot, step)),
    ) {
        (StepStatus::Running, lifecycle::Together::Again(failure)) => failed(failure),
        (StepStatus::Running, _) => Word::Nothing,
        (StepStatus::Failed, _) if step.kind != StepKind::Tidy => {
            step.error.clone().map_or(Word::Succeeded, over)
        }
        _ => Word::Succeeded,
    }
}

/// The step failed for good: what the machine would try again by its kind has no worker any more that may begin.
fn over(mut failure: Failure) -> Word {
    if failure.kind.retryable() {
        failure.kind = ErrorKind::Refused;
    }
    failed(failure)
}

fn end(
    snapshot: &Snapshot,
    job: &Job,
    result: &JobResult,
    now: domain::Time,
) -> Result<Change, StepError> {
    match ending(job, result) {
        End::Failed(failure) if failure.kind.retryable() => {
            lifecycle::release(snapshot, &job.step, job.fence, failure.message)
        }
        end => lifecycle::finish(snapshot, &job.step, job.fence, end, now),
    }
}

fn ending(job: &Job, result: &JobResult) -> End {
    match result {
        JobResult::Done { gives, summary } => End::Completed {
            gives: job
                .gives
                .iter()
                .map(|name| (name.clone(), gives.clone()))
                .collect::<BTreeMap<_, _>>(),
            output: summary.clone(),
        },
        JobResult::Failed(error) => End::Failed(failure(error)),
        JobResult::Cancelled => End::Failed(Failure {
            kind: ErrorKind::Broken,
            code: "job_stopped".to_string(),
            message: "The job was stopped on the server, though nobody cancelled it.".to_string(),
        }),
    }
}

/// What stands in the record decides, not what the job said: a cancel may have come first.
fn word(snapshot: &Snapshot, job: &Job, result: &JobResult) -> Word {
    let step = snapshot.step(&job.step);
    let why = match (step.map(|step| step.status), result) {
        (Some(StepStatus::Running), JobResult::Failed(error)) => Some(failure(error)),
        (Some(StepStatus::Failed), _) if step.is_some_and(|step| step.kind != StepKind::Tidy) => {
            return step
                .and_then(|step| step.error.clone())
                .map_or(Word::Succeeded, over);
        }
        _ => None,
    };
    why.map_or(Word::Succeeded, failed)
}

fn failed(failure: Failure) -> Word {
    let sent = Diagnostic::from(Wire(StepError::new(
        failure.kind,
        failure.code,
        failure.message,
    )));
    let cause =
        serde_json::json!({"errorType": sent.error_type, "errorMessage": sent.error_message});
    Word::Failed {
        error: sent.error_type,
        cause: cause.to_string(),
    }
}

fn failure(error: &AgentError) -> Failure {
    let kind = match error.kind {
        AgentErrorKind::Busy => ErrorKind::Busy,
        AgentErrorKind::Unavailable => ErrorKind::Unavailable,
        AgentErrorKind::Refused => ErrorKind::Refused,
        AgentErrorKind::Broken => ErrorKind::Broken,
    };
    Failure {
        kind,
        code: error.code.clone(),
        message: error.message.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_that_failed_for_good_is_not_tried_again_for_what_it_failed_by() {
        for kind in [ErrorKind::Unavailable, ErrorKind::Busy, ErrorKind::Broken] {
            let failure = Failure {
                kind,
                code: "registry_away".to_string(),
                message: "The registry does not answer.".to_string(),
            };
            let Word::Failed { error, cause } = over(failure) else {
                panic!("it failed");
            };
            let caught = crate::errors::caught(&error, &cause);
            assert!(!caught.kind.retryable(), "{error}");
            assert_eq!(caught.code, "registry_away");
        }
    }
}
