//! A dump as the client will read it: statements, strings, comments, delimiters, byte by byte.
//!
//! Promise: what passes consists of statements that dumps have, in the scratch database's own terms: no definer of
//! another server, no client command, no collation this server lacks. Constant memory, whatever the length of a row.
//! The loader's rights are the wall; this gives the clear word before anybody runs into it.

mod changes;
mod statement;

use crate::fault::{Result, refused};
pub use changes::{Changes, Definer, Events};
use statement::{Next, Statement};
use std::collections::BTreeSet;
use std::ops::ControlFlow;

/// Longer words are numbers and blobs, of no meaning here.
const WORD_LIMIT: usize = 128;
/// What a DELIMITER line may weigh.
const LINE_LIMIT: usize = 64;
/// The last line of a whole dump, with or without its date.
const COMPLETED: &[u8] = b"-- Dump completed";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    Start,
    Code,
    Quote(u8),
    Line,
    Block,
    LongWord,
}

/// The reader at work: bytes in by [`Script::feed`], bytes out of [`Script::take`].
#[derive(Debug)]
pub struct Script {
    changes: Changes,
    mode: Mode,
    statement: Statement,
    delimiter: Vec<u8>,
    held: Vec<u8>,
    out: Vec<u8>,
    /// The beginning of the comment or string that is read, where its text matters.
    caught: Vec<u8>,
    completed: bool,
    hidden: bool,
    backslash: bool,
    ansi: bool,
    notes: BTreeSet<String>,
    events: BTreeSet<String>,
}

impl Script {
    /// At the beginning of a dump.
    pub fn dump(changes: Changes) -> Self {
        Self {
            changes,
            mode: Mode::Start,
            statement: Statement::default(),
            delimiter: b";".to_vec(),
            held: Vec::new(),
            out: Vec::new(),
            caught: Vec::new(),
            completed: false,
            hidden: false,
            backslash: true,
            ansi: false,
            notes: BTreeSet::new(),
            events: BTreeSet::new(),
        }
    }

    /// One whole statement of a server's own, changed; refused when the client could see a command in it.
    pub fn one(text: &[u8], sql_mode: &str, changes: Changes) -> Result<Vec<u8>> {
        let mut script = Self::dump(changes);
        script.mode = Mode::Code;
        // No delimiter at all: the text is one statement by its origin.
        script.delimiter = Vec::new();
        script.set_mode(sql_mode);
        script.feed(text)?;
        script.advance(true)?;
        if script.mode != Mode::Code {
            return Err(refused("dump_refused", "A statement has no end."));
        }
        Ok(script.out)
    }

    /// More of it.
    pub fn feed(&mut self, bytes: &[u8]) -> Result<()> {
        self.held.extend_from_slice(bytes);
        self.advance(false)
    }

    /// What may go to the client now.
    pub fn take(&mut self, into: &mut Vec<u8>) {
        into.clear();
        std::mem::swap(into, &mut self.out);
    }

    /// No more comes. Refused unless the dump's last line was its last line.
    pub fn end(&mut self) -> Result<()> {
        self.advance(true)?;
        if self.mode == Mode::Line {
            self.line_ends();
        }
        if self.completed && self.mode != Mode::Block && !matches!(self.mode, Mode::Quote(_)) {
            return Ok(());
        }
        Err(refused(
            "dump_incomplete",
            "The dump ends before its last line: it was cut off, or is no dump. Nothing was changed; take another backup.",
        ))
    }

    /// What was changed, for people.
    pub fn notes(&self) -> Vec<String> {
        self.notes.iter().cloned().collect()
    }

    /// Events that were put to sleep.
    pub fn events(&self) -> BTreeSet<String> {
        self.events.clone()
    }

    fn advance(&mut self, last: bool) -> Result<()> {
        let held = std::mem::take(&mut self.held);
        let mut at = 0;
        while at < held.len() {
            match self.step(&held[at..], last)? {
                ControlFlow::Continue(length) => at += length,
                ControlFlow::Break(()) => break,
            }
        }
        self.held = held[at..].to_vec();
        Ok(())
    }

