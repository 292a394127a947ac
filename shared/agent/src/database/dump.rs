//! A dump of one database: the host's own client writes it, and it leaves as zstd while it is made.
//!
//! Promise: one consistent moment of all InnoDB tables, routines, triggers, events and views included; constant memory;
//! it succeeds only when the client says so, the dump has its last line, and each table the server lists is in it.

use super::client::Client;
use super::server::{Server, fault};
use super::tables::{self, Table};
use crate::check;
use crate::fault::{Result, broken, io_at, is_no_room, refused, unavailable, with_detail};
use crate::run;
use protocol::AgentError;
use std::collections::BTreeSet;
use std::io::{self, Read, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Child;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

/// Of zstd: the level at which it keeps up with the client on one processor.
const LEVEL: i32 = 3;
/// More threads only wait for the client.
const THREADS_LIMIT: usize = 4;
/// A piece of the dump on its way.
const CHUNK_BYTES: usize = 256 * 1024;
/// So many pieces wait between client and compression: enough for both to work, and no more memory than that.
const CHUNKS: usize = 8;
/// How often a cancel is looked for while the server is silent.
const LOOK_UP: Duration = Duration::from_millis(250);
/// A line's beginning is kept up to here: two quoted names of 64 characters of 4 bytes fit.
const LINE_LIMIT: usize = 1024;
/// At most so many names in a note.
const NAMES_LIMIT: usize = 20;

/// What was dumped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dumped {
    /// Its length before it was packed.
    pub dump_bytes: u64,
    /// How many tables it has.
    pub tables: u64,
    /// `mariadb-dump 10.11.19`.
    pub client: String,
    /// `MariaDB 10.11.19`.
    pub server: String,
    /// For people: tables that another moment may show.
    pub notes: Vec<String>,
}

/// About how many bytes a dump will have: the server's own guess at the rows' length.
pub fn estimate(server: &Server, database: &str) -> Result<u64> {
    check::name("database", database)?;
    let sum = server.one(&format!(
        "SELECT COALESCE(CAST(SUM(data_length) AS UNSIGNED), 0) FROM information_schema.tables WHERE table_schema = '{database}';"
    ))?;
    Ok(sum.parse().unwrap_or(0))
}

