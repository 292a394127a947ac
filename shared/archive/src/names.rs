//! Names of users and groups.
//!
//! Promise: read from `/etc/passwd` and `/etc/group` themselves, since a static program has no name service. An id
//! that stands in neither has no name, and that is no error.

use std::collections::HashMap;
use std::fs;

/// All names of this host.
#[derive(Default)]
pub struct Names {
    users: HashMap<u32, String>,
    groups: HashMap<u32, String>,
}

impl Names {
    /// As they are now.
    pub fn load() -> Self {
        let read = |path| fs::read(path).map(|text| parse(&text)).unwrap_or_default();
        Self {
            users: read("/etc/passwd"),
            groups: read("/etc/group"),
        }
    }

    /// Empty when it has none.
    pub fn user(&self, uid: u32) -> String {
        self.users.get(&uid).cloned().unwrap_or_default()
    }

    /// Empty when it has none.
    pub fn group(&self, gid: u32) -> String {
        self.groups.get(&gid).cloned().unwrap_or_default()
    }
}

/// `name:password:id:…`; the first line of an id counts. Names that tar's header has no room for are left out.
fn parse(text: &[u8]) -> HashMap<u32, String> {
    let mut names = HashMap::new();
    for line in text.split(|byte| *byte == b'\n') {
        let Ok(line) = std::str::from_utf8(line) else {
            continue;
        };
        let mut parts = line.split(':');
        let (Some(name), Some(_), Some(id)) = (parts.next(), parts.next(), parts.next()) else {
            continue;
        };
        if let Ok(id) = id.parse()
            && !name.is_empty()
            && name.len() < 32
            && name.is_ascii()
        {
            names.entry(id).or_insert_with(|| name.to_string());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_name_of_an_id_counts_and_nonsense_is_left_out() {
        let names =
            parse(b"root:x:0:0::/root:\ntoor:x:0:0::\n+::::\n\nweb:x:33:33:\nb\xff:x:5:5:\n");
        assert_eq!(names.get(&0).map(String::as_str), Some("root"));
        assert_eq!(names.get(&33).map(String::as_str), Some("web"));
        assert_eq!(names.len(), 2);
    }
}
