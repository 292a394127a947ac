//! A folder for one run of Git, and the user it runs as.
//!
//! Promise: that user owns nothing else and logs in nowhere, so that a server which breaks Git by what it sends reaches
//! neither root nor a site. The folder is that user's alone and gone when dropped; what was killed is swept up later.

use crate::accounts::{self, User};
use crate::fault::{Result, already_exists, broken, io_at};
use crate::files;
use crate::lease;
use crate::paths::Paths;
use crate::secret;
use rustix::fs::{Mode, OFlags, open};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::lchown;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Whom Git runs as.
const USER: &str = "triphammer-git";
/// Nobody logs in as it.
const SHELL: &str = "/usr/sbin/nologin";
/// It has none; this one tells our user from a namesake.
const HOME: &str = "/nonexistent/triphammer-git";
/// Making a user takes a second; other calls may be making sites.
const LOCK_WITHIN: Duration = Duration::from_secs(120);
/// Some lines of keys.
const READ_LIMIT_BYTES: u64 = 64 * 1024;
/// No fetch takes so long.
const OLD: Duration = Duration::from_secs(24 * 3600);

/// The folder. Dropped, it is gone.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    user: User,
}

impl Scratch {
    /// Root's still: [`Scratch::give`] it away once all is in it.
    pub fn new(paths: &Paths) -> Result<Self> {
        let user = user(paths)?;
        let folders = paths.sources();
        // To be passed through, not to be listed.
        files::directory(&folders, 0o711)?;
        sweep(&folders);
        let path = folders.join(secret::letters(16).replace('-', "_"));
        files::directory(&path, 0o700)?;
        Ok(Self { path, user })
    }

    /// Its path: of letters, digits and underscores below a path of ours, so that it needs no quoting anywhere.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Who works in it.
    pub fn user(&self) -> &User {
        &self.user
    }

    /// A file for the user to read.
    pub fn put(&self, name: &str, content: &str) -> Result<PathBuf> {
        let path = self.path.join(name);
        files::write(&path, content.as_bytes(), 0o600)?;
        self.own(&path)?;
        Ok(path)
    }

    /// From now on it is the user's; root opens no path in it any more while a program of the user's runs.
    pub fn give(&self) -> Result<()> {
        self.own(&self.path)
    }

    /// What the user wrote into one of its files: no link is followed, nothing is waited for, and little is read.
    pub fn read(&self, name: &str) -> Result<String> {
        let path = self.path.join(name);
        let at = |error: &io::Error| io_at(&path, error);
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = open(&path, flags | OFlags::RDONLY, Mode::empty())
            .map_err(|error| at(&error.into()))?;
        let mut text = Vec::new();
        let mut file = File::from(file).take(READ_LIMIT_BYTES);
        file.read_to_end(&mut text).map_err(|error| at(&error))?;
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    fn own(&self, path: &Path) -> Result<()> {
        lchown(path, Some(self.user.uid), Some(self.user.gid)).map_err(|error| io_at(path, &error))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // It does not follow links, whatever is in there. What is left is swept up by a later one.
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn user(paths: &Paths) -> Result<User> {
    if let Some(user) = accounts::user(paths, USER)? {
        return checked(user);
    }
    let _locked = lease::lock(&paths.state().join("configuration.lock"), LOCK_WITHIN)?;
    if accounts::user(paths, USER)?.is_none() {
        accounts::create(USER, Path::new(HOME), SHELL)?;
    }
    accounts::user(paths, USER)?
        .ok_or_else(|| {
            broken(
                "user_lost",
                format!("The user {USER} was made and is not there."),
            )
        })
        .and_then(checked)
}

fn is_ours(user: &User) -> bool {
    user.home == HOME && user.uid != 0 && user.gid != 0
}

fn checked(user: User) -> Result<User> {
    if is_ours(&user) {
        return Ok(user);
    }
    Err(already_exists(&format!("A user {USER}")))
}

/// Take the user and all folders away: the agent goes.
pub fn remove(paths: &Paths) -> Result<()> {
    if accounts::user(paths, USER)?.is_some_and(|user| is_ours(&user)) {
        accounts::remove(paths, USER)?;
    }
    super::tree::remove(&paths.sources())
}

fn sweep(folders: &Path) {
    let Ok(entries) = fs::read_dir(folders) else {
        return;
    };
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|meta| meta.modified());
        if changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
            // Another call sweeps at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
