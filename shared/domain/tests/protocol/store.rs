//! The table: what `records` writes, with the same conditions, one transaction at a time.
//!
//! Promise: a transaction is decided over one read and lands whole or not at all, as `deployment_create` and
//! `deployment_apply` have it. [`Flaw`] takes single conditions out, to prove that the model would see it.

use crate::record::{self, Kind, Record, changed, id, index, now, unpacked};
use domain::lifecycle::{Arrival, Change, Lock, LockEffect, Slot, lock};
use domain::{DeploymentId, Dispatch, Settlement};

/// What a store or an agent may get wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    None,
    /// A change is written over whatever stands there.
    SeqIgnored,
    /// The verdict frees the lock.
    FreedByTheVerdict,
    /// Who waits is not looked at when the lock is freed.
    WaitingForgotten,
    /// Slots are written over whatever they have become.
    SlotsIgnored,
    /// A begin does not raise the lock's fence.
    FenceNotRaised,
    /// The agent serves whoever comes.
    AgentWithoutLease,
    /// A second arrival takes a lock that is held.
    HolderIgnored,
}

/// One deployment's part of a transaction.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Put {
    pub who: usize,
    /// The `seq` that must stand there; None when nothing may.
    pub seen: Option<u16>,
    pub record: Record,
}

/// The lock's part of a transaction: its condition and what it sets.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LockWrite {
    Take {
        me: DeploymentId,
        fence: u64,
    },
    Fence {
        me: DeploymentId,
        fence: u64,
    },
    Free {
        me: DeploymentId,
    },
    Pass {
        me: DeploymentId,
        next: DeploymentId,
        seen: Vec<Slot>,
        slots: Vec<Slot>,
    },
    Slots {
        holder: Option<DeploymentId>,
        seen: Vec<Slot>,
        slots: Vec<Slot>,
    },
}

/// All or nothing.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Transaction {
    pub puts: Vec<Put>,
    pub lock: Option<LockWrite>,
}

/// The items of one target.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Table {
    pub lock: Lock,
    pub deployments: Vec<Option<Record>>,
    /// The highest fence ever given.
    pub given: u64,
}

/// A rule that a transaction broke while it landed.
pub type Broken = &'static str;

impl Table {
    pub fn record(&self, who: usize) -> Option<&Record> {
        self.deployments[who].as_ref()
    }

    /// As `deployment_create` decides. None: refused, nothing is written.
    pub fn creation(
        &self,
        who: usize,
        kinds: &[Kind],
        mut new: Record,
        flaw: Flaw,
    ) -> Option<Transaction> {
        let mut deployment = unpacked(&new, who, kinds[who]).deployment;
        let mut lock = self.lock.clone();
        if flaw == Flaw::HolderIgnored && kinds[who].slot.is_none() {
            lock.holder = None;
        }
        let put = |record: Record| Put {
            who,
            seen: None,
            record,
        };
        match lock.arrive(&deployment) {
            Arrival::Takes => {
                new.fence = u16::try_from(self.lock.fence).expect("a small fence");
                new.dispatch = Dispatch::Ready;
                let take = LockWrite::Take {
                    me: id(who),
                    fence: self.lock.fence,
                };
                Some(Transaction {
                    puts: vec![put(new)],
                    lock: Some(take),
                })
            }
            Arrival::Refused => None,
            Arrival::Waits { slots, replaced } => {
                new.dispatch = Dispatch::Held;
                let mut puts = Vec::new();
                if let Some(old) = replaced {
                    let old = index(old, kinds.len());
                    let read = self.record(old)?;
                    let standing = unpacked(read, old, kinds[old]).deployment;
                    let change = lock::skipped(&standing, "replaced".to_string(), now()).ok()?;
                    puts.push(Put {
                        who: old,
                        seen: Some(read.seq),
                        record: changed(read, &change),
                    });
                }
                puts.push(put(new));
                let slots = LockWrite::Slots {
                    holder: self.lock.holder,
                    seen: self.lock.slots.clone(),
                    slots,
                };
                Some(Transaction {
                    puts,
                    lock: Some(slots),
                })
            }
            Arrival::Skipped(reason) => {
                deployment.dispatch = Dispatch::Held;
                let change = lock::skipped(&deployment, reason, now()).ok()?;
                let mut skipped = changed(&new, &change);
                skipped.seq = 1;
                Some(Transaction {
                    puts: vec![put(skipped)],
                    lock: None,
                })
            }
        }
    }

