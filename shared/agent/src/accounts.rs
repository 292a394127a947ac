//! The host's users and groups.
//!
//! Promise: read from `/etc/passwd` and `/etc/group`, changed only by the distribution's own programs. A static
//! binary has no name services, and the users of sites are local ones.

use crate::fault::{Result, unavailable, with_detail};
use crate::files;
use crate::paths::Paths;
use crate::processes;
use crate::run::{self, As};
use std::path::Path;
use std::time::Duration;

/// SIGKILL works at once; the rest is the web of a busy PHP pool going down.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// One line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Its id.
    pub uid: u32,
    /// Its own group.
    pub gid: u32,
    /// Its home, which need not exist.
    pub home: String,
}

impl User {
    /// To run something as it.
    pub fn rights(&self) -> As {
        As::User {
            uid: self.uid,
            gid: self.gid,
        }
    }
}

/// A user by name.
pub fn user(paths: &Paths, name: &str) -> Result<Option<User>> {
    Ok(files::read(&paths.passwd())?.and_then(|text| parse_user(&text, name)))
}

fn parse_user(text: &str, name: &str) -> Option<User> {
    text.lines()
        .find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
            [found, _, uid, gid, _, home, _] if found == name => Some(User {
                uid: uid.parse().ok()?,
                gid: gid.parse().ok()?,
                home: home.to_string(),
            }),
            _ => None,
        })
}

/// The id of a group by name.
pub fn group(paths: &Paths, name: &str) -> Result<Option<u32>> {
    Ok(files::read(&paths.group())?.and_then(|text| {
        text.lines()
            .find_map(|line| match line.split(':').collect::<Vec<_>>()[..] {
                [found, _, gid, _] if found == name => gid.parse().ok(),
                _ => None,
            })
    }))
}

/// Make a system user with a group of its own and no home yet.
pub fn create(name: &str, home: &Path, shell: &str) -> Result<()> {
    let mut command = run::command(&run::need("useradd", "passwd")?, As::Root);
    // The password `*` matches nothing. `!` would mean locked, and then sshd refuses keys too unless PAM is on.
    command.args([
        "--system",
        "--user-group",
        "--no-create-home",
        "--password",
        "*",
        "--shell",
        shell,
        "--home-dir",
    ]);
    act(command.arg(home).args(["--", name]), "made", name)
}

/// End a user's processes, then remove it and its group.
pub fn remove(paths: &Paths, name: &str) -> Result<bool> {
    let mut removed = false;
    if let Some(user) = user(paths, name)? {
        // Never root, whatever the file says: that would end everything on the host.
        if user.uid == 0 {
            return Err(crate::fault::refused(
                "user_is_root",
                format!("The user {name} has root's id; it is left alone."),
            ));
        }
        if !processes::end_all_of(user.uid, GONE_WITHIN) {
            return Err(unavailable(
                "processes_left",
                format!("Processes of the user {name} do not end."),
            ));
        }
        act(
            run::command(&run::need("userdel", "passwd")?, As::Root).args(["--", name]),
            "removed",
            name,
        )?;
        removed = true;
    }
    if group(paths, name)?.is_some() {
        act(
            run::command(&run::need("groupdel", "passwd")?, As::Root).args(["--", name]),
            "removed",
            name,
        )?;
        removed = true;
    }
    Ok(removed)
}

fn act(command: &mut std::process::Command, verb: &str, name: &str) -> Result<()> {
    let seen = run::run(command, b"")?;
    if seen.ok {
        return Ok(());
    }
    // Another program changing users at this moment, or a full disk: both pass.
    let error = unavailable(
        "user_not_changed",
        format!("The user {name} could not be {verb} now."),
    );
    Err(with_detail(
        error,
        format!("{}: {}", seen.status, seen.errors.trim()),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str =
        "root:x:0:0:root:/root:/bin/bash\nshop:x:998:997::/home/shop:/usr/sbin/nologin\nbroken\n";

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let user = parse_user(PASSWD, "shop").expect("found");
        assert_eq!(
            (user.uid, user.gid, user.home.as_str()),
            (998, 997, "/home/shop")
        );
        assert_eq!(parse_user(PASSWD, "sho"), None);
        assert_eq!(parse_user(PASSWD, "broken"), None);
    }
}
