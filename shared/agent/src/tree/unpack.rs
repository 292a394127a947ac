//! Unpacking a WordPress archive.
//!
//! Promise: only plain files and directories come out, beneath the given directory, with modes of ours, and never more than the limits.

use crate::tree::{BYTES_LIMIT, DEPTH_LIMIT, ENTRIES_LIMIT, Failure};
use cap_std::fs::{Dir, OpenOptions, OpenOptionsExt};
use flate2::read::MultiGzDecoder;
use std::io::{self, ErrorKind, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// The folder all of a wordpress.org archive stands in.
const TOP: &str = "wordpress";
/// Longer than any path of WordPress, and every file system takes it.
const PATH_LIMIT: usize = 1024;

/// Unpack a `.tar.gz` without its top folder.
pub fn unpack(to: &Dir, stream: impl Read) -> Result<(), Failure> {
    // The limit counts unpacked bytes, so a small archive cannot fill the disk; one over tells that it was reached.
    let mut archive = Archive::new(MultiGzDecoder::new(stream).take(BYTES_LIMIT + 1));
    let mut entries = 0;
    let mut bytes = 0;
    for entry in archive.entries().map_err(|error| damaged(&error))? {
        let mut entry = entry.map_err(|error| damaged(&error))?;
        entries += 1;
        if entries > ENTRIES_LIMIT {
            return Err(Failure::source("the archive holds too many files"));
        }
        let kind = entry.header().entry_type();
        if kind == EntryType::XGlobalHeader {
            continue;
        }
        let path = inner(&entry.path().map_err(|error| damaged(&error))?)?;
        match kind {
            EntryType::Directory => to.create_dir_all(&path)?,
            EntryType::Regular | EntryType::Continuous => {
                bytes += entry.size();
                if bytes > BYTES_LIMIT {
                    return Err(Failure::source("the archive is too large"));
                }
                if path.as_os_str().is_empty() {
                    return Err(Failure::source(
                        "the archive holds a file instead of a folder",
                    ));
                }
                if let Some(parent) = path.parent() {
                    to.create_dir_all(parent)?;
                }
                let mut file = to.open_with(
                    &path,
                    OpenOptions::new().write(true).create_new(true).mode(0o644),
                )?;
                let size = entry.size();
                if pour(&mut entry, &mut file)? != size {
                    return Err(Failure::source("the archive ends too early"));
                }
            }
            _ => {
                return Err(Failure::source(format!(
                    "the archive holds a link or a device: {}",
                    path.display()
                )));
            }
        }
    }
    // Read on to the end, which holds the checksum of it all.
    io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(|error| damaged(&error))?;
    Ok(())
}

/// Copy, telling a damaged archive from a full disk.
fn pour(from: &mut impl Read, to: &mut impl io::Write) -> Result<u64, Failure> {
    let mut buffer = [0; 64 * 1024];
    let mut sum = 0;
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(sum),
            Ok(read) => read,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(damaged(&error)),
        };
        to.write_all(&buffer[..read])?;
        sum += read as u64;
    }
}

/// The path below the top folder; empty for that folder itself.
fn inner(path: &Path) -> Result<PathBuf, Failure> {
    let refuse = |why: &str| {
        Err(Failure::source(format!(
            "the archive holds a path that {why}"
        )))
    };
    if path.as_os_str().len() > PATH_LIMIT {
        return refuse("is too long");
    }
    let mut parts = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => parts.push(name),
            Component::CurDir => {}
            _ => return refuse("leads out of it"),
        }
    }
    if parts.len() > DEPTH_LIMIT {
        return refuse("is too deep");
    }
    match parts.split_first() {
        None => Ok(PathBuf::new()),
        Some((top, rest)) if *top == TOP => Ok(rest.iter().collect()),
        Some(_) => refuse("does not begin with wordpress/"),
    }
}

