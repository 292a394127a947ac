//! What jobs say, and what they get to hear.
//!
//! Promise: a report counts when it proves that it is the job's, and the job is at work; every report may come twice.
//! How a job ended is stored before the machine is told, and only here is it told.

mod objects;

use backups::{Store, StoreError};
use domain::lifecycle::{Snapshot, silent};
use domain::{
    AGENT_LOST, DeploymentId, DeploymentStatus, Job, Progress, SILENCE_SECONDS, ServerId,
    StepError, StepStatus, TeamId, log_key,
};
use kit::Cloud;
use kit::job::{Heard, at_work, ended, hash, progressed};
use kit::machines::Machines;
use lambda_http::http::{Method, StatusCode, header};
use lambda_http::{Body, Request, RequestExt, Response};
use protocol::job::{
    COMPLETE_LIMIT_BYTES, JobResult, LOG_LIMIT_BYTES, LogLine, REPORT_LIMIT_BYTES, Report,
    ReportReply, Say, Stream,
};
use protocol::{AgentError, AgentErrorKind};
use records::{JobKey, LOG_CHUNK_LINES, LogChunk, LogPosition, RecordsError};

/// A chunk of the log is an item: 16 KB are billed as 16 writes, and read back in one go with many others.
const CHUNK_LIMIT_BYTES: usize = 16 * 1024;

/// By then the whole log is an object; what a lost job logged can be read so long.
const CHUNK_DAYS: i64 = 30;
/// Lines that are put together at once.
const JOINED_LINES: usize = 10_000;

/// See the module.
#[derive(Clone)]
pub struct Callback {
    cloud: Cloud,
    store: Store,
    machines: Machines,
}

/// Why a report is not answered with a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    /// It is none.
    BadRequest,
    /// It does not prove whose it is.
    Unauthorized,
    /// There is no such job.
    NotFound,
    /// It weighs too much.
    TooLarge,
    /// The job is over.
    Gone,
    /// What it says is not so.
    Conflict,
    /// Something that is needed is away: again.
    Unavailable,
    /// Ours to mend.
    Broken,
}

impl From<Refused> for StatusCode {
    fn from(refused: Refused) -> Self {
        match refused {
            Refused::BadRequest => Self::BAD_REQUEST,
            Refused::Unauthorized => Self::UNAUTHORIZED,
            Refused::NotFound => Self::NOT_FOUND,
            Refused::TooLarge => Self::PAYLOAD_TOO_LARGE,
            Refused::Gone => Self::GONE,
            Refused::Conflict => Self::CONFLICT,
            Refused::Unavailable => Self::SERVICE_UNAVAILABLE,
            Refused::Broken => Self::INTERNAL_SERVER_ERROR,
        }
    }
}

impl From<StepError> for Refused {
    fn from(error: StepError) -> Self {
        if error.kind == domain::ErrorKind::Stale {
            return Self::Gone;
        }
        if error.kind.retryable() {
            tracing::warn!(error = error.chain(), "a report was not heard");
            return Self::Unavailable;
        }
        tracing::error!(error = error.chain(), "a report was not heard");
        Self::Broken
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Differs(_) | StoreError::NotFound => {
                tracing::warn!(%error, "what a job sent is not in the store");
                Self::Conflict
            }
            error => StepError::from(error).into(),
        }
    }
}

impl From<RecordsError> for Refused {
    fn from(error: RecordsError) -> Self {
        match error {
            RecordsError::NotFound(_) => Self::NotFound,
            error => StepError::from(error).into(),
        }
    }
}

/// Whose job a path names.
struct Named {
    team: TeamId,
    deployment: DeploymentId,
    step: String,
    server: Option<ServerId>,
    /// Both together, as they stand in the path.
    job: String,
}

fn named(path: &str) -> Option<Named> {
    let rest = path.split_once("/agent/jobs/")?.1;
    let mut words = rest.split('/');
    let (team, deployment) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let job = words.next()?.to_string();
    let (step, server) = match job.split_once('@') {
        None => (job.clone(), None),
        Some((step, server)) => (step.to_string(), Some(server.parse().ok()?)),
    };
    words.next().is_none().then_some(Named {
        team,
        deployment,
        step,
        server,
        job,
    })
}

