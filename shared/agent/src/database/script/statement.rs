//! One statement of a dump, word by word: of which kind it is, and which words of it mean something here.
//!
//! Promise: only kinds that dumps have pass, and none that leaves the database the client is in.

use crate::fault::{Result, refused};
use protocol::AgentError;

/// What a statement may begin with.
const PLAIN: [&str; 4] = ["LOCK", "UNLOCK", "DO", "COMMIT"];
/// What may be made, changed or dropped.
const OBJECTS: [&str; 4] = ["TABLE", "VIEW", "SEQUENCE", "INDEX"];
/// The same, with statements inside.
const BODIES: [&str; 4] = ["TRIGGER", "PROCEDURE", "FUNCTION", "PACKAGE"];
/// What may stand between CREATE and its object.
const MODIFIERS: [&str; 12] = [
    "OR",
    "REPLACE",
    "ALGORITHM",
    "UNDEFINED",
    "MERGE",
    "TEMPTABLE",
    "SQL",
    "SECURITY",
    "INVOKER",
    "AGGREGATE",
    "UNIQUE",
    "TEMPORARY",
];
/// What SET must not reach.
const BEYOND: [&str; 7] = [
    "GLOBAL",
    "PERSIST",
    "PERSIST_ONLY",
    "PASSWORD",
    "ROLE",
    "STATEMENT",
    "RESOURCE",
];
/// What a collation's name follows.
const COLLATES: [&str; 4] = [
    "COLLATE",
    "COLLATION_CONNECTION",
    "COLLATION_DATABASE",
    "COLLATION_SERVER",
];

