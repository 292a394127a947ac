//! Views, triggers, routines and events: taken down as the server tells them, and made again elsewhere.
//!
//! Promise: made again each is what it was, with its sql_mode, character sets and time zone. One statement is one
//! statement: it goes between delimiters nobody can guess, and one in which the client could see a command is refused.

use super::script::{Changes, Definer, Events, Script};
use super::server::{Server, quoted};
use crate::fault::{Result, broken};
use crate::secret;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The client cuts a longer one off. 90 bits are as good as any password.
const DELIMITER_LETTERS: usize = 15;

/// What kind of thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// MariaDB's package, in its Oracle mode.
    Package,
    /// And its body.
    PackageBody,
    /// A stored function.
    Function,
    /// A stored procedure.
    Procedure,
    /// A view.
    View,
    /// A trigger.
    Trigger,
    /// An event.
    Event,
}

impl Kind {
    /// In the order in which they are made: a view may call a function, a trigger may read a view.
    const ALL: [Kind; 7] = [
        Kind::Package,
        Kind::PackageBody,
        Kind::Function,
        Kind::Procedure,
        Kind::View,
        Kind::Trigger,
        Kind::Event,
    ];

    fn sql(self) -> &'static str {
        match self {
            Kind::Package => "PACKAGE",
            Kind::PackageBody => "PACKAGE BODY",
            Kind::Function => "FUNCTION",
            Kind::Procedure => "PROCEDURE",
            Kind::View => "VIEW",
            Kind::Trigger => "TRIGGER",
            Kind::Event => "EVENT",
        }
    }

    /// Where `SHOW CREATE` puts the sql_mode, the time zone, the text, and the three character sets after it.
    fn columns(self) -> (Option<usize>, Option<usize>, usize) {
        match self {
            Kind::View => (None, None, 1),
            Kind::Event => (Some(1), Some(2), 3),
            _ => (Some(1), None, 2),
        }
    }
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Object {
    /// What it is.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    sql_mode: String,
    time_zone: String,
    /// The statement, in the character set it was written in.
    #[serde(with = "hex::serde")]
    text: Vec<u8>,
    client: String,
    connection: String,
    database: String,
}

/// All of a database, in the order in which they can be made.
pub fn collect(server: &Server, database: &str) -> Result<Vec<Object>> {
    let listed = list(server, database)?;
    if listed.is_empty() {
        return Ok(Vec::new());
    }
    // Bytes as they are stored, quoted in one way whatever the server's own mode.
    let mut script = String::from(
        "SET SESSION sql_mode = '', sql_quote_show_create = 1, character_set_results = NULL;\n",
    );
    for (kind, name) in &listed {
        script.push_str(&format!("SHOW CREATE {} {};\n", kind.sql(), quoted(name)));
    }
    let rows = server.rows(Some(database), &script)?;
    if rows.len() != listed.len() {
        return Err(changed());
    }
    listed
        .into_iter()
        .zip(rows)
        .map(|((kind, name), row)| object(kind, name, row).ok_or_else(changed))
        .collect()
}

fn changed() -> protocol::AgentError {
    broken(
        "database_changed",
        "The database's views, triggers, routines or events changed while they were read. Try again.",
    )
}

fn object(kind: Kind, name: String, row: Vec<Vec<u8>>) -> Option<Object> {
    let (sql_mode, time_zone, at) = kind.columns();
    let word = |at: usize| {
        let text = String::from_utf8(row.get(at)?.clone()).ok()?;
        // These go between quotes of ours.
        let plain = |c: char| c.is_ascii_alphanumeric() || "_,+-:/ ".contains(c);
        text.chars().all(plain).then_some(text)
    };
    let optional = |at: Option<usize>| at.map_or(Some(String::new()), word);
    Some(Object {
        kind,
        name,
        sql_mode: optional(sql_mode)?,
        time_zone: optional(time_zone)?,
        text: row.get(at).filter(|text| !text.is_empty())?.clone(),
        client: word(at + 1)?,
        connection: word(at + 2)?,
        database: if kind == Kind::View {
            String::new()
        } else {
            word(at + 3)?
        },
    })
}

