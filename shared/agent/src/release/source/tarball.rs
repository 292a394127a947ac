//! A stream of tar into a tree.
//!
//! Promise: plain files, folders and links come out; what else an archive may hold is refused.

use super::tree::{Tree, damaged, source};
use crate::fault::Result;
use std::io::Read;
use tar::{Archive, EntryType};

/// Take all of it; `on` is told the entries so far, and may end it.
pub fn unpack(
    tree: &mut Tree,
    stream: impl Read,
    mut on: impl FnMut(u64) -> Result<()>,
) -> Result<()> {
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(|error| damaged(&error))? {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        on(tree.entries())?;
        let path = entry.path().map_err(|error| damaged(&error))?.into_owned();
        let target = entry.link_name().map_err(|error| damaged(&error))?;
        match (kind, target) {
            (EntryType::Directory, _) => tree.folder(&path)?,
            (EntryType::Regular | EntryType::Continuous, _) => {
                let executable =
                    entry.header().mode().map_err(|error| damaged(&error))? & 0o100 != 0;
                let size = entry.size();
                tree.file(&path, executable, Some(size), &mut entry)?;
            }
            (EntryType::Symlink, Some(target)) => {
                tree.link(&path, target.into_owned().into_os_string())?
            }
            (EntryType::Link, Some(target)) => tree.same(&path, &target)?,
            _ => {
                return Err(source(
                    "it holds a device or something else that is no file".into(),
                ));
            }
        }
    }
    // Read on to the end, which may hold the checksum of it all.
    std::io::copy(&mut archive.into_inner(), &mut std::io::sink())
        .map_err(|error| damaged(&error))?;
    Ok(())
}
