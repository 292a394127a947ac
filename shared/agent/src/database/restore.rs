//! A restore of one database: loaded beside the live tables, swapped in, swapped back, cleaned up.
//!
//! Promise: between any two acts the live tables are all old or all new. Whatever was cut short, a repeat finishes it
//! and [`Restore::swap_back`] reverses it; what lies beside carries this deployment's claim.

use super::journal::{Beside, Journal, Phase};
use super::load;
use super::objects::{self, Object};
use super::server::Server;
use super::{sessions, tables};
use crate::check;
use crate::claims::{self, Kind, NoFacts};
use crate::fault::{Result, refused};
use crate::paths::Paths;
use protocol::Lease;
use protocol::job::DatabaseRestored;
use std::collections::BTreeSet;
use std::io::Read;
use std::ops::ControlFlow;

/// What is called before each act, with its name: tests stop there.
pub type Before<'a> = &'a dyn Fn(&'static str) -> Result<()>;

/// A restore of one database by one deployment.
pub struct Restore<'a> {
    pub(super) server: &'a Server,
    pub(super) paths: &'a Paths,
    pub(super) lease: &'a Lease,
    pub(super) database: &'a str,
    pub(super) beside: Beside,
    pub(super) before: Before<'a>,
}

impl std::fmt::Debug for Restore<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restore")
            .field("database", &self.database)
            .field("beside", &self.beside)
            .finish_non_exhaustive()
    }
}

impl<'a> Restore<'a> {
    /// For the lease's deployment.
    pub fn new(
        server: &'a Server,
        paths: &'a Paths,
        lease: &'a Lease,
        database: &'a str,
    ) -> Result<Self> {
        check::name("database", database)?;
        check::id("deployment's id", &lease.deployment_id)?;
        Ok(Self {
            server,
            paths,
            lease,
            database,
            beside: Beside::of(&lease.deployment_id, database),
            before: &|_| Ok(()),
        })
    }

    /// With something to call before each act.
    pub fn stopping(self, before: Before<'a>) -> Self {
        Self { before, ..self }
    }

    pub(super) fn act(&self, name: &'static str) -> Result<()> {
        (self.before)(name)
    }

