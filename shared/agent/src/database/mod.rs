//! Databases: made and dropped, dumped, and restored beside the live tables.
//!
//! Promise: names are checked and quoted, only what carries this deployment's mark is dropped, and no password or row
//! gets into an argument list, an error or a log.

mod back;
mod client;
mod dump;
mod journal;
mod load;
mod objects;
mod restore;
mod script;
mod server;
mod sessions;
mod swap;
mod tables;

use crate::check;
use crate::claims::{self, Kind, NoFacts, Standing};
use crate::fault::Result;
use crate::host::Work;
use crate::secret;
use protocol::DatabaseName;

pub use dump::{Dumped, dump, estimate};
pub use restore::Restore;
pub use server::Server;

use server::grant_pattern;

/// Run statements on the host's own server; the rows as text, one a line.
pub fn sql(statements: &str) -> Result<String> {
    Server::host().sql(statements)
}

/// Does a database, or a user on this host, of that name exist? Says which, for people.
fn existing(name: &str) -> Result<Option<String>> {
    let (database, user) = (has_database(name)?, has_user(name)?);
    Ok(match (database, user) {
        (true, _) => Some(format!("The database {name}")),
        (false, true) => Some(format!("The database user {name}")),
        (false, false) => None,
    })
}

/// Is there such a database?
pub fn has_database(name: &str) -> Result<bool> {
    check::name("database", name)?;
    Ok(sql(&format!(
        "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{name}';"
    ))?
    .trim()
        != "0")
}

fn has_user(name: &str) -> Result<bool> {
    check::name("database", name)?;
    Ok(sql(&format!(
        "SELECT COUNT(*) FROM mysql.user WHERE user = '{name}' AND host = 'localhost';"
    ))?
    .trim()
        != "0")
}

/// See [`protocol::Call::DatabaseCreate`].
pub fn create(work: &mut Work<'_>, DatabaseName { database: name }: &DatabaseName) -> Result<()> {
    check::name("database", name)?;
    let found = existing(name)?;
    claims::begin(
        work.paths,
        Kind::Database,
        name,
        work.lease,
        found.as_deref(),
        NoFacts {},
    )?;
    let whole = has_database(name)? && has_user(name)?;
    // All of it again on a repeat: an earlier call may have been killed between any two of these.
    sql(&format!(
        "CREATE DATABASE IF NOT EXISTS `{name}` CHARACTER SET utf8mb4;\n\
         CREATE USER IF NOT EXISTS `{name}`@`localhost` IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON `{pattern}`.* TO `{name}`@`localhost`;\n",
        password = secret::password(),
        pattern = grant_pattern(name),
    ))?;
    if whole {
        work.note(format!("database {name} is there already"));
    } else {
        work.did(format!("created database {name} and its user"));
    }
    Ok(())
}

/// See [`protocol::Call::DatabaseDrop`].
pub fn drop(work: &mut Work<'_>, DatabaseName { database: name }: &DatabaseName) -> Result<()> {
    check::name("database", name)?;
    match claims::standing::<NoFacts>(work.paths, Kind::Database, name, work.lease)? {
        Standing::Ours(_) => {
            let found = existing(name)?.is_some();
            sql(&format!(
                "DROP DATABASE IF EXISTS `{name}`;\nDROP USER IF EXISTS `{name}`@`localhost`;\n"
            ))?;
            claims::end(work.paths, Kind::Database, name)?;
            if found {
                work.did(format!("dropped database {name} and its user"));
            } else {
                work.note(format!("no database {name} to drop"));
            }
        }
        Standing::Theirs(_) => work.note(format!(
            "left database {name} alone: another deployment made it"
        )),
        // Nothing of ours, so a database server that is down must not stop the way back.
        Standing::Unclaimed => match existing(name) {
            Ok(Some(_)) => work.note(format!("left database {name} alone: not ours")),
            Ok(None) => work.note(format!("no database {name} to drop")),
            Err(_) => work.note(format!("no database {name} of ours to drop")),
        },
    }
    Ok(())
}

/// Give the user a new password.
pub fn set_password(name: &str, password: &str) -> Result<()> {
    check::name("database", name)?;
    sql(&format!(
        "ALTER USER `{name}`@`localhost` IDENTIFIED BY '{password}';\n"
    ))
    .map(|_| ())
}

/// Empty a database that no visitor has seen yet; its user keeps its rights.
pub fn empty(name: &str) -> Result<()> {
    check::name("database", name)?;
    sql(&format!(
        "DROP DATABASE IF EXISTS `{name}`;\nCREATE DATABASE `{name}` CHARACTER SET utf8mb4;\n"
    ))
    .map(|_| ())
}

/// Does anything stand in it?
pub fn is_empty(name: &str) -> Result<bool> {
    check::name("database", name)?;
    Ok(sql(&format!(
        "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = '{name}';"
    ))?
    .trim()
        == "0")
}

/// `MariaDB 10.11.19`.
pub fn version() -> Result<String> {
    version_of(&Server::host())
}

/// The same of another server.
fn version_of(server: &Server) -> Result<String> {
    let text = server.sql("SELECT VERSION();")?;
    let number = text
        .trim()
        .split('-')
        .next()
        .unwrap_or_default()
        .to_string();
    let product = if text.contains("MariaDB") {
        "MariaDB"
    } else {
        "MySQL"
    };
    Ok(format!("{product} {number}"))
}

/// See [`protocol::Call::DatabaseSwapBack`].
pub fn swap_back(
    work: &mut Work<'_>,
    DatabaseName { database: name }: &DatabaseName,
) -> Result<()> {
    let server = Server::host();
    let changed = Restore::new(&server, work.paths, work.lease, name)?.swap_back()?;
    for note in changed.notes {
        if changed.changed {
            work.did(note);
        } else {
            work.note(note);
        }
    }
    Ok(())
}
