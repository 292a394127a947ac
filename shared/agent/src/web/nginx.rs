//! nginx's configuration, tested before and after each change.
//!
//! Promise: if it was broken before, nothing is changed; if our change breaks it, the change is taken back.

use crate::fault::{Result, first_bytes, missing_software, refused};
use crate::files;
use crate::host::Work;
use crate::paths::Paths;
use crate::run::{self, As};
use crate::web::{dump, units};
use std::os::unix::fs::symlink;
use std::path::Path;

const UNIT: &str = "nginx.service";
/// One line of nginx's names a file and a reason; more is a pasted configuration.
const LINE_LIMIT_BYTES: usize = 300;

fn nginx(argument: &str) -> Result<run::Outcome> {
    run::run(
        run::command(&run::need("nginx", "nginx")?, As::Root).arg(argument),
        b"",
    )
}

/// Is the configuration whole? If not, the first line that says why.
fn test() -> Result<std::result::Result<(), String>> {
    let seen = nginx("-t")?;
    Ok(if seen.ok {
        Ok(())
    } else {
        Err(first_error(&seen.errors))
    })
}

/// Whole, and is this file a part of it? A server whose nginx.conf does not include it would answer with another site.
fn test_with(link: &Path) -> Result<std::result::Result<(), String>> {
    let seen = nginx("-T")?;
    if !seen.ok {
        return Ok(Err(first_error(&seen.errors)));
    }
    let file = link.display().to_string();
    let read = dump::directives(&seen.output)
        .iter()
        .any(|directive| directive.file == file);
    Ok(if read {
        Ok(())
    } else {
        Err(format!("nginx.conf does not include {file}"))
    })
}

fn first_error(errors: &str) -> String {
    // Without the time and process number before it.
    let serious = |line: &str| {
        let levels = ["[emerg]", "[alert]", "[crit]", "[error]"];
        levels
            .iter()
            .find_map(|level| Some(line[line.find(level)?..].to_string()))
    };
    let line = errors.lines().find_map(serious);
    let line = line.or_else(|| errors.lines().next().map(str::to_string));
    let line = line.unwrap_or_else(|| "no reason given".into());
    // `[emerg] 7#7: reason`: the numbers are of the process that tested.
    let is_number = |word: &str| {
        word.bytes()
            .all(|b| b.is_ascii_digit() || b == b'#' || b == b':')
    };
    let words: Vec<&str> = line
        .split(' ')
        .filter(|word| !(word.ends_with(':') && is_number(word)))
        .collect();
    first_bytes(words.join(" ").trim(), LINE_LIMIT_BYTES)
}

fn broken_config(reason: &str) -> protocol::AgentError {
    refused(
        "web_server_config_broken",
        format!(
            "nginx's configuration on this server is broken; mend it, then try again: {reason}"
        ),
    )
}

/// The whole configuration as nginx reads it.
pub fn configuration() -> Result<Vec<dump::Directive>> {
    let seen = nginx("-T")?;
    if seen.ok {
        Ok(dump::directives(&seen.output))
    } else {
        Err(broken_config(&first_error(&seen.errors)))
    }
}

/// The configuration, which must be whole. A block of the site's own that breaks it, left by a killed call, is taken off first.
pub fn whole_configuration(paths: &Paths, site: &str) -> Result<Vec<dump::Directive>> {
    if !paths.blocks_enabled().is_dir() {
        return Err(missing_software(
            "nginx with /etc/nginx/sites-enabled",
            "apt install nginx",
        ));
    }
    let error = match configuration() {
        Ok(all) => return Ok(all),
        Err(error) => error,
    };
    let link = paths.block_enabled(site);
    if !files::remove(&link)? {
        return Err(error);
    }
    configuration().inspect_err(|_| {
        // Not ours alone: put back what was there.
        let _ = symlink(paths.block(site), &link);
    })
}

/// None of the names may be served by another file of this host.
pub fn refuse_taken(
    paths: &Paths,
    all: &[dump::Directive],
    site: &str,
    hosts: &[&str],
) -> Result<()> {
    let own = own_files(paths, site);
    for host in hosts {
        if let Some(file) = dump::server_of(all, host, &own) {
            return Err(refused(
                "domain_taken",
                format!(
                    "{host} is served on this server already, by {file}. Take it off there, or choose another name."
                ),
            ));
        }
    }
    Ok(())
}

