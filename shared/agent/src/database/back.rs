//! The way back, and the end: the old tables live again, or the old side dropped.
//!
//! Promise: works from any point at which the restore stopped; rows written to the new side are counted and named
//! before they are dropped; only what carries this deployment's claim goes, and the old side never while it holds the
//! only copy.

use super::journal::{Journal, Phase};
use super::objects;
use super::restore::Restore;
use super::swap::{Move, Side};
use super::{load, sessions, tables};
use crate::claims::{self, Kind, NoFacts};
use crate::fault::{Result, broken, refused};
use crate::files;
use protocol::Changed;
use std::collections::BTreeSet;

/// At most so many tables in the notes.
const NAMES_LIMIT: usize = 50;

impl Restore<'_> {
    /// The live tables are those from before the restore, and what lay beside is gone. Nothing to undo is a success.
    pub fn swap_back(&self) -> Result<Changed> {
        let Some(mut journal) = Journal::read(self.paths, self.database)? else {
            return Ok(unchanged(format!(
                "no restore of database {} to undo",
                self.database
            )));
        };
        if journal.deployment_id != self.lease.deployment_id {
            return Ok(unchanged(format!(
                "left database {} alone: another deployment restores it",
                self.database
            )));
        }
        sessions::end(self.server, &self.beside)?;
        if matches!(journal.phase, Phase::Loading | Phase::Loaded) {
            self.discard(&mut journal)?;
            return Ok(changed(vec![format!(
                "dropped what was loaded for database {}",
                self.database
            )]));
        }
        if journal.phase != Phase::SwappingBack {
            self.act("note that it goes back")?;
            journal.phase = Phase::SwappingBack;
            journal.notes.clear();
            journal.write(self.paths)?;
        }
        self.rename_back(&journal)?;
        self.act("make the old views, triggers, routines and events")?;
        objects::make(self.server, self.database, &journal.old_objects)?;
        self.keep_charset(&journal)?;
        self.act("count what was written meanwhile")?;
        if journal.notes.is_empty() {
            journal.notes = self.written_meanwhile(&journal)?;
            journal.notes.insert(
                0,
                format!(
                    "the tables of database {} are those from before the restore",
                    self.database
                ),
            );
            journal.write(self.paths)?;
        }
        self.settle()?;
        let notes = journal.notes.clone();
        self.discard(&mut journal)?;
        Ok(changed(notes))
    }

    fn rename_back(&self, journal: &Journal) -> Result<()> {
        let side = self.side()?;
        let mut old = tables::names(self.server, &self.beside.old)?;
        let marked = old.contains(&self.beside.pending) || side != Side::Old;
        old.retain(|name| !self.beside.is_marker(name));
        let scratch = tables::names(self.server, &self.beside.scratch)?;
        let whole = journal.new_tables.keys().all(|name| scratch.contains(name));
        if side == Side::OldAgain || !marked || (side == Side::Old && old.is_empty() && whole) {
            return Ok(());
        }
        self.act("take down the new views, triggers, routines and events")?;
        objects::drop(self.server, self.database, None)?;
        self.act("rename back")?;
        // An old table that is in neither place is back already, or never left.
        let stays = |name: &String| journal.old_tables.contains(name) && !old.contains(name);
        let live = tables::names(self.server, self.database)?;
        let leaving = live.into_iter().filter(|name| !stays(name));
        let mut moves: Vec<Move> = leaving
            .map(|name| self.moved(self.database, &self.beside.scratch, name))
            .collect();
        moves.extend(
            old.iter()
                .map(|name| self.moved(&self.beside.old, self.database, name.clone())),
        );
        let marker = if side == Side::New {
            &self.beside.done
        } else {
            &self.beside.pending
        };
        moves.push((
            self.beside.old.clone(),
            marker.clone(),
            self.beside.old.clone(),
            self.beside.undone.clone(),
        ));
        self.rename(&moves)
    }

    /// What the new side has now, beside what it had when it went live. All of it is out of reach by now, so that the
    /// numbers are final. A table with as many rows as before is named when the server knows of a later write.
    fn written_meanwhile(&self, journal: &Journal) -> Result<Vec<String>> {
        if self.side()? != Side::OldAgain {
            return Ok(Vec::new());
        }
        let names = tables::names(self.server, &self.beside.scratch)?;
        let rows = tables::count(self.server, &self.beside.scratch, &names)?;
        let written: BTreeSet<String> = if journal.swapped_at.is_empty() {
            BTreeSet::new()
        } else {
            tables::written_after(self.server, &self.beside.scratch, &journal.swapped_at)?
        };
        let mut notes: Vec<String> = Vec::new();
        for (name, now) in &rows {
            let note = match journal.new_tables.get(name) {
                None => {
                    format!("{name}: a table made since the restore, with {now} rows, was dropped")
                }
                Some(then) if now > then => format!(
                    "{name}: {} rows written since the restore were dropped",
                    now - then
                ),
                Some(then) if now < then => {
                    format!("{name}: {} rows deleted since the restore", then - now)
                }
                Some(_) if written.contains(name) => {
                    format!("{name}: changed since the restore, with as many rows")
                }
                Some(_) => continue,
            };
            notes.push(note);
        }
        if notes.len() > NAMES_LIMIT {
            let more = notes.len() - NAMES_LIMIT;
            notes.truncate(NAMES_LIMIT);
            notes.push(format!("and {more} more tables"));
        }
        Ok(notes)
    }

    /// The restore stays: the old side, what is left of loading, and the journal go.
    pub fn clean_up(&self) -> Result<Changed> {
        let Some(mut journal) = Journal::read(self.paths, self.database)? else {
            return Ok(unchanged(format!(
                "nothing of a restore lies beside database {}",
                self.database
            )));
        };
        if journal.deployment_id != self.lease.deployment_id {
            return Ok(unchanged(format!(
                "left what lies beside database {} alone: another deployment's",
                self.database
            )));
        }
        match journal.phase {
            Phase::Swapping | Phase::SwappingBack => Err(half_done(self.database)),
            Phase::Loading | Phase::Loaded | Phase::Swapped => {
                sessions::end(self.server, &self.beside)?;
                self.discard(&mut journal)?;
                Ok(changed(vec![format!(
                    "dropped the old tables of database {}",
                    self.database
                )]))
            }
        }
    }

    /// Another deployment's restore left this. Its target's lock was given to us, so it is settled: what it swapped in
    /// stays, and what lies beside goes. One that stands half-way is for people.
    pub(super) fn take_over(&self, mut journal: Journal) -> Result<Vec<String>> {
        if matches!(journal.phase, Phase::Swapping | Phase::SwappingBack) {
            return Err(half_done(self.database));
        }
        let theirs = Restore {
            beside: journal.beside(),
            ..Restore::new(self.server, self.paths, self.lease, self.database)?
        };
        sessions::end(self.server, &theirs.beside)?;
        theirs.discard(&mut journal)?;
        Ok(vec![format!(
            "removed what an earlier restore had left beside database {}",
            self.database
        )])
    }

    /// Drop what lies beside, the journal last: until then a repeat knows of it.
    fn discard(&self, journal: &mut Journal) -> Result<()> {
        self.act("drop what lies beside")?;
        load::lower_packet(self.server, self.paths, journal)?;
        let old = tables::names(self.server, &self.beside.old)?;
        let holds = old.iter().any(|name| !self.beside.is_marker(name));
        if holds && journal.phase != Phase::Swapped {
            return Err(broken(
                "old_side_in_use",
                format!(
                    "{} still holds tables of database {}; nothing of it was dropped.",
                    self.beside.old, self.database
                ),
            ));
        }
        for name in [&self.beside.scratch, &self.beside.old] {
            // A namesake that was there before us is why the restore was refused.
            let claim = claims::read::<NoFacts>(self.paths, Kind::Database, name)?;
            if claim.is_some_and(|claim| claim.deployment_id == journal.deployment_id) {
                self.server.drop_database(name)?;
            }
        }
        sessions::drop_loader(self.server, &self.beside)?;
        files::remove(
            &self
                .paths
                .restores()
                .join(format!("{}.cnf", self.beside.scratch)),
        )?;
        self.act("end the claims")?;
        for name in [&self.beside.scratch, &self.beside.old] {
            let claim = claims::read::<NoFacts>(self.paths, Kind::Database, name)?;
            if claim.is_some_and(|claim| claim.deployment_id == journal.deployment_id) {
                claims::end(self.paths, Kind::Database, name)?;
            }
        }
        self.act("end the journal")?;
        journal.remove(self.paths)
    }
}

fn half_done(database: &str) -> protocol::AgentError {
    refused(
        "restore_unfinished",
        format!("A restore of database {database} stands half-way. Finish or undo it first."),
    )
}

fn changed(notes: Vec<String>) -> Changed {
    Changed {
        changed: true,
        notes,
    }
}

fn unchanged(note: String) -> Changed {
    Changed {
        changed: false,
        notes: vec![note],
    }
}
