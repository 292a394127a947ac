//! How a call fails: the protocol's error, and the few ways to make one.
//!
//! Promise: `message` says what a person can do; neither it nor `detail` holds a secret, a statement or a tool's raw output.

use protocol::text::bytes;
use protocol::{AgentError, AgentErrorKind};
use std::io;
use std::path::Path;

/// What every part of the agent returns.
pub type Result<T> = std::result::Result<T, AgentError>;

/// The most that `detail` carries, because the protocol says so.
const DETAIL_LIMIT_BYTES: usize = 4096;

/// ENOSPC and EDQUOT: no room on the device, or none left for this user.
const NO_ROOM: [i32; 2] = [28, 122];

fn fault(kind: AgentErrorKind, code: &str, message: impl Into<String>) -> AgentError {
    AgentError {
        kind,
        code: code.to_string(),
        message: message.into(),
        detail: String::new(),
    }
}

/// A repeat will not help.
pub fn refused(code: &str, message: impl Into<String>) -> AgentError {
    fault(AgentErrorKind::Refused, code, message)
}

/// Something is away for now.
pub fn unavailable(code: &str, message: impl Into<String>) -> AgentError {
    fault(AgentErrorKind::Unavailable, code, message)
}

/// Another call is at work.
pub fn busy(code: &str, message: impl Into<String>) -> AgentError {
    fault(AgentErrorKind::Busy, code, message)
}

/// The agent's own fault.
pub fn broken(code: &str, message: impl Into<String>) -> AgentError {
    fault(AgentErrorKind::Broken, code, message)
}

/// The request itself is wrong.
pub fn bad_request(message: impl Into<String>) -> AgentError {
    refused("bad_request", message)
}

/// `what` stands there already and is not this deployment's.
pub fn already_exists(what: &str) -> AgentError {
    refused(
        "already_exists",
        format!(
            "{what} exists already and was not made by this deployment. Choose another name, or remove it first."
        ),
    )
}

/// Something must be installed first.
pub fn missing_software(what: &str, how: &str) -> AgentError {
    refused(
        "missing_software",
        format!("This server lacks {what}. Install it: {how}"),
    )
}

/// Add to the cause that operators see.
pub fn with_detail(mut error: AgentError, detail: impl Into<String>) -> AgentError {
    error.detail = first_bytes(&detail.into(), DETAIL_LIMIT_BYTES);
    error
}

/// Is this error a full disk?
pub fn is_no_room(error: &io::Error) -> bool {
    error
        .raw_os_error()
        .is_some_and(|code| NO_ROOM.contains(&code))
}

/// There is no room where `path` is.
pub fn disk_full(path: &Path) -> AgentError {
    // What was to be written need not be there.
    let device =
        rustix::fs::statvfs(path).or_else(|_| rustix::fs::statvfs(path.parent().unwrap_or(path)));
    let free = device.map_or(0, |fs| fs.f_bavail * fs.f_frsize);
    refused(
        "disk_full",
        format!(
            "The disk has too little room for {}: {} are free. Make room, then try again.",
            path.display(),
            bytes(free)
        ),
    )
}

/// What an input or output error at `path` means.
pub fn io_at(path: &Path, error: &io::Error) -> AgentError {
    if is_no_room(error) {
        return disk_full(path);
    }
    with_detail(
        broken(
            "input_output",
            format!("Could not work on {}: {}.", path.display(), error.kind()),
        ),
        error.to_string(),
    )
}

/// At most `limit` bytes of `text`, cut between characters.
pub fn first_bytes(text: &str, limit: usize) -> String {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_named_with_its_path() {
        let error = io_at(Path::new("/home/shop"), &io::Error::from_raw_os_error(28));
        assert_eq!(
            (error.kind, error.code.as_str()),
            (AgentErrorKind::Refused, "disk_full")
        );
        assert!(error.message.contains("/home/shop"));
    }

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(first_bytes("aüb", 2), "a");
        assert_eq!(first_bytes("aüb", 9), "aüb");
    }
}
