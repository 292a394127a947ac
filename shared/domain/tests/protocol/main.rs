//! The protocol of lock, dispatch, verdict and settlement, searched exhaustively within bounds.
//!
//! Promise: every order of arrivals, starts, repeats, deaths, late workers, late writes, aborts and people's words within
//! the bounds of a search keeps the rules in [`rules`]. The transitions are production's; a search that has become small
//! fails, and so does one that no longer finds the flaws it is given.

mod protocol;
mod record;
mod rules;
mod store;
mod world;

use domain::Trigger;
use protocol::{Act, Action, Protocol};
use record::Kind;
use stateright::{Checker, HasDiscoveries, Model, Property};
use std::collections::HashSet;
use std::sync::Mutex;
use store::Flaw;
use world::{Budget, World};

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![self.start()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.broken.is_some() {
            return;
        }
        let acts = self.acts(world);
        if world.late.is_some() {
            actions.push(Action::Lands);
        } else if world.budget.late_writes > 0 {
            actions.extend(acts.iter().copied().map(Action::Late));
        }
        if world.budget.lost_answers > 0 {
            let answered =
                |act: &Act| matches!(act, Act::Calls(..) | Act::Finishes(_) | Act::Fails(_));
            actions.extend(
                acts.iter()
                    .copied()
                    .filter(answered)
                    .map(Action::Unanswered),
            );
        }
        actions.extend(acts.into_iter().map(Action::Now));
    }

    fn next_state(&self, world: &World, action: Action) -> Option<World> {
        self.next(world, action)
    }

    fn within_boundary(&self, world: &World) -> bool {
        let starts = world.table.deployments.iter().flatten();
        starts.map(|record| record.undo_starts).sum::<u8>() <= self.undo_starts
    }

    fn properties(&self) -> Vec<Property<Self>> {
        rules::all()
    }
}

const NO_FAULTS: Budget = Budget {
    failures: 0,
    releases: 0,
    aborts: 0,
    given_up: 0,
    late_writes: 0,
    lost_answers: 0,
};
const MANUAL: Kind = Kind {
    trigger: Trigger::Api,
    slot: None,
};
const PUSH: Kind = Kind {
    trigger: Trigger::Webhook,
    slot: Some("release:main"),
};
const NIGHTLY: Kind = Kind {
    trigger: Trigger::Schedule,
    slot: Some("backup:nightly"),
};

fn search(kinds: &[Kind], budget: Budget) -> Protocol {
    Protocol {
        kinds: kinds.to_vec(),
        tidy: false,
        budget,
        undo_starts: 1,
        workers: 2,
        people: true,
        flaw: Flaw::None,
        ends: Mutex::new(HashSet::new()),
    }
}

/// Search all of it; `least` is what it had when it was written, rounded down.
fn holds(protocol: Protocol, least: usize, sees: &[&'static str]) {
    let begun = std::time::Instant::now();
    let checker = protocol
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .spawn_bfs()
        .join();
    let states = checker.unique_state_count();
    println!(
        "{states} states in {:?}, {} steps deep",
        begun.elapsed(),
        checker.max_depth()
    );
    for property in rules::all() {
        let found = checker.discovery(property.name);
        if !property.expectation.discovery_is_failure() {
            assert!(
                found.is_some() || !sees.contains(&property.name),
                "never seen: {}",
                property.name
            );
        } else if let Some(path) = found {
            panic!("{}:\n{}", property.name, story(path));
        }
    }
    assert!(
        states >= least,
        "the search has become small: {states} states"
    );
}

fn story(path: stateright::Path<World, Action>) -> String {
    let last = path.last_state().clone();
    let acts: Vec<_> = path
        .into_actions()
        .into_iter()
        .map(|action| format!("  {action:?}"))
        .collect();
    format!("{}\n{last:#?}", acts.join("\n"))
}

#[test]
fn one_deployment_meets_faults_of_every_kind() {
    let budget = Budget {
        failures: 1,
        aborts: 1,
        ..NO_FAULTS
    };
    holds(
        search(&[MANUAL], budget),
        99_000,
        &[rules::TOLD, rules::REFUSED],
    );
}

#[test]
fn late_writers_and_lost_answers_change_nothing_they_must_not() {
    let budget = Budget {
        late_writes: 1,
        lost_answers: 1,
        ..NO_FAULTS
    };
    let protocol = Protocol {
        workers: 1,
        ..search(&[MANUAL], budget)
    };
    holds(protocol, 52_000, &[rules::TOLD]);
}

#[test]
fn a_step_after_the_commit_is_over_before_the_next_deployment_begins() {
    let budget = Budget {
        aborts: 1,
        given_up: 1,
        ..NO_FAULTS
    };
    let protocol = Protocol {
        tidy: true,
        people: false,
        ..search(&[MANUAL], budget)
    };
    holds(protocol, 31_000, &[rules::TOLD]);
}

#[test]
fn two_deployments_follow_each_other_on_one_target() {
    let budget = Budget {
        aborts: 1,
        ..NO_FAULTS
    };
    let protocol = Protocol {
        workers: 2,
        people: false,
        ..search(&[MANUAL, PUSH], budget)
    };
    holds(protocol, 96_000, &[rules::FOLLOWS, rules::REFUSED]);
}

#[test]
fn those_that_wait_are_replaced_skipped_or_get_their_turn() {
    let budget = Budget {
        late_writes: 1,
        ..NO_FAULTS
    };
    let protocol = Protocol {
        workers: 0,
        undo_starts: 0,
        ..search(&[MANUAL, PUSH, PUSH, NIGHTLY], budget)
    };
    holds(protocol, 46_000, &[rules::SKIPPED]);
}

/// The rule that a flaw breaks.
fn finds(flaw: Flaw, kinds: &[Kind], rules: &[&'static str]) {
    let budget = Budget {
        failures: 1,
        late_writes: 1,
        ..NO_FAULTS
    };
    let protocol = Protocol {
        flaw,
        ..search(kinds, budget)
    };
    let checker = protocol
        .checker()
        .finish_when(HasDiscoveries::AnyOf(rules.iter().copied().collect()))
        .spawn_bfs()
        .join();
    assert!(
        rules.iter().any(|rule| checker.discovery(rule).is_some()),
        "{flaw:?} is not seen"
    );
}

#[test]
fn a_flaw_in_the_store_or_the_agent_is_found() {
    finds(Flaw::SeqIgnored, &[MANUAL], &[rules::WRITES, rules::LOCK]);
    finds(Flaw::FreedByTheVerdict, &[MANUAL], &[rules::LOCK]);
    finds(Flaw::WaitingForgotten, &[MANUAL, PUSH], &[rules::SLOTS]);
    finds(Flaw::SlotsIgnored, &[MANUAL, PUSH], &[rules::SLOTS]);
    finds(Flaw::FenceNotRaised, &[MANUAL], &[rules::LOCK]);
    finds(Flaw::AgentWithoutLease, &[MANUAL], &[rules::TARGET]);
    finds(Flaw::HolderIgnored, &[PUSH, MANUAL], &[rules::LOCK]);
}
