//! Loading a dump into its scratch database.
//!
//! Promise: an account with rights there and nowhere else loads it, through a client that obeys no command in it and
//! stops at the first error. Nothing of the dump gets into an error.

use super::dump::cancelled;
use super::journal::{Beside, Journal};
use super::script::{Changes, Definer, Events, Script};
use super::server::{Server, error_codes, fault, grant_pattern, program, quoted};
use crate::fault::{Result, broken, io_at, refused, unavailable, with_detail};
use crate::files;
use crate::paths::Paths;
use crate::run::{self, As};
use crate::secret;
use protocol::AgentError;
use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// A connection over the socket takes milliseconds, and a server that is busy some seconds.
const CONNECT_WITHIN: Duration = Duration::from_secs(30);
/// How often a cancel and the disk are looked at.
const LOOK_UP: Duration = Duration::from_millis(250);
/// A piece of the dump on its way.
const CHUNK_BYTES: usize = 256 * 1024;
/// The protocol's largest packet, in which a row of the dump surely fits.
const PACKET_BYTES: u64 = 1024 * 1024 * 1024;
/// Less than this on the data directory's disk, and the live site would be the next that cannot write.
const FLOOR_BYTES: u64 = 128 * 1024 * 1024;

/// What the dump was found to hold.
#[derive(Debug)]
pub struct Told {
    /// What was changed on the way, for people.
    pub notes: Vec<String>,
    /// Events that are to be awake.
    pub events: BTreeSet<String>,
}

/// Is there room for a dump of so many bytes? Tables with their indexes take up to one and a half of the dump of a
/// WordPress site; a server that keeps binary logs writes all of it there as well.
pub fn check_room(server: &Server, dump_bytes: u64) -> Result<()> {
    let logs = server.one("SELECT @@log_bin;")? == "1";
    let needed = dump_bytes / 2 * if logs { 5 } else { 3 } + FLOOR_BYTES;
    let (directory, free) = free(server)?;
    if free >= needed {
        return Ok(());
    }
    Err(refused(
        "disk_full",
        format!(
            "The database's disk has too little room: the restore needs {needed} bytes in {}, and {free} are free. Make room, then try again.",
            directory.display()
        ),
    ))
}

fn free(server: &Server) -> Result<(PathBuf, u64)> {
    let directory = PathBuf::from(server.one("SELECT @@datadir;")?);
    let free = free_at(&directory)?;
    Ok((directory, free))
}

fn free_at(directory: &Path) -> Result<u64> {
    let device = rustix::fs::statvfs(directory).map_err(|error| io_at(directory, &error.into()))?;
    Ok(device.f_bavail * device.f_frsize)
}

/// Make the scratch database anew, with the live one's character set, and the account that loads.
pub fn make_scratch(
    server: &Server,
    beside: &Beside,
    charset: &(String, String),
) -> Result<String> {
    let password = secret::password();
    let (scratch, loader) = (quoted(&beside.scratch), quoted(&beside.loader));
    server.drop_database(&beside.scratch)?;
    server.sql(&format!(
        "CREATE DATABASE {scratch} CHARACTER SET {} COLLATE {};\n\
         DROP USER IF EXISTS {loader}@`localhost`;\n\
         CREATE USER {loader}@`localhost` IDENTIFIED BY '{password}';\n\
         GRANT ALL PRIVILEGES ON `{}`.* TO {loader}@`localhost`;\n",
        charset.0,
        charset.1,
        grant_pattern(&beside.scratch),
    ))?;
    Ok(password)
}

