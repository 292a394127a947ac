//! How far a restore of one database is: one root-only file, written before each act that it covers.
//!
//! Promise: with it and what the server lists, a repeat or the way back knows what was done, whatever was cut short.

use super::objects::Object;
use crate::fault::{Result, broken};
use crate::files;
use crate::paths::Paths;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// How far it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The dump goes into the scratch database; the live one is as it was.
    Loading,
    /// It is all there.
    Loaded,
    /// The two sides change places.
    Swapping,
    /// They have.
    Swapped,
    /// They change back.
    SwappingBack,
}

/// What is known of a restore.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Journal {
    /// Whose it is.
    pub deployment_id: String,
    /// The live database.
    pub database: String,
    /// How far.
    pub phase: Phase,
    /// What was restored: each table with its rows.
    pub new_tables: BTreeMap<String, u64>,
    /// And the rest, with the site's own account as definer.
    pub new_objects: Vec<Object>,
    /// What was live before.
    pub old_tables: BTreeSet<String>,
    /// And the rest.
    pub old_objects: Vec<Object>,
    /// The live database's own character set and collation.
    pub charset: (String, String),
    /// The server's clock when the new side was live.
    pub swapped_at: String,
    /// The server's packet limit, while it is raised.
    pub packet: Option<u64>,
    /// For people.
    pub notes: Vec<String>,
}

impl Journal {
    /// Of a restore that begins.
    pub fn new(deployment_id: &str, database: &str, charset: (String, String)) -> Self {
        Self {
            deployment_id: deployment_id.to_string(),
            database: database.to_string(),
            phase: Phase::Loading,
            new_tables: BTreeMap::new(),
            new_objects: Vec::new(),
            old_tables: BTreeSet::new(),
            old_objects: Vec::new(),
            charset,
            swapped_at: String::new(),
            packet: None,
            notes: Vec::new(),
        }
    }

    fn path(paths: &Paths, database: &str) -> PathBuf {
        paths.restores().join(format!("{database}.json"))
    }

    /// Of this database, whoever's it is.
    pub fn read(paths: &Paths, database: &str) -> Result<Option<Self>> {
        let path = Self::path(paths, database);
        let Some(text) = files::read(&path)? else {
            return Ok(None);
        };
        serde_json::from_str(&text)
            .map(Some)
            .map_err(|_| broken("journal_damaged", format!("{} is damaged.", path.display())))
    }

    /// Store it, so that it outlives a power cut.
    pub fn write(&self, paths: &Paths) -> Result<()> {
        files::directory(&paths.state(), 0o700)?;
        files::directory(&paths.restores(), 0o700)?;
        let text = serde_json::to_vec(self)
            .map_err(|_| broken("journal_damaged", "A journal could not be written."))?;
        files::write(&Self::path(paths, &self.database), &text, 0o600)
    }

    /// All is over.
    pub fn remove(&self, paths: &Paths) -> Result<()> {
        let path = Self::path(paths, &self.database);
        files::remove(&files::beside(&path))?;
        files::remove(&path).map(|_| ())
    }

    /// The names of what lies beside the live database.
    pub fn beside(&self) -> Beside {
        Beside::of(&self.deployment_id, &self.database)
    }
}

/// The names of what a restore puts beside the live database: the same for each repeat.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Beside {
    /// Where the dump is loaded; after the way back, what was live in between.
    pub scratch: String,
    /// Where the old tables are kept.
    pub old: String,
    /// The account that loads. 18 letters, because MySQL allows 32.
    pub loader: String,
    /// An empty table in `old`, renamed with the others: it says which way the last RENAME went.
    pub pending: String,
    /// After the swap.
    pub done: String,
    /// After the way back.
    pub undone: String,
}

impl Beside {
    /// For a deployment's restore of a database.
    pub fn of(deployment_id: &str, database: &str) -> Self {
        let sum = Sha256::digest(format!("{deployment_id}:{database}"));
        let suffix = &hex::encode(sum)[..10];
        Self {
            scratch: format!("{database}__new_{suffix}"),
            old: format!("{database}__old_{suffix}"),
            loader: format!("th_load_{suffix}"),
            pending: format!("triphammer_{suffix}_pending"),
            done: format!("triphammer_{suffix}_done"),
            undone: format!("triphammer_{suffix}_undone"),
        }
    }

    /// Is a table one of the markers?
    pub fn is_marker(&self, table: &str) -> bool {
        [&self.pending, &self.done, &self.undone].contains(&&table.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_has_room_for_what_lies_beside_it() {
        let beside = Beside::of("01J0000000000000000000000A", &"a".repeat(32));
        assert!(beside.scratch.len() <= 64 && beside.old.len() <= 64 && beside.loader.len() <= 32);
        assert_ne!(
            beside,
            Beside::of("01J0000000000000000000000B", &"a".repeat(32))
        );
    }
}
