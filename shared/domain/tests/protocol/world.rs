//! All that can differ: the table, the executions and workers at work, what is on the target, and one writer that is late.
//!
//! Promise: two states that the protocol cannot tell apart are equal: fences keep their order and not their size, `seq`
//! is known only to the late writer, and what is over says no more than that it is.

use crate::record::{COMMIT, Deadline, MAKE};
use crate::store::{Broken, LockWrite, Table, Transaction};
use domain::{Dispatch, Settlement, StepStatus};

/// Where an execution of the machine stands; the states of the generated definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Place {
    NotStarted,
    Forward(usize),
    Note,
    Stop,
    Undo(usize),
    Settle,
    Ended,
}

/// A step's Lambda, or what it sent to the agent before it died.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Worker {
    pub who: usize,
    /// The execution that called it, by its number.
    pub execution: usize,
    pub step: usize,
    pub fence: u64,
    /// The agent did its call.
    pub done: bool,
    /// The agent refused its call.
    pub refused: bool,
    /// Its execution still waits for its answer.
    pub awaited: bool,
}

/// What a write that landed lets happen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Then {
    Nothing,
    /// People took what is left upon them.
    Accepts(usize),
    /// A worker begins.
    Works(Worker),
    /// A worker is over; its execution goes on here, if it still waits for it.
    Answers(Worker, Place),
    /// An execution goes on.
    Goes {
        who: usize,
        execution: usize,
        from: Place,
        to: Place,
    },
}

/// Decided, and not written yet.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Write {
    pub transaction: Transaction,
    pub then: Then,
}

/// What may still go wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    /// Steps that fail for good.
    pub failures: u8,
    /// Steps that let go for another try.
    pub releases: u8,
    /// Executions that are aborted.
    pub aborts: u8,
    /// States whose retries are used up.
    pub given_up: u8,
    /// Writers that write over what they read before others wrote.
    pub late_writes: u8,
    /// Writes whose answer is lost.
    pub lost_answers: u8,
}

/// One state of everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub table: Table,
    /// Each deployment's executions, by `undo_starts`.
    pub executions: Vec<Vec<Place>>,
    pub workers: Vec<Worker>,
    pub late: Option<Box<Write>>,
    /// What the pipelines' two steps left on the target.
    pub marks: Vec<[bool; 2]>,
    /// The highest fence the agent served.
    pub lease: u64,
    /// Which deployment it served last, to see it go back to an older one.
    pub served: Option<usize>,
    /// A person accepted what is left.
    pub accepted: Vec<bool>,
    pub budget: Budget,
    pub broken: Option<Broken>,
}

impl World {
    pub fn settled(&self, who: usize) -> bool {
        self.table
            .record(who)
            .is_some_and(|record| record.settlement == Settlement::Settled)
    }

    /// Its dispatch was `ready` once, with this number.
    pub fn published(&self, who: usize, number: usize) -> bool {
        self.table.record(who).is_some_and(|record| {
            record.dispatch != Dispatch::Held && number <= usize::from(record.undo_starts)
        })
    }

    pub fn place(&self, who: usize, number: usize) -> Place {
        self.executions[who]
            .get(number)
            .copied()
            .unwrap_or(Place::NotStarted)
    }

    pub fn go(&mut self, who: usize, number: usize, to: Place) {
        let places = &mut self.executions[who];
        if places.len() <= number {
            places.resize(number + 1, Place::NotStarted);
        }
        places[number] = to;
    }

    /// As if no worker that is at work now were ever heard of again.
    pub fn without_workers(&self) -> Self {
        let mut world = self.clone();
        world.workers.clear();
        world.late = None;
        world.canonical()
    }

    /// The one that stands for all that cannot be told apart from it.
    pub fn canonical(mut self) -> Self {
        self.forget();
        self.rank_fences();
        self.number_writes();
        self.workers.sort_unstable();
        self
    }

    fn forget(&mut self) {
        for record in self.table.deployments.iter_mut().flatten() {
            let settled = record.settlement == Settlement::Settled;
            if settled || record.dispatch == Dispatch::Held {
                record.fence = 0;
            }
            if settled {
                record.restarts = 0;
            }
            if settled || record.dispatch != Dispatch::Ready {
                record.overdue = false;
            }
            for step in record.steps.iter_mut().flatten() {
                if step.status != StepStatus::Running {
                    step.fence = 0;
                    step.deadline = None;
                }
            }
        }
    }

    /// Every fence there is, the late writer's included.
    fn fences(&mut self, each: &mut dyn FnMut(&mut u64)) {
        let record = |record: &mut crate::record::Record, each: &mut dyn FnMut(&mut u64)| {
            let mut small = |fence: &mut u16| {
                let mut wide = u64::from(*fence);
                each(&mut wide);
                *fence = u16::try_from(wide).expect("a small fence");
            };
            small(&mut record.fence);
            for step in record.steps.iter_mut().flatten() {
                small(&mut step.fence);
            }
        };
        each(&mut self.table.lock.fence);
        each(&mut self.table.given);
        each(&mut self.lease);
        for deployment in self.table.deployments.iter_mut().flatten() {
            record(deployment, each);
        }
        for worker in &mut self.workers {
            each(&mut worker.fence);
        }
        if let Some(write) = &mut self.late {
            for put in &mut write.transaction.puts {
                record(&mut put.record, each);
            }
            if let Some(LockWrite::Fence { fence, .. } | LockWrite::Take { fence, .. }) =
                &mut write.transaction.lock
            {
                each(fence);
            }
            if let Then::Works(worker) | Then::Answers(worker, _) = &mut write.then {
                each(&mut worker.fence);
            }
        }
    }

    /// A fence is one above another, or far above: nothing asks which, as long as a new one is above all.
    fn rank_fences(&mut self) {
        let mut seen = vec![0];
        self.fences(&mut |fence| seen.push(*fence));
        seen.sort_unstable();
        seen.dedup();
        self.fences(&mut |fence| *fence = seen.binary_search(fence).expect("it was seen") as u64);
    }

    /// Only the late writer knows numbers: whether what it read still stands is all they say.
    fn number_writes(&mut self) {
        for (who, record) in self.table.deployments.iter_mut().enumerate() {
            let Some(record) = record else { continue };
            let late = self
                .late
                .iter_mut()
                .flat_map(|write| &mut write.transaction.puts);
            let read = late
                .filter(|put| put.who == who)
                .find_map(|put| put.seen.as_mut().map(|seen| (seen, &mut put.record.seq)));
            match read {
                None => record.seq = 1,
                Some((seen, written)) => {
                    record.seq = if *seen == record.seq { 1 } else { 2 };
                    (*seen, *written) = (1, 2);
                }
            }
        }
    }

    /// Nothing of it is on the target.
    pub fn untouched(&self, who: usize) -> bool {
        self.marks[who] == [false, false]
    }

    /// Both of its steps' effects stand.
    pub fn stands(&self, who: usize) -> bool {
        self.marks[who][MAKE] && self.marks[who][COMMIT]
    }

    /// The newest worker of this step may be alive.
    pub fn may_live(&self, who: usize, step: usize) -> bool {
        self.table
            .record(who)
            .and_then(|record| record.steps[step])
            .is_some_and(|step| {
                step.status == StepStatus::Running && step.deadline == Some(Deadline::Ahead)
            })
    }
}
