//! Databases and their users, through the host's own client as root over the socket.
//!
//! Promise: statements go in by stdin, names are checked and quoted, and of what the client complains only the codes
//! are kept: it prints whole failing statements, and those hold passwords and customers' rows.

use crate::check;
use crate::claims::{self, Kind, NoFacts, Standing};
use crate::fault::{Result, missing_software, refused, unavailable, with_detail};
use crate::host::Work;
use crate::run::{self, As};
use crate::secret;
use protocol::DatabaseName;
use std::path::{Path, PathBuf};

/// No server on the socket, gone away, lost, too many connections, shutting down: all pass.
const AWAY: [u32; 7] = [2002, 2003, 2006, 2013, 1040, 1053, 1203];
/// Root may not log in over the socket.
const DENIED: [u32; 2] = [1045, 1698];
/// The server's disk is full: `ER_DISK_FULL`, and the errors of its file layer.
const FULL: [u32; 3] = [1021, 3, 20];

fn client() -> Result<PathBuf> {
    ["mariadb", "mysql"]
        .iter()
        .find_map(|name| run::find(name))
        .ok_or_else(|| missing_software("a MariaDB or MySQL client", "apt install mariadb-server"))
}

/// Run statements; the rows as text, one a line.
pub fn sql(statements: &str) -> Result<String> {
    let mut command = run::command(&client()?, As::Root);
    command.args([
        "--batch",
        "--skip-column-names",
        "--connect-timeout=10",
        "--default-character-set=utf8mb4",
    ]);
    let seen = run::run(&mut command, statements.as_bytes())?;
    if seen.ok {
        return Ok(seen.output);
    }
    let codes = error_codes(&seen.errors);
    let has = |list: &[u32]| codes.iter().any(|(number, _)| list.contains(number));
    let error = if has(&AWAY) {
        unavailable(
            "database_unreachable",
            "The database server does not answer. Look at it: systemctl status mariadb (or mysql).",
        )
    } else if has(&DENIED) {
        refused(
            "database_access_denied",
            "The database server does not let root in over its socket. Give root@localhost unix_socket login, or a password in /root/.my.cnf.",
        )
    } else if has(&FULL) {
        crate::fault::disk_full(Path::new("/var/lib/mysql"))
    } else {
        unavailable(
            "database_failed",
            "The database server refused a statement.",
        )
    };
    let listed: Vec<String> = codes
        .iter()
        .map(|(number, state)| format!("ERROR {number} ({state})"))
        .collect();
    Err(with_detail(
        error,
        format!("{} {}", seen.status, listed.join(", ")),
    ))
}

/// `ERROR 1045 (28000)` of each line that begins so, and nothing else of it.
fn error_codes(errors: &str) -> Vec<(u32, String)> {
    let code = |line: &str| {
        let rest = line.strip_prefix("ERROR ")?;
        let (number, rest) = rest.split_once(' ')?;
        let state = rest.strip_prefix('(')?.split(')').next()?;
        let ok = state.len() == 5 && state.bytes().all(|b| b.is_ascii_alphanumeric());
        ok.then_some((number.parse().ok()?, state.to_string()))
    };
    errors.lines().filter_map(code).take(8).collect()
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

/// In a GRANT the name is a pattern: an underscore would stand for any letter, and open a neighbour's database.
fn grant_pattern(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%")
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
    let text = sql("SELECT VERSION();")?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_failing_statement_only_the_code_is_kept() {
        let errors = "--------------\nCREATE USER x IDENTIFIED BY 'hush'\n--------------\n\nERROR 1064 (42000) at line 1: near 'hush'\n";
        assert_eq!(error_codes(errors), [(1064, "42000".to_string())]);
        assert!(error_codes("ERROR hush (x)").is_empty());
    }

    #[test]
    fn a_grant_opens_no_neighbours_database() {
        assert_eq!(grant_pattern("shop_ab%1"), "shop\\_ab\\%1");
    }
}