    /// As `deployment_apply` makes a transaction of a change. None: what it read fits no more.
    pub fn applied(
        &self,
        who: usize,
        kinds: &[Kind],
        change: &Change,
        flaw: Flaw,
    ) -> Option<Transaction> {
        let read = self.record(who)?;
        let mut puts = vec![Put {
            who,
            seen: Some(read.seq),
            record: changed(read, change),
        }];
        let me = id(who);
        let mut effect = change.locks;
        if flaw == Flaw::FreedByTheVerdict
            && effect == LockEffect::Keep
            && !read.status.is_finished()
            && change.deployment.status.is_finished()
        {
            effect = LockEffect::Free;
        }
        let lock = match effect {
            LockEffect::Keep => None,
            LockEffect::Fence => Some(LockWrite::Fence {
                me,
                fence: change.deployment.fence,
            }),
            LockEffect::Leave => {
                if !self.lock.slots.iter().any(|slot| slot.deployment_id == me) {
                    return None;
                }
                let (seen, slots) = (self.lock.slots.clone(), self.lock.left_by(me));
                Some(LockWrite::Slots {
                    holder: Some(self.lock.holder?),
                    seen,
                    slots,
                })
            }
            LockEffect::Free => match self.lock.next().filter(|_| flaw != Flaw::WaitingForgotten) {
                None => Some(LockWrite::Free { me }),
                Some(next) => {
                    let held = index(next, kinds.len());
                    let read = self.record(held)?;
                    let standing = unpacked(read, held, kinds[held]).deployment;
                    let turn = lock::promoted(&standing, change.deployment.fence, now())?;
                    puts.push(Put {
                        who: held,
                        seen: Some(read.seq),
                        record: record::promoted(read, &turn),
                    });
                    let (seen, slots) = (self.lock.slots.clone(), self.lock.left_by(next));
                    Some(LockWrite::Pass {
                        me,
                        next,
                        seen,
                        slots,
                    })
                }
            },
        };
        Some(Transaction { puts, lock })
    }

    /// Write it if all its conditions hold. `Ok(false)` when they do not.
    pub fn land(&mut self, transaction: &Transaction, flaw: Flaw) -> Result<bool, Broken> {
        let fits = |put: &Put| match (put.seen, self.record(put.who)) {
            (None, None) => true,
            (Some(seq), Some(standing)) => standing.seq == seq || flaw == Flaw::SeqIgnored,
            _ => false,
        };
        if !transaction.puts.iter().all(fits)
            || !transaction
                .lock
                .as_ref()
                .is_none_or(|write| self.holds(write, flaw))
        {
            return Ok(false);
        }
        for put in &transaction.puts {
            if let Some(standing) = self.record(put.who) {
                unbroken(standing, &put.record)?;
            }
        }
        for put in &transaction.puts {
            self.deployments[put.who] = Some(put.record.clone());
        }
        transaction
            .lock
            .as_ref()
            .map_or(Ok(()), |write| self.set(write, flaw))?;
        Ok(true)
    }

    fn holds(&self, write: &LockWrite, flaw: Flaw) -> bool {
        let lock = &self.lock;
        let same = |seen: &Vec<Slot>| lock.slots == *seen || flaw == Flaw::SlotsIgnored;
        match write {
            LockWrite::Take { fence, .. } => {
                (lock.holder.is_none() || flaw == Flaw::HolderIgnored) && lock.fence <= *fence
            }
            LockWrite::Fence { me, fence } => lock.holder == Some(*me) && lock.fence < *fence,
            LockWrite::Free { me } => {
                lock.holder == Some(*me)
                    && (lock.slots.is_empty()
                        || flaw == Flaw::SlotsIgnored
                        || flaw == Flaw::WaitingForgotten)
            }
            LockWrite::Pass { me, seen, .. } => lock.holder == Some(*me) && same(seen),
            LockWrite::Slots { holder, seen, .. } => lock.holder == *holder && same(seen),
        }
    }

    fn set(&mut self, write: &LockWrite, flaw: Flaw) -> Result<(), Broken> {
        let lock = &mut self.lock;
        match write {
            LockWrite::Take { me, fence } => {
                lock.holder = Some(*me);
                lock.fence = *fence;
            }
            LockWrite::Fence { fence, .. } => {
                if *fence <= self.given {
                    return Err("a begin got a fence that was given before");
                }
                self.given = *fence;
                if flaw != Flaw::FenceNotRaised {
                    lock.fence = *fence;
                }
            }
            LockWrite::Free { .. } => {
                lock.holder = None;
                lock.slots.clear();
            }
            LockWrite::Pass { next, slots, .. } => {
                lock.holder = Some(*next);
                lock.slots = slots.clone();
            }
            LockWrite::Slots { slots, .. } => lock.slots = slots.clone(),
        }
        Ok(())
    }
}

/// What no write may do to a deployment, whoever writes.
fn unbroken(before: &Record, after: &Record) -> Result<(), Broken> {
    if before.status.is_finished()
        && (before.status, before.outcome) != (after.status, after.outcome)
    {
        return Err("a verdict changed");
    }
    if before.settlement == Settlement::Settled {
        return Err("a settled deployment changed");
    }
    Ok(())
}
