//! Programs of the host: run by path and arguments, never by a shell.
//!
//! Promise: a bounded part of what they print is kept, their environment is ours alone, and each carries the mark of the call.

use crate::fault::{Result, broken, io_at, missing_software, unavailable};
use crate::processes::{MARK, ProcessId};
use std::io::{self, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

/// Where programs are looked for: the directories root's own path has on Debian.
const DIRECTORIES: [&str; 4] = ["/usr/local/sbin", "/usr/sbin", "/usr/local/bin", "/usr/bin"];
/// `nginx -T` prints the whole configuration, and a large server's has some megabytes.
const OUTPUT_LIMIT_BYTES: u64 = 32 * 1024 * 1024;
/// Only codes and first lines are ever read from here.
const ERRORS_LIMIT_BYTES: u64 = 64 * 1024;
/// Of more than that, as much again from its end.
const ERRORS_TAIL_BYTES: usize = 32 * 1024;

static STOPPED: AtomicBool = AtomicBool::new(false);

/// From now on nothing is started any more: the call's time is over.
pub fn stop() {
    STOPPED.store(true, Ordering::SeqCst);
}

/// Whose rights a program gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum As {
    /// The agent's own.
    Root,
    /// Those of a site's user, with no other group.
    User {
        /// Its user id.
        uid: u32,
        /// Its group id.
        gid: u32,
    },
}

/// How a program ended.
#[derive(Debug)]
pub struct Outcome<T = String> {
    /// Zero and nothing else?
    pub ok: bool,
    /// For `detail`: `exit status: 1`.
    pub status: String,
    /// What it printed.
    pub output: T,
    /// What it complained of. May hold anything: never pass it on as it is.
    pub errors: String,
}

/// The path of a program, if the host has it.
pub fn find(program: &str) -> Option<PathBuf> {
    DIRECTORIES
        .iter()
        .map(|directory| Path::new(directory).join(program))
        .find(|path| path.is_file())
}

/// The path of a program, or what to install.
pub fn need(program: &str, package: &str) -> Result<PathBuf> {
    find(program).ok_or_else(|| missing_software(program, &format!("apt install {package}")))
}

/// A program with an environment of ours, not yet started.
pub fn command(program: &Path, rights: As) -> Command {
    static OWN_MARK: OnceLock<String> = OnceLock::new();
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", DIRECTORIES.join(":"))
        // The same words from every program, whatever the server's language.
        .env("LC_ALL", "C.UTF-8")
        .env(MARK, OWN_MARK.get_or_init(|| ProcessId::own().mark()))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    match rights {
        As::Root => command.env("HOME", "/root"),
        // With a user id given, the standard library drops all other groups.
        As::User { uid, gid } => command.env("HOME", "/nonexistent").uid(uid).gid(gid),
    };
    command
}

/// Start it, unless the call's time is over.
pub fn start(command: &mut Command) -> Result<Child> {
    if STOPPED.load(Ordering::SeqCst) {
        return Err(unavailable(
            "deadline_passed",
            "The call took longer than it was given.",
        ));
    }
    command
        .spawn()
        .map_err(|error| io_at(Path::new(command.get_program()), &error))
}

/// Run to the end with `input` on stdin.
pub fn run(command: &mut Command, input: &[u8]) -> Result<Outcome> {
    let mut child = start(command.stdin(Stdio::piped()))?;
    let stdin = child.stdin.take();
    thread::scope(|scope| {
        scope.spawn(move || {
            if let Some(mut stdin) = stdin {
                // A program that does not read all of it says why by itself.
                let _ = stdin.write_all(input);
            }
        });
        finish(child)
    })
}

/// Collect what a started program prints until it ends.
pub fn finish(child: Child) -> Result<Outcome> {
    let seen = finish_bytes(child)?;
    Ok(Outcome {
        ok: seen.ok,
        status: seen.status,
        output: String::from_utf8_lossy(&seen.output).into_owned(),
        errors: seen.errors,
    })
}

/// The same, with the output as it is.
pub fn finish_bytes(mut child: Child) -> Result<Outcome<Vec<u8>>> {
    let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
    let errors = thread::spawn(move || stderr.map_or(String::new(), complaints));
    let output = stdout.map_or(Vec::new(), |pipe| bounded(pipe, OUTPUT_LIMIT_BYTES));
    let status = child
        .wait()
        .map_err(|_| broken("program_lost", "A program's end was not seen."))?;
    Ok(Outcome {
        ok: status.success(),
        status: status.to_string(),
        output,
        errors: errors.join().unwrap_or_default(),
    })
}

/// The beginning and the end of what a program complains of: a database client prints a failing statement of any
/// length first, and its number last.
pub fn complaints(mut pipe: impl Read) -> String {
    let mut head = bounded_read(&mut pipe, ERRORS_LIMIT_BYTES / 2);
    let mut tail = Vec::new();
    let mut chunk = [0; 16 * 1024];
    while let Ok(length @ 1..) = pipe.read(&mut chunk) {
        tail.extend_from_slice(&chunk[..length]);
        let over = tail.len().saturating_sub(ERRORS_TAIL_BYTES);
        tail.drain(..over);
    }
    head.append(&mut tail);
    String::from_utf8_lossy(&head).into_owned()
}

fn bounded_read(pipe: &mut impl Read, limit: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = pipe.take(limit).read_to_end(&mut bytes);
    bytes
}

/// The first `limit` bytes; the rest is read and dropped, so that the program does not wait for a reader.
fn bounded(mut pipe: impl Read, limit: u64) -> Vec<u8> {
    let bytes = bounded_read(&mut pipe, limit);
    let _ = io::copy(&mut pipe, &mut io::sink());
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_output_and_errors_are_kept_apart() {
        let cat = find("cat").expect("every host has it");
        let seen = run(&mut command(&cat, As::Root), b"hello").expect("run");
        assert_eq!(
            (seen.ok, seen.output.as_str(), seen.errors.as_str()),
            (true, "hello", "")
        );
        let seen = run(command(&cat, As::Root).arg("/nonexistent"), b"").expect("run");
        assert!(!seen.ok && seen.errors.contains("No such file"));
    }

    #[test]
    fn a_program_gets_no_variable_of_ours_but_the_mark() {
        let env = find("env").expect("every host has it");
        let seen = run(&mut command(&env, As::Root), b"").expect("run");
        let mut names: Vec<&str> = seen
            .output
            .lines()
            .filter_map(|line| line.split('=').next())
            .collect();
        names.sort_unstable();
        assert_eq!(names, ["HOME", "LC_ALL", "PATH", MARK]);
    }
}