/// Dump `database` into `out` as zstd. `on` is told how many bytes of the dump there are so far, several times a second
/// also when there are no more, and may break: then the client is ended and the error's code is `cancelled`.
pub fn dump(
    server: &Server,
    database: &str,
    out: &mut dyn Write,
    on: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Dumped> {
    check::name("database", database)?;
    let client = Client::find()?;
    let version = super::version_of(server)?;
    let before = tables::tables(server, database)?;
    if before.is_empty()
        && server.one(&format!(
            "SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{database}';"
        ))? == "0"
    {
        return Err(refused(
            "database_missing",
            format!("There is no database {database}."),
        ));
    }
    let mut seen = Seen::default();
    let dump_bytes = stream(
        run::start(&mut client.command(server, database))?,
        out,
        &mut seen,
        on,
    )?;
    if !seen.completed() {
        return Err(broken(
            "dump_incomplete",
            "The database's dump ended before its last line.",
        ));
    }
    // Tables that came or went meanwhile are nobody's fault; those that stood all the time must be there.
    let after = tables::names(server, database)?;
    let missing: Vec<&str> = before
        .iter()
        .map(|table| table.name.as_str())
        .filter(|name| after.contains(*name) && !seen.has(name))
        .collect();
    if !missing.is_empty() {
        return Err(broken(
            "dump_incomplete",
            format!(
                "The database's dump lacks these tables: {}.",
                some(&missing)
            ),
        ));
    }
    Ok(Dumped {
        dump_bytes,
        tables: before.len() as u64,
        client: client.name,
        server: version,
        notes: notes(&before),
    })
}

fn notes(tables: &[Table]) -> Vec<String> {
    let named = |wanted: &dyn Fn(&Table) -> bool, text: &str| {
        let names: Vec<&str> = tables
            .iter()
            .filter(|table| wanted(table))
            .map(|table| table.name.as_str())
            .collect();
        (!names.is_empty()).then(|| format!("{text}: {}", some(&names)))
    };
    let mixed = |table: &Table| {
        !["InnoDB", "ROCKSDB"]
            .iter()
            .any(|engine| engine.eq_ignore_ascii_case(&table.engine))
    };
    [
        named(
            &mixed,
            "not InnoDB, so their rows may be of a slightly later moment than the rest",
        ),
        named(
            &|table| table.kind == "SYSTEM VERSIONED",
            "only the current rows are in the dump, not their history",
        ),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn some(names: &[&str]) -> String {
    let more = names.len().saturating_sub(NAMES_LIMIT);
    let listed = names[..names.len() - more].join(", ");
    if more == 0 {
        listed
    } else {
        format!("{listed} and {more} more")
    }
}

/// What the caller asked for by breaking.
pub(super) fn cancelled() -> AgentError {
    unavailable("cancelled", "It was told to stop.")
}

fn stream(
    mut child: Child,
    out: &mut dyn Write,
    seen: &mut Seen,
    on: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<u64> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let (chunks, arriving) = sync_channel(CHUNKS);
    let complaints = thread::spawn(move || stderr.map_or(String::new(), run::complaints));
    let reader = thread::spawn(move || stdout.map_or(Ok(()), |pipe| read_all(pipe, &chunks)));
    let packed = pack(&arriving, out, seen, on);
    if packed.is_err() {
        // Gone already is as good.
        let _ = child.kill();
    }
    drop(arriving);
    let status = child
        .wait()
        .map_err(|_| broken("program_lost", "A program's end was not seen."))?;
    let read = reader.join().unwrap_or(Ok(()));
    let complaints = complaints.join().unwrap_or_default();
    let bytes = packed?;
    if !status.success() {
        return Err(complaint(&complaints, &status.to_string()));
    }
    read.map_err(|error| io_at(Path::new("the dump client's output"), &error))?;
    Ok(bytes)
}

fn read_all(mut pipe: impl Read, chunks: &SyncSender<Vec<u8>>) -> io::Result<()> {
    loop {
        let mut chunk = vec![0; CHUNK_BYTES];
        let mut filled = 0;
        while filled < CHUNK_BYTES {
            match pipe.read(&mut chunk[filled..]) {
                Ok(0) => break,
                Ok(length) => filled += length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        chunk.truncate(filled);
        // Nobody takes it any more when the dump was cancelled.
        if filled == 0 || chunks.send(chunk).is_err() {
            return Ok(());
        }
    }
}

fn pack(
    arriving: &Receiver<Vec<u8>>,
    out: &mut dyn Write,
    seen: &mut Seen,
    on: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<u64> {
    let threads = thread::available_parallelism().map_or(1, |n| n.get().min(THREADS_LIMIT));
    let mut encoder = zstd::Encoder::new(out, LEVEL).map_err(|e| written(&e))?;
    encoder
        .multithread(u32::try_from(threads).unwrap_or(1))
        .and_then(|()| encoder.include_checksum(true))
        .map_err(|e| written(&e))?;
    let mut bytes = 0;
    loop {
        match arriving.recv_timeout(LOOK_UP) {
            Ok(chunk) => {
                bytes += chunk.len() as u64;
                seen.look(&chunk);
                encoder.write_all(&chunk).map_err(|e| written(&e))?;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if on(bytes).is_break() {
            return Err(cancelled());
        }
    }
    let out = encoder.finish().map_err(|e| written(&e))?;
    out.flush().map_err(|e| written(&e))?;
    Ok(bytes)
}

/// The dump could not be handed on.
fn written(error: &io::Error) -> AgentError {
    let error_of = if is_no_room(error) {
        refused(
            "disk_full",
            "The disk has too little room for the dump. Make room, then try again.",
        )
    } else {
        unavailable("output_failed", "The dump could not be written on.")
    };
    with_detail(error_of, error.kind().to_string())
}

/// What the dump client complains of: `Got error: 1049: …`, `Error 2013: …`, `Couldn't execute '…': … (1356)`. Only numbers are kept.
fn complaint(errors: &str, status: &str) -> AgentError {
    let number = |text: &str| -> Option<u32> {
        let digits: String = text.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().ok()
    };
    let code = |line: &str| {
        let after = |word: &str| line.split_once(word).and_then(|(_, rest)| number(rest));
        let last = || {
            line.trim_end()
                .strip_suffix(')')?
                .rsplit_once('(')
                .and_then(|(_, rest)| number(rest))
        };
        after("Got error: ")
            .or_else(|| after(" Error "))
            .or_else(last)
    };
    let codes: Vec<u32> = errors.lines().filter_map(code).take(8).collect();
    match codes.first() {
        Some(1049) => refused("database_missing", "The database is gone."),
        Some(1356 | 1449) => refused(
            "view_broken",
            "A view of the database reads a table, column or user that is gone, so the database cannot be dumped. Repair or drop the view.",
        ),
        Some(1412 | 1146) => unavailable(
            "database_changed",
            "A table was changed while the database was dumped. Try again.",
        ),
        _ => fault(&codes, status),
    }
}

/// What went by: the tables that the dump makes, and its last line.
#[derive(Debug, Default)]
struct Seen {
    line: Vec<u8>,
    last: Vec<u8>,
    tables: BTreeSet<Vec<u8>>,
}

impl Seen {
    fn look(&mut self, chunk: &[u8]) {
        let mut lines = chunk.split(|b| *b == b'\n').peekable();
        while let Some(piece) = lines.next() {
            let room = LINE_LIMIT.saturating_sub(self.line.len());
            self.line.extend_from_slice(&piece[..piece.len().min(room)]);
            if lines.peek().is_some() {
                self.line_ends();
            }
        }
    }

    fn line_ends(&mut self) {
        for begin in [&b"CREATE TABLE `"[..], b"CREATE SEQUENCE `"] {
            if let Some(rest) = self.line.strip_prefix(begin) {
                self.tables.insert(name(rest));
            }
        }
        if !self.line.trim_ascii().is_empty() {
            self.last = std::mem::take(&mut self.line);
        }
        self.line.clear();
    }

    fn completed(&mut self) -> bool {
        self.line_ends();
        self.last.starts_with(b"-- Dump completed")
    }

    fn has(&self, table: &str) -> bool {
        // A line break in a name ends the line that is looked at.
        let first = table.split('\n').next().unwrap_or_default();
        self.tables.contains(first.as_bytes())
    }
}

/// A name up to the quote that ends it.
fn name(text: &[u8]) -> Vec<u8> {
    let mut name = Vec::new();
    let mut rest = text.iter().peekable();
    while let Some(&byte) = rest.next() {
        if byte == b'`' && rest.next_if_eq(&&b'`').is_none() {
            break;
        }
        name.push(byte);
    }
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_clients_complaints_only_numbers_are_kept() {
        let lost = complaint(
            "mariadb-dump: Error 2013: Lost connection when dumping table `hush` at row: 3\n",
            "exit status: 3",
        );
        assert_eq!(lost.code, "database_unreachable");
        let view = complaint(
            "mariadb-dump: Couldn't execute 'SHOW hush': View 'hush' references invalid table(s) (1356)\n",
            "exit status: 2",
        );
        assert_eq!(view.code, "view_broken");
        assert!(!format!("{lost:?} {view:?}").contains("hush"));
    }

    #[test]
    fn a_last_line_cut_by_a_piece_is_still_the_last_line() {
        let mut seen = Seen::default();
        for piece in [
            "CREATE TA",
            "BLE `a``b` (\n",
            "\n-- Dump ",
            "completed\n",
            "\n",
        ] {
            seen.look(piece.as_bytes());
        }
        assert!(seen.completed() && seen.has("a`b"));
        seen.look(b"x\n");
        assert!(!seen.completed());
    }
}
