//! The runtime around a step: begin, work, finish.
//!
//! Promise: two transactions and one read beyond the step's own work; a worker that was overtaken writes nothing.

use crate::{At, Cloud, Done, Step};
use domain::lifecycle::{self, Begin, Change, End, Snapshot, Together, Worker};
use domain::{
    DeploymentId, Failure, Progress, ServerId, StepError, StepKind, StepServer, StepStatus, TeamId,
    Time,
};
use records::Applied;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;

/// What the machine sends to a step's function.
#[derive(Debug, Clone, Deserialize)]
pub struct Call {
    /// Whose deployment.
    pub team_id: TeamId,
    /// Which.
    pub deployment_id: DeploymentId,
    /// The step's name.
    pub step: String,
    /// Forward or back.
    pub mode: Mode,
    /// What Step Functions waits for, when the step is a job.
    #[serde(default)]
    pub token: Option<String>,
}

/// What became of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handled {
    /// The step, or its undo, is done.
    Done,
    /// An agent has it now.
    HandedOver,
}

/// Forward or back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Do it.
    Run,
    /// Take it back.
    Undo,
}

/// Kept free at the end of a worker's time, so that a step that takes too long is recorded by itself.
const RESERVE: Duration = Duration::from_secs(3);

/// Progress reaches the record at most this often.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);

/// How often a begin or finish that met another change reads again.
const ATTEMPTS: u32 = 10;

/// The step this worker holds, as last written.
#[derive(Clone)]
pub struct Held {
    name: String,
    fence: u64,
    state: Arc<Mutex<State>>,
}

struct State {
    snapshot: Snapshot,
    progress_at: Option<Time>,
}

/// See the module.
pub async fn handle<S: Step>(
    cloud: &Cloud,
    step: Arc<S>,
    call: Call,
    worker: Worker,
) -> Result<Handled, StepError> {
    let undo = call.mode == Mode::Undo;
    let Some(at) = begin(cloud, &call, undo, &worker).await? else {
        return Ok(Handled::Done);
    };
    let needs = serde_json::to_value(at.held.meta().await)
        .and_then(serde_json::from_value::<S::Needs>)
        .map_err(StepError::broken);
    let held = at.held.clone();
    let left = (worker.deadline - cloud.clock.now())
        .to_std()
        .unwrap_or_default()
        .saturating_sub(RESERVE);
    let end = match needs {
        Err(error) => Err(error),
        // A task of its own, so that a panic is an error like others and not the end of the process.
        Ok(needs) => {
            let work = tokio::spawn(async move {
                if undo {
                    undone(&*step, &at, needs).await
                } else {
                    ran(&*step, &at, needs).await
                }
            });
            let abort = work.abort_handle();
            match tokio::time::timeout(left, work).await {
                Ok(Ok(end)) => end,
                Ok(Err(panic)) => Err(StepError::broken(panic)),
                Err(_) => {
                    abort.abort();
                    Err(StepError::unavailable(
                        "timed_out",
                        format!("It took longer than the {} seconds it may.", left.as_secs()),
                    ))
                }
            }
        }
    };
    let Some(end) = end.transpose() else {
        return Ok(Handled::HandedOver);
    };
    finish(cloud, &held, end).await.map(|()| Handled::Done)
}

/// None when an agent will say how it ends.
async fn ran<S: Step>(step: &S, at: &At, needs: S::Needs) -> Result<Option<End>, StepError> {
    Ok(Some(match step.run(at, needs).await? {
        Done::HandedOver => return Ok(None),
        Done::Skipped(reason) => End::Skipped(reason),
        Done::With(gives, output) => {
            let gives: BTreeMap<String, serde_json::Value> = serde_json::to_value(gives)
                .and_then(serde_json::from_value)
                .map_err(StepError::broken)?;
            End::Completed { gives, output }
        }
    }))
}

async fn undone<S: Step>(step: &S, at: &At, needs: S::Needs) -> Result<Option<End>, StepError> {
    Ok(Some(End::Completed {
        gives: BTreeMap::new(),
        output: step.undo(at, needs).await?,
    }))
}

