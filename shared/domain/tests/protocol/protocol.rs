//! Who does what: people, triggers, the dispatcher, executions of the machine, workers, the agent, the sweeper, and time.
//!
//! Promise: what they decide is decided by production's transitions; here is only who asks when, and what the machine
//! makes of the answer, state for state as it is generated.

use crate::record::{
    self, COMMIT, Deadline, Kind, MAKE, STEPS, TIDY, UNCOMMIT, UNMAKE, changed, forward_of, now,
    unpacked,
};
use crate::store::{Flaw, Table};
use crate::world::{Budget, Place, Then, Worker, World, Write};
use domain::lifecycle::{self, Begin, Cancel, Change, End, Execution, Lock, Recovery, Snapshot};
use domain::{ErrorKind, Failure, StepError, StepKind, StepStatus};
use std::collections::{BTreeMap, HashSet};
use std::sync::Mutex;

/// The bounds of one search.
pub struct Protocol {
    pub kinds: Vec<Kind>,
    /// The pipelines have a step after their commit.
    pub tidy: bool,
    pub budget: Budget,
    /// How often a machine is started again.
    pub undo_starts: u8,
    /// At work at once; with 0, the search is about those that wait, and no execution starts.
    pub workers: usize,
    /// People cancel, try again and accept.
    pub people: bool,
    pub flaw: Flaw,
    /// States from which everything is known to come to an end.
    pub ends: Mutex<HashSet<u64>>,
}

/// Something that somebody does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Act {
    /// A trigger creates it.
    Arrives(usize),
    /// The dispatcher or the sweeper starts the execution of this number.
    Starts(usize, usize),
    /// And says so in the record.
    SaysStarted(usize),
    /// The execution calls the Lambda of its state.
    Calls(usize, usize),
    /// It has called often enough.
    GivesUp(usize, usize),
    /// It is aborted.
    IsAborted(usize, usize),
    /// The agent does what a worker sent.
    TouchesTarget(usize),
    Finishes(usize),
    Fails(usize),
    LetsGo(usize),
    /// A worker is never heard of again, nor what it sent.
    Vanishes(usize),
    /// A step's deadline passes; its worker may not know.
    DeadlinePasses(usize, usize),
    /// Its machine should have been started long ago.
    WaitsLong(usize),
    /// The sweeper looks.
    IsSwept(usize),
    IsCancelled(usize),
    IsTriedAgain(usize),
    IsAccepted(usize),
}

/// How a write comes about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Action {
    /// Read and written with nothing in between.
    Now(Act),
    /// Read and decided now, written some time later.
    Late(Act),
    /// The late write reaches the table.
    Lands,
    /// Written, but whoever wrote it does not learn that.
    Unanswered(Act),
}

/// What an act comes to.
enum Done {
    /// Nothing changes.
    Nothing,
    /// A write, and what follows it.
    Writes(Write),
    /// No write; the world is another.
    Is(Box<World>),
}

impl Protocol {
    pub fn start(&self) -> World {
        let count = self.kinds.len();
        World {
            table: Table {
                lock: Lock::default(),
                deployments: vec![None; count],
                given: 0,
            },
            executions: vec![Vec::new(); count],
            workers: Vec::new(),
            late: None,
            marks: vec![[false, false]; count],
            lease: 0,
            served: None,
            accepted: vec![false; count],
            budget: self.budget,
            broken: None,
        }
    }

    /// What goes on by itself, without faults and people.
    pub fn fair(&self, world: &World) -> Vec<Act> {
        let mut acts = Vec::new();
        for who in (0..self.kinds.len()).rev() {
            let Some(record) = world.table.record(who) else {
                continue;
            };
            for number in 0..=usize::from(record.undo_starts) {
                match world.place(who, number) {
                    Place::NotStarted if world.published(who, number) => {
                        acts.push(Act::Starts(who, number))
                    }
                    Place::NotStarted | Place::Ended => {}
                    _ => acts.push(Act::Calls(who, number)),
                }
            }
            acts.extend([Act::SaysStarted(who), Act::IsSwept(who)]);
            acts.extend(
                (0..STEPS.len())
                    .filter(|step| world.may_live(who, *step))
                    .map(|step| Act::DeadlinePasses(who, step)),
            );
        }
        for (at, worker) in world.workers.iter().enumerate() {
            acts.push(if worker.done || worker.refused {
                Act::Finishes(at)
            } else {
                Act::TouchesTarget(at)
            });
        }
        acts
    }