    /// [`Self::load`] and then [`Self::swap`].
    pub fn run(
        &self,
        dump: &mut (dyn Read + Send),
        dump_bytes: u64,
        on: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<DatabaseRestored> {
        self.load(dump, dump_bytes, on)?;
        self.swap()
    }

    /// Load a zstd dump beside the live tables, which are not touched. A repeat begins anew, unless all was loaded:
    /// then the dump is not read. `on` is told how many bytes of the dump went to the server, several times a second,
    /// and may break: then the error's code is `cancelled`.
    pub fn load(
        &self,
        dump: &mut (dyn Read + Send),
        dump_bytes: u64,
        on: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<()> {
        let mut notes = Vec::new();
        match Journal::read(self.paths, self.database)? {
            Some(journal) if journal.deployment_id != self.lease.deployment_id => {
                notes.extend(self.take_over(journal)?);
            }
            Some(journal) => match journal.phase {
                Phase::Loading => {}
                Phase::Loaded if self.all_loaded(&journal)? => return Ok(()),
                Phase::Loaded => {}
                Phase::Swapping | Phase::Swapped => return Ok(()),
                Phase::SwappingBack => return Err(went_back()),
            },
            None => {}
        }
        if !self.exists(self.database)? {
            return Err(refused(
                "database_missing",
                format!("There is no database {}.", self.database),
            ));
        }
        self.refuse_foreign_keys_from_outside()?;
        let mut journal = self.begin(notes)?;
        self.act("make the scratch database")?;
        load::check_room(self.server, dump_bytes)?;
        let password = load::make_scratch(self.server, &self.beside, &journal.charset)?;
        self.act("load")?;
        let told = load::load(self.server, self.paths, &mut journal, &password, dump, on)?;
        self.act("look at what was loaded")?;
        journal.notes.extend(told.notes);
        journal.new_objects = self.adopted(&told.events)?;
        let names = self.loaded_tables()?;
        journal.new_tables = tables::count(self.server, &self.beside.scratch, &names)?;
        self.act("settle what was loaded")?;
        sessions::drop_loader(self.server, &self.beside)?;
        self.settle()?;
        self.act("note that it is loaded")?;
        journal.phase = Phase::Loaded;
        journal.write(self.paths)
    }

    /// The journal first, then the claims; nothing is made before both.
    fn begin(&self, notes: Vec<String>) -> Result<Journal> {
        self.act("begin the journal")?;
        let charset = tables::charset(self.server, self.database)?;
        let kept = Journal::read(self.paths, self.database)?;
        let mut journal = Journal::new(&self.lease.deployment_id, self.database, charset);
        journal.notes = notes;
        journal.packet = kept.and_then(|kept| kept.packet);
        journal.write(self.paths)?;
        sessions::end(self.server, &self.beside)?;
        load::lower_packet(self.server, self.paths, &mut journal)?;
        self.act("claim what lies beside")?;
        for name in [&self.beside.scratch, &self.beside.old] {
            let found = self.exists(name)?.then(|| format!("The database {name}"));
            claims::begin(
                self.paths,
                Kind::Database,
                name,
                self.lease,
                found.as_deref(),
                NoFacts {},
            )?;
        }
        Ok(journal)
    }

    pub(super) fn exists(&self, database: &str) -> Result<bool> {
        let statement = format!(
            "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{database}';"
        );
        Ok(self.server.one(&statement)? != "0")
    }

    /// Is all of it still there? After a power cut a server set to lose the last second may have lost some.
    fn all_loaded(&self, journal: &Journal) -> Result<bool> {
        let there = tables::names(self.server, &self.beside.scratch)?;
        Ok(there.iter().eq(journal.new_tables.keys()))
    }

    fn loaded_tables(&self) -> Result<BTreeSet<String>> {
        let tables = tables::tables(self.server, &self.beside.scratch)?;
        match tables.iter().find(|table| !table.holds_its_rows()) {
            Some(_) => Err(refused(
                "engine_refused",
                "The dump has a table whose storage engine reads files or other servers, which a restore does not allow.",
            )),
            None => Ok(tables.into_iter().map(|table| table.name).collect()),
        }
    }

    /// What was loaded belongs to the database's own account from now on: another definer may be missing here, or have
    /// more rights than the site.
    fn adopted(&self, events: &BTreeSet<String>) -> Result<Vec<Object>> {
        let loaded = objects::collect(self.server, &self.beside.scratch)?;
        if loaded.is_empty() {
            return Ok(loaded);
        }
        let host = self.server.one(&format!(
            "SELECT host FROM mysql.user WHERE user = '{}' ORDER BY host = 'localhost' DESC LIMIT 1;",
            self.database
        ))?;
        if host.is_empty() || host.contains(['`', '\\']) {
            return Err(refused(
                "database_user_missing",
                format!(
                    "The backup has views, triggers, routines or events, and there is no database user {} to own them.",
                    self.database
                ),
            ));
        }
        let definer = format!("`{}`@`{host}`", self.database);
        loaded
            .iter()
            .map(|object| object.adopted(&definer, events))
            .collect()
    }

    /// A table of another database that refers to one of ours would follow it to the old side.
    fn refuse_foreign_keys_from_outside(&self) -> Result<()> {
        let table = if super::version_of(self.server)?.starts_with("MariaDB") {
            "innodb_sys_foreign"
        } else {
            "innodb_foreign"
        };
        let prefix = format!("{}/", self.database);
        let length = prefix.len();
        let found = self.server.one(&format!(
            "SELECT COUNT(*) FROM information_schema.{table} \
             WHERE LEFT(ref_name, {length}) = '{prefix}' AND LEFT(for_name, {length}) <> '{prefix}';"
        ))?;
        if found == "0" {
            return Ok(());
        }
        Err(refused(
            "foreign_key_from_outside",
            format!(
                "{found} foreign keys of other databases refer to {}. Drop them before a restore.",
                self.database
            ),
        ))
    }

    /// What the server wrote outlives a power cut, also where it is set to be a second late.
    pub(super) fn settle(&self) -> Result<()> {
        self.server
            .run(None, b"FLUSH NO_WRITE_TO_BINLOG ENGINE LOGS;\n")
    }
}

/// The undo came first.
pub(super) fn went_back() -> protocol::AgentError {
    refused(
        "restore_undone",
        "This restore was being undone; it does not go forward again.",
    )
}