/// None when there is nothing to do: done before, skipped, or never started.
async fn begin(
    cloud: &Cloud,
    call: &Call,
    undo: bool,
    worker: &Worker,
) -> Result<Option<At>, StepError> {
    for attempt in 0..ATTEMPTS {
        let snapshot = cloud
            .records
            .deployment_snapshot(call.team_id, call.deployment_id)
            .await?;
        let change = match lifecycle::begin(&snapshot, &call.step, undo, worker, cloud.clock.now())?
        {
            Begin::Go(change) => change,
            Begin::Done(_) | Begin::Nothing => return Ok(None),
        };
        if cloud.records.deployment_apply(&change).await? == Applied::Yes {
            return Ok(Some(at(cloud, snapshot, *change, call.token.clone())?));
        }
        still_holder(cloud, &snapshot).await?;
        pause(attempt).await;
    }
    Err(StepError::busy(
        "record_busy",
        "The deployment's record is being changed by others.",
    ))
}

/// A write that was refused may mean that the locks are lost: then nothing more is to be touched.
async fn still_holder(cloud: &Cloud, snapshot: &Snapshot) -> Result<(), StepError> {
    for lock in &snapshot.deployment.locks {
        if cloud
            .records
            .lock_holder(snapshot.deployment.team_id, lock)
            .await?
            != Some(snapshot.deployment.id)
        {
            return Err(StepError::stale(format!(
                "the lock {lock} is not held any more"
            )));
        }
    }
    Ok(())
}

async fn pause(attempt: u32) {
    tokio::time::sleep(Duration::from_millis(20 * 2_u64.pow(attempt.min(5)))).await;
}

fn at(
    cloud: &Cloud,
    snapshot: Snapshot,
    change: Change,
    token: Option<String>,
) -> Result<At, StepError> {
    let begun = change
        .steps
        .first()
        .ok_or_else(|| StepError::broken("a begin changes one step"))?;
    let (name, fence) = (begun.name.clone(), begun.fence);
    let lock = snapshot
        .deployment
        .target_lock()
        .cloned()
        .ok_or_else(|| StepError::broken("a deployment holds a lock"))?;
    let snapshot = records::merged(snapshot, change);
    Ok(At {
        team: snapshot.deployment.team_id,
        deployment_id: snapshot.deployment.id,
        fence,
        lock,
        input: snapshot.input.clone(),
        token,
        cloud: cloud.clone(),
        held: Held {
            name,
            fence,
            state: Arc::new(Mutex::new(State {
                snapshot,
                progress_at: None,
            })),
        },
    })
}

impl Held {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// What an earlier worker of the step gave to an agent.
    pub(crate) async fn job(&self, server: Option<ServerId>) -> Option<domain::Job> {
        let state = self.state.lock().await;
        state.snapshot.job(&self.name, server).cloned()
    }

    /// The servers that it is at work on now, when it is done on several.
    pub(crate) async fn servers(&self) -> Vec<StepServer> {
        let state = self.state.lock().await;
        let step = state.snapshot.step(&self.name);
        let rows = step.map(|step| step.servers.clone()).unwrap_or_default();
        rows.into_iter()
            .filter(|row| row.status == StepStatus::Running)
            .collect()
    }

    /// How it ended on one of them; when that was told before, what was told stands.
    pub(crate) async fn ended_on(
        &self,
        cloud: &Cloud,
        server: ServerId,
        end: &End,
    ) -> Result<(), StepError> {
        self.write(cloud, |snapshot| {
            let now = cloud.clock.now();
            let (name, fence) = (&self.name, self.fence);
            let news = lifecycle::server_ended(snapshot, name, fence, server, end, now)?;
            Ok(news.unwrap_or_else(|| snapshot.as_it_is()))
        })
        .await
        .map(|_| ())
    }

    /// What its servers come to together, and what each gave.
    pub(crate) async fn together(&self) -> (Together, BTreeMap<String, serde_json::Value>) {
        let state = self.state.lock().await;
        let step = state.snapshot.step(&self.name);
        let rows = step.map(|step| step.servers.as_slice()).unwrap_or_default();
        // What was begun on a server is taken back there: an undo has no quorum.
        let quorum = match step {
            Some(step) if step.kind != StepKind::Undo => crate::job::quorum(&state.snapshot, step),
            _ => rows.len(),
        };
        (lifecycle::together(rows, quorum), lifecycle::gives(rows))
    }

