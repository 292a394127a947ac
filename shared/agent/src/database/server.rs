//! The database server, spoken to through the host's own client as root over the socket.
//!
//! Promise: statements go in whole or not at all, however the agent ends; of complaints only the numbers are kept,
//! because the client prints whole failing statements, and those hold passwords and customers' rows.

use crate::fault::{Result, io_at, missing_software, refused, unavailable, with_detail};
use crate::files;
use crate::run::{self, As};
use protocol::AgentError;
use rustix::fs::{MemfdFlags, memfd_create};
use std::fs::File;
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// No server on the socket, gone away, lost, too many connections, shutting down: all pass.
const AWAY: [u32; 8] = [2002, 2003, 2006, 2013, 1040, 1053, 1203, 2026];
/// Root may not log in over the socket.
const DENIED: [u32; 2] = [1045, 1698];
/// The server's disk is full: `ER_DISK_FULL`, `ER_RECORD_FILE_FULL`, and the errors of its file layer.
const FULL: [u32; 5] = [1021, 1114, 3, 20, 28];
/// A lock was not given in time, a deadlock, a query that was ended.
const BUSY: [u32; 4] = [1205, 1213, 1317, 1969];
/// `ER_DB_DROP_RMDIR`: a folder of the server's holds a file that it does not know.
const UNKNOWN_FILE: [u32; 1] = [1010];
const FOLDER_NOT_EMPTY: &str = "database_folder_not_empty";

/// Where the server answers.
#[derive(Debug, Clone, Default)]
pub struct Server {
    socket: Option<PathBuf>,
}

impl Server {
    /// The host's own, where its client looks for it.
    pub fn host() -> Self {
        Self::default()
    }

    /// Another one, whatever the host's configuration says.
    pub fn at(socket: &Path) -> Self {
        Self {
            socket: Some(socket.to_path_buf()),
        }
    }

    /// A client of it as root, with the first options set.
    pub(super) fn client(&self, program: &Path) -> Command {
        let mut command = run::command(program, As::Root);
        if let Some(socket) = &self.socket {
            command.arg("--no-defaults");
            command.arg(format!("--socket={}", socket.display()));
        }
        command
    }

    /// Run statements; the rows as text, one a line.
    pub fn sql(&self, statements: &str) -> Result<String> {
        let output = self.output(None, statements.as_bytes())?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    }

    /// Run statements in a database.
    pub(super) fn run(&self, database: Option<&str>, statements: &[u8]) -> Result<()> {
        self.output(database, statements).map(|_| ())
    }

    /// Run statements; the cells of each row as bytes.
    pub(super) fn rows(
        &self,
        database: Option<&str>,
        statements: &str,
    ) -> Result<Vec<Vec<Vec<u8>>>> {
        let output = self.output(database, statements.as_bytes())?;
        let lines = output
            .split(|b| *b == b'\n')
            .filter(|line| !line.is_empty());
        Ok(lines
            .map(|line| line.split(|b| *b == b'\t').map(unescaped).collect())
            .collect())
    }

    /// Run statements; the cells of each row as text.
    pub(super) fn texts(&self, statements: &str) -> Result<Vec<Vec<String>>> {
        let text = |cell: Vec<u8>| String::from_utf8_lossy(&cell).into_owned();
        let rows = self.rows(None, statements)?;
        Ok(rows
            .into_iter()
            .map(|row| row.into_iter().map(text).collect())
            .collect())
    }

    /// The one cell of a statement's one row.
    pub(super) fn one(&self, statement: &str) -> Result<String> {
        let row = self.texts(statement)?.into_iter().next();
        Ok(row
            .and_then(|row| row.into_iter().next())
            .unwrap_or_default())
    }

    /// Drop a database of the agent's own, there or not.
    ///
    /// A server that dies while it drops a trigger may leave the file that says which table the trigger was of. It
    /// knows nothing of that file afterwards, and does not drop a database whose folder holds it (its error 1010); the
    /// tables are gone by then.
    pub(super) fn drop_database(&self, name: &str) -> Result<()> {
        let statement = format!("DROP DATABASE IF EXISTS {};\n", quoted(name));
        match self.sql(&statement) {
            Err(error) if error.code == FOLDER_NOT_EMPTY => {}
            other => return other.map(|_| ()),
        }
        // The name is a word of ours: its folder has no other spelling.
        let folder = Path::new(&self.one("SELECT @@datadir;")?).join(name);
        let at = |error: &std::io::Error| io_at(&folder, error);
        for entry in std::fs::read_dir(&folder).map_err(|error| at(&error))? {
            let path = entry.map_err(|error| at(&error))?.path();
            if path.extension().is_some_and(|end| end == "TRN") {
                files::remove(&path)?;
            }
        }
        self.sql(&statement).map(|_| ())
    }

