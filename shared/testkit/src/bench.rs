//! One deployment of a pipeline, from its creation to its end.

use crate::interpreter::{End, TaskError, execute};
use crate::requests::{Requests, Tally};
use crate::targets;
use crate::world::{Scripted, World};
use aws_sdk_dynamodb::types::StreamSpecification;
use domain::lifecycle::{self, Cancel, Snapshot, Worker};
use domain::{
    Actor, ActorKind, DeploymentId, DeploymentStatus, LockKey, Settlement, SiteId, StepError,
    TargetKind, TargetRef, TeamId, Trigger,
};
use kit::errors::Wire;
use kit::handler::Handled;
use kit::job::{Heard, Word};
use kit::{Clock, Cloud, Config, Secrets, draft, handler, settle};
use lambda_runtime::Diagnostic;
use pipelines::{Mode, Pipeline};
use records::{AuditEntry, Created, NewDeployment, Records};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A Lambda's limit here.
const WORKER_SECONDS: i64 = 60;

/// See the module.
pub struct Bench {
    /// What functions are given; its clock stands until it is moved.
    pub cloud: Cloud,
    /// What steps change.
    pub world: World,
    /// The team.
    pub team: TeamId,
    /// The table's name.
    pub table: String,
    /// What reached the table.
    pub requests: Requests,
    /// What first steps need of each deployment that is created from now on.
    pub meta: BTreeMap<String, Value>,
    pipeline: Pipeline,
    /// Each invocation comes twice, as a lost reply makes it.
    pub twice: bool,
    invocations: AtomicU32,
    tasks_left: AtomicU32,
    invoked: Mutex<Vec<Invoked>>,
    transitions: AtomicU32,
}

/// One call of a function, and what it asked of the table.
#[derive(Debug, Clone)]
pub struct Invoked {
    /// The substitution that names it: `ProvisionDatabase`.
    pub function: String,
    /// Its requests.
    pub requests: Tally,
}

impl Bench {
    /// A bench with a table of its own.
    pub async fn new(pipeline: &Pipeline) -> Self {
        let (client, requests) = crate::table::dynamo_counted();
        let name = format!("table-{}", next());
        records::create_records_table(&client, &name)
            .await
            .expect("a table");
        stop_stream(&name).await;
        let secrets_name = format!("secrets-{name}");
        records::create_secrets_table(&client, &secrets_name)
            .await
            .expect("a table");
        let records = Records::new(client, &name, &secrets_name);
        let clock = Clock::manual(1_700_000_000_000);
        let bench = Self::over(records, clock, pipeline, name, requests);
        if targets::kind(pipeline) == TargetKind::Environment {
            targets::service(&bench).await;
        }
        bench
    }

    /// A bench over the table of a running stack, whose own functions do the work; by the machine's clock, uncounted.
    pub fn on_a_stack(records: Records, table: String, pipeline: &Pipeline) -> Self {
        Self::over(records, Clock::System, pipeline, table, Requests::default())
    }

    fn over(
        records: Records,
        clock: Clock,
        pipeline: &Pipeline,
        table: String,
        requests: Requests,
    ) -> Self {
        let secrets = Secrets::new(crate::kms(), "the key", records.clone());
        Self {
            cloud: Cloud {
                records,
                secrets,
                clock,
                config: Arc::new(Config::default()),
            },
            world: World::default(),
            team: TeamId::from_parts(1, 1),
            table,
            requests,
            meta: pipeline
                .starts_with
                .iter()
                .map(|name| (name.to_string(), json!("x")))
                .collect(),
            pipeline: pipeline.clone(),
            twice: false,
            invocations: AtomicU32::new(0),
            tasks_left: AtomicU32::new(u32::MAX),
            invoked: Mutex::default(),
            transitions: AtomicU32::new(0),
        }
    }

    fn log(&self) -> MutexGuard<'_, Vec<Invoked>> {
        self.invoked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every call of a function so far, in order.
    pub fn invoked(&self) -> Vec<Invoked> {
        self.log().clone()
    }

    /// How many state transitions Step Functions would bill so far: states entered, and retries.
    pub fn transitions(&self) -> u32 {
        self.transitions.load(Ordering::SeqCst)
    }

    pub(crate) fn transition(&self) {
        self.transitions.fetch_add(1, Ordering::SeqCst);
    }