    /// Read the next token; breaks when more bytes are needed to know it.
    fn step(&mut self, rest: &[u8], last: bool) -> Result<ControlFlow<(), usize>> {
        let took = ControlFlow::Continue;
        match self.mode {
            Mode::Start => Ok(self.sandbox(rest, last)),
            Mode::Code => self.code(rest, last),
            Mode::Quote(quote) => {
                let escapes = self.escapes(quote);
                let stop = |b: &u8| *b == quote || (escapes && *b == b'\\');
                let length = rest.iter().position(stop).unwrap_or(rest.len());
                let length = match rest.get(length) {
                    None => length,
                    Some(b'\\') if escapes && rest.len() == length + 1 && !last => {
                        if length == 0 {
                            return Ok(ControlFlow::Break(()));
                        }
                        length
                    }
                    Some(b'\\') if escapes => (length + 2).min(rest.len()),
                    Some(_) => {
                        self.mode = Mode::Code;
                        length + 1
                    }
                };
                self.catch(&rest[..length]);
                self.emit(&rest[..length]);
                if self.mode == Mode::Code {
                    self.quote_ends(quote);
                }
                Ok(took(length))
            }
            Mode::Line => {
                let end = rest.iter().position(|b| *b == b'\n');
                let length = end.unwrap_or(rest.len());
                self.catch(&rest[..length]);
                if !self.statement.is_new() {
                    self.emit(&rest[..length]);
                }
                if end.is_some() {
                    self.line_ends();
                }
                Ok(took(length))
            }
            Mode::Block => {
                let end = rest.windows(2).position(|pair| pair == b"*/");
                let length = match end {
                    Some(at) => {
                        self.mode = Mode::Code;
                        at + 2
                    }
                    None if last => rest.len(),
                    None if rest.len() == 1 => return Ok(ControlFlow::Break(())),
                    None => rest.len() - 1,
                };
                self.emit(&rest[..length]);
                Ok(took(length))
            }
            Mode::LongWord => {
                let end = rest.iter().position(|b| !is_word(*b));
                if end.is_some() {
                    self.mode = Mode::Code;
                }
                let length = end.unwrap_or(rest.len());
                self.emit(&rest[..length]);
                Ok(took(length))
            }
        }
    }

    /// The first line is left out when it only switches the client's sandbox on: older clients stop at it.
    fn sandbox(&mut self, rest: &[u8], last: bool) -> ControlFlow<(), usize> {
        let mut length = 0;
        if rest == b"/" && !last {
            return ControlFlow::Break(());
        }
        if rest.starts_with(b"/*") {
            match rest.iter().take(LINE_LIMIT).position(|b| *b == b'\n') {
                Some(end) if is_sandbox(&rest[..end]) => length = end + 1,
                None if rest.len() < LINE_LIMIT && !last => return ControlFlow::Break(()),
                _ => {}
            }
        }
        self.mode = Mode::Code;
        ControlFlow::Continue(length)
    }

