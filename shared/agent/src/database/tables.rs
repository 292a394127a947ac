//! What stands in a database, as the server lists it.
//!
//! Promise: only reads, and tells tables from views.

use super::server::{Server, quoted};
use crate::fault::Result;
use std::collections::{BTreeMap, BTreeSet};

/// Engines whose tables hold their own rows and nothing else; others reach for files or servers.
const ENGINES: [&str; 8] = [
    "InnoDB", "MyISAM", "Aria", "MEMORY", "CSV", "ARCHIVE", "ROCKSDB", "TokuDB",
];
/// So many tables are counted by one statement.
const COUNTED_AT_ONCE: usize = 100;

/// A table of a database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Its name.
    pub name: String,
    /// Its storage engine.
    pub engine: String,
    /// `BASE TABLE`, `SEQUENCE`, `SYSTEM VERSIONED`.
    pub kind: String,
}

impl Table {
    /// Do its rows stand in it, and nowhere else?
    pub fn holds_its_rows(&self) -> bool {
        ENGINES
            .iter()
            .any(|engine| engine.eq_ignore_ascii_case(&self.engine))
    }
}

/// All tables, sequences among them, without views.
pub fn tables(server: &Server, database: &str) -> Result<Vec<Table>> {
    let rows = server.texts(&format!(
        "SELECT table_name, COALESCE(engine, ''), table_type FROM information_schema.tables \
         WHERE table_schema = '{database}' AND table_type NOT LIKE '%VIEW%' ORDER BY table_name;"
    ))?;
    let table = |row: Vec<String>| {
        let mut cells = row.into_iter();
        Some(Table {
            name: cells.next()?,
            engine: cells.next()?,
            kind: cells.next()?,
        })
    };
    Ok(rows.into_iter().filter_map(table).collect())
}

/// Their names.
pub fn names(server: &Server, database: &str) -> Result<BTreeSet<String>> {
    // Without the engine no table has to be opened, which counts with a thousand of them.
    let rows = server.texts(&format!(
        "SELECT table_name FROM information_schema.tables \
         WHERE table_schema = '{database}' AND table_type NOT LIKE '%VIEW%';"
    ))?;
    Ok(rows.into_iter().flatten().collect())
}

/// How many rows each of these tables has.
pub fn count(
    server: &Server,
    database: &str,
    names: &BTreeSet<String>,
) -> Result<BTreeMap<String, u64>> {
    let names: Vec<&String> = names.iter().collect();
    let mut counted = BTreeMap::new();
    for some in names.chunks(COUNTED_AT_ONCE) {
        let statements: String = some
            .iter()
            .map(|name| {
                format!(
                    "SELECT COUNT(*) FROM {}.{};\n",
                    quoted(database),
                    quoted(name)
                )
            })
            .collect();
        let rows = server.texts(&statements)?;
        for (name, row) in some.iter().zip(rows) {
            let rows = row.first().and_then(|cell| cell.parse().ok()).unwrap_or(0);
            counted.insert((*name).clone(), rows);
        }
    }
    Ok(counted)
}

/// When tables were written last, by the server's clock, as far as it remembers.
pub fn written_after(server: &Server, database: &str, time: &str) -> Result<BTreeSet<String>> {
    let rows = server.texts(&format!(
        "SELECT table_name FROM information_schema.tables WHERE table_schema = '{database}' \
         AND table_type NOT LIKE '%VIEW%' AND update_time > '{time}';"
    ))?;
    Ok(rows.into_iter().flatten().collect())
}

/// A database's default character set and collation.
pub fn charset(server: &Server, database: &str) -> Result<(String, String)> {
    let row = server.texts(&format!(
        "SELECT default_character_set_name, default_collation_name FROM information_schema.schemata \
         WHERE schema_name = '{database}';"
    ))?;
    let mut cells = row.into_iter().flatten();
    Ok((
        cells.next().unwrap_or_default(),
        cells.next().unwrap_or_default(),
    ))
}