    pub fn acts(&self, world: &World) -> Vec<Act> {
        let mut acts = self.fair(world);
        if self.workers == 0 {
            acts.retain(|act| !matches!(act, Act::Starts(..)));
        }
        let budget = world.budget;
        for who in 0..self.kinds.len() {
            let Some(record) = world.table.record(who) else {
                // In order: which is which makes no difference beyond what their kinds say.
                acts.push(Act::Arrives(who));
                continue;
            };
            for number in 0..=usize::from(record.undo_starts) {
                let place = world.place(who, number);
                if matches!(place, Place::NotStarted | Place::Ended) {
                    continue;
                }
                if budget.given_up > 0 {
                    acts.push(Act::GivesUp(who, number));
                }
                if budget.aborts > 0 {
                    acts.push(Act::IsAborted(who, number));
                }
            }
            if record.dispatch == domain::Dispatch::Ready && !record.overdue && !world.settled(who)
            {
                acts.push(Act::WaitsLong(who));
            }
            if self.people {
                acts.extend([
                    Act::IsCancelled(who),
                    Act::IsTriedAgain(who),
                    Act::IsAccepted(who),
                ]);
            }
        }
        for at in 0..world.workers.len() {
            if budget.failures > 0 {
                acts.push(Act::Fails(at));
            }
            if budget.releases > 0 {
                acts.push(Act::LetsGo(at));
            }
            acts.push(Act::Vanishes(at));
        }
        acts
    }

    pub fn next(&self, world: &World, action: Action) -> Option<World> {
        let mut next = world.clone();
        let act = match action {
            Action::Lands => {
                let write = next.late.take()?;
                self.write(&mut next, *write, true);
                return Some(next.canonical());
            }
            Action::Now(act) | Action::Late(act) | Action::Unanswered(act) => act,
        };
        match (action, self.done(&mut next, act)) {
            (_, Done::Nothing) => return None,
            (Action::Now(_), Done::Is(other)) => next = *other,
            (_, Done::Is(_)) => return None,
            (Action::Late(_), Done::Writes(write)) => {
                next.budget.late_writes -= 1;
                next.late = Some(Box::new(write));
            }
            (
                Action::Unanswered(_),
                Done::Writes(Write {
                    then: Then::Nothing | Then::Accepts(_),
                    ..
                }),
            ) => return None,
            (Action::Unanswered(_), Done::Writes(write)) => {
                next.budget.lost_answers -= 1;
                self.write(&mut next, write, false);
            }
            (_, Done::Writes(write)) => self.write(&mut next, write, true),
        }
        let next = next.canonical();
        (next != *world).then_some(next)
    }

    /// Let it land, and go on as its writer would.
    fn write(&self, world: &mut World, write: Write, answered: bool) {
        match world.table.land(&write.transaction, self.flaw) {
            Err(broken) => world.broken = Some(broken),
            // Its writer reads again, which is the same act once more; a worker that wanted to end is still there.
            Ok(false) => {
                if let Then::Answers(worker, _) = write.then {
                    world.workers.push(worker);
                }
            }
            Ok(true) => match write.then {
                Then::Accepts(who) => world.accepted[who] = true,
                _ if !answered => {}
                Then::Nothing => {}
                Then::Works(worker) => {
                    world.workers.push(worker);
                }
                Then::Answers(worker, place) => answer(world, &worker, place),
                Then::Goes {
                    who,
                    execution,
                    from,
                    to,
                } => {
                    if world.place(who, execution) == from {
                        world.go(who, execution, to);
                    }
                }
            },
        }
    }

    fn snapshot(&self, world: &World, who: usize) -> Option<Snapshot> {
        world
            .table
            .record(who)
            .map(|record| unpacked(record, who, self.kinds[who]))
    }

    fn writes(&self, world: &World, who: usize, change: &Change, then: Then) -> Done {
        match world.table.applied(who, &self.kinds, change, self.flaw) {
            Some(transaction) => Done::Writes(Write { transaction, then }),
            None => Done::Nothing,
        }
    }