    fn output(&self, database: Option<&str>, statements: &[u8]) -> Result<Vec<u8>> {
        let mut command = self.client(&program(&["mariadb", "mysql"])?);
        command.args([
            "--batch",
            "--skip-column-names",
            "--binary-mode",
            "--comments",
            "--connect-timeout=10",
            "--skip-reconnect",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
        ]);
        command.args(database.map(|name| format!("--database={name}")));
        command.stdin(whole(statements)?);
        let seen = run::finish_bytes(run::start(&mut command)?)?;
        if seen.ok {
            return Ok(seen.output);
        }
        Err(fault(&error_codes(&seen.errors), &seen.status))
    }
}

/// An input that is complete before anybody reads it. From a pipe, a client whose agent is killed would run the part of
/// a statement it already has: a RENAME of fewer tables, say.
fn whole(bytes: &[u8]) -> Result<Stdio> {
    let at = |error: std::io::Error| io_at(Path::new("memory"), &error);
    let file = memfd_create("statements", MemfdFlags::CLOEXEC).map_err(|error| at(error.into()))?;
    let mut file = File::from(file);
    file.write_all(bytes)
        .and_then(|()| file.rewind())
        .map_err(at)?;
    Ok(Stdio::from(file))
}

/// The first of these programs that the host has.
pub(super) fn program(names: &[&str]) -> Result<PathBuf> {
    names
        .iter()
        .find_map(|name| run::find(name))
        .ok_or_else(|| missing_software("a MariaDB or MySQL client", "apt install mariadb-server"))
}

/// What a client's numbers mean.
pub(super) fn fault(codes: &[u32], status: &str) -> AgentError {
    let has = |list: &[u32]| codes.iter().any(|number| list.contains(number));
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
    } else if has(&BUSY) {
        unavailable(
            "database_busy",
            "The database's tables are in use for too long. Try again when the site is quieter.",
        )
    } else if has(&UNKNOWN_FILE) {
        refused(
            FOLDER_NOT_EMPTY,
            "A database could not be dropped: its folder beneath the database server's data holds files that the server does not know. Remove them, then try again.",
        )
    } else {
        unavailable(
            "database_failed",
            "The database server refused a statement.",
        )
    };
    let listed: Vec<String> = codes
        .iter()
        .map(|number| format!("ERROR {number}"))
        .collect();
    with_detail(error, format!("{status} {}", listed.join(", ")))
}

/// The number of each line that begins with `ERROR 1045 (28000)`, and nothing else of it.
pub(super) fn error_codes(errors: &str) -> Vec<u32> {
    let code = |line: &str| {
        // ENOSPC comes inside the text of a general error.
        let no_room = ["Got error 28 ", "rror: 28 ", "rrcode: 28 ", "rrno: 28 "];
        if line.starts_with("ERROR ") && no_room.iter().any(|text| line.contains(text)) {
            return Some(28);
        }
        let rest = line.strip_prefix("ERROR ")?;
        let (number, rest) = rest.split_once(' ')?;
        // The client's own errors have no state: `ERROR 2013 at line 7`.
        (rest.starts_with('(') || rest.starts_with("at line ")).then(|| number.parse().ok())?
    };
    errors.lines().filter_map(code).take(8).collect()
}

/// In a GRANT the name is a pattern: an underscore would stand for any letter, and open a neighbour's database.
pub(super) fn grant_pattern(name: &str) -> String {
    name.replace('\\', "\\\\")
        .replace('_', "\\_")
        .replace('%', "\\%")
}

/// A name as SQL takes it.
pub(super) fn quoted(name: &str) -> String {
    format!("`{}`", name.replace('`', "``"))
}

/// A cell as it was before `--batch` escaped it.
fn unescaped(cell: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(cell.len());
    let mut rest = cell.iter();
    while let Some(&byte) = rest.next() {
        bytes.push(match byte {
            b'\\' => match rest.next() {
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(&other) => other,
                None => b'\\',
            },
            other => other,
        });
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_failing_statement_only_the_code_is_kept() {
        let errors = "--------------\nCREATE USER x IDENTIFIED BY 'hush'\n--------------\n\nERROR 1064 (42000) at line 1: near 'hush'\nERROR 2013 at line 7: Lost\n";
        assert_eq!(error_codes(errors), [1064, 2013]);
        assert!(error_codes("ERROR hush (x)").is_empty());
        let error = fault(&error_codes(errors), "exit status: 1");
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn a_grant_opens_no_neighbours_database() {
        assert_eq!(grant_pattern("shop_ab%1"), "shop\\_ab\\%1");
    }

    #[test]
    fn a_cell_is_read_as_it_was() {
        assert_eq!(unescaped(br"a\nb\tc\\n\0"), b"a\nb\tc\\n\0");
    }
}
