//! Putting the agent on a server and taking it off: its binary, the user SSH logs in, and what that user may run.
//!
//! Promise: that user can run one command and change nothing of how it logs in; sudo's rules are checked before they
//! count. A repeat replaces an older agent. One server may be registered twice: each record has its own key, and the
//! agent goes with the last one. What the agent made stays.

use crate::accounts;
use crate::check;
use crate::claims::{self, Claim, Kind};
use crate::fault::{Result, bad_request, io_at, refused, with_detail};
use crate::files;
use crate::lease;
use crate::paths::Paths;
use crate::proxy;
use crate::release::source;
use crate::run::{self, As};
use crate::serve;
use protocol::{AGENT_PATH, Changed, Install, Uninstall, VersionReply};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::lchown;
use std::path::Path;
use std::time::Duration;

/// The user SSH logs in.
const LOGIN: &str = "triphammer";
/// sshd runs the forced command through the user's shell.
const SHELL: &str = "/bin/sh";
/// Another installation on this server takes seconds.
const LOCK_WITHIN: Duration = Duration::from_secs(60);

/// What a record's claim holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyFacts {
    /// The kind and the body, without a comment.
    pub public_key: String,
}

/// `triphammer-agent install`.
pub fn install(paths: &Paths, input: impl Read) -> Result<VersionReply> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    need_root()?;
    let bytes = serve::read_message(input)?;
    let asked: Install = serde_json::from_slice(&bytes)
        .map_err(|_| bad_request("The request was not understood."))?;
    serve::check_version(asked.version)?;
    let facts = KeyFacts {
        public_key: check::public_key(&asked.public_key)?,
    };
    check::id("server's id", &asked.server_id)?;
    check::id("deployment's id", &asked.deployment_id)?;
    let version = serve::version()?;
    if !version.sha256.eq_ignore_ascii_case(&asked.sha256) {
        return Err(refused(
            "checksum_differs",
            "The agent's binary was damaged on its way: its SHA-256 differs. Send it again.",
        ));
    }
    run::need("sudo", "sudo")?;
    let visudo = run::need("visudo", "sudo")?;
    let _locked = state_and_lock(paths)?;
    refuse_namesake(paths)?;
    // Who installs again with the same key, for example to upgrade, does not make it its own: its undo must not take it away.
    if !claims::read::<KeyFacts>(paths, Kind::Key, &asked.server_id)?
        .is_some_and(|claim| claim.facts == facts)
    {
        let claim = Claim::new(&asked.deployment_id, &asked.server_id, facts);
        claims::write(paths, Kind::Key, &asked.server_id, &claim)?;
    }
    binary(paths)?;
    if accounts::user(paths, LOGIN)?.is_none() {
        accounts::create(LOGIN, &paths.login_home(), SHELL)?;
    }
    sudoers(paths, &visudo)?;
    set_up_proxy(paths);
    // The key comes last: who can log in finds all the rest in place.
    authorized_keys(paths, &claims::names(paths, Kind::Key)?)?;
    Ok(version)
}

/// `triphammer-agent uninstall`: the opposite.
pub fn uninstall(paths: &Paths, input: impl Read) -> Result<Changed> {
    need_root()?;
    let bytes = serve::read_message(input)?;
    let asked: Uninstall = serde_json::from_slice(&bytes)
        .map_err(|_| bad_request("The request was not understood."))?;
    serve::check_version(asked.version)?;
    check::id("server's id", &asked.server_id)?;
    check::id("deployment's id", &asked.deployment_id)?;
    let mut done = Changed {
        changed: false,
        notes: Vec::new(),
    };
    if !files::exists(&paths.state()) && !files::exists(&paths.absolute(AGENT_PATH)) {
        done.notes.push("no agent to remove".into());
        return Ok(done);
    }
    let locked = state_and_lock(paths)?;
    let own = claims::read::<KeyFacts>(paths, Kind::Key, &asked.server_id)?;
    if own
        .as_ref()
        .is_some_and(|claim| claim.deployment_id != asked.deployment_id)
    {
        done.notes
            .push("left the agent's key alone: another deployment put it there".into());
        return Ok(done);
    }
    let others: Vec<String> = claims::names(paths, Kind::Key)?
        .into_iter()
        .filter(|name| *name != asked.server_id)
        .collect();
    if others.is_empty() {
        all_away(paths, &mut done)?;
    } else if own.is_some() {
        authorized_keys(paths, &others)?;
        done.changed = true;
        done.notes
            .push("removed this record's key; the agent stays for another one".into());
    }
    claims::end(paths, Kind::Key, &asked.server_id)?;
    if !claims::any(paths)? {
        remove_all(&paths.state())?;
    }
    drop(locked);
    if !done.changed {
        done.notes.push("no agent to remove".into());
    }
    Ok(done)
}

