//! WordPress's own maintenance mode, for the seconds in which one side of a site is new and the other old.
//!
//! Promise: it ends by itself after ten minutes, as WordPress has it, should nobody end it.

use crate::fault::{Result, broken};
use crate::paths::Paths;
use crate::site;
use crate::tree::{self, Done, Job};

/// From now on, visitors are told to come back.
pub fn begin(paths: &Paths, site: &str) -> Result<()> {
    set(paths, site, true)
}

/// Visitors see the site again.
pub fn end(paths: &Paths, site: &str) -> Result<()> {
    set(paths, site, false)
}

fn set(paths: &Paths, site: &str, on: bool) -> Result<()> {
    let user = site::existing_user(paths, site)?;
    let home = site::home_text(paths, site);
    match tree::ask(&user, &Job::Maintenance { home, on })? {
        Done::Yes => Ok(()),
        _ => Err(broken(
            "tree_worker",
            "The site's maintenance mode was not set.",
        )),
    }
}
