//! Any tree comes back as it was, and no bytes whatever make the manifest's reader panic.
mod kit;

use archive::manifest::{Limits, Reader};
use bolero::{TypeGenerator, check};
use kit::*;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// One change of a tree.
#[derive(Debug, TypeGenerator)]
enum Act {
    File(Name, u16, bool),
    Directory(Name),
    Symlink(Name, Name),
    Hardlink(Name, Name),
    Remove(Name),
    Rename(Name, Name),
    Mode(Name, u16),
    Stamp(Name, i32, u32),
}

/// Few names, so that acts meet; the bytes make some of them odd.
#[derive(Debug, TypeGenerator)]
struct Name {
    depth: bool,
    first: u8,
    odd: Option<u8>,
}

impl Name {
    fn path(&self, root: &Path) -> PathBuf {
        let mut name = vec![b'a' + self.first % 4];
        name.extend(self.odd.filter(|byte| !matches!(byte, 0 | b'/')));
        let name = OsStr::from_bytes(&name).to_os_string();
        if self.depth {
            root.join(OsStr::from_bytes(&[b'a' + self.first / 4 % 4]))
                .join(name)
        } else {
            root.join(name)
        }
    }
}

/// What is not possible does nothing.
fn act(root: &Path, act: &Act) {
    let _ = match act {
        Act::File(name, size, dense) => {
            let size = usize::from(*size);
            let content = if *dense {
                noise(size, 1)
            } else {
                vec![b'x'; size]
            };
            let path = name.path(root);
            let _ = path.parent().map(fs::create_dir_all);
            fs::write(path, content)
        }
        Act::Directory(name) => fs::create_dir_all(name.path(root)),
        Act::Symlink(name, to) => symlink(to.path(Path::new("")), name.path(root)),
        Act::Hardlink(name, to) => fs::hard_link(to.path(root), name.path(root)),
        Act::Remove(name) => {
            let path = name.path(root);
            fs::remove_file(&path).or_else(|_| fs::remove_dir_all(path))
        }
        Act::Rename(name, to) => fs::rename(name.path(root), to.path(root)),
        Act::Mode(name, mode) => {
            let path = name.path(root);
            let mode = fs::Permissions::from_mode(u32::from(*mode) & 0o7077 | 0o700);
            match fs::symlink_metadata(&path) {
                Ok(meta) if !meta.is_symlink() => fs::set_permissions(path, mode),
                _ => Ok(()),
            }
        }
        Act::Stamp(name, seconds, nanos) => {
            let path = name.path(root);
            if fs::symlink_metadata(&path).is_ok() {
                stamp(&path, i64::from(*seconds), i64::from(nanos % 1_000_000_000));
            }
            Ok(())
        }
    };
}

#[test]
fn any_chain_of_changes_gives_the_last_tree() {
    check!()
        .with_iterations(60)
        .with_type::<Vec<Vec<Act>>>()
        .for_each(|rounds| {
            let tree = temporary();
            let mut chain: Vec<Made> = Vec::new();
            for acts in rounds.iter().take(4) {
                acts.iter().for_each(|one| act(tree.path(), one));
                let made = match chain.last() {
                    None => full(tree.path()),
                    Some(before) => next(tree.path(), before),
                };
                verified(&made).expect("whole");
                chain.push(made);
            }
            if !chain.is_empty() {
                let all: Vec<&Made> = chain.iter().collect();
                let back = restored(&all).expect("restored");
                assert_same(tree.path(), back.path());
            }
        });
}

#[test]
fn no_bytes_make_the_reader_of_manifests_panic() {
    let tree = temporary();
    strange(tree.path());
    let lines = zstd::decode_all(&full(tree.path()).manifest[..]).expect("unpacked");
    check!()
        .with_iterations(3000)
        .with_type::<(Vec<(u32, u8)>, Vec<u8>, bool)>()
        .for_each(|(changes, bytes, raw)| {
            let manifest = if *raw {
                bytes.clone()
            } else {
                let mut lines = lines.clone();
                for (at, byte) in changes {
                    let at = *at as usize % lines.len();
                    lines[at] = *byte;
                }
                zstd::encode_all(&lines[..], 1).expect("packed")
            };
            let _ = Reader::new(&manifest[..], Limits::default()).and_then(Reader::finish);
        });
}
