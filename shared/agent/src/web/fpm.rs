//! php-fpm's versions and pools.
//!
//! Promise: a pool is tested before php-fpm reloads. A php-fpm without any pool cannot run, so it is started with the first and stopped after the last.

use crate::fault::{Result, first_bytes, missing_software, refused};
use crate::files;
use crate::host::Work;
use crate::paths::Paths;
use crate::run::{self, As};
use crate::web::units;
use std::path::PathBuf;

/// What php-fpm says when it has nothing to serve.
const NO_POOL: &str = "No pool defined";
/// One line with a file and a reason.
const LINE_LIMIT_BYTES: usize = 300;

/// Versions with a php-fpm, oldest first.
pub fn versions(paths: &Paths) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(paths.php()) else {
        return Vec::new();
    };
    let number = |version: &str| -> Option<(u32, u32)> {
        let (major, minor) = version.split_once('.')?;
        Some((major.parse().ok()?, minor.parse().ok()?))
    };
    let mut found: Vec<((u32, u32), String)> = entries
        .flatten()
        .filter(|entry| entry.path().join("fpm/pool.d").is_dir())
        .filter_map(|entry| entry.file_name().into_string().ok())
        // A removed package leaves its configuration behind, but not its program.
        .filter(|version| run::find(&format!("php-fpm{version}")).is_some())
        .filter_map(|version| Some((number(&version)?, version)))
        .collect();
    found.sort();
    found.into_iter().map(|(_, version)| version).collect()
}

/// The version asked for, or the newest.
pub fn choose(paths: &Paths, wanted: Option<&str>) -> Result<String> {
    let found = versions(paths);
    let package = wanted.map_or("php-fpm".to_string(), |version| format!("php{version}-fpm"));
    let chosen = match wanted {
        Some(version) => found.into_iter().find(|one| one == version),
        None => found.into_iter().next_back(),
    };
    chosen.ok_or_else(|| missing_software(&package, &format!("apt install {package}")))
}

/// PHP on the command line, of one version.
pub fn cli(version: &str) -> Result<PathBuf> {
    let name = format!("php{version}");
    run::find(&name)
        .ok_or_else(|| missing_software(&format!("{name}-cli"), &format!("apt install {name}-cli")))
}

/// Has that PHP what WordPress needs to reach its database?
pub fn has_mysqli(version: &str) -> Result<bool> {
    let mut command = run::command(&cli(version)?, As::Root);
    Ok(run::run(
        command.args(["-r", "exit(extension_loaded('mysqli') ? 0 : 3);"]),
        b"",
    )?
    .ok)
}

fn unit(version: &str) -> String {
    format!("php{version}-fpm.service")
}

/// The pool files of a site, one for each version it ever had.
pub fn pools(paths: &Paths, site: &str) -> Vec<(String, PathBuf)> {
    let Ok(entries) = std::fs::read_dir(paths.php()) else {
        return Vec::new();
    };
    let all = entries
        .flatten()
        .filter_map(|entry| entry.file_name().into_string().ok());
    all.map(|version| (version.clone(), paths.pool(&version, site)))
        .filter(|(_, path)| files::exists(path))
        .collect()
}

/// The pool file's content.
pub fn render(paths: &Paths, mark: &str, site: &str, web_user: &str) -> String {
    let socket = paths.socket(site).display().to_string();
    let tmp = paths.home(site).join("tmp").display().to_string();
    format!(
        "; {mark}\n[{site}]\nuser = {site}\ngroup = {site}\nlisten = {socket}\nlisten.owner = {web_user}\nlisten.group = {web_user}\nlisten.mode = 0660\n\
         pm = ondemand\npm.max_children = 10\npm.process_idle_timeout = 30s\npm.max_requests = 500\nrequest_terminate_timeout = 300s\n\
         php_admin_value[sys_temp_dir] = {tmp}\nphp_admin_value[upload_tmp_dir] = {tmp}\nphp_admin_value[session.save_path] = {tmp}\n\
         php_value[upload_max_filesize] = 64M\nphp_value[post_max_size] = 64M\nphp_value[memory_limit] = 256M\n"
    )
}