    fn done(&self, world: &mut World, act: Act) -> Done {
        match act {
            Act::Arrives(who) => {
                let new = record::new(self.tidy);
                match world.table.creation(who, &self.kinds, new, self.flaw) {
                    Some(transaction) => Done::Writes(Write {
                        transaction,
                        then: Then::Nothing,
                    }),
                    None => Done::Nothing,
                }
            }
            Act::Starts(who, number) => {
                world.go(
                    who,
                    number,
                    if number == 0 {
                        Place::Forward(MAKE)
                    } else {
                        Place::Stop
                    },
                );
                is(world)
            }
            Act::Calls(who, number) => self.call(world, who, number),
            Act::GivesUp(who, number) => {
                let to = match world.place(who, number) {
                    Place::Forward(TIDY) => Place::Note,
                    Place::Forward(_) => Place::Stop,
                    Place::Stop | Place::Undo(_) | Place::Note => Place::Settle,
                    _ => Place::Ended,
                };
                world.budget.given_up -= 1;
                leave(world, who, number, to)
            }
            Act::IsAborted(who, number) => {
                world.budget.aborts -= 1;
                leave(world, who, number, Place::Ended)
            }
            Act::TouchesTarget(at) => self.touch(world, at),
            Act::Finishes(at) => self.finish(world, at, false),
            Act::Fails(at) => {
                world.budget.failures -= 1;
                self.finish(world, at, true)
            }
            Act::LetsGo(at) => {
                let worker = world.workers.remove(at);
                world.budget.releases -= 1;
                let Some(snapshot) = self.snapshot(world, worker.who) else {
                    return Done::Nothing;
                };
                match lifecycle::release(&snapshot, STEPS[worker.step], worker.fence, String::new())
                {
                    // Its execution retries in the same state.
                    Ok(change) => {
                        let place = world.place(worker.who, worker.execution);
                        self.writes(
                            world,
                            worker.who,
                            &change,
                            Then::Answers(worker.clone(), place),
                        )
                    }
                    Err(_) => is(world),
                }
            }
            Act::Vanishes(at) => {
                world.workers.remove(at);
                is(world)
            }
            Act::DeadlinePasses(who, step) => {
                if let Some(step) = world.table.deployments[who]
                    .as_mut()
                    .and_then(|record| record.steps[step].as_mut())
                {
                    step.deadline = Some(Deadline::Passed);
                }
                is(world)
            }
            Act::WaitsLong(who) => {
                if let Some(record) = world.table.deployments[who].as_mut() {
                    record.overdue = true;
                }
                is(world)
            }
            Act::SaysStarted(_)
            | Act::IsSwept(_)
            | Act::IsCancelled(_)
            | Act::IsTriedAgain(_)
            | Act::IsAccepted(_) => self.change(world, act),
        }
    }

    /// Those that read a deployment and write it.
    fn change(&self, world: &mut World, act: Act) -> Done {
        let (Act::SaysStarted(who)
        | Act::IsSwept(who)
        | Act::IsCancelled(who)
        | Act::IsTriedAgain(who)
        | Act::IsAccepted(who)) = act
        else {
            return Done::Nothing;
        };
        let Some(snapshot) = self.snapshot(world, who) else {
            return Done::Nothing;
        };
        let change = match act {
            Act::SaysStarted(_) => {
                // Whoever started one of its executions says so, perhaps long after.
                let any = world.executions[who]
                    .iter()
                    .any(|place| *place != Place::NotStarted);
                lifecycle::dispatched(&snapshot).filter(|_| any)
            }
            Act::IsSwept(_) => {
                let number =
                    usize::try_from(snapshot.deployment.undo_starts).expect("a small number");
                let execution = match world.place(who, number) {
                    Place::NotStarted | Place::Ended => Execution::Ended,
                    _ => Execution::Running,
                };
                match lifecycle::recover(&snapshot, execution, now()) {
                    Ok(Recovery::Write(change)) => Some(*change),
                    // A start is the dispatcher's act too.
                    Ok(Recovery::Start | Recovery::Nothing) => None,
                    Err(error) => return wrong(world, &error, "the sweeper is refused"),
                }
            }
            Act::IsCancelled(_) => match lifecycle::cancel(&snapshot, "somebody", now()) {
                Ok(Cancel::Go(change)) => Some(*change),
                Ok(Cancel::AlreadyFinished | Cancel::TooLate) => None,
                Err(error) => return wrong(world, &error, "a cancel is refused"),
            },
            Act::IsTriedAgain(_) => lifecycle::undo_again(&snapshot, now()).ok().flatten(),
            _ => lifecycle::acknowledge(&snapshot, now()).ok().flatten(),
        };
        match change {
            None => Done::Nothing,
            Some(change) => {
                let accepts = matches!(act, Act::IsAccepted(_));
                self.writes(
                    world,
                    who,
                    &change,
                    if accepts {
                        Then::Accepts(who)
                    } else {
                        Then::Nothing
                    },
                )
            }
        }
    }