/// Only where containers are meant to run. What is in its way is told by the facts, and the first route tries again.
fn set_up_proxy(paths: &Paths) {
    if run::find("docker").is_some() && run::find("caddy").is_some() {
        let _ = proxy::set_up(paths);
    }
}

/// Nobody logs in any more; then nobody may run anything; then the rest.
fn all_away(paths: &Paths, done: &mut Changed) -> Result<()> {
    let binary = paths.absolute(AGENT_PATH);
    let stood = [paths.login_home(), paths.sudoers(), binary.clone()]
        .iter()
        .any(|path| files::exists(path));
    remove_all(&paths.login_home())?;
    files::remove(&paths.sudoers())?;
    files::remove(&files::beside(&paths.sudoers()))?;
    if is_ours(paths)? {
        accounts::remove(paths, LOGIN)?;
    }
    source::remove(paths)?;
    files::remove(&binary)?;
    files::remove(&files::beside(&binary))?;
    if let Some(directory) = binary.parent() {
        // Stays if something else is in it.
        let _ = fs::remove_dir(directory);
    }
    if stood {
        done.changed = true;
        done.notes
            .push("removed the agent, its user and its rights".into());
    }
    if proxy::remove(paths)? {
        done.changed = true;
        done.notes.push(
            "removed the proxy with its routes and certificates; containers are left alone".into(),
        );
    }
    Ok(())
}

/// One line for each server record, with its id as the comment.
fn authorized_keys(paths: &Paths, records: &[String]) -> Result<()> {
    let mut text = String::new();
    for record in records {
        if let Some(claim) = claims::read::<KeyFacts>(paths, Kind::Key, record)? {
            let key = claim.facts.public_key;
            text.push_str(&format!(
                "restrict,command=\"sudo -n {AGENT_PATH} serve\" {key} {record}\n"
            ));
        }
    }
    let home = paths.login_home();
    // Root's, so that the user cannot add to it; readable, because sshd looks as the user.
    root_directory(&home)?;
    root_directory(&home.join(".ssh"))?;
    files::write(&home.join(".ssh/authorized_keys"), text.as_bytes(), 0o644)
}

fn need_root() -> Result<()> {
    if rustix::process::geteuid().is_root() {
        Ok(())
    } else {
        Err(refused(
            "not_root",
            "The agent is installed as root: run it with sudo.",
        ))
    }
}

fn state_and_lock(paths: &Paths) -> Result<fs::File> {
    for directory in [paths.state(), paths.claims(), paths.leases()] {
        files::directory(&directory, 0o700)?;
    }
    lease::lock(&paths.state().join("install.lock"), LOCK_WITHIN)
}

/// Is the user of our name, if there is one, ours? Its home tells.
fn is_ours(paths: &Paths) -> Result<bool> {
    let home = Paths::host().login_home().display().to_string();
    Ok(accounts::user(paths, LOGIN)?.is_none_or(|user| user.home == home && user.uid != 0))
}

