//! Copying WordPress from a directory of the host, for example that of its own package.
//!
//! Promise: links of the source are followed, since packages are made of them; what arrives are plain files and directories.

use crate::tree::{BYTES_LIMIT, DEPTH_LIMIT, ENTRIES_LIMIT, Failure};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;

/// Copy all of `source` but its wp-config, which belongs to another site.
pub fn copy(source: &Path, to: &Dir) -> Result<(), Failure> {
    let mut left = Left {
        entries: ENTRIES_LIMIT,
        bytes: BYTES_LIMIT,
    };
    directory(source, to, 0, &mut left)
}

struct Left {
    entries: u64,
    bytes: u64,
}

fn directory(source: &Path, to: &Dir, depth: usize, left: &mut Left) -> Result<(), Failure> {
    if depth > DEPTH_LIMIT {
        return Err(Failure::source("its directories are too deep"));
    }
    for found in fs::read_dir(source).map_err(|error| unreadable(source, &error))? {
        let found = found.map_err(|error| unreadable(source, &error))?;
        let (name, path) = (found.file_name(), found.path());
        if depth == 0 && name == "wp-config.php" {
            continue;
        }
        left.entries = left
            .entries
            .checked_sub(1)
            .ok_or_else(|| Failure::source("it holds too many files"))?;
        let meta = match fs::metadata(&path) {
            // A link to a package that is not installed.
            Err(error) if error.kind() == ErrorKind::NotFound => continue,
            other => other.map_err(|error| unreadable(&path, &error))?,
        };
        if meta.is_dir() {
            to.create_dir(&name)?;
            directory(&path, &to.open_dir(&name)?, depth + 1, left)?;
        } else if meta.is_file() {
            left.bytes = left
                .bytes
                .checked_sub(meta.len())
                .ok_or_else(|| Failure::source("it is too large"))?;
            let mut from = fs::File::open(&path).map_err(|error| unreadable(&path, &error))?;
            let mut into = to.open_with(
                &name,
                OpenOptions::new().write(true).create_new(true).mode(0o644),
            )?;
            io::copy(&mut from, &mut into)?;
        } else {
            return Err(Failure::source(format!(
                "{} is neither a file nor a directory",
                path.display()
            )));
        }
    }
    Ok(())
}

fn unreadable(path: &Path, error: &io::Error) -> Failure {
    Failure::source(format!(
        "{} cannot be read: {}",
        path.display(),
        error.kind()
    ))
}