/// Load it. `on` is told how many bytes of the dump went to the server, and may break.
pub fn load(
    server: &Server,
    paths: &Paths,
    journal: &mut Journal,
    password: &str,
    dump: &mut (dyn Read + Send),
    on: &mut dyn FnMut(u64) -> ControlFlow<()>,
) -> Result<Told> {
    let mut script = Script::dump(Changes {
        definer: Definer::Strip,
        collations: collations(server)?,
        events: Events::Sleep,
    });
    let (directory, _) = free(server)?;
    let beside = journal.beside();
    let login = paths.restores().join(format!("{}.cnf", beside.scratch));
    let text = format!(
        "[client]\nuser={}\npassword=\"{password}\"\n",
        beside.loader
    );
    files::write(&login, text.as_bytes(), 0o600)?;
    let connected = connect(server, paths, journal, &login);
    files::remove(&login)?;
    let (mut child, mut stdin, complaints) = connected?;
    let done = AtomicU64::new(0);
    let (ended, over) = sync_channel::<()>(1);
    let (fed, stopped) = thread::scope(|scope| {
        let feeder = scope.spawn(|| {
            let _ended = ended;
            feed(dump, &mut script, &mut stdin, &done).inspect(|()| drop(stdin))
        });
        let stopped = watch(&over, &mut || {
            if on(done.load(Ordering::Relaxed)).is_break() {
                return Err(cancelled());
            }
            room_left(&directory)
        });
        if stopped.is_err() {
            let _ = child.kill();
        }
        let fed = feeder.join().unwrap_or(Err(Fed::Client));
        (fed, stopped)
    });
    if matches!(fed, Err(Fed::Dump(_))) {
        let _ = child.kill();
    }
    let mut stopped = stopped;
    while stopped.is_ok() && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(LOOK_UP / 10);
        if on(done.load(Ordering::Relaxed)).is_break() {
            stopped = Err(cancelled());
            let _ = child.kill();
        }
    }
    let status = child
        .wait()
        .map_err(|_| broken("program_lost", "A program's end was not seen."))?;
    let complaints = complaints.join().unwrap_or_default();
    stopped?;
    match fed {
        Err(Fed::Dump(error)) => Err(error),
        _ if !status.success() => Err(complaint(&error_codes(&complaints), &status.to_string())),
        Err(Fed::Client) => Err(unavailable(
            "database_unreachable",
            "The database client stopped reading.",
        )),
        Ok(()) => Ok(Told {
            notes: script.notes(),
            events: script.events(),
        }),
    }
}

/// Look until the other thread is over.
fn watch(over: &Receiver<()>, look: &mut dyn FnMut() -> Result<()>) -> Result<()> {
    loop {
        match over.recv_timeout(LOOK_UP) {
            Err(RecvTimeoutError::Timeout) => look()?,
            _ => return look(),
        }
    }
}

fn room_left(directory: &Path) -> Result<()> {
    if free_at(directory)? >= FLOOR_BYTES {
        return Ok(());
    }
    Err(crate::fault::disk_full(directory))
}

/// Why no more could be fed.
enum Fed {
    /// The dump is damaged, cut off, or not to be let in.
    Dump(AgentError),
    /// The client has gone; it says why itself.
    Client,
}

fn feed(
    dump: &mut (dyn Read + Send),
    script: &mut Script,
    stdin: &mut ChildStdin,
    done: &AtomicU64,
) -> std::result::Result<(), Fed> {
    let damaged = |error: io::Error| {
        Fed::Dump(with_detail(
            refused(
                "dump_damaged",
                "The dump cannot be unpacked: it is damaged or cut off. Nothing was changed; take another backup.",
            ),
            error.kind().to_string(),
        ))
    };
    let mut decoder = zstd::Decoder::new(dump).map_err(damaged)?;
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut out = Vec::new();
    loop {
        let length = match decoder.read(&mut chunk) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(error)),
        };
        script.feed(&chunk[..length]).map_err(Fed::Dump)?;
        script.take(&mut out);
        stdin.write_all(&out).map_err(|_| Fed::Client)?;
        done.fetch_add(length as u64, Ordering::Relaxed);
    }
    script.end().map_err(Fed::Dump)?;
    script.take(&mut out);
    stdin.write_all(&out).map_err(|_| Fed::Client)
}

/// A client that is logged in, with the packet limit raised for its connection alone.
fn connect(
    server: &Server,
    paths: &Paths,
    journal: &mut Journal,
    login: &Path,
) -> Result<(Child, ChildStdin, thread::JoinHandle<String>)> {
    let limit = server.one("SELECT @@GLOBAL.max_allowed_packet;")?;
    if let Ok(limit) = limit.parse::<u64>()
        && limit < PACKET_BYTES
    {
        journal.packet = Some(limit);
        journal.write(paths)?;
        // A connection keeps the limit it began with, so a moment is enough.
        server.sql(&format!("SET GLOBAL max_allowed_packet = {PACKET_BYTES};"))?;
    }
    let started = start(server, journal, login);
    lower_packet(server, paths, journal)?;
    started
}

/// The server's packet limit is what it was.
pub fn lower_packet(server: &Server, paths: &Paths, journal: &mut Journal) -> Result<()> {
    if let Some(limit) = journal.packet {
        server.sql(&format!("SET GLOBAL max_allowed_packet = {limit};"))?;
        journal.packet = None;
        journal.write(paths)?;
    }
    Ok(())
}