fn list(server: &Server, database: &str) -> Result<Vec<(Kind, String)>> {
    let rows = server.texts(&format!(
        "SELECT routine_type, routine_name FROM information_schema.routines WHERE routine_schema = '{database}' ORDER BY routine_name;\n\
         SELECT 'VIEW', table_name FROM information_schema.tables WHERE table_schema = '{database}' AND table_type = 'VIEW' ORDER BY table_name;\n\
         SELECT 'TRIGGER', trigger_name FROM information_schema.triggers WHERE trigger_schema = '{database}' \
         ORDER BY event_object_table, event_manipulation, action_timing, action_order;\n\
         SELECT 'EVENT', event_name FROM information_schema.events WHERE event_schema = '{database}' ORDER BY event_name;\n"
    ))?;
    let known = |row: Vec<String>| {
        let [kind, name] = <[String; 2]>::try_from(row).ok()?;
        let kind = Kind::ALL.into_iter().find(|one| one.sql() == kind)?;
        Some((kind, name))
    };
    let mut listed: Vec<(Kind, String)> = rows.into_iter().filter_map(known).collect();
    listed.sort_by_key(|(kind, _)| *kind);
    Ok(listed)
}

/// Drop all of a database, or only its triggers.
pub fn drop(server: &Server, database: &str, only: Option<Kind>) -> Result<()> {
    let wanted = |kind: Kind| only.is_none_or(|only| only == kind);
    let script: String = list(server, database)?
        .into_iter()
        // A package takes its body along.
        .filter(|(kind, _)| wanted(*kind) && *kind != Kind::PackageBody)
        .map(|(kind, name)| {
            format!(
                "DROP {} IF EXISTS {}.{};\n",
                kind.sql(),
                quoted(database),
                quoted(&name)
            )
        })
        .collect();
    server.run(None, script.as_bytes())
}

/// Make these in a database; what stands there under their names and is the same already stays.
pub fn make(server: &Server, database: &str, objects: &[Object]) -> Result<()> {
    let mut missing: Vec<&Object> = objects.iter().collect();
    let standing = collect(server, database)?;
    missing.retain(|object| !standing.contains(object));
    if missing.is_empty() {
        return Ok(());
    }
    let (_, collation) = super::tables::charset(server, database)?;
    // A view may read one that comes later: those that failed are tried again while any other succeeds.
    while !missing.is_empty() {
        let before = missing.len();
        let mut failed = None;
        let mut left = Vec::new();
        for object in missing {
            match server.run(Some(database), &object.script(&collation)?) {
                Ok(()) => {}
                Err(error) if object.kind == Kind::View && error.code == "database_failed" => {
                    failed = Some(error);
                    left.push(object);
                }
                Err(error) => return Err(error),
            }
        }
        missing = left;
        if let Some(error) = failed
            && missing.len() == before
        {
            return Err(error);
        }
    }
    Ok(())
}

impl Object {
    /// With another definer, and awake when its name is one of `events`.
    pub fn adopted(&self, definer: &str, events: &BTreeSet<String>) -> Result<Self> {
        let awake = self.kind == Kind::Event && events.contains(&self.name);
        let changes = Changes {
            definer: Definer::Be(definer.to_string()),
            collations: BTreeSet::new(),
            events: if awake { Events::Wake } else { Events::Keep },
        };
        Ok(Self {
            text: Script::one(&self.text, &self.sql_mode, changes)?,
            ..self.clone()
        })
    }

    /// The statements that make it anew in a database of this collation.
    fn script(&self, collation: &str) -> Result<Vec<u8>> {
        // Also looks at the text once more as the client will.
        let keep = Changes {
            definer: Definer::Keep,
            collations: BTreeSet::new(),
            events: Events::Keep,
        };
        let text = Script::one(&self.text, &self.sql_mode, keep)?;
        let end = secret::letters(DELIMITER_LETTERS).replace('-', "x");
        let mut script = String::new();
        // A routine remembers its database's collation of that time.
        let other = !self.database.is_empty() && self.database != collation;
        if other {
            script.push_str(&format!(
                "ALTER DATABASE DEFAULT COLLATE '{}';\n",
                self.database
            ));
        }
        if self.kind != Kind::PackageBody {
            script.push_str(&format!(
                "DROP {} IF EXISTS {};\n",
                self.kind.sql(),
                quoted(&self.name)
            ));
        }
        script.push_str(&format!(
            "SET SESSION character_set_client = '{}', collation_connection = '{}', sql_mode = '{}';\n",
            self.client, self.connection, self.sql_mode
        ));
        if !self.time_zone.is_empty() {
            script.push_str(&format!("SET SESSION time_zone = '{}';\n", self.time_zone));
        }
        script.push_str(&format!("DELIMITER {end}\n"));
        let mut script = script.into_bytes();
        script.extend_from_slice(&text);
        script.extend_from_slice(format!("\n{end}\nDELIMITER ;\n").as_bytes());
        if other {
            script.extend_from_slice(
                format!("ALTER DATABASE DEFAULT COLLATE '{collation}';\n").as_bytes(),
            );
        }
        Ok(script)
    }
}
