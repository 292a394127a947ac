//! Removing what is in a directory, however it is laid out.
//!
//! Promise: links are removed, not followed; another file system mounted inside stops the work; depth costs no stack.

use crate::tree::Failure;
use cap_std::fs::{Dir, MetadataExt, Permissions, PermissionsExt};
use std::ffi::OsStr;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Deeper directories are first moved to the top, so that neither stack nor open files run out.
const DEPTH: usize = 64;
/// Something that fills the tree again as fast as it is emptied must not keep us forever.
const PASSES: usize = 1000;

/// Remove all that is in `top`, but not itself.
pub fn contents(top: &Dir) -> Result<(), Failure> {
    let device = top.dir_metadata()?.dev();
    for pass in 0..PASSES {
        let mut walk = Walk {
            top,
            device,
            pass,
            moved: 0,
        };
        walk.empty(top, 0)?;
        if top.entries()?.next().is_none() {
            return Ok(());
        }
    }
    Err(io::Error::new(
        ErrorKind::DirectoryNotEmpty,
        "it is filled again all the time",
    )
    .into())
}

/// Remove one entry of `dir` with all in it, if it is there.
pub fn entry(dir: &Dir, name: &str) -> Result<(), Failure> {
    let device = dir.dir_metadata()?.dev();
    for pass in 0..PASSES {
        let mut walk = Walk {
            top: dir,
            device,
            pass,
            moved: 0,
        };
        walk.remove(dir, OsStr::new(name), 0)?;
        let mut number = 0;
        // Removing one may move further ones up.
        while number < walk.moved {
            walk.remove(dir, OsStr::new(&moved_name(pass, number)), 0)?;
            number += 1;
        }
        if dir
            .symlink_metadata(name)
            .is_err_and(|error| error.kind() == ErrorKind::NotFound)
        {
            return Ok(());
        }
    }
    Err(io::Error::new(
        ErrorKind::DirectoryNotEmpty,
        "it is filled again all the time",
    )
    .into())
}

fn moved_name(pass: usize, number: usize) -> String {
    format!(".triphammer-deep-{pass}-{number}")
}

struct Walk<'a> {
    top: &'a Dir,
    device: u64,
    pass: usize,
    moved: usize,
}

impl Walk<'_> {
    fn empty(&mut self, dir: &Dir, depth: usize) -> Result<(), Failure> {
        let mut names = Vec::new();
        for found in dir.entries()? {
            names.push(found?.file_name());
        }
        names
            .iter()
            .try_for_each(|name| self.remove(dir, name, depth))
    }

    fn remove(&mut self, dir: &Dir, name: &OsStr, depth: usize) -> Result<(), Failure> {
        let name = Path::new(name);
        let Some(meta) = unless_gone(dir.symlink_metadata(name))? else {
            return Ok(());
        };
        if !meta.is_dir() {
            unless_gone(dir.remove_file(name))?;
            return Ok(());
        }
        if meta.dev() != self.device {
            return Err(io::Error::new(
                ErrorKind::CrossesDevices,
                format!("another file system is mounted at {}", name.display()),
            )
            .into());
        }
        if meta.mode() & 0o700 != 0o700 {
            unless_gone(dir.set_permissions(name, Permissions::from_mode(0o700)))?;
        }
        if depth >= DEPTH {
            let to = moved_name(self.pass, self.moved);
            self.moved += 1;
            unless_gone(dir.rename(name, self.top, to))?;
            return Ok(());
        }
        if let Some(inner) = unless_gone(dir.open_dir(name))? {
            self.empty(&inner, depth + 1)?;
        }
        match dir.remove_dir(name) {
            // Filled meanwhile: the next pass sees it.
            Err(error) if error.kind() == ErrorKind::DirectoryNotEmpty => Ok(()),
            other => unless_gone(other).map(|_| ()).map_err(Failure::from),
        }
    }
}

fn unless_gone<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