/// What to do with a word.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// It stays.
    Keep,
    /// The database's name, which is left out.
    Name,
    /// A definer begins.
    Definer,
    /// This event's `ENABLE`.
    Enable(String),
    /// This event's `DISABLE`.
    Disable(String),
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Head {
    #[default]
    New,
    Create,
    Alter,
    AlterDatabase,
    Drop,
    Set,
    Data,
    Plain,
    Body,
    EventName,
    EventTimes,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Definer {
    #[default]
    No,
    Word,
    Equals,
    User,
    At,
    Host,
}

/// A statement that is read.
#[derive(Debug, Default)]
pub struct Statement {
    head: Head,
    definer: Definer,
    last: String,
    before: String,
    event: String,
    mode: Option<String>,
}

impl Statement {
    /// Has none of its words come yet?
    pub fn is_new(&self) -> bool {
        self.head == Head::New
    }

    /// Rows, in which no word means anything.
    pub fn is_data(&self) -> bool {
        self.head == Head::Data
    }

    /// Does the word that came last name a collation?
    pub fn after_collate(&self) -> bool {
        COLLATES.contains(&self.before.as_str())
    }

    /// The sql_mode that it sets; empty when that is a variable's value.
    pub fn sql_mode(&self) -> Option<String> {
        self.mode.clone()
    }

    /// Is a string or name that begins now the name of the database?
    pub fn names_database(&self) -> bool {
        self.head == Head::AlterDatabase
    }

    /// The next word outside strings and comments.
    pub fn word(&mut self, word: &[u8]) -> Result<Next> {
        let upper = String::from_utf8_lossy(word).to_ascii_uppercase();
        self.before = std::mem::replace(&mut self.last, upper.clone());
        let word = upper.as_str();
        match self.head {
            Head::New => self.head = begun(word)?,
            Head::Create if word == "DEFINER" && self.before != "SECURITY" => {
                self.definer = Definer::Word;
                return Ok(Next::Definer);
            }
            Head::Create | Head::Alter | Head::Drop => self.object(word)?,
            Head::AlterDatabase => {
                self.head = Head::Plain;
                if !["DEFAULT", "CHARACTER", "CHARSET", "COLLATE", "COMMENT"].contains(&word) {
                    return Ok(Next::Name);
                }
            }
            Head::Set if BEYOND.contains(&word) => return Err(leaves()),
            Head::Set if word == "SQL_MODE" => self.mode = Some(String::new()),
            Head::EventName
                if self.event.is_empty() && !["IF", "NOT", "EXISTS"].contains(&word) =>
            {
                // Not quoted, so as it was written.
                self.event = upper.to_ascii_lowercase();
                self.head = Head::EventTimes;
            }
            Head::EventName if !self.event.is_empty() => self.head = Head::EventTimes,
            Head::EventTimes if word == "ENABLE" => return Ok(Next::Enable(self.event.clone())),
            Head::EventTimes if word == "DISABLE" => return Ok(Next::Disable(self.event.clone())),
            Head::EventTimes if word == "DO" => self.head = Head::Body,
            _ => {}
        }
        Ok(Next::Keep)
    }

    fn object(&mut self, word: &str) -> Result<()> {
        let modifier =
            MODIFIERS.contains(&word) || (word == "DEFINER" && self.before == "SECURITY");
        self.head = match self.head {
            Head::Create if modifier => Head::Create,
            Head::Create if word == "EVENT" => Head::EventName,
            Head::Create if BODIES.contains(&word) => Head::Body,
            Head::Alter if ["DATABASE", "SCHEMA"].contains(&word) => Head::AlterDatabase,
            Head::Drop if word == "TEMPORARY" => Head::Drop,
            Head::Drop if BODIES.contains(&word) || word == "EVENT" => Head::Plain,
            _ if OBJECTS.contains(&word) => Head::Plain,
            _ => return Err(leaves()),
        };
        Ok(())
    }

    /// A string or a quoted name has ended.
    pub fn quoted(&mut self, text: &[u8]) {
        match self.head {
            Head::AlterDatabase => self.head = Head::Plain,
            Head::Set if self.mode.is_some() => {
                self.mode = Some(String::from_utf8_lossy(text).to_ascii_uppercase());
            }
            Head::EventName => {
                // A name with a quote in it comes as two.
                if !self.event.is_empty() {
                    self.event.push('`');
                }
                self.event.push_str(&String::from_utf8_lossy(text));
            }
            _ => {}
        }
    }

    /// A `;` that does not end it: only bodies have one.
    pub fn inner_end(&self) -> Result<()> {
        match self.head {
            Head::Body => Ok(()),
            _ => Err(leaves()),
        }
    }

    /// Anything but a word, a name or a blank where a statement should begin.
    pub fn sign(&self, byte: u8) -> Result<()> {
        match self.head {
            Head::New if !byte.is_ascii_whitespace() => Err(leaves()),
            _ => Ok(()),
        }
    }

    /// The definer that was found is not looked at further.
    pub fn definer_done(&mut self) {
        self.definer = Definer::No;
    }

    /// A token that begins with `next` comes while a definer is read: is that over?
    pub fn definer_ends(&mut self, next: u8) -> bool {
        let name = next == b'`' || next == b'\'' || next == b'"' || next.is_ascii_alphanumeric();
        self.definer = match (self.definer, next) {
            (Definer::Word, b'=') => Definer::Equals,
            (same @ (Definer::Word | Definer::Equals), _) if next.is_ascii_whitespace() => same,
            (Definer::Equals | Definer::User, _) if name => Definer::User,
            (Definer::User, b'(' | b')') => Definer::User,
            (Definer::User, b'@') => Definer::At,
            (Definer::At | Definer::Host, _) if name => Definer::Host,
            _ => Definer::No,
        };
        self.definer == Definer::No
    }
}

fn begun(word: &str) -> Result<Head> {
    match word {
        "CREATE" => Ok(Head::Create),
        "ALTER" => Ok(Head::Alter),
        "DROP" => Ok(Head::Drop),
        "SET" => Ok(Head::Set),
        "INSERT" | "REPLACE" => Ok(Head::Data),
        _ if PLAIN.contains(&word) => Ok(Head::Plain),
        _ => Err(leaves()),
    }
}

/// The statement itself is not repeated: it may hold rows.
fn leaves() -> AgentError {
    refused(
        "dump_refused",
        "The dump holds a statement that no backup of one database has, such as USE, CREATE DATABASE or GRANT. Nothing was changed.",
    )
}
