//! The live tree and the one that was put together change places, in one act of the kernel.
//!
//! Promise: at any moment the site's web root is one whole tree or the other. Which one it is, its inode says: no step
//! that was cut short is guessed at.

use super::staging::{Staging, Swap};
use crate::fault::{Result, broken, io_at, refused, with_detail};
use crate::files::sync_parent;
use crate::paths::Paths;
use crate::web::{fpm, units};
use rustix::fs::{CWD, FileType, RenameFlags, renameat_with, syncfs};
use rustix::io::Errno;
use std::fs::File;
use std::path::Path;

/// The inode of a directory; a link at its place is none.
fn inode(path: &Path) -> Result<u64> {
    let found = rustix::fs::lstat(path).map_err(|error| io_at(path, &error.into()))?;
    if FileType::from_raw_mode(found.st_mode) == FileType::Directory {
        Ok(found.st_ino)
    } else {
        Err(refused(
            "web_root_replaced",
            format!("{} is no directory; it is left alone.", path.display()),
        ))
    }
}

/// The tree that was put together becomes the live one. A repeat finds it live.
pub fn swap(paths: &Paths, staging: &Staging, site: &str) -> Result<()> {
    let (live, tree) = (paths.public(site), staging.tree());
    if staging.swap()?.is_none() {
        staging.swapping(&Swap { new: inode(&tree)? })?;
    }
    if !is_swapped(paths, staging, site)? {
        // What the tree holds is on the disk before the site is made of it.
        let folder = File::open(&tree).map_err(|error| io_at(&tree, &error))?;
        syncfs(folder).map_err(|error| io_at(&tree, &error.into()))?;
        exchange(&live, &tree)?;
    }
    forget_compiled(paths, site)
}

/// The old tree becomes the live one again; false when it was not swapped out.
pub fn back(paths: &Paths, staging: &Staging, site: &str) -> Result<bool> {
    if !is_swapped(paths, staging, site)? {
        return Ok(false);
    }
    exchange(&paths.public(site), &staging.tree())?;
    forget_compiled(paths, site)?;
    Ok(true)
}

/// What lies beside the site is the old tree then, the only one there is.
pub fn refuse_while_swapped(paths: &Paths, staging: &Staging, site: &str) -> Result<()> {
    if is_swapped(paths, staging, site)? {
        return Err(refused(
            "still_swapped",
            "The restored files are live; the old ones must be put back first.",
        ));
    }
    Ok(())
}

fn is_swapped(paths: &Paths, staging: &Staging, site: &str) -> Result<bool> {
    let Some(swap) = staging.swap()? else {
        return Ok(false);
    };
    let (live, beside) = (inode(&paths.public(site))?, inode(&staging.tree())?);
    match (live == swap.new, beside == swap.new) {
        (true, false) => Ok(true),
        (false, true) => Ok(false),
        _ => Err(broken(
            "trees_lost",
            "Neither the live web root nor the one beside it is the restored one; look at both before anything else.",
        )),
    }
}

fn exchange(live: &Path, tree: &Path) -> Result<()> {
    renameat_with(CWD, live, CWD, tree, RenameFlags::EXCHANGE).map_err(|error| match error {
        Errno::XDEV | Errno::INVAL => with_detail(
            refused(
                "cannot_swap",
                format!(
                    "The file system of {} cannot swap two directories, or the site's home is on another one.",
                    live.display()
                ),
            ),
            error.to_string(),
        ),
        error => io_at(live, &error.into()),
    })?;
    for path in [live, tree] {
        sync_parent(path).map_err(|error| io_at(path, &error))?;
    }
    Ok(())
}

/// PHP keeps what it compiled of the tree before.
pub fn forget_compiled(paths: &Paths, site: &str) -> Result<()> {
    for (version, _) in fpm::pools(paths, site) {
        let unit = format!("php{version}-fpm.service");
        if units::is_active(&unit)? {
            units::reload(&unit)?;
        }
    }
    Ok(())
}