    async fn meta(&self) -> BTreeMap<String, serde_json::Value> {
        self.state.lock().await.snapshot.deployment.meta.clone()
    }

    /// Write what `decide` makes of the newest state; read again only when something else changed it.
    async fn write(
        &self,
        cloud: &Cloud,
        decide: impl Fn(&Snapshot) -> Result<Change, StepError>,
    ) -> Result<Snapshot, StepError> {
        let mut state = self.state.lock().await;
        for attempt in 0..ATTEMPTS {
            let change = decide(&state.snapshot)?;
            if cloud.records.deployment_apply(&change).await? == Applied::Yes {
                state.snapshot = records::merged(state.snapshot.clone(), change);
                return Ok(state.snapshot.clone());
            }
            pause(attempt).await;
            let deployment = &state.snapshot.deployment;
            state.snapshot = cloud
                .records
                .deployment_snapshot(deployment.team_id, deployment.id)
                .await?;
        }
        Err(StepError::busy(
            "record_busy",
            "The deployment's record is being changed by others.",
        ))
    }

    pub(crate) async fn progress(&self, cloud: &Cloud, progress: Progress) {
        let now = cloud.clock.now();
        {
            let mut state = self.state.lock().await;
            if state
                .progress_at
                .is_some_and(|last| (now - last).to_std().unwrap_or_default() < PROGRESS_EVERY)
            {
                return;
            }
            state.progress_at = Some(now);
        }
        let said = self
            .write(cloud, |snapshot| {
                lifecycle::progress(snapshot, &self.name, self.fence, progress.clone())
            })
            .await;
        if let Err(error) = said {
            tracing::warn!(
                step = self.name,
                error = error.chain(),
                "progress was not recorded"
            );
        }
    }
}

/// Record how it ended. A fault on the way keeps the step running for the next try; the original error is what the machine sees.
async fn finish(cloud: &Cloud, held: &Held, end: Result<End, StepError>) -> Result<(), StepError> {
    match end {
        Ok(end) => {
            let snapshot = held
                .write(cloud, |snapshot| {
                    lifecycle::finish(
                        snapshot,
                        &held.name,
                        held.fence,
                        end.clone(),
                        cloud.clock.now(),
                    )
                })
                .await?;
            let step = snapshot
                .step(&held.name)
                .ok_or_else(|| StepError::broken("the step is gone"))?;
            match &step.error {
                // A cancel came first.
                Some(failure) => Err(StepError::new(
                    failure.kind,
                    failure.code.clone(),
                    failure.message.clone(),
                )),
                None => Ok(()),
            }
        }
        Err(error) => {
            log(held, &error);
            let failure = Failure::from(&error);
            let recorded = held
                .write(cloud, |snapshot| {
                    if error.kind.retryable() {
                        lifecycle::release(snapshot, &held.name, held.fence, error.public.clone())
                    } else {
                        lifecycle::finish(
                            snapshot,
                            &held.name,
                            held.fence,
                            End::Failed(failure.clone()),
                            cloud.clock.now(),
                        )
                    }
                })
                .await;
            let tidied = match &recorded {
                Err(recording) => {
                    tracing::error!(
                        step = held.name,
                        error = recording.chain(),
                        "the step's end was not recorded"
                    );
                    false
                }
                Ok(snapshot) => snapshot.step(&held.name).is_some_and(|step| {
                    step.kind == domain::StepKind::Tidy && step.status.is_finished()
                }),
            };
            // A tidy step that failed for good is a warning on a completed deployment: the machine goes on.
            if tidied { Ok(()) } else { Err(error) }
        }
    }
}

fn log(held: &Held, error: &StepError) {
    if error.kind == domain::ErrorKind::Broken {
        tracing::error!(
            step = held.name,
            fence = held.fence,
            error = error.chain(),
            "step failed"
        );
    } else {
        tracing::warn!(
            step = held.name,
            fence = held.fence,
            error = error.chain(),
            "step failed"
        );
    }
}