    fn code(&mut self, rest: &[u8], last: bool) -> Result<ControlFlow<(), usize>> {
        let more = ControlFlow::Break(());
        let first = rest[0];
        if self.statement.is_data() {
            let length = rest.iter().position(|b| is_sign(*b)).unwrap_or(rest.len());
            if length > 0 {
                self.emit(&rest[..length]);
                return Ok(ControlFlow::Continue(length));
            }
        }
        if !self.delimiter.is_empty() && first == self.delimiter[0] {
            if rest.len() < self.delimiter.len() && !last {
                return Ok(more);
            }
            if rest.starts_with(&self.delimiter) {
                return self.statement_ends().map(ControlFlow::Continue);
            }
        }
        if matches!(first, b'/' | b'-' | b'*') && rest.len() < 4 && !last {
            return Ok(more);
        }
        if is_word(first) {
            return self.word(rest, last);
        }
        match first {
            b'\'' | b'"' | b'`' => {
                self.touch(first);
                self.statement.sign(first)?;
                self.hidden |= self.statement.names_database();
                self.caught.clear();
                self.mode = Mode::Quote(first);
                self.emit(&rest[..1]);
                Ok(ControlFlow::Continue(1))
            }
            b'/' if rest.starts_with(b"/*!") || rest.starts_with(b"/*M!") => {
                self.completed = false;
                self.settle_definer(first);
                let open = if rest[2] == b'M' { 4 } else { 3 };
                let digits = rest[open..].iter().take_while(|b| b.is_ascii_digit());
                let length = open + digits.count();
                if length == rest.len() && !last {
                    return Ok(more);
                }
                self.emit(&rest[..length]);
                Ok(ControlFlow::Continue(length))
            }
            b'/' if rest.starts_with(b"/*") => {
                self.settle_definer(first);
                self.mode = Mode::Block;
                self.emit(&rest[..2]);
                Ok(ControlFlow::Continue(2))
            }
            b'*' if rest.starts_with(b"*/") => {
                self.settle_definer(first);
                self.emit(&rest[..2]);
                Ok(ControlFlow::Continue(2))
            }
            b'#' => Ok(self.line_begins(rest)),
            b'-' if rest.starts_with(b"--")
                && rest.get(2).is_none_or(|b| b.is_ascii_whitespace()) =>
            {
                Ok(self.line_begins(rest))
            }
            b'\\' => Err(refused(
                "dump_refused",
                "The dump holds a command for the client, which no backup of ours has. Nothing was changed.",
            )),
            b';' => {
                self.touch(first);
                self.statement.inner_end()?;
                self.emit(&rest[..1]);
                Ok(ControlFlow::Continue(1))
            }
            _ => {
                self.touch(first);
                self.statement.sign(first)?;
                self.emit(&rest[..1]);
                Ok(ControlFlow::Continue(1))
            }
        }
    }

    fn word(&mut self, rest: &[u8], last: bool) -> Result<ControlFlow<(), usize>> {
        let end = rest.iter().take(WORD_LIMIT).position(|b| !is_word(*b));
        let length = match end {
            Some(length) => length,
            None if rest.len() >= WORD_LIMIT => {
                self.touch(b'0');
                self.mode = Mode::LongWord;
                return Ok(ControlFlow::Continue(0));
            }
            None if last => rest.len(),
            None => return Ok(ControlFlow::Break(())),
        };
        let word = &rest[..length];
        self.touch(b'a');
        if self.hidden {
            return Ok(ControlFlow::Continue(length));
        }
        if self.statement.is_data() {
            self.emit(word);
            return Ok(ControlFlow::Continue(length));
        }
        if self.statement.is_new() && word.eq_ignore_ascii_case(b"DELIMITER") {
            return self.delimiter_line(rest, last);
        }
        match self.statement.word(word)? {
            Next::Keep => match self.collation(word) {
                Some(other) => self.emit(other.as_bytes()),
                None => self.emit(word),
            },
            Next::Name => {}
            Next::Definer if self.changes.definer == Definer::Keep => {
                self.statement.definer_done();
                self.emit(word);
            }
            Next::Definer => {
                if let Definer::Be(account) = &self.changes.definer {
                    let text = format!("DEFINER={account} ");
                    self.emit(text.as_bytes());
                }
                self.hidden = true;
            }
            Next::Enable(event) if self.changes.events == Events::Sleep => {
                self.events.insert(event);
                self.emit(b"DISABLE");
            }
            Next::Disable(_) if self.changes.events == Events::Wake => self.emit(b"ENABLE"),
            Next::Enable(_) | Next::Disable(_) => self.emit(word),
        }
        Ok(ControlFlow::Continue(length))
    }

