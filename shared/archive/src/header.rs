//! The headers of a tar archive.
//!
//! Promise: they follow from the entry alone, byte for byte. So an archive is checked by saying what must stand in it,
//! and nothing in it is ever believed.

use crate::{Entry, Kind, sparse};
use tar::{EntryType, Header};

/// Tar counts in blocks.
pub const BLOCK: usize = 512;
/// Two empty blocks end an archive.
pub const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];
/// The member of an incremental archive that lists what to remove before the rest is unpacked over an earlier tree:
/// paths, each ended by a NUL, as `xargs -0` reads them. It is the last one.
pub const DELETIONS: &str = ".triphammer-deletions";

/// The largest number in eleven octal digits.
const OCTAL_11: u64 = 0o77_777_777_777;
/// The largest number in seven octal digits.
const OCTAL_7: u64 = 0o7_777_777;
/// A name or link that fills its field needs no NUL.
const NAME_BYTES: usize = 100;

/// Zeros that fill the last block of so many bytes.
pub fn padding(size: u64) -> usize {
    (size.next_multiple_of(BLOCK as u64) - size) as usize
}

/// Bytes that follow the header, without what fills the last block.
pub fn stored(entry: &Entry) -> u64 {
    match &entry.kind {
        Kind::File(content) => match &content.data {
            None => content.size,
            Some(pieces) => {
                let data: u64 = pieces.iter().map(|(_, length)| length).sum();
                data + sparse::block(pieces, content.size).len() as u64
            }
        },
        _ => 0,
    }
}

/// Append all blocks before an entry's content; a map of holes counts as content.
pub fn write(entry: &Entry, into: &mut Vec<u8>) {
    let mut name = if entry.path.is_root() {
        b".".to_vec()
    } else {
        entry.path.as_bytes().to_vec()
    };
    let (mut kind, mut link) = (EntryType::Regular, &b""[..]);
    let mut more = Pax::default();
    match &entry.kind {
        Kind::Directory => {
            kind = EntryType::Directory;
            name.push(b'/');
        }
        Kind::Symlink(target) => (kind, link) = (EntryType::Symlink, target),
        Kind::Hardlink(target) => (kind, link) = (EntryType::Link, target.as_bytes()),
        Kind::File(content) => {
            if content.data.is_some() {
                more.text("GNU.sparse.major", "1");
                more.text("GNU.sparse.minor", "0");
                more.record("GNU.sparse.name", &name);
                more.text("GNU.sparse.realsize", &content.size.to_string());
                // What a program sees that does not know the format.
                let (directory, base) = entry.path.split().unwrap_or((b"", b""));
                name = [directory, b"GNUSparseFile.0", base].join(&b'/');
                if directory.is_empty() {
                    name.remove(0);
                }
            }
        }
    }
    if name.len() > NAME_BYTES {
        more.record("path", &name);
    }
    if link.len() > NAME_BYTES {
        more.record("linkpath", link);
    }
    let size = stored(entry);
    let seconds = u64::try_from(entry.mtime.seconds).unwrap_or(0);
    if entry.mtime.nanos > 0 || entry.mtime.seconds != seconds as i64 || seconds > OCTAL_11 {
        more.text("mtime", &entry.mtime.to_string());
    }
    for (key, value, limit) in [
        ("size", size, OCTAL_11),
        ("uid", entry.uid.into(), OCTAL_7),
        ("gid", entry.gid.into(), OCTAL_7),
    ] {
        if value > limit {
            more.text(key, &value.to_string());
        }
    }
    if !more.records.is_empty() {
        let length = more.records.len() as u64;
        put(into, EntryType::XHeader, b"././@PaxHeader", b"", |header| {
            header.set_mode(0o644);
            header.set_size(length);
        });
        into.extend_from_slice(&more.records);
        into.resize(into.len() + padding(length), 0);
    }
    put(into, kind, &name, link, |header| {
        header.set_mode(entry.mode);
        header.set_uid(u64::from(entry.uid).min(OCTAL_7));
        header.set_gid(u64::from(entry.gid).min(OCTAL_7));
        header.set_size(size.min(OCTAL_11));
        header.set_mtime(seconds.min(OCTAL_11));
        if let Some(ustar) = header.as_ustar_mut() {
            field(&mut ustar.uname, entry.user.as_bytes());
            field(&mut ustar.gname, entry.group.as_bytes());
        }
    });
}

/// Append the header of the list of deletions.
pub fn write_deletions(size: u64, into: &mut Vec<u8>) {
    put(
        into,
        EntryType::Regular,
        DELETIONS.as_bytes(),
        b"",
        |header| {
            header.set_mode(0o600);
            header.set_size(size);
        },
    );
}

fn put(
    into: &mut Vec<u8>,
    kind: EntryType,
    name: &[u8],
    link: &[u8],
    fill: impl FnOnce(&mut Header),
) {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    fill(&mut header);
    let old = header.as_old_mut();
    field(&mut old.name, name);
    field(&mut old.linkname, link);
    header.set_cksum();
    into.extend_from_slice(header.as_bytes());
}

/// As much as has room.
fn field(field: &mut [u8], value: &[u8]) {
    let length = value.len().min(field.len());
    field.fill(0);
    field[..length].copy_from_slice(&value[..length]);
}

/// Records of an extended header.
#[derive(Default)]
struct Pax {
    records: Vec<u8>,
    binary: bool,
}

impl Pax {
    fn text(&mut self, key: &str, value: &str) {
        self.record(key, value.as_bytes());
    }

    /// `<length> <key>=<value>\n`, where the length counts its own digits.
    fn record(&mut self, key: &str, value: &[u8]) {
        if !self.binary && std::str::from_utf8(value).is_err() {
            self.binary = true;
            self.text("hdrcharset", "BINARY");
        }
        let rest = key.len() + value.len() + 3;
        let mut length = rest + 1;
        while length != rest + length.to_string().len() {
            length = rest + length.to_string().len();
        }
        let records = &mut self.records;
        records.extend_from_slice(format!("{length} {key}=").as_bytes());
        records.extend_from_slice(value);
        records.push(b'\n');
    }
}
