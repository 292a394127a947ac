//! Where the program's words go: results to standard output, everything about them to standard error.
//!
//! Promise: with `--json` standard output holds JSON only; no text of others reaches a terminal with control characters in it.

use crate::ending::Fault;
use crate::table::Table;
use serde::Serialize;
use std::io::{IsTerminal, Write};

/// See the module.
pub struct Output {
    /// For machines.
    pub json: bool,
    /// Standard output is a person's terminal.
    pub terminal: bool,
}

impl Output {
    /// As the flags and the terminal say.
    pub fn new(json: bool) -> Self {
        Self {
            json,
            terminal: std::io::stdout().is_terminal(),
        }
    }

    /// Progress may be drawn in place.
    pub fn can_draw(&self) -> bool {
        self.terminal && std::env::var_os("TERM").is_some_and(|term| term != "dumb")
    }

    /// A question would be seen and could be answered.
    pub fn can_ask(&self) -> bool {
        std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
    }

    /// A line of the result, for people.
    pub fn line(&self, text: impl AsRef<str>) -> Result<(), Fault> {
        let mut to = std::io::stdout().lock();
        writeln!(to, "{}", text.as_ref())?;
        Ok(())
    }

    /// A table, for people.
    pub fn table(&self, table: &Table) -> Result<(), Fault> {
        for line in table.lines(self.terminal) {
            self.line(line)?;
        }
        Ok(())
    }

    /// The result, for machines: one document.
    pub fn document(&self, value: &impl Serialize) -> Result<(), Fault> {
        self.line(serde_json::to_string_pretty(value).map_err(std::io::Error::from)?)
    }

    /// One of several documents, for machines: one line.
    pub fn record(&self, value: &impl Serialize) -> Result<(), Fault> {
        self.line(serde_json::to_string(value).map_err(std::io::Error::from)?)
    }

    /// Something about the result: to standard error. Nobody there to read it is no error.
    pub fn note(&self, text: impl AsRef<str>) {
        let _unread = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
    }
}

/// Text of others on one line, harmless to a terminal.
pub fn plain(text: &str) -> String {
    text.trim()
        .chars()
        .map(|c| match c {
            '\n' | '\t' => ' ',
            c if c.is_control() => '\u{fffd}',
            c => c,
        })
        .collect()
}