fn damaged(error: &io::Error) -> Failure {
    Failure::source(format!("the archive is damaged ({})", error.kind()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cap_std::ambient_authority;
    use flate2::{Compression, write::GzEncoder};
    use std::io::Write;
    use tar::{Builder, Header};

    struct Item<'a>(&'a str, EntryType, &'a [u8], u32);

    fn archive(items: &[Item<'_>]) -> Vec<u8> {
        let mut builder = Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
        for Item(path, kind, content, mode) in items {
            let mut header = Header::new_gnu();
            // Past the builder's own checks, as an attacker would write it.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(content.len() as u64);
            header.set_mode(*mode);
            if matches!(kind, EntryType::Symlink | EntryType::Link) {
                header.set_link_name("/etc").expect("a link name");
            }
            header.set_cksum();
            builder.append(&header, *content).expect("appended");
        }
        builder
            .into_inner()
            .expect("ended")
            .finish()
            .expect("packed")
    }

    fn into_empty(bytes: &[u8]) -> (tempfile::TempDir, Result<(), Failure>) {
        let root = tempfile::tempdir().expect("a temporary directory");
        std::fs::create_dir(root.path().join("in")).expect("made");
        let dir =
            Dir::open_ambient_dir(root.path().join("in"), ambient_authority()).expect("opened");
        let result = unpack(&dir, bytes);
        (root, result)
    }

    #[test]
    fn the_top_folder_is_left_out_and_modes_are_ours() {
        let (root, result) = into_empty(&archive(&[
            Item("wordpress/", EntryType::Directory, b"", 0o777),
            Item("wordpress/a/b.php", EntryType::Regular, b"hello", 0o4777),
        ]));
        result.expect("unpacked");
        let file = root.path().join("in/a/b.php");
        assert_eq!(std::fs::read(&file).expect("read"), b"hello");
        let mode = std::os::unix::fs::PermissionsExt::mode(
            &std::fs::metadata(&file).expect("there").permissions(),
        );
        assert_eq!(mode & 0o7022, 0, "{mode:o}");
    }

    #[test]
    fn nothing_leads_out_of_the_tree() {
        for path in ["/etc/x", "wordpress/../../x", "../x", "other/x", "x"] {
            let (root, result) =
                into_empty(&archive(&[Item(path, EntryType::Regular, b"x", 0o644)]));
            assert!(result.is_err(), "{path}");
            assert_eq!(
                std::fs::read_dir(root.path()).expect("listed").count(),
                1,
                "{path}"
            );
        }
    }

    #[test]
    fn links_and_devices_are_refused() {
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Char,
            EntryType::Block,
            EntryType::Fifo,
        ] {
            let (_root, result) = into_empty(&archive(&[Item("wordpress/x", kind, b"", 0o644)]));
            assert_eq!(
                result.expect_err("refused").code,
                crate::tree::Code::SourceRefused,
                "{kind:?}"
            );
        }
    }

    #[test]
    fn a_file_that_is_there_already_is_not_written_over() {
        let (_root, result) = into_empty(&archive(&[
            Item("wordpress/x", EntryType::Regular, b"a", 0o644),
            Item("wordpress/x", EntryType::Regular, b"b", 0o644),
        ]));
        assert!(result.is_err());
    }

    #[test]
    fn a_cut_or_altered_archive_is_refused() {
        let whole = archive(&[Item("wordpress/x", EntryType::Regular, &[7; 5000], 0o644)]);
        let (_root, result) = into_empty(&whole[..whole.len() - 9]);
        assert_eq!(
            result.expect_err("cut").code,
            crate::tree::Code::SourceRefused
        );
        let mut altered = whole.clone();
        let last = altered.len() - 6;
        altered[last] ^= 1;
        let (_root, result) = into_empty(&altered);
        assert_eq!(
            result.expect_err("altered").code,
            crate::tree::Code::SourceRefused
        );
        let mut not_gzip = Vec::new();
        not_gzip
            .write_all(b"<html>not found</html>")
            .expect("written");
        let (_root, result) = into_empty(&not_gzip);
        assert!(result.is_err());
    }
}
