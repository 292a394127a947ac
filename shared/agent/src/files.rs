//! Files of root's: written whole or not at all.
//!
//! Promise: a reader sees the old content or the new one, also after a power cut. Only for directories that nobody but root may write.

use crate::fault::{Result, io_at};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Write `content` to `path` with `mode`, by way of a file beside it and a rename.
pub fn write(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let beside = beside(path);
    put(&beside, content, mode)
        .and_then(|()| fs::rename(&beside, path))
        .and_then(|()| sync_parent(path))
        .map_err(|error| {
            // A half-written neighbour would only take room where there may be none.
            let _ = fs::remove_file(&beside);
            io_at(path, &error)
        })
}

/// The name used until the content is whole. It ends in `.new`: nginx, php-fpm, cron and sudo all skip such a name.
pub fn beside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_os_string();
    name.push(".new");
    PathBuf::from(name)
}

/// Create or replace, with exactly this mode, and bring it to the disk.
pub fn put(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    remove_if_there(path)?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(mode)
        .open(path)?;
    file.set_permissions(fs::Permissions::from_mode(mode))?;
    file.write_all(content)?;
    file.sync_all()
}

/// Make a rename or removal last.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// The content, or nothing when there is no such file.
pub fn read(path: &Path) -> Result<Option<String>> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io_at(path, &error)),
    }
}

/// Is anything there, a dangling link included?
pub fn exists(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Remove a file or link; says whether there was one.
pub fn remove(path: &Path) -> Result<bool> {
    remove_if_there(path).map_err(|error| io_at(path, &error))
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A directory with exactly this mode, its parents with 0755; says whether it was made.
pub fn directory(path: &Path, mode: u32) -> Result<bool> {
    let at = |error: &io::Error| io_at(path, error);
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(parent)
            .map_err(|e| at(&e))?;
    }
    let made = match fs::DirBuilder::new().mode(mode).create(path) {
        Ok(()) => true,
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
        Err(error) => return Err(at(&error)),
    };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(|e| at(&e))?;
    Ok(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_write_replaces_all_of_it_and_leaves_nothing_beside() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let path = root.path().join("a");
        write(&path, b"first", 0o600).expect("written");
        write(&path, b"2", 0o640).expect("written again");
        assert_eq!(read(&path).expect("read").as_deref(), Some("2"));
        assert_eq!(
            fs::metadata(&path).expect("there").permissions().mode() & 0o777,
            0o640
        );
        assert_eq!(fs::read_dir(root.path()).expect("listed").count(), 1);
    }

    #[test]
    fn what_is_not_there_reads_as_nothing_and_removes_as_nothing() {
        let root = tempfile::tempdir().expect("a temporary directory");
        assert_eq!(read(&root.path().join("a")).expect("read"), None);
        assert!(!remove(&root.path().join("a")).expect("removed"));
    }
}