    fn collation(&mut self, word: &[u8]) -> Option<&'static str> {
        if !self.statement.after_collate() {
            return None;
        }
        let (note, nearest) = self.changes.nearest(word)?;
        self.notes.insert(note);
        Some(nearest)
    }

    fn delimiter_line(&mut self, rest: &[u8], last: bool) -> Result<ControlFlow<(), usize>> {
        let end = match rest.iter().take(LINE_LIMIT).position(|b| *b == b'\n') {
            Some(end) => end,
            None if rest.len() < LINE_LIMIT && !last => return Ok(ControlFlow::Break(())),
            None => rest.len(),
        };
        let wanted = rest[b"DELIMITER".len()..end].trim_ascii();
        if ![&b";"[..], b";;", b"//"].contains(&wanted) {
            return Err(refused(
                "dump_refused",
                "The dump uses a delimiter that no backup of ours has. Nothing was changed.",
            ));
        }
        self.delimiter = wanted.to_vec();
        self.emit(b"\nDELIMITER ");
        self.emit(wanted);
        self.emit(b"\n");
        Ok(ControlFlow::Continue(end))
    }

    fn statement_ends(&mut self) -> Result<usize> {
        self.settle_definer(b';');
        if let Some(mode) = self.statement.sql_mode() {
            self.set_mode(&mode);
        }
        self.statement = Statement::default();
        self.completed = false;
        let delimiter = std::mem::take(&mut self.delimiter);
        self.emit(&delimiter);
        self.delimiter = delimiter;
        Ok(self.delimiter.len())
    }

    fn set_mode(&mut self, sql_mode: &str) {
        self.backslash = !sql_mode.contains("NO_BACKSLASH_ESCAPES");
        self.ansi = ["ANSI", "ORACLE", "MSSQL", "DB2", "POSTGRESQL", "MAXDB"]
            .iter()
            .any(|mode| sql_mode.contains(mode));
    }

    fn escapes(&self, quote: u8) -> bool {
        self.backslash && quote != b'`' && !(quote == b'"' && self.ansi)
    }

    fn line_begins(&mut self, rest: &[u8]) -> ControlFlow<(), usize> {
        self.settle_definer(rest[0]);
        self.caught.clear();
        self.mode = Mode::Line;
        ControlFlow::Continue(0)
    }

    fn line_ends(&mut self) {
        self.mode = Mode::Code;
        let rest = self.caught.strip_prefix(COMPLETED);
        let whole =
            rest.is_some_and(|rest| rest.trim_ascii().is_empty() || rest.starts_with(b" on "));
        self.completed = self.statement.is_new() && whole;
    }

    fn quote_ends(&mut self, quote: u8) {
        let name = self.statement.names_database();
        let caught = std::mem::take(&mut self.caught);
        self.statement
            .quoted(caught.strip_suffix(&[quote]).unwrap_or_default());
        self.caught = caught;
        if name {
            self.hidden = false;
        }
    }

    fn catch(&mut self, bytes: &[u8]) {
        if self.statement.is_data() {
            return;
        }
        let room = 4096usize.saturating_sub(self.caught.len());
        self.caught
            .extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    /// Code comes: the dump was not at its end, and a definer that is read may be over.
    fn touch(&mut self, first: u8) {
        if !first.is_ascii_whitespace() {
            self.completed = false;
        }
        self.settle_definer(first);
    }

    fn settle_definer(&mut self, next: u8) {
        if self.hidden && self.statement.definer_ends(next) {
            self.hidden = false;
        }
    }

    fn emit(&mut self, bytes: &[u8]) {
        if !self.hidden {
            self.out.extend_from_slice(bytes);
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// In rows: where a string, a comment, a command or the end of the statement may begin.
fn is_sign(byte: u8) -> bool {
    matches!(
        byte,
        b'\'' | b'"' | b'`' | b'/' | b'*' | b'-' | b'#' | b'\\' | b';'
    )
}

/// `/*!999999\- enable the sandbox mode */` and `/*M!999999\- …`.
fn is_sandbox(line: &[u8]) -> bool {
    line.starts_with(b"/*!999999\\-") || line.starts_with(b"/*M!999999\\-")
}

#[cfg(test)]
mod tests;
