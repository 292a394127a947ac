//! A source on its way to the store: a file as it is, a folder packed first.
//!
//! Promise: what is announced is what is sent, to the byte; `.git` stays at home, and so does what is packed elsewhere.

use crate::ending::Fault;
use crate::invocation::Invocation;
use crate::style::bar;
use crate::times::size;
use contract::{UploadCreate, UploadView};
use domain::release::ArchiveFormat;
use domain::upload::UPLOAD_LIMIT_BYTES;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io::{Read, Seek, Write};
use std::path::Path;

/// Shown once for each of these shares.
const SHARES: u64 = 20;

/// Pack, announce, send, and have it read back.
pub async fn send(invocation: &Invocation, path: &Path) -> Result<UploadView, Fault> {
    let client = &invocation.client;
    let (mut file, format) = opened(path)?;
    let (size_bytes, sha256) = sums(&mut file)?;
    if size_bytes > UPLOAD_LIMIT_BYTES {
        return Err(Fault::said(format!(
            "the source weighs {}, and may weigh {} at most",
            size(size_bytes),
            size(UPLOAD_LIMIT_BYTES)
        )));
    }
    let announced = UploadCreate {
        format,
        size_bytes,
        sha256,
    };
    let created = client.upload_create(&announced).await?;
    file.rewind()?;
    let draws = invocation.output.can_draw();
    let mut shown = None;
    let sent = move |sent: u64| {
        let share = sent * SHARES / size_bytes.max(1);
        if draws && shown.replace(share) != Some(share) {
            let mut to = std::io::stderr().lock();
            // Nobody there to read it is no error.
            let _unread = write!(
                to,
                "\r{} {} of {}",
                bar(sent, size_bytes),
                size(sent),
                size(size_bytes)
            );
        }
    };
    client.upload_send(&created, file, sent).await?;
    if draws {
        invocation.output.note("");
    }
    let complete = client.upload_complete(created.upload.id).await?;
    if !invocation.output.json {
        invocation
            .output
            .note(format!("uploaded {}", size(complete.size_bytes)));
    }
    Ok(complete)
}

fn opened(path: &Path) -> Result<(File, ArchiveFormat), Fault> {
    let shown = path.display();
    let unreadable =
        |error: std::io::Error| Fault::said(format!("{shown} cannot be read: {error}"));
    if std::fs::metadata(path).map_err(unreadable)?.is_dir() {
        return Ok((packed(path).map_err(unreadable)?, ArchiveFormat::TarGz));
    }
    let name = path.to_string_lossy().to_ascii_lowercase();
    let format = match name.as_str() {
        name if name.ends_with(".zip") => ArchiveFormat::Zip,
        name if name.ends_with(".tar.gz") || name.ends_with(".tgz") => ArchiveFormat::TarGz,
        _ => {
            return Err(Fault::said(format!(
                "{shown} is neither a folder nor a .zip or .tar.gz file"
            )));
        }
    };
    Ok((File::open(path).map_err(unreadable)?, format))
}

/// A folder as a gzipped tar file that nobody else sees, and that is gone with its handle.
fn packed(folder: &Path) -> std::io::Result<File> {
    let mut to = tar::Builder::new(GzEncoder::new(tempfile::tempfile()?, Compression::fast()));
    to.follow_symlinks(false);
    let mut left = vec![folder.to_path_buf()];
    while let Some(at) = left.pop() {
        let mut entries = std::fs::read_dir(&at)?.collect::<Result<Vec<_>, _>>()?;
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let kind = entry.file_type()?;
            if entry.file_name() == ".git" {
                continue;
            }
            let path = entry.path();
            let name = path.strip_prefix(folder).map_err(std::io::Error::other)?;
            if kind.is_dir() {
                left.push(path.clone());
            }
            // Sockets and devices are no source.
            if kind.is_dir() || kind.is_file() || kind.is_symlink() {
                to.append_path_with_name(&path, name)?;
            }
        }
    }
    to.into_inner()?.finish()
}

fn sums(file: &mut File) -> std::io::Result<(u64, String)> {
    file.rewind()?;
    let (mut digest, mut length) = (Sha256::new(), 0);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((length, hex::encode(digest.finalize())));
        }
        length += read as u64;
        digest.update(&buffer[..read]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_folder_is_packed_with_its_dot_files_and_without_its_history() {
        let folder = tempfile::tempdir().expect("a folder");
        let write = |name: &str| {
            let path = folder.path().join(name);
            std::fs::create_dir_all(path.parent().expect("a parent")).expect("a folder");
            std::fs::write(path, name).expect("a file");
        };
        [
            "Dockerfile",
            ".dockerignore",
            "src/main.rs",
            ".git/config",
            "sub/.git/config",
        ]
        .iter()
        .for_each(|name| write(name));
        let (mut file, format) = opened(folder.path()).expect("packed");
        assert_eq!(format, ArchiveFormat::TarGz);
        file.rewind().expect("the beginning");
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(file));
        let names: BTreeSet<String> = archive
            .entries()
            .expect("entries")
            .map(|entry| {
                entry
                    .expect("an entry")
                    .path()
                    .expect("a path")
                    .display()
                    .to_string()
            })
            .collect();
        let names: Vec<_> = names
            .iter()
            .map(|name| name.trim_end_matches('/'))
            .collect();
        assert_eq!(
            names,
            [".dockerignore", "Dockerfile", "src", "src/main.rs", "sub"]
        );
    }

    #[test]
    fn a_file_that_is_no_archive_is_refused() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("app.rar");
        std::fs::write(&path, "x").expect("a file");
        assert!(opened(&path).is_err());
    }
}