    /// Create a deployment of the pipeline with this input.
    pub async fn create(&self, input: Value) -> DeploymentId {
        let kind = targets::kind(&self.pipeline);
        let (time, random) = self.cloud.id_parts();
        let id = SiteId::from_parts(time, random);
        let actor = Actor {
            kind: ActorKind::System,
            id: "test".into(),
            name: "Tess".into(),
            role: "owner".into(),
        };
        let asked = draft::Asked {
            team_id: self.team,
            actor: actor.clone(),
            trigger: Trigger::Api,
            slot: None,
            target: TargetRef {
                kind,
                id: id.to_string(),
                name: "shop".into(),
            },
            locks: vec![LockKey::site(id)],
            input: input.clone(),
            meta: self.meta.clone(),
            claims: Vec::new(),
        };
        let (deployment, steps) =
            draft::deployment(&self.cloud, &self.pipeline, asked).expect("a draft");
        // A pipeline of environments begins with one that nothing was released to.
        let target = (self.pipeline.creates_target() || kind == TargetKind::Environment)
            .then(|| targets::record(self, kind, id, deployment.id));
        let audit = AuditEntry {
            id: deployment.id.to_string(),
            at: deployment.created_at,
            actor,
            from: "test".into(),
            action: "test".into(),
            target: id.to_string(),
            detail: String::new(),
        };
        let new = NewDeployment {
            deployment,
            input,
            steps,
            target,
            claims: Vec::new(),
            idempotency: None,
            audit,
        };
        match self
            .cloud
            .records
            .deployment_create(new)
            .await
            .expect("created")
        {
            Created::New(id) | Created::Repeat(id) => id,
        }
    }

    /// Execute its machine.
    pub async fn run(&self, id: DeploymentId, mode: &str) -> End {
        let machine = machine::asl::definition(&self.pipeline);
        execute(
            self,
            &machine,
            json!({"team_id": self.team, "deployment_id": id, "mode": mode}),
        )
        .await
    }

    /// Execute its machine for so many tasks, and stop it there, as a person in the console does.
    pub async fn run_and_abort(&self, id: DeploymentId, tasks: u32) -> End {
        self.tasks_left.store(tasks, Ordering::SeqCst);
        let end = self.run(id, "run").await;
        self.tasks_left.store(u32::MAX, Ordering::SeqCst);
        end
    }

    /// One task more; true when the execution was stopped before it.
    pub(crate) fn is_aborted(&self) -> bool {
        self.tasks_left.load(Ordering::SeqCst) != u32::MAX
            && self.tasks_left.fetch_sub(1, Ordering::SeqCst) == 0
    }

    /// What the sweeper does about it once its execution has ended, and the machine it starts.
    pub async fn recovered(&self, id: DeploymentId) -> End {
        let now = self.cloud.clock.now();
        let decide = |snapshot: &Snapshot| {
            let recovery = lifecycle::recover(snapshot, lifecycle::Execution::Ended, now)?;
            let lifecycle::Recovery::Write(change) = recovery else {
                return Err(StepError::broken(format!(
                    "nothing to recover: {recovery:?}"
                )));
            };
            Ok::<_, StepError>((Some(*change), ()))
        };
        let records = &self.cloud.records;
        let changed = records.deployment_change(self.team, id, decide).await;
        let (snapshot, ()) = changed.expect("it is recovered");
        let mode = kit::machines::mode(&snapshot.deployment);
        self.dispatched(id).await;
        self.run(id, mode).await
    }

    /// The dispatcher's word that its machine was started.
    pub async fn dispatched(&self, id: DeploymentId) {
        let decide =
            |snapshot: &Snapshot| Ok::<_, StepError>((lifecycle::dispatched(snapshot), ()));
        let records = &self.cloud.records;
        let told = records.deployment_change(self.team, id, decide).await;
        told.expect("it is told");
    }

    /// As it stands.
    pub async fn snapshot(&self, id: DeploymentId) -> Snapshot {
        self.cloud
            .records
            .deployment_snapshot(self.team, id)
            .await
            .expect("a deployment")
    }

    /// Who holds its lock.
    pub async fn lock_holder(&self, id: DeploymentId) -> Option<DeploymentId> {
        let lock = self.snapshot(id).await.deployment.locks[0].clone();
        self.cloud
            .records
            .lock_holder(self.team, &lock)
            .await
            .expect("an answer")
    }

    /// A person's cancel.
    pub async fn cancel(&self, id: DeploymentId) {
        cancel(&self.cloud, self.team, id).await;
    }

    /// A person tries the undos again.
    pub async fn undo_again(&self, id: DeploymentId) -> End {
        let now = self.cloud.clock.now();
        let changed = self
            .cloud
            .records
            .deployment_change(self.team, id, |snapshot| {
                Ok::<_, StepError>((lifecycle::undo_again(snapshot, now)?, ()))
            })
            .await;
        changed.expect("it needs attention");
        self.run(id, "undo").await
    }

    /// Verdict and settlement.
    pub async fn standing(&self, id: DeploymentId) -> (DeploymentStatus, Settlement) {
        let deployment = self.snapshot(id).await.deployment;
        (deployment.status, deployment.settlement)
    }

    /// As Step Functions invokes a Lambda.
    pub(crate) async fn invoke(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let first = self.invoke_once(function, payload.clone()).await;
        if self.twice {
            let second = self.invoke_once(function, payload).await;
            let refused = second.as_ref().err();
            let refused = refused.filter(|error| error.name != domain::JOB_DONE);
            assert!(
                first.is_err() || refused.is_none(),
                "a repeat of {function} is refused: {refused:?}"
            );
        }
        first
    }

