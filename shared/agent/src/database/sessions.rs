//! Connections that an agent left behind when it was killed: the server works on at their statement, maybe for long.
//!
//! Promise: before a restore goes on or back, nothing of an earlier attempt is at work in the server.

use super::journal::Beside;
use super::server::{Server, quoted};
use crate::fault::{Result, busy};
use std::thread;
use std::time::{Duration, Instant};

/// A statement that is ended undoes what it did so far, and its largest one is a megabyte of rows.
const GONE_WITHIN: Duration = Duration::from_secs(30);
/// Looking costs the server nothing.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// End them.
pub fn end(server: &Server, beside: &Beside) -> Result<()> {
    let until = Instant::now() + GONE_WITHIN;
    // All the names beside the database end in the same letters.
    let (_, suffix) = beside.loader.rsplit_once('_').unwrap_or_default();
    let list = format!(
        "SELECT id FROM information_schema.processlist WHERE id <> CONNECTION_ID() \
         AND (user = '{}' OR info LIKE '%\\_{suffix}%');",
        beside.loader
    );
    loop {
        let rest = server.texts(&list)?;
        if rest.is_empty() {
            return Ok(());
        }
        for id in rest
            .into_iter()
            .flatten()
            .filter(|id| id.bytes().all(|b| b.is_ascii_digit()))
        {
            // Gone by itself meanwhile is what was wanted.
            let _ = server.sql(&format!("KILL {id};"));
        }
        if Instant::now() >= until {
            return Err(busy(
                "database_busy",
                "The database server still works on an earlier attempt. Try again soon.",
            ));
        }
        thread::sleep(LOOK_AGAIN);
    }
}

/// Drop the account that loads.
pub fn drop_loader(server: &Server, beside: &Beside) -> Result<()> {
    let loader = quoted(&beside.loader);
    server.run(
        None,
        format!("DROP USER IF EXISTS {loader}@`localhost`;\n").as_bytes(),
    )
}
