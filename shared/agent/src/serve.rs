//! One request in, one reply out.
//!
//! Promise: exactly one reply, whatever happens: a bad request, a panic, or the deadline, at which all that the call
//! started is ended first. Nobody left to read it is no failure.

use crate::fault::{Result, bad_request, broken, io_at, refused, unavailable};
use crate::host::Work;
use crate::jobs::unit::Systemd;
use crate::paths::Paths;
use crate::processes::ProcessId;
use crate::{conf, database, domain, facts, jobs, lease, probe, release, restore, run, site};
use protocol::{Call, Lease, MESSAGE_LIMIT_BYTES, PROTOCOL_VERSION, Reply, Request, VersionReply};
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{self, Read, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// A call is meant to be short; longer work is a job.
const DEADLINE_LIMIT_SECONDS: u32 = 3600;
/// SIGKILL takes effect at once unless the kernel itself hangs.
const END_WITHIN: Duration = Duration::from_secs(3);
/// Where the running binary is, also after an upgrade replaced its path.
const OWN_BINARY: &str = "/proc/self/exe";

/// Read a message: all of stdin, up to the protocol's limit.
pub fn read_message(input: impl Read) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    input
        .take(MESSAGE_LIMIT_BYTES as u64 + 1)
        .read_to_end(&mut bytes)
        .map_err(|_| bad_request("The request was not received whole."))?;
    if bytes.len() > MESSAGE_LIMIT_BYTES {
        return Err(bad_request("The request is too large."));
    }
    Ok(bytes)
}

