//! An uploaded archive into a tree.
//!
//! Promise: only an archive that is the sealed one, to its last byte, becomes a checkout; a small one never becomes a
//! large tree.

use super::tarball;
use super::tree::{BYTES_LIMIT, ENTRIES_LIMIT, Links, Tree, damaged, source};
use crate::fault::{Result, io_at};
use crate::files;
use crate::jobs::context::Context;
use crate::jobs::meant;
use flate2::read::MultiGzDecoder;
use protocol::job::Sealed;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::Path;
use zip::ZipArchive;
use zip::result::ZipError;

/// The object.
const OBJECT: &str = "source";
/// Source text packs to a tenth; a hundredth is a trap.
const RATIO_LIMIT: u64 = 100;
/// A tiny archive may pack better than that.
const SMALL_TREE_BYTES: u64 = 16 * 1024 * 1024;
/// The kind of a file in the mode that zip keeps.
const KIND: u32 = 0o170_000;
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;
const LINK: u32 = 0o120_000;
/// No link is longer.
const TARGET_LIMIT_BYTES: u64 = 4096;

/// What an archive of this size may become.
pub fn bytes_limit(sealed: &Sealed) -> u64 {
    let limit = sealed.size_bytes.saturating_mul(RATIO_LIMIT);
    limit.clamp(SMALL_TREE_BYTES, BYTES_LIMIT)
}

/// Unpack a `.tar.gz` as it comes.
pub fn tar_gz(context: &Context, sealed: &Sealed, to: &Path) -> Result<(u64, u64)> {
    let mut tree = Tree::new(to, Links::Inside, bytes_limit(sealed))?;
    let mut object = Counted {
        context,
        from: context.fetch(OBJECT, sealed),
        done: 0,
        total: sealed.size_bytes,
    };
    // Padding between files and endless headers count too, and one over tells that the limit was reached.
    let unpacked = MultiGzDecoder::new(&mut object).take(bytes_limit(sealed).saturating_mul(2));
    tarball::unpack(&mut tree, unpacked, |_| context.check())?;
    // Its checksum is seen at its end only.
    io::copy(&mut object, &mut io::sink()).map_err(|error| damaged(&error))?;
    tree.finish()
}

/// Unpack a zip, which has its contents at its end: by way of a file.
pub fn zip(context: &Context, sealed: &Sealed, to: &Path, file: &Path) -> Result<(u64, u64)> {
    let result = fetched(context, sealed, file).and_then(|archive| {
        let mut tree = Tree::new(to, Links::Inside, bytes_limit(sealed))?;
        unzip(&mut tree, archive, || context.check())?;
        tree.finish()
    });
    let removed = files::remove(file);
    let done = result?;
    removed.map(|_| done)
}

fn fetched(context: &Context, sealed: &Sealed, file: &Path) -> Result<File> {
    files::remove(file)?;
    let at = |error: &io::Error| io_at(file, error);
    let mut into = File::create_new(file).map_err(|error| at(&error))?;
    let mut object = Counted {
        context,
        from: context.fetch(OBJECT, sealed),
        done: 0,
        total: sealed.size_bytes,
    };
    io::copy(&mut object, &mut into).map_err(|error| meant(&error, at))?;
    File::open(file).map_err(|error| at(&error))
}

fn unzip(tree: &mut Tree, archive: File, check: impl Fn() -> Result<()>) -> Result<()> {
    let mut archive = ZipArchive::new(io::BufReader::new(archive)).map_err(|error| bad(&error))?;
    if archive.len() as u64 > ENTRIES_LIMIT {
        return Err(source(format!("it has more than {ENTRIES_LIMIT} files")));
    }
    for number in 0..archive.len() {
        check()?;
        let mut entry = archive.by_index(number).map_err(|error| bad(&error))?;
        // As it stands there: the crate's own clean name would move a path that leads out to another place.
        let name = std::path::PathBuf::from(OsString::from_vec(entry.name_raw().to_vec()));
        let mode = entry.unix_mode().unwrap_or(0);
        match mode & KIND {
            _ if entry.is_dir() => tree.folder(&name)?,
            LINK => {
                let mut target = Vec::new();
                entry
                    .take(TARGET_LIMIT_BYTES)
                    .read_to_end(&mut target)
                    .map_err(|error| damaged(&error))?;
                tree.link(&name, OsString::from_vec(target))?;
            }
            FOLDER => tree.folder(&name)?,
            0 | REGULAR => {
                let size = entry.size();
                tree.file(&name, mode & 0o100 != 0, Some(size), &mut entry)?;
            }
            _ => {
                return Err(source(
                    "it holds a device or something else that is no file".into(),
                ));
            }
        }
    }
    Ok(())
}

fn bad(error: &ZipError) -> protocol::AgentError {
    match error {
        ZipError::Io(error) => damaged(error),
        ZipError::UnsupportedArchive(_) => {
            source("it is packed in a way, or with a password, that is not understood; pack it with deflate".into())
        }
        _ => source("it is no whole zip file".into()),
    }
}

/// Says how far it was read.
struct Counted<'a, R> {
    context: &'a Context,
    from: R,
    done: u64,
    total: u64,
}

impl<R: Read> Read for Counted<'_, R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.done += read as u64;
        self.context.progress(self.done, Some(self.total), "bytes");
        Ok(read)
    }
}