    /// The execution calls the Lambda of its state.
    fn call(&self, world: &mut World, who: usize, number: usize) -> Done {
        let place = world.place(who, number);
        let Some(snapshot) = self.snapshot(world, who) else {
            return Done::Nothing;
        };
        let goes = |to| Then::Goes {
            who,
            execution: number,
            from: place,
            to,
        };
        let (change, to) = match place {
            Place::Forward(step) => {
                return self.begin(world, &snapshot, (who, number), step, false);
            }
            Place::Undo(step) => return self.begin(world, &snapshot, (who, number), step, true),
            Place::NotStarted | Place::Ended => return Done::Nothing,
            Place::Note => match lifecycle::note(&snapshot, STEPS[TIDY], failure(), now()) {
                Ok(change) => (change, Place::Settle),
                Err(error) if error.kind == ErrorKind::Busy => return Done::Nothing,
                Err(_) => (None, Place::Settle),
            },
            Place::Stop => match lifecycle::stop(&snapshot, Some(failure()), now()) {
                Ok((change, first)) => (change, undo_from(first.as_deref())),
                Err(error) => match error.kind {
                    ErrorKind::Stale => (None, Place::Ended),
                    ErrorKind::Busy => return Done::Nothing,
                    _ => return wrong(world, &error, "stop is refused"),
                },
            },
            Place::Settle => match lifecycle::settle(&snapshot, now()) {
                Ok(change) => (change, Place::Ended),
                Err(error) if error.kind == ErrorKind::Busy => return Done::Nothing,
                Err(_) => (None, Place::Ended),
            },
        };
        match change {
            Some(change) => self.writes(world, who, &change, goes(to)),
            None => {
                world.go(who, number, to);
                is(world)
            }
        }
    }

    fn begin(
        &self,
        world: &mut World,
        snapshot: &Snapshot,
        (who, execution): (usize, usize),
        step: usize,
        undo: bool,
    ) -> Done {
        if world.workers.len() >= self.workers.max(1) {
            return Done::Nothing;
        }
        // Whoever was called before in this state is not waited for any more.
        for worker in world
            .workers
            .iter_mut()
            .filter(|worker| worker.who == who && worker.execution == execution)
        {
            worker.awaited = false;
        }
        let place = world.place(who, execution);
        let worker = lifecycle::Worker {
            request_id: "a new worker".to_string(),
            deadline: record::deadline(),
        };
        let to = match lifecycle::begin(snapshot, STEPS[forward_of(step)], undo, &worker, now()) {
            Ok(Begin::Go(change)) => {
                let fence = change.deployment.fence;
                let worker = Worker {
                    who,
                    execution,
                    step,
                    fence,
                    done: false,
                    refused: false,
                    awaited: true,
                };
                return self.writes(world, who, &change, Then::Works(worker));
            }
            Ok(Begin::Done(_) | Begin::Nothing) => self.after(place),
            Err(error) => match error.kind {
                ErrorKind::Busy => return Done::Nothing,
                ErrorKind::Stale => Place::Ended,
                ErrorKind::Broken => return wrong(world, &error, "a begin is broken"),
                _ => on_error(place),
            },
        };
        world.go(who, execution, to);
        is(world)
    }

    /// Where the machine goes when a state did its work.
    fn after(&self, place: Place) -> Place {
        match place {
            Place::Forward(MAKE) => Place::Forward(COMMIT),
            Place::Forward(COMMIT) if self.tidy => Place::Forward(TIDY),
            Place::Undo(UNCOMMIT) => Place::Undo(UNMAKE),
            _ => Place::Settle,
        }
    }