fn start(
    server: &Server,
    journal: &Journal,
    login: &Path,
) -> Result<(Child, ChildStdin, thread::JoinHandle<String>)> {
    let path = program(&["mariadb", "mysql"])?;
    let socket = server.one("SELECT @@socket;")?;
    let help = run::run(
        run::command(&path, As::Root).args(["--no-defaults", "--help"]),
        b"",
    )?;
    let mut command = run::command(&path, As::Root);
    command
        .arg(format!("--defaults-file={}", login.display()))
        .arg(format!("--socket={socket}"))
        .arg(format!("--database={}", journal.beside().scratch))
        .args([
            "--batch",
            "--skip-column-names",
            "--unbuffered",
            "--binary-mode",
            "--comments",
            "--local-infile=0",
            "--skip-reconnect",
            "--connect-timeout=10",
            "--default-character-set=utf8mb4",
            "--max-allowed-packet=1G",
            // Lenient until the dump's own header says what it was written with.
            "--init-command=SET SESSION foreign_key_checks = 0, unique_checks = 0, sql_mode = ''",
        ])
        .args(help.output.contains("--sandbox").then_some("--sandbox"))
        .stdin(Stdio::piped());
    let mut child = run::start(&mut command)?;
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let complaints = thread::spawn(move || stderr.map_or(String::new(), run::complaints));
    let (said, heard) = sync_channel(1);
    thread::spawn(move || {
        let Some(mut stdout) = stdout.map(BufReader::new) else {
            return;
        };
        let mut line = String::new();
        let ready = stdout.read_line(&mut line).is_ok() && line == "ready\n";
        let _ = said.send(ready);
        let _ = io::copy(&mut stdout, &mut io::sink());
    });
    let mut stdin = child.stdin.take();
    let asked = stdin
        .as_mut()
        .is_some_and(|stdin| stdin.write_all(b"SELECT 'ready';\n").is_ok());
    let until = Instant::now() + CONNECT_WITHIN;
    let ready = asked && heard.recv_timeout(until - Instant::now()).unwrap_or(false);
    if let (true, Some(stdin)) = (ready, stdin) {
        return Ok((child, stdin, complaints));
    }
    let _ = child.kill();
    let status = child
        .wait()
        .map_or(String::new(), |status| status.to_string());
    let codes = error_codes(&complaints.join().unwrap_or_default());
    Err(if codes.is_empty() {
        fault(&[2013], &status)
    } else {
        fault(&codes, &status)
    })
}

/// All collations the server has, under both of the names that newer ones have.
fn collations(server: &Server) -> Result<BTreeSet<String>> {
    let mut names: BTreeSet<String> = server
        .texts("SELECT collation_name FROM information_schema.collations;")?
        .into_iter()
        .flatten()
        .collect();
    let full =
        "SELECT full_collation_name FROM information_schema.collation_character_set_applicability;";
    // Older servers, and MySQL, have no such column.
    if let Ok(rows) = server.texts(full) {
        names.extend(rows.into_iter().flatten());
    }
    Ok(names)
}

fn complaint(codes: &[u32], status: &str) -> AgentError {
    let said = |code: &str, message: &str| {
        let listed: Vec<String> = codes
            .iter()
            .map(|number| format!("ERROR {number}"))
            .collect();
        with_detail(
            refused(code, message),
            format!("{status} {}", listed.join(", ")),
        )
    };
    match codes.first() {
        Some(1044 | 1142 | 1143 | 1227 | 1370) => said(
            "dump_refused",
            "The dump reaches beyond its own database, which a restore does not allow. Nothing was changed.",
        ),
        Some(1418 | 1419) => said(
            "functions_refused",
            "The server keeps binary logs and lets nobody create functions or triggers. Set log_bin_trust_function_creators = 1, then try again.",
        ),
        Some(1115 | 1273) => said(
            "charset_unknown",
            "The dump uses a character set or collation that this server lacks.",
        ),
        Some(1286 | 1289) => said(
            "engine_unknown",
            "The dump uses a storage engine that this server lacks.",
        ),
        Some(1153) => said(
            "row_too_large",
            "The dump holds a row of more than 1 GB, which no server takes.",
        ),
        _ => match fault(codes, status) {
            error if error.code == "database_failed" => said(
                "dump_failed",
                "The server refused a statement of the dump. Nothing was changed.",
            ),
            error => error,
        },
    }
}
