//! The lines of a manifest as JSON.
//!
//! Promise: an entry becomes a line and the line becomes the same entry; a line that says too much, too little or
//! something unclean is refused.

use super::{Deletions, FORMAT, Head, Tail, VERSION};
use crate::error::{Error, Result};
use crate::{Content, Entry, Kind, Time, TreePath, sparse};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// Names of users and groups are shorter.
const NAME_LIMIT_BYTES: usize = 255;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct First {
    format: String,
    version: u32,
    link: u32,
    at: i64,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    exclude: Vec<String>,
}

#[derive(Deserialize)]
struct AnyVersion {
    format: String,
    version: u32,
}

#[derive(Serialize, Deserialize, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Sort {
    Directory,
    File,
    Symlink,
    Hardlink,
}

/// `path64` and `target64` stand for bytes that are not UTF-8. The root's path is `.`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    path64: Option<String>,
    kind: Sort,
    mode: String,
    uid: u32,
    gid: u32,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    user: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    group: String,
    mtime: String,
    ctime: String,
    inode: u64,
    device: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    data: Option<Vec<(u64, u64)>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target64: Option<String>,
    from: u32,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    unsettled: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Last {
    end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    entries: u64,
    tree_bytes: u64,
    archived: u64,
    archived_bytes: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    parent: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletions_size: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deletions_sha256: Option<String>,
}

pub enum Line {
    Entry(Box<Entry>),
    /// Its `id` is not known yet.
    Tail(Tail),
}

pub fn bad(why: impl ToString) -> Error {
    Error::Manifest(why.to_string())
}

pub fn write_head(head: &Head, into: &mut Vec<u8>) -> Result<()> {
    write(
        &First {
            format: FORMAT.into(),
            version: VERSION,
            link: head.link,
            at: head.at_seconds,
            exclude: head.exclude.clone(),
        },
        into,
    )
}

pub fn write_entry(entry: &Entry, into: &mut Vec<u8>) -> Result<()> {
    let path: &[u8] = if entry.path.is_root() {
        b"."
    } else {
        entry.path.as_bytes()
    };
    let (path, path64) = text(path);
    let (mut target, mut target64, mut size, mut sha256, mut data) = (None, None, None, None, None);
    let kind = match &entry.kind {
        Kind::Directory => Sort::Directory,
        Kind::File(content) => {
            size = Some(content.size);
            sha256 = Some(hex::encode(content.sha256));
            data = content.data.clone();
            Sort::File
        }
        Kind::Symlink(to) => {
            (target, target64) = text(to);
            Sort::Symlink
        }
        Kind::Hardlink(to) => {
            (target, target64) = text(to.as_bytes());
            Sort::Hardlink
        }
    };
    let row = Row {
        path,
        path64,
        kind,
        mode: format!("{:o}", entry.mode),
        uid: entry.uid,
        gid: entry.gid,
        user: entry.user.clone(),
        group: entry.group.clone(),
        mtime: entry.mtime.to_string(),
        ctime: entry.ctime.to_string(),
        inode: entry.inode,
        device: entry.device,
        size,
        sha256,
        data,
        target,
        target64,
        from: entry.from,
        unsettled: entry.unsettled,
    };
    write(&row, into)
}

pub fn write_tail(tail: &Tail, into: &mut Vec<u8>) -> Result<()> {
    let deletions = tail.deletions.as_ref();
    let end = End {
        entries: tail.entries,
        tree_bytes: tail.tree_bytes,
        archived: tail.archived,
        archived_bytes: tail.archived_bytes,
        parent: tail.parent.map(hex::encode),
        deletions_size: deletions.map(|list| list.size),
        deletions_sha256: deletions.map(|list| hex::encode(list.sha256)),
    };
    write(&Last { end }, into)
}

fn write(value: &impl Serialize, into: &mut Vec<u8>) -> Result<()> {
    serde_json::to_writer(&mut *into, value).map_err(bad)?;
    into.push(b'\n');
    Ok(())
}

pub fn read_head(line: &[u8]) -> Result<Head> {
    let any: AnyVersion =
        serde_json::from_slice(line).map_err(|_| bad("its first line is not a manifest's"))?;
    if any.format != FORMAT {
        return Err(bad("it is of another format"));
    }
    if any.version != VERSION {
        return Err(Error::Version(any.version));
    }
    let first: First = serde_json::from_slice(line).map_err(bad)?;
    Ok(Head {
        link: first.link,
        at_seconds: first.at,
        exclude: first.exclude,
    })
}