impl Callback {
    /// With what the function is given.
    pub async fn new(cloud: Cloud) -> Self {
        Self {
            store: Store::new(&cloud.config).await,
            machines: Machines::new(&cloud).await,
            cloud,
        }
    }

    /// Answer one request.
    pub async fn answer(&self, request: Request) -> Response<Body> {
        let (status, body) = match self.heard(&request).await {
            Ok(reply) => (
                StatusCode::OK,
                serde_json::to_string(&reply).unwrap_or_default(),
            ),
            Err(refused) => (refused.into(), String::new()),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let json = header::HeaderValue::from_static("application/json");
        response.headers_mut().insert(header::CONTENT_TYPE, json);
        response
    }

    async fn heard(&self, request: &Request) -> Result<ReportReply, Refused> {
        let named = named(request.raw_http_path())
            .filter(|_| request.method() == Method::POST)
            .ok_or(Refused::NotFound)?;
        let body = request.body().as_ref();
        if body.len() > COMPLETE_LIMIT_BYTES {
            return Err(Refused::TooLarge);
        }
        let secret = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "))
            .ok_or(Refused::Unauthorized)?;
        let snapshot = self
            .cloud
            .records
            .deployment_snapshot(named.team, named.deployment)
            .await?;
        let job = snapshot
            .job(&named.step, named.server)
            .ok_or(Refused::NotFound)?;
        // Hashes of what is secret, so that how long the comparison takes tells nothing.
        if hash(secret) != job.secret_hash {
            return Err(Refused::Unauthorized);
        }
        let report: Report = serde_json::from_slice(body).map_err(|_| Refused::BadRequest)?;
        if body.len() > REPORT_LIMIT_BYTES && !matches!(report.say, Say::Complete { .. }) {
            return Err(Refused::TooLarge);
        }
        if report.fence != job.fence {
            return Err(Refused::Unauthorized);
        }
        let of = JobKey {
            team: named.team,
            deployment: named.deployment,
            job: &named.job,
            fence: job.fence,
        };
        self.say(of, &snapshot, job, report.say).await
    }

    async fn say(
        &self,
        of: JobKey<'_>,
        snapshot: &Snapshot,
        job: &Job,
        say: Say,
    ) -> Result<ReportReply, Refused> {
        if let Say::Ended { result, log } = say {
            let reply = self.end(of, snapshot, job, &result, &log).await?;
            self.lost(of, snapshot, job).await?;
            return Ok(reply);
        }
        if !at_work(snapshot, job) {
            return Err(Refused::Gone);
        }
        let mut reply = ReportReply {
            cancel: snapshot.deployment.status == DeploymentStatus::Cancelled,
            log_full: job.log_bytes >= LOG_LIMIT_BYTES,
            urls: Vec::new(),
        };
        match say {
            Say::Alive { progress, log } => {
                self.machines.job_alive(&job.token).await?;
                if job.server.is_some() {
                    let now = self.cloud.clock.now();
                    self.cloud.records.job_heard(of, now).await?;
                    self.lost(of, snapshot, job).await?;
                }
                self.log(of, job, &log).await?;
                if let Some(progress) = progress.map(shown) {
                    let at = (of.team, of.deployment);
                    if let Heard::Over = progressed(&self.cloud, at, job, &progress).await? {
                        return Err(Refused::Gone);
                    }
                }
            }
            Say::Parts { object, parts } => {
                reply.urls = self.parts(of, job, &object, &parts).await?;
            }
            Say::Complete {
                object,
                parts,
                sealed,
            } => self.complete(of, job, &object, &parts, &sealed).await?,
            Say::Fetch { object } => reply.urls = vec![self.fetch(job, &object).await?],
            Say::Ended { .. } => return Err(Refused::Broken),
        }
        Ok(reply)
    }

    async fn end(
        &self,
        of: JobKey<'_>,
        snapshot: &Snapshot,
        job: &Job,
        result: &JobResult,
        log: &[LogLine],
    ) -> Result<ReportReply, Refused> {
        if at_work(snapshot, job) {
            self.log(of, job, log).await?;
        }
        match ended(&self.cloud, (of.team, of.deployment), job, result).await? {
            Heard::Over => Err(Refused::Gone),
            Heard::Yes(word) => {
                if let Err(refused) = self.join_log(of).await {
                    tracing::warn!(deployment = %of.deployment, step = job.step, ?refused, "its log was not put together");
                }
                self.machines.told(&job.token, &word).await?;
                let step = snapshot.step(&job.step).map(|step| step.status);
                tracing::info!(deployment = %of.deployment, step = job.step, was = ?step.unwrap_or(StepStatus::Running), "a job ended");
                Ok(ReportReply {
                    cancel: false,
                    log_full: false,
                    urls: Vec::new(),
                })
            }
        }
    }

    /// The machine waits for one word of all servers of a step, so it does not miss one that is silent while others speak:
    /// whoever speaks finds those, and they are lost.
    async fn lost(&self, of: JobKey<'_>, snapshot: &Snapshot, speaks: &Job) -> Result<(), Refused> {
        for job in silent(snapshot, speaks, self.cloud.clock.now()) {
            let lost = JobResult::Failed(AgentError {
                kind: AgentErrorKind::Unavailable,
                code: AGENT_LOST.to_string(),
                message: format!("Nothing was heard of the agent for {SILENCE_SECONDS} seconds."),
                detail: String::new(),
            });
            tracing::warn!(deployment = %of.deployment, step = job.step, server = ?job.server, "an agent is lost");
            let at = (of.team, of.deployment);
            if let Heard::Yes(word) = ended(&self.cloud, at, job, &lost).await? {
                self.machines.told(&job.token, &word).await?;
            }
        }
        Ok(())
    }

    /// Store lines of the log, until there is too much of it.
    async fn log(&self, of: JobKey<'_>, job: &Job, lines: &[LogLine]) -> Result<(), Refused> {
        if lines.is_empty() || job.log_bytes >= LOG_LIMIT_BYTES {
            return Ok(());
        }
        let bytes: usize = lines.iter().map(|line| line.text.len()).sum();
        let expires_at = self.cloud.clock.now().timestamp() + CHUNK_DAYS * 86_400;
        let chunks = chunks(of, lines, expires_at);
        let kept = self
            .cloud
            .records
            .job_log(of, &chunks, u64::try_from(bytes).unwrap_or(u64::MAX))
            .await?;
        if kept { Ok(()) } else { Err(Refused::Gone) }
    }

    /// Put the lines of all the step's workers into one object. It is a copy: without it the lines are still there.
    async fn join_log(&self, of: JobKey<'_>) -> Result<(), Refused> {
        let records = &self.cloud.records;
        let (mut joined, mut from) = (Vec::new(), LogPosition::default());
        loop {
            let lines = records
                .log_lines(of.team, of.deployment, of.job, from, JOINED_LINES)
                .await?;
            let Some(last) = lines.last() else { break };
            from = last.next();
            for line in &lines {
                serde_json::to_writer(&mut joined, line).map_err(|_| Refused::Broken)?;
                joined.push(b'\n');
            }
        }
        if joined.is_empty() {
            return Ok(());
        }
        let key = log_key(of.team, of.deployment, of.job);
        self.store.put(&key, joined).await?;
        records.job_log_key(of, &key).await?;
        Ok(())
    }
}

fn chunks(of: JobKey<'_>, lines: &[LogLine], expires_at: i64) -> Vec<LogChunk> {
    let mut chunks: Vec<LogChunk> = Vec::new();
    let mut size = 0;
    for line in lines {
        let follows = chunks.last().is_some_and(|chunk| {
            let next = chunk.first + u64::try_from(chunk.lines.len()).unwrap_or(u64::MAX);
            let is_full = chunk.lines.len() as u64 >= LOG_CHUNK_LINES;
            next == line.number && !is_full && size + line.text.len() <= CHUNK_LIMIT_BYTES
        });
        if !follows {
            size = 0;
            chunks.push(LogChunk {
                job: of.job.to_string(),
                fence: of.fence,
                first: line.number,
                lines: Vec::new(),
                expires_at,
            });
        }
        size += line.text.len() + 64;
        if let Some(chunk) = chunks.last_mut() {
            chunk.lines.push(records::LogLine {
                at_ms: line.at_ms,
                is_error: line.stream == Stream::Err,
                text: line.text.clone(),
            });
        }
    }
    chunks
}

fn shown(progress: protocol::job::Progress) -> Progress {
    Progress {
        done: progress.done,
        total: progress.total,
        unit: progress.unit,
        rate: progress.rate,
        message: String::new(),
    }
}
