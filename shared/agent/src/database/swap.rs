//! The two sides change places.
//!
//! Promise: all tables by one RENAME, with a marker among them that says which way it went. Before it stand the old
//! tables, after it the new; views, triggers, routines and events follow, and until then a repeat or the way back finds
//! in the journal what each side had.

use super::journal::{Journal, Phase};
use super::objects::{self, Kind};
use super::restore::{Restore, went_back};
use super::server::quoted;
use super::{sessions, tables};
use crate::fault::{Result, broken, refused};
use protocol::job::DatabaseRestored;
use std::collections::BTreeSet;

/// While a RENAME waits for queries to end, all later ones wait for it: visitors for as long as this.
const LOCK_WAIT_SECONDS: u32 = 20;
/// A table or trigger may come while the list is made.
const ATTEMPTS: u32 = 5;

/// Which way the last RENAME went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    /// There was none.
    Old,
    /// The new tables are live.
    New,
    /// They were, and the old ones are again.
    OldAgain,
}

/// One table's way.
pub(super) type Move = (String, String, String, String);

impl Restore<'_> {
    /// Swap the loaded tables in. A repeat goes on where it stopped; when all is swapped it says so again.
    pub fn swap(&self) -> Result<DatabaseRestored> {
        let journal = Journal::read(self.paths, self.database)?;
        let Some(mut journal) = journal.filter(|j| j.deployment_id == self.lease.deployment_id)
        else {
            return Err(refused(
                "restore_not_loaded",
                "Nothing is loaded that could be swapped in.",
            ));
        };
        match journal.phase {
            Phase::Loading => {
                return Err(refused(
                    "restore_not_loaded",
                    "The dump is not loaded whole.",
                ));
            }
            Phase::SwappingBack => return Err(went_back()),
            Phase::Loaded | Phase::Swapping => self.swap_in(&mut journal)?,
            Phase::Swapped => {}
        }
        Ok(DatabaseRestored {
            tables: journal.new_tables.len() as u64,
            notes: journal.notes,
        })
    }

    fn swap_in(&self, journal: &mut Journal) -> Result<()> {
        sessions::end(self.server, &self.beside)?;
        self.act("make room for the old side")?;
        self.make_old_side(journal)?;
        if self.side()? == Side::Old {
            self.act("note what is live")?;
            self.note_old_side(journal)?;
            self.act("drop the triggers beside")?;
            objects::drop(self.server, &self.beside.scratch, Some(Kind::Trigger))?;
            self.act("take down the live views, triggers, routines and events")?;
            objects::drop(self.server, self.database, None)?;
            self.act("rename")?;
            self.rename_in(journal)?;
        }
        self.act("make the new views, triggers, routines and events")?;
        objects::make(self.server, self.database, &journal.new_objects)?;
        self.act("settle the swap")?;
        self.keep_charset(journal)?;
        self.settle()?;
        self.act("note that it is swapped")?;
        journal.swapped_at = self.server.one("SELECT NOW();")?;
        journal.phase = Phase::Swapped;
        journal.write(self.paths)
    }

    pub(super) fn make_old_side(&self, journal: &Journal) -> Result<()> {
        let old = quoted(&self.beside.old);
        let (charset, collation) = &journal.charset;
        self.server.sql(&format!(
            "CREATE DATABASE IF NOT EXISTS {old} CHARACTER SET {charset} COLLATE {collation};\n"
        ))?;
        if self.side()? == Side::Old {
            let pending = quoted(&self.beside.pending);
            self.server.sql(&format!(
                "CREATE TABLE IF NOT EXISTS {old}.{pending} (id INT) ENGINE=InnoDB;\n"
            ))?;
        }
        Ok(())
    }

    /// By the marker's name.
    pub(super) fn side(&self) -> Result<Side> {
        let names = tables::names(self.server, &self.beside.old)?;
        Ok(if names.contains(&self.beside.undone) {
            Side::OldAgain
        } else if names.contains(&self.beside.done) {
            Side::New
        } else {
            Side::Old
        })
    }

    /// What came to the live side since an earlier attempt is added; what that attempt took down is known already.
    fn note_old_side(&self, journal: &mut Journal) -> Result<()> {
        for object in objects::collect(self.server, self.database)? {
            let same = |known: &&mut objects::Object| {
                known.kind == object.kind && known.name == object.name
            };
            match journal.old_objects.iter_mut().find(same) {
                Some(known) => *known = object,
                None => journal.old_objects.push(object),
            }
        }
        journal.old_objects.sort_by_key(|object| object.kind);
        journal.phase = Phase::Swapping;
        journal.write(self.paths)
    }

    fn rename_in(&self, journal: &mut Journal) -> Result<()> {
        for attempt in 1..=ATTEMPTS {
            let scratch = tables::names(self.server, &self.beside.scratch)?;
            let live = tables::names(self.server, self.database)?;
            let mut old = tables::names(self.server, &self.beside.old)?;
            old.retain(|name| !self.beside.is_marker(name));
            // Only a server without atomic DDL can have moved some and not all: MariaDB before 10.6.
            let moved =
                |name: &String| journal.new_tables.contains_key(name) && !scratch.contains(name);
            let leaving: BTreeSet<String> =
                live.iter().filter(|name| !moved(name)).cloned().collect();
            journal.old_tables = leaving.union(&old).cloned().collect();
            journal.write(self.paths)?;
            let mut moves: Vec<Move> = leaving
                .into_iter()
                .map(|name| self.moved(self.database, &self.beside.old, name))
                .collect();
            moves.extend(
                scratch
                    .into_iter()
                    .map(|name| self.moved(&self.beside.scratch, self.database, name)),
            );
            moves.push((
                self.beside.old.clone(),
                self.beside.pending.clone(),
                self.beside.old.clone(),
                self.beside.done.clone(),
            ));
            match self.rename(&moves) {
                Err(error) if error.code == "database_failed" && attempt < ATTEMPTS => {
                    objects::drop(self.server, self.database, Some(Kind::Trigger))?;
                }
                other => return other,
            }
        }
        Err(broken(
            "database_changed",
            "The database's tables change all the time.",
        ))
    }

    pub(super) fn moved(&self, from: &str, to: &str, name: String) -> Move {
        (from.to_string(), name.clone(), to.to_string(), name)
    }

    /// All of it in one statement. In this order no name is taken when it is needed.
    pub(super) fn rename(&self, moves: &[Move]) -> Result<()> {
        let listed: Vec<String> = moves
            .iter()
            .map(|(from, name, to, new)| {
                format!(
                    "{}.{} TO {}.{}",
                    quoted(from),
                    quoted(name),
                    quoted(to),
                    quoted(new)
                )
            })
            .collect();
        self.server.sql(&format!(
            "SET SESSION lock_wait_timeout = {LOCK_WAIT_SECONDS};\nRENAME TABLE {};\n",
            listed.join(",\n")
        ))?;
        Ok(())
    }

    /// A routine's own collation is set for the moment in which it is made; a killed call may have left it so.
    pub(super) fn keep_charset(&self, journal: &Journal) -> Result<()> {
        let now = tables::charset(self.server, self.database)?;
        if now == journal.charset || journal.charset.0.is_empty() {
            return Ok(());
        }
        let (charset, collation) = &journal.charset;
        self.server.sql(&format!(
            "ALTER DATABASE {} CHARACTER SET {charset} COLLATE {collation};\n",
            quoted(self.database)
        ))?;
        Ok(())
    }
}
