//! Where a restore is put together: a folder beside the sites' homes, so that its tree can be swapped with a live one.
//!
//! Promise: root's alone, one for each deployment, and gone with it.

use crate::check;
use crate::fault::{Result, broken, io_at, refused};
use crate::files;
use crate::paths::Paths;
use protocol::Lease;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::PathBuf;

/// What was downloaded, once all of it was seen to be right.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// Of the tree.
    pub entries: u64,
    /// Bytes of all its files.
    pub tree_bytes: u64,
    /// Of the dump unpacked.
    pub dump_bytes: u64,
    /// Archives of the chain; none when no files are restored.
    pub links: usize,
}

/// Before the trees are swapped, which is which.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Swap {
    /// Inode of the tree that was put together.
    pub new: u64,
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Staging {
    folder: PathBuf,
    all: PathBuf,
}

impl Staging {
    /// Of the lease's deployment.
    pub fn of(paths: &Paths, lease: &Lease) -> Result<Self> {
        check::id("deployment's id", &lease.deployment_id)?;
        let all = paths.homes().join(".triphammer-restores");
        Ok(Self {
            folder: all.join(&lease.deployment_id),
            all,
        })
    }

    /// Make it, empty.
    pub fn make(&self) -> Result<()> {
        self.remove()?;
        files::directory(&self.all, 0o700)?;
        files::directory(&self.folder, 0o700)?;
        files::directory(&self.tree(), 0o700)?;
        Ok(())
    }

    /// Throw it away with all that is in it; false when it was not there.
    pub fn remove(&self) -> Result<bool> {
        let gone = match std::fs::remove_dir_all(&self.folder) {
            Ok(()) => true,
            Err(error) if error.kind() == ErrorKind::NotFound => false,
            Err(error) => return Err(io_at(&self.folder, &error)),
        };
        // Another restore may be at work in its own.
        let _others_are_there = std::fs::remove_dir(&self.all);
        Ok(gone)
    }

    /// The tree.
    pub fn tree(&self) -> PathBuf {
        self.folder.join("tree")
    }

    /// The dump, packed.
    pub fn dump(&self) -> PathBuf {
        self.folder.join("database.sql.zst")
    }

    /// A manifest of the chain.
    pub fn manifest(&self, link: usize) -> PathBuf {
        self.folder.join(format!("manifest_{link}"))
    }

    fn facts_path(&self) -> PathBuf {
        self.folder.join("facts.json")
    }

    fn swap_path(&self) -> PathBuf {
        self.folder.join("swap.json")
    }

    /// Say what is there, last of all.
    pub fn complete(&self, facts: &Facts) -> Result<()> {
        write(&self.facts_path(), facts)
    }

    /// What is there.
    pub fn facts(&self) -> Result<Facts> {
        read(&self.facts_path())?.ok_or_else(|| {
            refused(
                "not_downloaded",
                "What was downloaded for this restore is not on the server any more; begin the restore again.",
            )
        })
    }

    /// Write down which tree is which.
    pub fn swapping(&self, swap: &Swap) -> Result<()> {
        write(&self.swap_path(), swap)
    }

    /// Which is which, once a swap was begun.
    pub fn swap(&self) -> Result<Option<Swap>> {
        read(&self.swap_path())
    }
}

fn write(path: &std::path::Path, value: &impl Serialize) -> Result<()> {
    let text = serde_json::to_vec(value)
        .map_err(|_| broken("journal_lost", "A journal could not be written."))?;
    files::write(path, &text, 0o600)
}

fn read<T: serde::de::DeserializeOwned>(path: &std::path::Path) -> Result<Option<T>> {
    let Some(text) = files::read(path)? else {
        return Ok(None);
    };
    serde_json::from_str(&text)
        .map(Some)
        .map_err(|_| broken("journal_lost", format!("{} is damaged.", path.display())))
}
