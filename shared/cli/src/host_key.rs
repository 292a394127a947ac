//! A person's word on a server's host key.
//!
//! Promise: no key is accepted that nobody was shown; `--yes` says aloud what it accepted.

use crate::ending::Fault;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::bold;
use contract::{HostKeyConfirm, ServerView};
use domain::HostKey;

/// Before anything is begun that will ask: can it be asked?
pub fn can_be_answered(invocation: &Invocation) -> Result<(), Fault> {
    if invocation.yes || invocation.dry_run || invocation.output.can_ask() {
        return Ok(());
    }
    Err(Fault::said(
        "the server's host key must be confirmed, and there is no terminal to ask on: \
         pass --host-key SHA256:… (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub on the server shows it), \
         or --yes to accept the key that is seen first",
    ))
}

/// Ask about the key that was seen, and tell the API when the answer is yes.
pub async fn confirm(
    invocation: &Invocation,
    server: &ServerView,
    seen: &HostKey,
) -> Result<bool, Fault> {
    let (algorithm, fingerprint) = (plain(&seen.algorithm), plain(&seen.fingerprint));
    let output = &invocation.output;
    if invocation.yes {
        output.note(format!(
            "accepted {}'s host key on first use, nobody compared it: {algorithm} {fingerprint}",
            plain(&server.name)
        ));
    } else {
        output.note(format!(
            "\n{} ({} port {}) shows this host key:\n\n    {algorithm} {}\n\nCompare with, on the server: ssh-keygen -lf {}",
            plain(&server.name),
            plain(&server.host),
            server.port,
            bold(&fingerprint),
            file(&seen.algorithm)
        ));
        if !invocation.sure("Is this the server's host key?").await? {
            return Ok(false);
        }
    }
    let yes = HostKeyConfirm {
        fingerprint: seen.fingerprint.clone(),
    };
    invocation.client.server_confirm(server.id, &yes).await?;
    Ok(true)
}

/// Where sshd keeps the public half of such a key.
fn file(algorithm: &str) -> &'static str {
    match algorithm {
        rsa if rsa.contains("rsa") => "/etc/ssh/ssh_host_rsa_key.pub",
        ecdsa if ecdsa.starts_with("ecdsa") => "/etc/ssh/ssh_host_ecdsa_key.pub",
        _ => "/etc/ssh/ssh_host_ed25519_key.pub",
    }
}