    /// The agent gets a worker's call: served unless a higher fence was there before.
    fn touch(&self, world: &mut World, at: usize) -> Done {
        let worker = &mut world.workers[at];
        if worker.fence < world.lease && self.flaw != Flaw::AgentWithoutLease {
            worker.refused = true;
            return is(world);
        }
        worker.done = true;
        world.lease = world.lease.max(worker.fence);
        let worker = worker.clone();
        if world.served.is_some_and(|last| {
            last != worker.who && world.settled(worker.who) && !world.accepted[worker.who]
        }) {
            world.broken = Some(
                "the target was touched for a settled deployment after the next one touched it",
            );
        }
        world.served = Some(worker.who);
        match worker.step {
            MAKE | COMMIT => world.marks[worker.who][worker.step] = true,
            UNMAKE | UNCOMMIT => world.marks[worker.who][forward_of(worker.step)] = false,
            _ => {}
        }
        is(world)
    }

    fn finish(&self, world: &mut World, at: usize, fails: bool) -> Done {
        let worker = world.workers.remove(at);
        let place = match worker.step {
            UNMAKE | UNCOMMIT => Place::Undo(worker.step),
            forward => Place::Forward(forward),
        };
        if !fails && !worker.done && !worker.refused {
            return Done::Nothing;
        }
        let Some(snapshot) = self.snapshot(world, worker.who) else {
            return Done::Nothing;
        };
        let failed = fails || worker.refused;
        let end = if failed {
            End::Failed(failure())
        } else {
            End::Completed {
                gives: BTreeMap::new(),
                output: String::new(),
            }
        };
        let forward = snapshot
            .step(STEPS[worker.step])
            .is_some_and(|step| step.kind == StepKind::Step);
        match lifecycle::finish(&snapshot, STEPS[worker.step], worker.fence, end, now()) {
            Ok(change) => {
                let read = world.table.record(worker.who).expect("it was read");
                let ended = changed(read, &change).steps[worker.step]
                    .expect("a step of the model")
                    .status;
                // A tidy step that failed is a warning: its machine goes on.
                let to = if ended == StepStatus::Failed && place != Place::Forward(TIDY) {
                    on_error(place)
                } else {
                    self.after(place)
                };
                self.writes(
                    world,
                    worker.who,
                    &change,
                    Then::Answers(worker.clone(), to),
                )
            }
            Err(error) => {
                let late = forward && snapshot.deployment.status.is_finished();
                if error.kind == ErrorKind::Broken && !late {
                    return wrong(world, &error, "a finish is broken");
                }
                // A worker that failed answers with its own error, whatever became of the record.
                let to = if failed || error.kind != ErrorKind::Stale {
                    on_error(place)
                } else {
                    Place::Ended
                };
                answer(world, &worker, to);
                is(world)
            }
        }
    }
}

/// Where the machine goes on an error that no retry mended.
fn on_error(place: Place) -> Place {
    match place {
        Place::Forward(TIDY) => Place::Note,
        Place::Forward(_) => Place::Stop,
        _ => Place::Settle,
    }
}

fn undo_from(first: Option<&str>) -> Place {
    match first {
        Some(name) if name == STEPS[COMMIT] => Place::Undo(UNCOMMIT),
        Some(name) if name == STEPS[MAKE] => Place::Undo(UNMAKE),
        _ => Place::Settle,
    }
}

/// A worker is over: its execution goes on if it still waits for it.
fn answer(world: &mut World, worker: &Worker, to: Place) {
    let place = match worker.step {
        UNMAKE | UNCOMMIT => Place::Undo(worker.step),
        forward => Place::Forward(forward),
    };
    if worker.awaited && world.place(worker.who, worker.execution) == place {
        world.go(worker.who, worker.execution, to);
    }
}

fn leave(world: &mut World, who: usize, number: usize, to: Place) -> Done {
    for worker in world
        .workers
        .iter_mut()
        .filter(|worker| worker.who == who && worker.execution == number)
    {
        worker.awaited = false;
    }
    world.go(who, number, to);
    is(world)
}

fn is(world: &World) -> Done {
    Done::Is(Box::new(world.clone()))
}

/// A fault of ours: no order of events may bring it about.
fn wrong(world: &mut World, _error: &StepError, what: &'static str) -> Done {
    world.broken = Some(what);
    is(world)
}

fn failure() -> Failure {
    Failure {
        kind: ErrorKind::Refused,
        code: "no".to_string(),
        message: String::new(),
    }
}
