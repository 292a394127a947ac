//! What must hold in every state that can be reached, and what must be seen at least once.

use crate::protocol::{Action, Protocol};
use crate::record::{STEPS, id};
use crate::store::Table;
use crate::world::World;
use domain::{DeploymentStatus, Dispatch, Outcome, Settlement};
use stateright::Property;
use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

pub const LOCK: &str =
    "who is at work or may be is the lock's holder, and the holder is one of them";
pub const SLOTS: &str = "who waits is in one slot of a lock that is held, and only who waits is";
pub const WRITES: &str = "no write changes a verdict or what is settled, and fences rise";
pub const VERDICT: &str =
    "what is settled, stopping or undoing has a verdict, and the outcome says the same";
pub const TARGET: &str = "what failed or was cancelled left nothing, and what completed stands";
pub const ALONE: &str = "nothing is settled beside a worker that may be alive";
pub const ENDS: &str = "if every worker died now, all would still be settled, or people be told";

/// What each search is about is seen in it.
pub const TOLD: &str = "people are told";
pub const REFUSED: &str = "the agent refuses a worker that was overtaken";
pub const SKIPPED: &str = "one that waited is replaced, or one that came is skipped";
pub const FOLLOWS: &str = "the next one touches the target after the first is settled";

/// All of them.
pub fn all() -> Vec<Property<Protocol>> {
    vec![
        Property::always(LOCK, |_, world: &World| lock_agrees(world)),
        Property::always(SLOTS, |_, world: &World| slots_agree(&world.table)),
        Property::always(WRITES, |_, world: &World| world.broken.is_none()),
        Property::always(VERDICT, |_, world: &World| verdicts_agree(&world.table)),
        Property::always(TARGET, |_, world: &World| target_agrees(world)),
        Property::always(ALONE, |_, world: &World| settled_alone(world)),
        Property::always(ENDS, ends),
        Property::sometimes(TOLD, |_, world: &World| {
            each(&world.table).any(|(_, record)| record.settlement == Settlement::NeedsAttention)
        }),
        Property::sometimes(REFUSED, |_, world: &World| {
            world.workers.iter().any(|worker| worker.refused)
        }),
        Property::sometimes(SKIPPED, |_, world: &World| {
            each(&world.table).any(|(_, record)| record.outcome == Some(Outcome::Skipped))
        }),
        Property::sometimes(FOLLOWS, |_, world: &World| {
            let next = world.served.is_some_and(|who| !world.settled(who));
            next && each(&world.table).any(|(who, _)| world.settled(who) && world.stands(who))
        }),
    ]
}

fn each(table: &Table) -> impl Iterator<Item = (usize, &crate::record::Record)> {
    table
        .deployments
        .iter()
        .enumerate()
        .filter_map(|(who, record)| record.as_ref().map(|record| (who, record)))
}

/// At most one is at work, and nobody frees the lock before the holder is settled.
fn lock_agrees(world: &World) -> bool {
    let open = |record: &crate::record::Record| {
        record.dispatch != Dispatch::Held && record.settlement != Settlement::Settled
    };
    let mut holders = each(&world.table)
        .filter(|(_, record)| open(record))
        .map(|(who, _)| id(who));
    let (first, second) = (holders.next(), holders.next());
    let fence = each(&world.table)
        .find(|(_, record)| open(record))
        .map(|(_, record)| u64::from(record.fence));
    second.is_none()
        && first == world.table.lock.holder
        && fence.is_none_or(|fence| fence == world.table.lock.fence)
}

fn slots_agree(table: &Table) -> bool {
    let lock = &table.lock;
    let places = |who: usize| {
        lock.slots
            .iter()
            .filter(|slot| slot.deployment_id == id(who))
            .count()
    };
    let waits = |record: &crate::record::Record| {
        record.dispatch == Dispatch::Held && record.settlement != Settlement::Settled
    };
    let names: HashSet<&str> = lock.slots.iter().map(|slot| slot.name.as_str()).collect();
    each(table).all(|(who, record)| places(who) == usize::from(waits(record)))
        && names.len() == lock.slots.len()
        && (lock.slots.is_empty() || lock.holder.is_some())
}

fn verdicts_agree(table: &Table) -> bool {
    each(table).all(|(_, record)| {
        let told = match record.status {
            DeploymentStatus::Queued | DeploymentStatus::Running => record.outcome.is_none(),
            DeploymentStatus::Completed => record.outcome == Some(Outcome::Succeeded),
            DeploymentStatus::Failed => record.outcome == Some(Outcome::Failed),
            DeploymentStatus::Cancelled => {
                matches!(record.outcome, Some(Outcome::Canceled | Outcome::Skipped))
            }
        };
        told && (record.settlement == Settlement::Active || record.status.is_finished())
    })
}

fn target_agrees(world: &World) -> bool {
    each(&world.table).all(|(who, record)| match (record.status, record.settlement) {
        (DeploymentStatus::Completed, _) => world.stands(who),
        (_, Settlement::Settled) => world.accepted[who] || world.untouched(who),
        _ => true,
    })
}

fn settled_alone(world: &World) -> bool {
    let lives = |who: usize| (0..STEPS.len()).any(|step| world.may_live(who, step));
    each(&world.table).all(|(who, _)| !world.settled(who) || world.accepted[who] || !lives(who))
}

/// Settled, or with people, or behind one that is.
fn is_over(world: &World) -> bool {
    let told = |record: &crate::record::Record| record.settlement == Settlement::NeedsAttention;
    let behind = each(&world.table).any(|(_, record)| told(record));
    each(&world.table).all(|(_, record)| {
        record.settlement == Settlement::Settled
            || told(record)
            || (record.dispatch == Dispatch::Held && behind)
    })
}

fn ends(protocol: &Protocol, world: &World) -> bool {
    let begin = world.without_workers();
    let mut known = protocol.ends.lock().expect("no search panicked");
    let mut seen = HashSet::from([fingerprint(&begin)]);
    // A path of worlds, each with what may still be tried from it.
    let mut path = vec![(protocol.fair(&begin), begin)];
    while let Some((acts, here)) = path.last_mut() {
        if is_over(here) || known.contains(&fingerprint(here)) {
            known.extend(path.iter().map(|(_, world)| fingerprint(world)));
            return true;
        }
        let Some(act) = acts.pop() else {
            path.pop();
            continue;
        };
        if let Some(next) = protocol.next(here, Action::Now(act))
            && seen.insert(fingerprint(&next))
        {
            path.push((protocol.fair(&next), next));
        }
    }
    false
}

fn fingerprint(world: &World) -> u64 {
    let mut hasher = DefaultHasher::new();
    world.hash(&mut hasher);
    hasher.finish()
}