/// Print the one reply line; a reader that has gone is no failure.
pub fn print(reply: &Reply) {
    let text = serde_json::to_string(reply).unwrap_or_else(|_| r#"{"error":{"kind":"broken","code":"reply_lost","message":"The reply could not be written."}}"#.into());
    let mut out = io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// A result as a reply.
pub fn reply<T: Serialize>(result: Result<T>) -> Reply {
    match result.map(|value| serde_json::to_value(value)) {
        Ok(Ok(value)) => Reply::Ok(value),
        Ok(Err(_)) => Reply::Error(broken("reply_lost", "The reply could not be written.")),
        Err(error) => Reply::Error(error),
    }
}

/// `triphammer-agent serve`.
pub fn main() {
    // A group of our own, so that what we start goes with us. Fails when sudo gave us one already.
    let _ = rustix::process::setsid();
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    let request = read_message(io::stdin().lock()).and_then(|bytes| understand(&bytes));
    let request = match request {
        Ok(request) => request,
        Err(error) => return print(&Reply::Error(error)),
    };
    // Whoever holds this may reply; the other one waits for the end of the process.
    let turn = Arc::new(Mutex::new(()));
    watch(request.deadline_seconds, Arc::clone(&turn));
    let paths = Paths::host();
    let result =
        catch_unwind(AssertUnwindSafe(|| perform(&paths, &request))).unwrap_or_else(|_| {
            Err(broken(
                "agent_stopped",
                "The agent stopped with an error of its own.",
            ))
        });
    let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
    print(&reply(result));
}

/// The request in a message, when it is one of this version.
pub fn understand(bytes: &[u8]) -> Result<Request> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    // The version first: another one may have other shapes.
    let versioned: Versioned = serde_json::from_slice(bytes)
        .map_err(|_| bad_request("The request was not understood."))?;
    check_version(versioned.version)?;
    // The parser's message may quote the request, which may hold a password: it is not passed on.
    let request: Request = serde_json::from_slice(bytes)
        .map_err(|_| bad_request("The request was not understood."))?;
    if !(1..=DEADLINE_LIMIT_SECONDS).contains(&request.deadline_seconds) {
        return Err(bad_request("The deadline must be 1 to 3600 seconds."));
    }
    Ok(request)
}

/// Another version of the protocol is refused, and the agent then upgraded.
pub fn check_version(version: u32) -> Result<()> {
    if version == PROTOCOL_VERSION {
        return Ok(());
    }
    Err(refused(
        "other_protocol",
        format!(
            "This agent speaks version {PROTOCOL_VERSION} of the protocol, not {version}. Run check_server, which upgrades it."
        ),
    ))
}

fn watch(seconds: u32, turn: Arc<Mutex<()>>) {
    thread::spawn(move || {
        thread::sleep(Duration::from_secs(u64::from(seconds)));
        let _turn = turn.lock().unwrap_or_else(PoisonError::into_inner);
        run::stop();
        let own = ProcessId::own();
        let until = std::time::Instant::now() + END_WITHIN;
        // Ourselves left out: we still have to say so.
        while own.end_children() && std::time::Instant::now() < until {
            thread::sleep(Duration::from_millis(20));
        }
        print(&Reply::Error(unavailable(
            "deadline_passed",
            "The call took longer than it was given, and was ended.",
        )));
        std::process::exit(0);
    });
}

fn perform(paths: &Paths, request: &Request) -> Result<serde_json::Value> {
    match &request.call {
        Call::Version => return value(version()?),
        Call::Facts => return value(facts::facts(paths)),
        Call::SiteProbe(asked) => return value(probe::probe(asked)?),
        Call::SourceResolve(asked) => return value(release::source::resolve(paths, asked)?),
        Call::ImagesCheck(asked) => return value(release::images::check(asked)?),
        Call::EnvironmentObserve(asked) => return value(release::observe::observe(paths, asked)?),
        _ => {}
    }
    let lease = request
        .lease
        .as_ref()
        .ok_or_else(|| bad_request("This call needs a lease."))?;
    if let Call::JobStart(asked) = &request.call {
        return value(jobs::start::start(paths, lease, asked, &Systemd)?);
    }
    let held = lease::take(paths, lease)?;
    let result = change(paths, lease, &request.call);
    drop(held);
    result
}

fn change(paths: &Paths, lease: &Lease, call: &Call) -> Result<serde_json::Value> {
    let mut work = Work::new(paths, lease);
    match call {
        Call::Version
        | Call::Facts
        | Call::SiteProbe(_)
        | Call::SourceResolve(_)
        | Call::ImagesCheck(_)
        | Call::EnvironmentObserve(_)
        | Call::JobStart(_) => {
            return Err(broken("agent_stopped", "A call came to the wrong place."));
        }
        Call::SiteInstall(asked) => return value(site::install::install(&mut work, asked)?),
        Call::DomainAttach(asked) => return value(domain::attach(&mut work, asked)?),
        Call::ReleasePrepare(asked) => return value(release::prepare::prepare(&work, asked)?),
        Call::VolumesCreate(asked) => return value(release::prepare::volumes(&work, asked)?),
        Call::RouteSwitch(asked) => return value(release::switch::switch(&work, asked)?),
        Call::DatabaseCreate(asked) => database::create(&mut work, asked)?,
        Call::DatabaseDrop(asked) => database::drop(&mut work, asked)?,
        Call::SiteRemove(asked) => site::remove::remove(&mut work, asked)?,
        Call::DomainDetach(asked) => domain::detach(&mut work, asked)?,
        Call::ConfDirectoriesCreate(asked) => conf::create(&mut work, asked)?,
        Call::ConfDirectoriesRemove(asked) => conf::remove(&mut work, asked)?,
        Call::DatabaseSwapBack(asked) => restore::database_back(&mut work, asked)?,
        Call::FilesSwapBack(asked) => restore::files_back(&mut work, asked)?,
        Call::RestoreDiscard(asked) => restore::discard(&mut work, asked)?,
        Call::ReleaseDiscard(asked) => release::prepare::discard(&mut work, asked)?,
        Call::ContainersRemove(asked) => release::containers::remove(&mut work, asked)?,
        Call::ServicesBack(asked) => release::containers::back(&mut work, asked)?,
        Call::RouteSwitchBack(asked) => release::switch::back(&mut work, asked)?,
    }
    value(work.changed())
}

fn value(reply: impl Serialize) -> Result<serde_json::Value> {
    serde_json::to_value(reply).map_err(|_| broken("reply_lost", "The reply could not be written."))
}

/// This agent's version and checksum.
pub fn version() -> Result<VersionReply> {
    Ok(VersionReply {
        version: env!("CARGO_PKG_VERSION").into(),
        protocol: PROTOCOL_VERSION,
        sha256: own_sha256()?,
    })
}

/// The checksum of the running binary.
pub fn own_sha256() -> Result<String> {
    let path = Path::new(OWN_BINARY);
    let mut sum = Sha256::new();
    let copied = File::open(path).and_then(|mut file| io::copy(&mut file, &mut sum));
    copied.map_err(|error| io_at(path, &error))?;
    Ok(hex::encode(sum.finalize()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(bytes: &[u8]) -> String {
        understand(bytes).expect_err("refused").code
    }

    #[test]
    fn another_version_is_refused_before_its_shape_is_looked_at() {
        assert_eq!(code(br#"{"version":99,"unknown":true}"#), "other_protocol");
        assert_eq!(code(br#"{"version":3,"unknown":true}"#), "bad_request");
        assert_eq!(code(b"hello"), "bad_request");
    }

    #[test]
    fn what_was_not_understood_is_not_repeated() {
        let error =
            understand(br#"{"version":3,"deadline_seconds":"hush","call":{"name":"facts"}}"#)
                .expect_err("refused");
        assert!(!format!("{error:?}").contains("hush"));
    }

    #[test]
    fn a_message_over_the_limit_is_refused() {
        assert!(read_message(io::repeat(b' ').take(MESSAGE_LIMIT_BYTES as u64)).is_ok());
        assert_eq!(
            read_message(io::repeat(b' ')).expect_err("too large").code,
            "bad_request"
        );
    }

    #[test]
    fn a_call_that_changes_needs_a_lease() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let request = understand(
            br#"{"version":3,"deadline_seconds":5,"call":{"name":"site_remove","site":"shop"}}"#,
        )
        .expect("understood");
        assert_eq!(
            perform(&Paths::under(root.path()), &request)
                .expect_err("refused")
                .code,
            "bad_request"
        );
    }
}