    async fn invoke_once(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let before = self.requests.so_far();
        let answered = self.answer(function, payload).await;
        self.log().push(Invoked {
            function: function.to_string(),
            requests: self.requests.so_far().since(&before),
        });
        answered
    }

    async fn answer(&self, function: &str, payload: Value) -> Result<Value, TaskError> {
        let answered = if function == "Settle" {
            let call = serde_json::from_value(payload).expect("a call of settle");
            settle::handle(&self.cloud, call)
                .await
                .map(|reply| serde_json::to_value(reply).expect("json"))
        } else {
            let call: handler::Call = serde_json::from_value(payload).expect("a call of a step");
            assert_eq!(
                machine::asl::pascal(&call.step),
                function,
                "a step is sent to its own function"
            );
            let number = self.invocations.fetch_add(1, Ordering::SeqCst);
            let worker = Worker {
                request_id: format!("r{number}"),
                deadline: self.cloud.clock.now()
                    + Duration::from_secs(WORKER_SECONDS.unsigned_abs()),
            };
            let (step, id) = (call.step.clone(), call.deployment_id);
            let waits = call.token.is_some();
            let work = handler::handle(&self.cloud, Arc::new(self.scripted(&call)), call, worker);
            let handled = tokio::select! {
                handled = work => handled,
                () = self.world.died.notified() => return Err(TaskError { name: "Runtime.ExitError".into(), cause: "{}".into() }),
            };
            match handled {
                Ok(Handled::Done) if waits => {
                    return Err(TaskError {
                        name: domain::JOB_DONE.into(),
                        cause: String::new(),
                    });
                }
                Ok(Handled::Done) => Ok(Value::Null),
                Ok(Handled::HandedOver) => return self.heard(id, &step).await,
                Err(error) => Err(error),
            }
        };
        answered.map_err(|error| {
            let sent = Diagnostic::from(Wire(error));
            TaskError {
                cause: json!({"errorType": sent.error_type, "errorMessage": sent.error_message})
                    .to_string(),
                name: sent.error_type,
            }
        })
    }

    /// The agent's word that the job is over, which comes twice as every report may, and what the machine hears of it.
    async fn heard(&self, id: DeploymentId, step: &str) -> Result<Value, TaskError> {
        let result = self.world.result(step);
        let job = self.snapshot(id).await.job(step, None).cloned();
        let job = job.expect("what was handed over is a job");
        let at = (self.team, id);
        let heard = kit::job::ended(&self.cloud, at, &job, &result).await;
        let again = kit::job::ended(&self.cloud, at, &job, &result).await;
        let words = [heard, again].map(|heard| match heard.expect("the records answer") {
            Heard::Yes(word) => word,
            Heard::Over => panic!("the job of {step} is over before it said so"),
        });
        assert_eq!(words[0], words[1], "{step}");
        match &words[0] {
            Word::Succeeded | Word::Nothing => Ok(Value::Null),
            Word::Failed { error, cause } => Err(TaskError {
                name: error.clone(),
                cause: cause.clone(),
            }),
        }
    }

    fn scripted(&self, call: &handler::Call) -> Scripted {
        let step = self
            .pipeline
            .steps
            .iter()
            .find(|step| step.definition.name == call.step)
            .expect("a step of the pipeline");
        let (cloud, team, id) = (self.cloud.clone(), self.team, call.deployment_id);
        Scripted {
            name: call.step.clone(),
            undo: step.undo_name().map(str::to_string),
            is_job: step.definition.mode == Mode::Job,
            world: self.world.clone(),
            cancel: Arc::new(move || {
                let cloud = cloud.clone();
                Box::pin(async move { cancel(&cloud, team, id).await })
            }),
        }
    }
}

/// Nobody reads the table's stream here, and at each write the emulator goes through the streams of all its tables.
async fn stop_stream(table: &str) {
    let off = StreamSpecification::builder()
        .stream_enabled(false)
        .build()
        .expect("a specification");
    crate::table::dynamo()
        .update_table()
        .table_name(table)
        .stream_specification(off)
        .send()
        .await
        .expect("a table without a stream");
}

async fn cancel(cloud: &Cloud, team: TeamId, id: DeploymentId) {
    let now = cloud.clock.now();
    let decide = |snapshot: &Snapshot| {
        Ok::<_, StepError>(match lifecycle::cancel(snapshot, "Tess", now)? {
            Cancel::Go(change) => (Some(*change), ()),
            Cancel::AlreadyFinished | Cancel::TooLate => (None, ()),
        })
    };
    cloud
        .records
        .deployment_change(team, id, decide)
        .await
        .expect("cancelled");
}

fn next() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    NEXT.fetch_add(1, Ordering::SeqCst)
}