/// Does the site's own block serve this name?
pub fn serves(paths: &Paths, all: &[dump::Directive], site: &str, host: &str) -> bool {
    let own = own_files(paths, site);
    dump::server_of(all, host, &[]).is_some_and(|file| own.iter().any(|own| own == file))
}

fn own_files(paths: &Paths, site: &str) -> [String; 2] {
    [
        paths.block(site).display().to_string(),
        paths.block_enabled(site).display().to_string(),
    ]
}

/// Put the site's block in place; says whether anything changed. Call it with the configuration known to be whole.
pub fn enable(paths: &Paths, site: &str, content: &str) -> Result<bool> {
    let (block, link) = (paths.block(site), paths.block_enabled(site));
    let old = files::read(&block)?;
    let was_linked = std::fs::read_link(&link).is_ok_and(|target| target == block);
    if old.as_deref() == Some(content) && was_linked {
        // Perhaps killed before the reload.
        return reload().map(|()| false);
    }
    files::write(&block, content.as_bytes(), 0o644)?;
    if !was_linked {
        files::remove(&link)?;
        symlink(&block, &link).map_err(|error| crate::fault::io_at(&link, &error))?;
    }
    if let Err(reason) = test_with(&link)? {
        match old {
            Some(old) if was_linked => files::write(&block, old.as_bytes(), 0o644)?,
            _ => {
                files::remove(&link)?;
                files::remove(&block)?;
            }
        }
        let message = "nginx does not take the site's server block; it was taken off again";
        return Err(refused(
            "web_server_config_broken",
            format!("{message}: {reason}"),
        ));
    }
    reload().map(|()| true)
}

/// Put an older block of the site back, for an undo: also while somebody else's configuration is broken.
pub fn put_back(work: &mut Work<'_>, site: &str, content: &str) -> Result<bool> {
    let block = work.paths.block(site);
    let changed = files::read(&block)?.as_deref() != Some(content);
    if changed {
        files::write(&block, content.as_bytes(), 0o644)?;
    }
    reload_if_whole(work)?;
    Ok(changed)
}

/// Take the site's block off; says whether there was one.
pub fn disable(work: &mut Work<'_>, site: &str) -> Result<bool> {
    let link = files::remove(&work.paths.block_enabled(site))?;
    let block = files::remove(&work.paths.block(site))?;
    files::remove(&files::beside(&work.paths.block(site)))?;
    // Also when nothing was there: a killed call may have come as far as the removal.
    reload_if_whole(work)?;
    Ok(link || block)
}

/// Reload unless somebody else's configuration is broken: nginx then runs on with what it has.
pub fn reload_if_whole(work: &mut Work<'_>) -> Result<()> {
    if run::find("nginx").is_none() || !units::is_active(UNIT)? {
        return Ok(());
    }
    match test()? {
        Ok(()) => units::reload(UNIT),
        Err(reason) => {
            work.note(format!(
                "nginx was not reloaded, its configuration is broken elsewhere: {reason}"
            ));
            Ok(())
        }
    }
}

/// Test, then reload.
pub fn test_and_reload() -> Result<()> {
    test()?.map_err(|reason| broken_config(&reason))?;
    reload()
}

fn reload() -> Result<()> {
    if units::is_active(UNIT)? {
        units::reload(UNIT)
    } else {
        units::start(UNIT)
    }
}

/// `nginx/1.22.1`.
pub fn version() -> Option<String> {
    let seen = nginx("-v").ok()?;
    seen.errors
        .trim()
        .strip_prefix("nginx version: ")
        .map(|version| first_bytes(version, LINE_LIMIT_BYTES))
}

/// Does this host speak IPv6? Without it nginx could not listen there.
pub fn has_ipv6(paths: &Paths) -> bool {
    let list: &Path = &paths.absolute("/proc/net/if_inet6");
    std::fs::read_to_string(list).is_ok_and(|text| !text.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_serious_line_is_the_reason() {
        let errors = "nginx: [warn] conflicting name\n2026/01/01 00:00:00 [emerg] 7#7: unknown directive \"x\" in /a:3\nnginx: configuration file test failed\n";
        assert_eq!(
            first_error(errors),
            "[emerg] unknown directive \"x\" in /a:3"
        );
    }
}
