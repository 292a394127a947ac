//! Fetching a WordPress archive: the host's PHP reads it, the tree's worker unpacks it, both as the site's user.
//!
//! Promise: the bytes pass through here to be counted and summed; a wrong sum throws the incoming tree away before it is visible.

use crate::accounts::User;
use crate::fault::{Result, broken, refused, unavailable};
use crate::run;
use crate::tree::{self, Job};
use crate::web::fpm;
use sha2::{Digest, Sha256};
use std::io::{Read, Write};
use std::process::Stdio;

/// WordPress is 30 MB packed; an archive with every language stays below this.
const ARCHIVE_LIMIT_BYTES: u64 = 1024 * 1024 * 1024;

/// Fetches with PHP's own streams, so that a proxy or certificates of the host count. Says only a code on stderr.
const FETCH: &str = include_str!("fetch.php");

/// Make the incoming tree from the archive at `url`.
pub fn fetch(user: &User, php: &str, home: &str, url: &str, sha256: Option<&str>) -> Result<()> {
    let mut reader = run::command(&fpm::cli(php)?, user.rights());
    reader.args([
        "-d",
        "allow_url_fopen=1",
        "-d",
        "display_errors=0",
        "-d",
        "log_errors=0",
        "-r",
        FETCH.trim_start_matches("<?php"),
    ]);
    let mut reader = run::start(reader.stdin(Stdio::piped()))?;
    let job = Job::Unpack {
        home: home.to_string(),
    };
    let mut worker = run::start(tree::command(user).stdin(Stdio::piped()))?;
    let (Some(mut to_reader), Some(mut from_reader), Some(mut to_worker)) = (
        reader.stdin.take(),
        reader.stdout.take(),
        worker.stdin.take(),
    ) else {
        return Err(broken(
            "program_lost",
            "A program was started without its pipes.",
        ));
    };
    let request = serde_json::json!({ "url": url }).to_string();
    // An early end of either program shows in how it ended.
    let _ = to_reader.write_all(request.as_bytes());
    drop(to_reader);
    let mut sum = Sha256::new();
    let mut pumped = to_worker.write_all(&tree::line(&job)?).is_ok();
    let mut bytes = 0;
    let mut buffer = vec![0; 128 * 1024];
    while pumped {
        let read = match from_reader.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        bytes += read as u64;
        sum.update(&buffer[..read]);
        pumped = bytes <= ARCHIVE_LIMIT_BYTES && to_worker.write_all(&buffer[..read]).is_ok();
    }
    drop((to_worker, from_reader));
    let (fetched, unpacked) = (run::finish(reader)?, run::finish(worker)?);
    if pumped && !fetched.ok {
        return Err(not_fetched(fetched.errors.trim()));
    }
    tree::understand(home, &unpacked)?;
    let found = hex::encode(sum.finalize());
    if let Some(wanted) = sha256
        && !wanted.eq_ignore_ascii_case(&found)
    {
        tree::ask(
            user,
            &Job::Discard {
                home: home.to_string(),
            },
        )?;
        return Err(refused(
            "checksum_differs",
            "The WordPress archive is not the expected one: its SHA-256 differs. Check the address and the checksum.",
        ));
    }
    Ok(())
}

fn not_fetched(said: &str) -> protocol::AgentError {
    let status = said
        .strip_prefix("status ")
        .and_then(|code| code.parse::<u16>().ok());
    match status {
        Some(status @ (429 | 500..)) => unavailable(
            "fetch_failed",
            format!("The WordPress archive's server answered {status}."),
        ),
        Some(status) => refused(
            "fetch_failed",
            format!("The WordPress archive's server answered {status}. Check the address."),
        ),
        None if said == "cut" => {
            unavailable("fetch_failed", "The WordPress archive's server broke off.")
        }
        None => unavailable(
            "fetch_failed",
            "The WordPress archive's server was not reached from this server.",
        ),
    }
}
