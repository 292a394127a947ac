//! Putting the agent on a server and taking it off: its binary, the user SSH logs in, and what that user may run.
//!
//! Promise: that user can run one command and change nothing of how it logs in; sudo's rules are checked before they
//! count. A repeat replaces an older agent; taking it off leaves it while anything it made still stands.

use crate::accounts;
use crate::check;
use crate::claims;
use crate::fault::{Result, bad_request, io_at, refused, with_detail};
use crate::files;
use crate::lease;
use crate::paths::{BINARY, Paths};
use crate::run::{self, As};
use crate::serve;
use protocol::{Changed, Install, VersionReply};
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

/// `triphammer-agent install`.
pub fn install(paths: &Paths, input: impl Read) -> Result<VersionReply> {
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o022));
    need_root()?;
    let bytes = serve::read_message(input)?;
    let asked: Install = serde_json::from_slice(&bytes)
        .map_err(|_| bad_request("The request was not understood."))?;
    serve::check_version(asked.version)?;
    let key = check::public_key(&asked.public_key)?;
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
    binary(paths)?;
    if accounts::user(paths, LOGIN)?.is_none() {
        accounts::create(LOGIN, &paths.login_home(), SHELL)?;
    }
    sudoers(paths, &visudo)?;
    // The key comes last: who can log in finds all the rest in place.
    let home = paths.login_home();
    root_directory(&home)?;
    root_directory(&home.join(".ssh"))?;
    let line = format!("restrict,command=\"sudo -n {BINARY} serve\" {key} triphammer\n");
    files::write(&home.join(".ssh/authorized_keys"), line.as_bytes(), 0o644)?;
    Ok(version)
}

/// `triphammer-agent uninstall`: the opposite, unless something it made still stands.
pub fn uninstall(paths: &Paths) -> Result<Changed> {
    need_root()?;
    let mut notes = Vec::new();
    if !files::exists(&paths.state())
        && !files::exists(&paths.sudoers())
        && !files::exists(&paths.absolute(BINARY))
    {
        return Ok(Changed {
            changed: false,
            notes: vec!["no agent to remove".into()],
        });
    }
    let locked = state_and_lock(paths)?;
    if claims::any(paths) {
        notes
            .push("left the agent in place: sites or databases it made are still here".to_string());
        return Ok(Changed {
            changed: false,
            notes,
        });
    }
    let home = paths.login_home();
    let ours = is_ours(paths)?;
    // Nobody logs in any more; then nobody may run anything; then the rest.
    remove_all(&home)?;
    files::remove(&paths.sudoers())?;
    if ours {
        accounts::remove(paths, LOGIN)?;
    }
    files::remove(&paths.absolute(BINARY))?;
    if let Some(directory) = paths.absolute(BINARY).parent() {
        let _ = fs::remove_dir(directory);
    }
    remove_all(&paths.state())?;
    drop(locked);
    notes.push("removed the agent, its user and its rights".to_string());
    Ok(Changed {
        changed: true,
        notes,
    })
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
    let to = paths.absolute(BINARY);
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
    let text = format!("# managed by triphammer\n{LOGIN} ALL=(root) NOPASSWD: {BINARY} serve\n");
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

/// Needs no input.
pub fn main_uninstall() {
    serve::print(&serve::reply(uninstall(&Paths::host())));
}