enum State {
    Whole,
    NoPool,
    Broken(String),
}

fn test(version: &str) -> Result<State> {
    let program = run::need(&format!("php-fpm{version}"), &format!("php{version}-fpm"))?;
    let seen = run::run(run::command(&program, As::Root).arg("-t"), b"")?;
    if seen.ok {
        return Ok(State::Whole);
    }
    if seen.errors.contains(NO_POOL) {
        return Ok(State::NoPool);
    }
    let line = seen
        .errors
        .lines()
        .find(|line| line.contains("ERROR") || line.contains("ALERT"))
        .unwrap_or("no reason given");
    Ok(State::Broken(first_bytes(line.trim(), LINE_LIMIT_BYTES)))
}

/// Put the site's pool in place; says whether anything changed.
pub fn enable(paths: &Paths, version: &str, site: &str, content: &str) -> Result<bool> {
    let path = paths.pool(version, site);
    let mut old = files::read(&path)?;
    if let State::Broken(mut reason) = test(version)? {
        // Perhaps by our own pool, left by a killed call.
        let ours = files::remove(&path)?;
        if ours && let State::Whole | State::NoPool = test(version)? {
            (reason, old) = (String::new(), None);
        }
        if !reason.is_empty() {
            if let Some(old) = &old {
                files::write(&path, old.as_bytes(), 0o644)?;
            }
            return Err(refused(
                "php_fpm_config_broken",
                format!(
                    "The configuration of php{version}-fpm on this server is broken; mend it, then try again: {reason}"
                ),
            ));
        }
    }
    if old.as_deref() == Some(content) {
        return reload(version).map(|()| false);
    }
    files::write(&path, content.as_bytes(), 0o644)?;
    if let State::Broken(reason) = test(version)? {
        match old {
            Some(old) => files::write(&path, old.as_bytes(), 0o644)?,
            None => files::remove(&path).map(|_| ())?,
        }
        return Err(refused(
            "php_fpm_config_broken",
            format!(
                "php{version}-fpm does not take the site's pool; it was taken off again: {reason}"
            ),
        ));
    }
    reload(version).map(|()| true)
}

/// Take the site's pools off, in every version; says whether there was one.
pub fn disable(work: &mut Work<'_>, site: &str) -> Result<bool> {
    let mut removed = false;
    for version in versions(work.paths) {
        // Left by a call that was killed while writing.
        files::remove(&files::beside(&work.paths.pool(&version, site)))?;
    }
    for (version, path) in pools(work.paths, site) {
        removed |= files::remove(&path)?;
        settle(work, &version)?;
    }
    // A killed call may have removed the file and not reloaded; the socket tells.
    let socket = work.paths.socket(site);
    if files::exists(&socket) {
        for version in versions(work.paths) {
            settle(work, &version)?;
        }
        // A stopped php-fpm leaves its sockets; a reloading one removes this itself, soon.
        files::remove(&socket)?;
    }
    Ok(removed)
}

fn settle(work: &mut Work<'_>, version: &str) -> Result<()> {
    let unit = unit(version);
    if run::find(&format!("php-fpm{version}")).is_none() || !units::is_active(&unit)? {
        return Ok(());
    }
    match test(version)? {
        State::Whole => units::reload(&unit),
        State::NoPool => {
            work.note(format!("stopped php{version}-fpm: it has no pool left"));
            units::stop(&unit)
        }
        State::Broken(reason) => {
            work.note(format!(
                "php{version}-fpm was not reloaded, its configuration is broken elsewhere: {reason}"
            ));
            Ok(())
        }
    }
}

fn reload(version: &str) -> Result<()> {
    let unit = unit(version);
    if units::is_active(&unit)? {
        units::reload(&unit)
    } else {
        units::start(&unit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pool_runs_as_the_site_and_says_whose_it_is() {
        let text = render(
            &Paths::host(),
            "managed by triphammer, deployment d1",
            "shop",
            "www-data",
        );
        assert!(text.starts_with("; managed by triphammer, deployment d1\n[shop]\nuser = shop\n"));
        assert!(text.contains("listen = /run/php/shop.sock\n"));
    }
}
