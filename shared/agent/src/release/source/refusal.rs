//! What Git's complaint about a repository means.
//!
//! Promise: Git has prose and no codes for this, and a server's own words are among it. They decide the kind only; none of
//! them is passed on.

use super::address::{Address, Way};
use super::hosts;
use crate::fault::{disk_full, refused, unavailable};
use crate::paths::Paths;
use protocol::AgentError;

/// What went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// Another key than the pinned one.
    HostKey,
    /// No certificate that counts.
    Certificate,
    /// No token or key, or one that does not count.
    Denied,
    /// There is none.
    NotFound,
    /// No room here.
    NoRoom,
    /// It does not answer, or broke off.
    Away,
}

/// The first that is met counts.
const WORDS: [(&str, Trouble); 24] = [
    ("no space left on device", Trouble::NoRoom),
    ("host key verification failed", Trouble::HostKey),
    ("remote host identification has changed", Trouble::HostKey),
    ("certificate problem", Trouble::Certificate),
    ("certificate verification failed", Trouble::Certificate),
    ("could not read username", Trouble::Denied),
    ("could not read password", Trouble::Denied),
    ("authentication failed", Trouble::Denied),
    ("permission denied (", Trouble::Denied),
    ("invalid format", Trouble::Denied),
    ("error in libcrypto", Trouble::Denied),
    ("access denied", Trouble::Denied),
    ("requested url returned error: 401", Trouble::Denied),
    ("requested url returned error: 403", Trouble::Denied),
    ("requested url returned error: 404", Trouble::NotFound),
    ("requested url returned error: 410", Trouble::NotFound),
    ("requested url returned error:", Trouble::Away),
    ("could not resolve host", Trouble::Away),
    ("connection timed out", Trouble::Away),
    ("repository not found", Trouble::NotFound),
    ("does not appear to be a git repository", Trouble::NotFound),
    ("' not found", Trouble::NotFound),
    ("not valid: is this a git repository", Trouble::NotFound),
    ("not a git repository", Trouble::NotFound),
];

/// The kind of it; what is none of the known kinds is a server that is away.
pub fn trouble(said: &str) -> Trouble {
    let said = said.to_ascii_lowercase();
    let met = WORDS.iter().find(|(words, _)| said.contains(words));
    met.map_or(Trouble::Away, |(_, trouble)| *trouble)
}

/// As an error about this repository.
pub fn fault(paths: &Paths, address: &Address, has_credential: bool, said: &str) -> AgentError {
    let (url, host) = (&address.url, &address.host);
    match trouble(said) {
        Trouble::HostKey => refused(
            "host_key_changed",
            format!(
                "The host {host} shows another key than the one it was first reached with. If that is right, remove its line from {} on this server.",
                hosts::file(paths).display()
            ),
        ),
        Trouble::Certificate => refused(
            "repository_untrusted",
            format!(
                "This server does not trust the certificate of {host}. Give {host} a valid one, or add its authority to this server."
            ),
        ),
        Trouble::Denied => refused("repository_denied", denied(address, has_credential)),
        Trouble::NotFound => refused(
            "repository_not_found",
            format!(
                "There is no repository {url}, or this token or key may not see it. Check its address."
            ),
        ),
        Trouble::NoRoom => disk_full(&paths.sources()),
        Trouble::Away => unavailable(
            "repository_away",
            format!("The host {host} does not answer this server now, or broke off."),
        ),
    }
}

fn denied(address: &Address, has_credential: bool) -> String {
    let url = &address.url;
    match (address.way, has_credential) {
        (Way::Ssh, true) => format!(
            "The deploy key does not open {url}. Add its public half there, and check that the key is whole and has no passphrase."
        ),
        (Way::Ssh, false) => format!("The repository {url} needs a deploy key. Add one."),
        (_, true) => format!(
            "The token does not open {url}. It may be wrong, expired, or not for this repository."
        ),
        (_, false) => format!(
            "The repository {url} is private, or is not there. Add a token, or check its address."
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Words of Git 2.39 and OpenSSH 9.2.
    #[test]
    fn each_refusal_of_a_repository_is_told_apart() {
        for (said, expected) in [
            (
                "fatal: could not read Username for 'http://git.test': terminal prompts disabled",
                Trouble::Denied,
            ),
            (
                "fatal: Authentication failed for 'http://git.test/priv/a.git/'",
                Trouble::Denied,
            ),
            (
                "git@git.test: Permission denied (publickey).\r\nfatal: Could not read from remote repository.",
                Trouble::Denied,
            ),
            (
                "Load key \"/k\": error in libcrypto\r\ngit@git.test: Permission denied (publickey).",
                Trouble::Denied,
            ),
            (
                "fatal: repository 'http://git.test/pub/nope.git/' not found",
                Trouble::NotFound,
            ),
            (
                "fatal: '/srv/git/nope.git' does not appear to be a git repository",
                Trouble::NotFound,
            ),
            (
                "ERROR: Repository not found.\nfatal: Could not read from remote repository.",
                Trouble::NotFound,
            ),
            (
                "fatal: unable to access 'http://x.test/': Could not resolve host: x.test",
                Trouble::Away,
            ),
            (
                "fatal: unable to access 'http://x.test/': The requested URL returned error: 502",
                Trouble::Away,
            ),
            (
                "error: RPC failed; curl 18 transfer closed\nfatal: early EOF",
                Trouble::Away,
            ),
            (
                "ssh: connect to host git.test port 22: Connection refused",
                Trouble::Away,
            ),
            (
                "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                Trouble::HostKey,
            ),
            (
                "fatal: unable to access 'https://x.test/': server certificate verification failed.",
                Trouble::Certificate,
            ),
            (
                "fatal: write error: No space left on device",
                Trouble::NoRoom,
            ),
        ] {
            assert_eq!(trouble(said), expected, "{said}");
        }
    }
}