pub fn read_line(line: &[u8]) -> Result<Line> {
    if line.starts_with(b"{\"end\":") {
        let Last { end } = serde_json::from_slice(line).map_err(bad)?;
        let deletions = match (end.deletions_size, end.deletions_sha256) {
            (None, None) => None,
            (Some(size), Some(sha256)) => Some(Deletions {
                size,
                sha256: sum(&sha256)?,
            }),
            _ => return Err(bad("its last line says half of its deletions")),
        };
        return Ok(Line::Tail(Tail {
            entries: end.entries,
            tree_bytes: end.tree_bytes,
            archived: end.archived,
            archived_bytes: end.archived_bytes,
            parent: end.parent.as_deref().map(sum).transpose()?,
            deletions,
            id: [0; 32],
        }));
    }
    let row: Row = serde_json::from_slice(line).map_err(bad)?;
    entry(row).map(|entry| Line::Entry(Box::new(entry)))
}

fn entry(row: Row) -> Result<Entry> {
    let path = bytes(row.path, row.path64)?.ok_or_else(|| bad("an entry has no path"))?;
    let path = match path.as_slice() {
        b"." => Some(TreePath::root()),
        b"" => None,
        _ => TreePath::new(path),
    };
    let path = path.ok_or_else(|| bad("a path leads out of the tree"))?;
    let target = bytes(row.target, row.target64)?;
    let kind = match (row.kind, row.size, row.sha256, target) {
        (Sort::Directory, None, None, None) => Kind::Directory,
        (Sort::File, Some(size), Some(sha256), None) => {
            if let Some(data) = &row.data {
                sparse::check(data, size)?;
            }
            Kind::File(Content {
                size,
                sha256: sum(&sha256)?,
                data: row.data.clone(),
            })
        }
        (Sort::Symlink, None, None, Some(to))
            if !to.is_empty() && to.len() < 4096 && !to.contains(&0) =>
        {
            Kind::Symlink(to)
        }
        (Sort::Hardlink, None, None, Some(to)) => match TreePath::new(to) {
            Some(to) if !to.is_root() && to < path => Kind::Hardlink(to),
            _ => return Err(bad(format!("{path} links to what is not before it"))),
        },
        _ => return Err(bad(format!("{path} is not described as its kind is"))),
    };
    if row.data.is_some() && !matches!(kind, Kind::File(_)) {
        return Err(bad(format!("{path} is no file and has holes")));
    }
    let mode = u32::from_str_radix(&row.mode, 8).ok();
    let mode = mode.filter(|mode| *mode <= 0o7777 && format!("{mode:o}") == row.mode);
    let clean = |name: &str| name.len() <= NAME_LIMIT_BYTES && !name.contains(['\0', '\n']);
    if !clean(&row.user) || !clean(&row.group) {
        return Err(bad(format!("{path} has an unclean owner")));
    }
    Ok(Entry {
        kind,
        mode: mode.ok_or_else(|| bad(format!("{path} has no valid mode")))?,
        uid: row.uid,
        gid: row.gid,
        user: row.user,
        group: row.group,
        mtime: Time::parse(&row.mtime).ok_or_else(|| bad(format!("{path} has no valid time")))?,
        ctime: Time::parse(&row.ctime).ok_or_else(|| bad(format!("{path} has no valid time")))?,
        inode: row.inode,
        device: row.device,
        from: row.from,
        unsettled: row.unsettled,
        path,
    })
}

fn text(bytes: &[u8]) -> (Option<String>, Option<String>) {
    match std::str::from_utf8(bytes) {
        Ok(text) => (Some(text.to_string()), None),
        Err(_) => (None, Some(STANDARD.encode(bytes))),
    }
}

fn bytes(plain: Option<String>, base64: Option<String>) -> Result<Option<Vec<u8>>> {
    match (plain, base64) {
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(text)) => STANDARD.decode(text).map(Some).map_err(bad),
        (None, None) => Ok(None),
        _ => Err(bad("a name is said twice")),
    }
}

fn sum(text: &str) -> Result<[u8; 32]> {
    let mut sum = [0; 32];
    hex::decode_to_slice(text, &mut sum).map_err(|_| bad("a checksum is not one"))?;
    Ok(sum)
}
