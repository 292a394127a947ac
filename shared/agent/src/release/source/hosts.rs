//! Keys of hosts that Git reached by ssh: pinned at first sight, in a file of the agent's.
//!
//! Promise: a host whose key is pinned is never reached with another one, whatever its kind.

use super::address::Address;
use crate::fault::Result;
use crate::files;
use crate::lease;
use crate::paths::Paths;
use std::path::PathBuf;
use std::time::Duration;

/// Writing a line takes no time.
const LOCK_WITHIN: Duration = Duration::from_secs(10);
/// A host shows one key of each kind, and there are few kinds.
const KEYS_LIMIT: usize = 8;
/// The longest RSA key anybody has.
const KEY_LIMIT_BYTES: usize = 4096;

/// Where they are kept, for people to read.
pub fn file(paths: &Paths) -> PathBuf {
    paths.state().join("known_hosts")
}

/// What is pinned of a host; empty at first sight.
pub fn pinned(paths: &Paths, address: &Address) -> Result<String> {
    let text = files::read(&file(paths))?.unwrap_or_default();
    Ok(lines(&text, address))
}

/// Pin what ssh noted, unless something is pinned already. It was written by the user Git runs as: only keys of this very
/// host are taken from it.
pub fn pin(paths: &Paths, address: &Address, noted: &str) -> Result<()> {
    let new = lines(noted, address);
    if new.is_empty() {
        return Ok(());
    }
    let _locked = lease::lock(&paths.state().join("known_hosts.lock"), LOCK_WITHIN)?;
    let file = file(paths);
    let text = files::read(&file)?.unwrap_or_default();
    if !lines(&text, address).is_empty() {
        return Ok(());
    }
    files::write(&file, format!("{text}{new}").as_bytes(), 0o600)
}

/// The whole lines of this host: its name, a kind, a key, and nothing else.
fn lines(text: &str, address: &Address) -> String {
    let name = address.known_as();
    let is_word = |word: &str| {
        (1..=KEY_LIMIT_BYTES).contains(&word.len())
            && word
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"-@.+/=".contains(&b))
    };
    text.lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            let (host, kind, key) = (words.next()?, words.next()?, words.next()?);
            let ok = host == name && is_word(kind) && is_word(key) && words.next().is_none();
            ok.then(|| format!("{host} {kind} {key}\n"))
        })
        .take(KEYS_LIMIT)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_key_of_a_host_stays() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        files::directory(&paths.state(), 0o700).expect("made");
        let git = Address::parse("git@git.test:a").expect("an address");
        let other = Address::parse("ssh://git@git.test:2222/a").expect("an address");
        let noted = "git.test ssh-ed25519 AAAA\nevil.test ssh-ed25519 BBBB\n@cert-authority * ssh-rsa CCCC\n* ssh-rsa DDDD\n";
        pin(&paths, &git, noted).expect("pinned");
        pin(&paths, &git, "git.test ssh-rsa EEEE\n").expect("left");
        pin(&paths, &other, "[git.test]:2222 ssh-rsa FFFF\n").expect("pinned");
        assert_eq!(
            pinned(&paths, &git).expect("read"),
            "git.test ssh-ed25519 AAAA\n"
        );
        assert_eq!(
            files::read(&file(&paths)).expect("read").as_deref(),
            Some("git.test ssh-ed25519 AAAA\n[git.test]:2222 ssh-rsa FFFF\n")
        );
    }
}
