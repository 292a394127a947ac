//! Caddy's admin address: a socket in the folder that systemd makes for the unit, which only root and Caddy enter.
//!
//! Promise: bounded in time and size. Of what Caddy answers only what it says of our own configuration is passed on.

use crate::fault::{Result, broken, refused, unavailable, with_detail};
use crate::paths::Paths;
use serde_json::Value;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A load sets up all routes and, the first time, an authority of Caddy's own: it takes a second on a slow host.
const ANSWERS_WITHIN: Duration = Duration::from_secs(30);
/// Some thousand routes.
const ANSWER_LIMIT_BYTES: u64 = 32 * 1024 * 1024;
/// Nobody answers.
pub const DOWN: &str = "proxy_down";
/// The only `Host` that the admin address answers to: no browser on this server would send it.
pub const ORIGIN: &str = "triphammer";

/// Where the socket is.
pub fn socket(paths: &Paths) -> PathBuf {
    paths.absolute("/run/triphammer-proxy/admin.sock")
}

/// Does anybody listen there?
pub fn is_there(paths: &Paths) -> bool {
    UnixStream::connect(socket(paths)).is_ok()
}

/// The configuration that runs; null when there is none.
pub fn running(paths: &Paths) -> Result<Value> {
    let (status, body) = ask(&socket(paths), "GET", "/config/", b"").map_err(down)?;
    match (status, serde_json::from_slice(&body)) {
        (200, Ok(value)) => Ok(value),
        _ => Err(with_detail(
            broken(
                "proxy_not_understood",
                "The proxy did not say what it runs.",
            ),
            format!("status {status}"),
        )),
    }
}

/// Run this configuration. When Caddy does not take it, it goes on with the one before.
pub fn load(paths: &Paths, configuration: &[u8]) -> Result<()> {
    let (status, body) = ask(&socket(paths), "POST", "/load", configuration).map_err(down)?;
    if status == 200 {
        return Ok(());
    }
    // It speaks of our configuration, in which nothing is secret.
    let said = String::from_utf8_lossy(&body).into_owned();
    let error = if said.contains("address already in use") {
        refused(
            "port_taken",
            "Another program holds port 80 or 443 of this server. Run check_server: it names the program and what to do.",
        )
    } else {
        broken(
            "proxy_refused",
            "The proxy does not take its configuration; it goes on with the one before.",
        )
    };
    Err(with_detail(error, said))
}

fn down(error: io::Error) -> protocol::AgentError {
    with_detail(
        unavailable(
            DOWN,
            "The proxy on this server does not answer. Look at it: systemctl status triphammer-proxy.",
        ),
        error.to_string(),
    )
}

/// HTTP/1.0: the answer ends with the connection, and comes in one piece.
fn ask(socket: &Path, method: &str, path: &str, body: &[u8]) -> io::Result<(u16, Vec<u8>)> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(ANSWERS_WITHIN))?;
    stream.set_write_timeout(Some(ANSWERS_WITHIN))?;
    let head = format!(
        "{method} {path} HTTP/1.0\r\nHost: {ORIGIN}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(body)?;
    let mut answer = Vec::new();
    stream.take(ANSWER_LIMIT_BYTES).read_to_end(&mut answer)?;
    parse(&answer).ok_or_else(|| io::Error::new(io::ErrorKind::UnexpectedEof, "no whole answer"))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    const BREAK: &[u8] = b"\r\n\r\n";
    let end = answer.windows(BREAK.len()).position(|at| at == BREAK)?;
    let head = std::str::from_utf8(&answer[..end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[end + BREAK.len()..].to_vec()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_taken_apart_and_half_of_one_is_none() {
        assert_eq!(
            parse(b"HTTP/1.0 400 Bad Request\r\nA: b\r\n\r\n{}"),
            Some((400, b"{}".to_vec()))
        );
        assert_eq!(parse(b"HTTP/1.0 200 OK\r\nA: b\r\n"), None);
        assert_eq!(parse(b""), None);
    }

    #[test]
    fn a_proxy_that_is_away_is_told_so() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let error = running(&Paths::under(root.path())).expect_err("nobody there");
        assert_eq!(error.code, "proxy_down");
    }
}
