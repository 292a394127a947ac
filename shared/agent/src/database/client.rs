//! The host's own dump client: which one it is, and what it must be told.
//!
//! Promise: an option is given only to a client that knows it; MariaDB's and MySQL's differ.

use super::server::{Server, program};
use crate::fault::Result;
use crate::run::{self, As};
use std::path::PathBuf;
use std::process::Command;

/// Rows are gathered into statements of this size: few enough for speed, and far below any server's largest packet.
const STATEMENT_BYTES: &str = "--net-buffer-length=1M";

/// A dump client.
#[derive(Debug, PartialEq, Eq)]
pub struct Client {
    path: PathBuf,
    /// `mariadb-dump 10.11.19`.
    pub name: String,
    options: &'static [&'static str],
}

impl Client {
    /// The host's.
    pub fn find() -> Result<Self> {
        let path = program(&["mariadb-dump", "mysqldump"])?;
        let seen = run::run(run::command(&path, As::Root).arg("--version"), b"")?;
        Ok(Self::of(path, &seen.output))
    }

    fn of(path: PathBuf, version: &str) -> Self {
        let mariadb = version.contains("MariaDB");
        // `Ver 10.19 Distrib 10.11.19-MariaDB, for …`, `Ver 8.0.36 for …`, `from 11.4.2-MariaDB, client 10.19 for …`
        let after = |word: &str| Some(version.split_once(word)?.1);
        let number: String = after("Distrib ")
            .or_else(|| after("from "))
            .or_else(|| after("Ver "))
            .unwrap_or_default()
            .chars()
            .take_while(|c| c.is_ascii_digit() || *c == '.')
            .collect();
        let major = number
            .split('.')
            .next()
            .and_then(|text| text.parse::<u32>().ok());
        let (name, options): (_, &[&str]) = match (mariadb, major) {
            (true, _) => ("mariadb-dump", &[]),
            (false, Some(8..)) => (
                "mysqldump",
                &["--set-gtid-purged=OFF", "--column-statistics=0"],
            ),
            (false, _) => ("mysqldump", &["--set-gtid-purged=OFF"]),
        };
        Self {
            path,
            name: format!("{name} {number}"),
            options,
        }
    }

    /// The command that dumps one database, not yet started.
    pub fn command(&self, server: &Server, database: &str) -> Command {
        let mut command = server.client(&self.path);
        command
            .args([
                "--opt",
                "--single-transaction",
                "--quick",
                "--skip-lock-tables",
                "--hex-blob",
                "--routines",
                "--triggers",
                "--events",
                "--comments",
                "--no-tablespaces",
                "--skip-dump-date",
                "--default-character-set=utf8mb4",
                "--max-allowed-packet=1G",
                STATEMENT_BYTES,
            ])
            .args(self.options)
            .arg(database);
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_client_gets_only_what_it_knows() {
        for (version, name, options) in [
            (
                "mariadb-dump  Ver 10.19 Distrib 10.11.19-MariaDB, for debian-linux-gnu (x86_64)",
                "mariadb-dump 10.11.19",
                0,
            ),
            (
                "mariadb-dump from 11.4.2-MariaDB, client 10.19 for Linux (x86_64)",
                "mariadb-dump 11.4.2",
                0,
            ),
            (
                "mysqldump  Ver 8.0.36-0ubuntu0.22.04.1 for Linux on x86_64 ((Ubuntu))",
                "mysqldump 8.0.36",
                2,
            ),
            (
                "mysqldump  Ver 10.13 Distrib 5.7.44, for Linux (x86_64)",
                "mysqldump 5.7.44",
                1,
            ),
        ] {
            let client = Client::of(PathBuf::new(), version);
            assert_eq!(
                (client.name.as_str(), client.options.len()),
                (name, options)
            );
        }
    }
}