fn refuse_namesake(paths: &Paths) -> Result<()> {
    if is_ours(paths)? {
        return Ok(());
    }
    Err(refused(
        "already_exists",
        format!(
            "A user {LOGIN} exists on this server and is not the agent's. Rename or remove it first."
        ),
    ))
}

/// Copy the running binary into its place, by way of a file beside it: a running agent keeps its old one.
fn binary(paths: &Paths) -> Result<()> {
    let to = paths.absolute(AGENT_PATH);
    let own = fs::read("/proc/self/exe").map_err(|error| io_at(&to, &error))?;
    if let Some(directory) = to.parent() {
        root_directory(directory)?;
    }
    files::write(&to, &own, 0o755)?;
    lchown(&to, Some(0), Some(0)).map_err(|error| io_at(&to, &error))
}

fn root_directory(path: &Path) -> Result<()> {
    files::directory(path, 0o755)?;
    lchown(path, Some(0), Some(0)).map_err(|error| io_at(path, &error))
}

fn sudoers(paths: &Paths, visudo: &Path) -> Result<()> {
    let path = paths.sudoers();
    let text =
        format!("# managed by triphammer\n{LOGIN} ALL=(root) NOPASSWD: {AGENT_PATH} serve\n");
    if files::read(&path)?.as_deref() == Some(&text) {
        return Ok(());
    }
    // sudo skips names with a dot, so this one does not count before it is checked.
    let beside = files::beside(&path);
    files::put(&beside, text.as_bytes(), 0o440).map_err(|error| io_at(&beside, &error))?;
    let seen = run::run(run::command(visudo, As::Root).arg("-cf").arg(&beside), b"")?;
    if !seen.ok {
        files::remove(&beside)?;
        return Err(with_detail(
            refused(
                "sudo_refused",
                "sudo on this server does not take the agent's rule.",
            ),
            seen.status,
        ));
    }
    fs::rename(&beside, &path)
        .and_then(|()| files::sync_parent(&path))
        .map_err(|error| io_at(&path, &error))
}

fn remove_all(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(io_at(path, &error)),
        _ => Ok(()),
    }
}

/// Read from this process's stdin.
pub fn main() {
    serve::print(&serve::reply(install(&Paths::host(), io::stdin().lock())));
}

/// Read from this process's stdin.
pub fn main_uninstall() {
    serve::print(&serve::reply(uninstall(&Paths::host(), io::stdin().lock())));
}

#[cfg(test)]
mod tests {
    use super::*;
    use protocol::Lease;

    fn put(paths: &Paths, record: &str, key: &str) {
        let claim = Claim::new(
            "d1",
            record,
            KeyFacts {
                public_key: key.into(),
            },
        );
        claims::write(paths, Kind::Key, record, &claim).expect("written");
    }

    #[test]
    fn each_record_has_one_line_that_allows_one_command() {
        if need_root().is_err() {
            // Only root may give a directory to root.
            return;
        }
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        put(&paths, "01B", "ssh-ed25519 BBBB");
        put(&paths, "01A", "ssh-ed25519 AAAA");
        let names = claims::names(&paths, Kind::Key).expect("listed");
        authorized_keys(&paths, &names).expect("written");
        let text =
            fs::read_to_string(paths.login_home().join(".ssh/authorized_keys")).expect("read");
        let command = format!("restrict,command=\"sudo -n {AGENT_PATH} serve\"");
        assert_eq!(
            text,
            format!("{command} ssh-ed25519 AAAA 01A\n{command} ssh-ed25519 BBBB 01B\n")
        );
    }

    #[test]
    fn a_key_is_a_claim_that_keeps_no_site() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        put(&paths, "01A", "ssh-ed25519 AAAA");
        assert!(claims::any(&paths).expect("looked"));
        let lease = Lease {
            target: "t".into(),
            fence: 1,
            deployment_id: "d2".into(),
        };
        let standing =
            claims::standing::<KeyFacts>(&paths, Kind::Key, "01A", &lease).expect("read");
        assert!(matches!(standing, claims::Standing::Theirs(_)));
    }
}
