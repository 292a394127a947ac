//! A site's configuration directories, and the cron line that runs its schedule.
//!
//! Promise: root's alone to write. Removing takes away all that was made, what people put into it included.

use crate::check;
use crate::claims::{self, Kind, NoFacts, Standing};
use crate::domain;
use crate::fault::{Result, io_at};
use crate::files;
use crate::host::Work;
use crate::paths::Paths;
use crate::web::{fpm, nginx};
use protocol::SiteName;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;

const DIRECTORIES: [&str; 4] = ["nginx", "php", "cron", "protections"];

fn existing(paths: &Paths, site: &str) -> Option<String> {
    [paths.tower_conf(site), paths.cron(site)]
        .iter()
        .find(|path| files::exists(path))
        .map(|path| path.display().to_string())
}

/// See [`protocol::Call::ConfDirectoriesCreate`].
pub fn create(work: &mut Work<'_>, SiteName { site }: &SiteName) -> Result<()> {
    check::name("site", site)?;
    let claim = domain::known_site(work, site)?;
    let _locked = work.configuration_lock()?;
    nginx::whole_configuration(work.paths, site)?;
    let found = existing(work.paths, site);
    claims::begin(
        work.paths,
        Kind::Conf,
        site,
        work.lease,
        found.as_deref(),
        NoFacts {},
    )?;
    let tower_conf = work.paths.tower_conf(site);
    let mut made = files::directory(&tower_conf, 0o755)?;
    for name in DIRECTORIES {
        made |= files::directory(&tower_conf.join(name), 0o755)?;
    }
    if made {
        work.did(format!("created {}", tower_conf.display()));
    }
    let schedule = tower_conf.join("cron/wordpress");
    let php = fpm::cli(&claim.facts.php)?;
    let text = format!(
        "# {mark}\n*/5 * * * * {site} {php} {public}/wp-cron.php >/dev/null 2>&1\n",
        mark = work.mark(),
        php = php.display(),
        public = work.paths.public(site).display(),
    );
    if files::read(&schedule)?.as_deref() != Some(&text) {
        files::write(&schedule, text.as_bytes(), 0o644)?;
    }
    let link = work.paths.cron(site);
    if !fs::read_link(&link).is_ok_and(|target| target == schedule) {
        files::remove(&link)?;
        // cron follows a link whose target is root's.
        symlink(&schedule, &link).map_err(|error| io_at(&link, &error))?;
        work.did("WordPress's schedule runs every five minutes");
    }
    nginx::test_and_reload()
}

/// See [`protocol::Call::ConfDirectoriesRemove`].
pub fn remove(work: &mut Work<'_>, SiteName { site }: &SiteName) -> Result<()> {
    check::name("site", site)?;
    match claims::standing::<NoFacts>(work.paths, Kind::Conf, site, work.lease)? {
        Standing::Ours(_) => {}
        Standing::Theirs(_) => {
            work.note(format!(
                "left the configuration of site {site} alone: another deployment made it"
            ));
            return Ok(());
        }
        Standing::Unclaimed => {
            work.note(match existing(work.paths, site) {
                Some(what) => format!("left {what} alone: not ours"),
                None => format!("no configuration of site {site} to remove"),
            });
            return Ok(());
        }
    }
    let _locked = work.configuration_lock()?;
    if files::remove(&work.paths.cron(site))? {
        work.did("WordPress's schedule runs no more");
    }
    let tower_conf = work.paths.tower_conf(site);
    match fs::remove_dir_all(&tower_conf) {
        Ok(()) => work.did(format!("removed {}", tower_conf.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        Err(error) => return Err(io_at(&tower_conf, &error)),
    }
    // Stays if something else of the site is in it.
    let _ = fs::remove_dir(work.paths.site_conf(site));
    nginx::reload_if_whole(work)?;
    claims::end(work.paths, Kind::Conf, site)?;
    Ok(())
}
