//! What steps change here: marks under names, each with the deployment that made it; and what goes wrong.

use domain::{DeploymentId, ErrorKind, JobOrder, StepError};
use kit::{At, Done, Step};
use protocol::job::JobResult;
use protocol::{AgentError, AgentErrorKind};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use tokio::sync::Notify;

/// One thing that goes wrong, once, in a step's work or in its undo's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails before its effect.
    Before(ErrorKind),
    /// It fails after its effect.
    After(ErrorKind),
    /// It panics after its effect.
    Panic,
    /// Its Lambda dies without a word, before its effect.
    DieBefore,
    /// The same, after it.
    DieAfter,
    /// A person cancels while it is at work, before its effect.
    CancelBefore,
    /// The same, after it.
    CancelAfter,
}

#[derive(Default)]
struct State {
    marks: BTreeMap<String, DeploymentId>,
    faults: HashMap<String, VecDeque<Fault>>,
    results: HashMap<String, JobResult>,
    effects: u32,
}

/// See the module.
#[derive(Clone, Default)]
pub struct World {
    state: Arc<Mutex<State>>,
    pub(crate) died: Arc<Notify>,
}

impl World {
    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Let these go wrong, in turn, in the work of the step or undo of this name.
    pub fn plan(&self, name: &str, faults: impl IntoIterator<Item = Fault>) {
        self.state()
            .faults
            .entry(name.to_string())
            .or_default()
            .extend(faults);
    }

    /// Nothing goes wrong any more.
    pub fn heal(&self) {
        self.state().faults.clear();
    }

    /// What stands now.
    pub fn marks(&self) -> Vec<String> {
        self.state().marks.keys().cloned().collect()
    }

    /// How often anything was made or removed.
    pub fn effects(&self) -> u32 {
        self.state().effects
    }

    /// What the agent will say of the job that was given to it last.
    pub(crate) fn result(&self, step: &str) -> JobResult {
        self.state().results.remove(step).unwrap_or_else(done)
    }

    fn fault(&self, name: &str) -> Option<Fault> {
        self.state()
            .faults
            .get_mut(name)
            .and_then(VecDeque::pop_front)
    }

    fn make(&self, name: &str, by: DeploymentId) -> Result<(), StepError> {
        let mut state = self.state();
        match state.marks.get(name) {
            Some(owner) if *owner == by => Ok(()),
            Some(_) => Err(StepError::refused(
                "already_exists",
                format!("{name} exists and is not ours"),
            )),
            None => {
                state.marks.insert(name.to_string(), by);
                state.effects += 1;
                Ok(())
            }
        }
    }

    fn remove(&self, name: &str, by: DeploymentId) {
        let mut state = self.state();
        if state.marks.get(name) == Some(&by) {
            state.marks.remove(name);
            state.effects += 1;
        }
    }
}

/// Any step: its effect is a mark under its name, when it has an undo.
pub(crate) struct Scripted {
    pub name: String,
    pub undo: Option<String>,
    pub is_job: bool,
    pub world: World,
    pub cancel: Arc<dyn Fn() -> std::pin::Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>,
}

impl Scripted {
    async fn meet(&self, fault: Option<Fault>, after: bool) -> Result<(), StepError> {
        match (fault, after) {
            (Some(Fault::Before(kind)), false) | (Some(Fault::After(kind)), true) => {
                Err(StepError::new(kind, "scripted", "It was scripted to fail."))
            }
            (Some(Fault::Panic), true) => panic!("scripted"),
            (Some(Fault::DieBefore), false) | (Some(Fault::DieAfter), true) => {
                self.world.died.notify_one();
                std::future::pending().await
            }
            (Some(Fault::CancelBefore), false) | (Some(Fault::CancelAfter), true) => {
                (self.cancel)().await;
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

impl Scripted {
    /// A fault after the effect is the agent's; all others are of the Lambda that starts it.
    async fn hand_over(
        &self,
        at: &At,
        fault: Option<Fault>,
    ) -> Result<Done<kit::step::Nothing>, StepError> {
        at.job(JobOrder::default()).await?;
        let (result, fault) = match fault {
            Some(Fault::After(kind)) => (failed(kind), None),
            fault => (done(), fault),
        };
        self.world.state().results.insert(self.name.clone(), result);
        self.meet(fault, true).await?;
        Ok(Done::HandedOver)
    }
}

fn done() -> JobResult {
    JobResult::Done {
        gives: Value::Null,
        summary: String::new(),
    }
}

fn failed(kind: ErrorKind) -> JobResult {
    let kind = match kind {
        ErrorKind::Busy => AgentErrorKind::Busy,
        ErrorKind::Unavailable => AgentErrorKind::Unavailable,
        ErrorKind::Refused => AgentErrorKind::Refused,
        _ => AgentErrorKind::Broken,
    };
    JobResult::Failed(AgentError {
        kind,
        code: "scripted".to_string(),
        message: "It was scripted to fail.".to_string(),
        detail: String::new(),
    })
}

impl Step for Scripted {
    const NAME: &'static str = "scripted";
    type Needs = Value;
    type Gives = kit::step::Nothing;

    async fn run(&self, at: &At, _needs: Value) -> Result<Done<kit::step::Nothing>, StepError> {
        let fault = self.world.fault(&self.name);
        self.meet(fault, false).await?;
        if self.undo.is_some() {
            self.world.make(&self.name, at.deployment_id)?;
        }
        if self.is_job {
            return self.hand_over(at, fault).await;
        }
        self.meet(fault, true).await?;
        Ok(Done::With(kit::step::Nothing {}, String::new()))
    }

    async fn undo(&self, at: &At, _needs: Value) -> Result<String, StepError> {
        let fault = self.undo.as_deref().and_then(|undo| self.world.fault(undo));
        self.meet(fault, false).await?;
        self.world.remove(&self.name, at.deployment_id);
        self.meet(fault, true).await?;
        Ok(String::new())
    }
}
