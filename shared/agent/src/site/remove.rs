//! Removing a site.
//!
//! Promise: first it is not served any more, then its processes end, then its files go, then its user, and the claim
//! last. Only what this deployment made is removed.

use crate::accounts::{self, User};
use crate::check;
use crate::claims::{self, Kind, Standing};
use crate::fault::{Result, io_at, unavailable};
use crate::files;
use crate::host::Work;
use crate::processes;
use crate::site::{self, SiteFacts};
use crate::tree::{self, Job};
use crate::web::{fpm, nginx};
use protocol::SiteName;
use std::fs;
use std::io::ErrorKind;
use std::time::Duration;

/// SIGKILL works at once; php-fpm takes a moment to stop starting new workers after its reload.
const GONE_WITHIN: Duration = Duration::from_secs(10);

/// A worker that php-fpm still started may have put a file where all was removed; twice is already rare.
const ATTEMPTS: u32 = 3;

/// See [`protocol::Call::SiteRemove`].
pub fn remove(work: &mut Work<'_>, SiteName { site }: &SiteName) -> Result<()> {
    check::name("site", site)?;
    match claims::standing::<SiteFacts>(work.paths, Kind::Site, site, work.lease)? {
        Standing::Ours(_) => {}
        Standing::Theirs(_) => {
            work.note(format!(
                "left site {site} alone: another deployment made it"
            ));
            return Ok(());
        }
        Standing::Unclaimed => {
            work.note(match site::existing(work.paths, site)? {
                Some(what) => format!("left site {site} alone, it is not ours: {what}"),
                None => format!("no site {site} to remove"),
            });
            return Ok(());
        }
    }
    let found = site::existing(work.paths, site)?.is_some();
    {
        let _locked = work.configuration_lock()?;
        if nginx::disable(work, site)? {
            work.did("removed the server block");
        }
        if fpm::disable(work, site)? {
            work.did("removed the pool");
        }
    }
    tree_and_user(work, site)?;
    claims::end(work.paths, Kind::Domain, site)?;
    claims::end(work.paths, Kind::Site, site)?;
    if !found {
        work.note(format!("no site {site} to remove"));
    }
    Ok(())
}

fn tree_and_user(work: &mut Work<'_>, site: &str) -> Result<()> {
    let user = accounts::user(work.paths, site)?;
    // Also refuses root's id, before anything is ended.
    user.as_ref().map_or(Ok(()), |_| {
        site::existing_user(work.paths, site).map(|_| ())
    })?;
    let home = work.paths.home(site);
    for attempt in 1..=ATTEMPTS {
        if let Some(user) = &user
            && !processes::end_all_of(user.uid, GONE_WITHIN)
        {
            let message = format!("Processes of the user {site} do not end.");
            return Err(unavailable("processes_left", message));
        }
        if !files::exists(&home) {
            break;
        }
        clear(work, site, user.as_ref())?;
        match fs::remove_dir(&home) {
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty && attempt < ATTEMPTS => {}
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io_at(&home, &error)),
            _ => work.did(format!("removed {}", home.display())),
        }
    }
    files::remove(&work.paths.crontab(site))?;
    let _locked = work.configuration_lock()?;
    if accounts::remove(work.paths, site)? {
        work.did(format!("removed system user {site}"));
    }
    Ok(())
}

/// The user's own rights do for its own files; what root or others left in there needs root, and by then nobody is
/// left to play tricks with it.
fn clear(work: &Work<'_>, site: &str, user: Option<&User>) -> Result<()> {
    let job = Job::Clear {
        home: site::home_text(work.paths, site),
    };
    if !matches!(user.map(|user| tree::ask(user, &job)), Some(Ok(_))) {
        tree::ask_as_root(&job)?;
    }
    Ok(())
}
