//! Requests all the time, from a process of their own: the binary `load` of the end-to-end tests.
//!
//! Promise: it ends with its guard, also when that is dropped without a word.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A process that asks for pages of a host.
pub struct Load {
    child: Child,
}

/// What it has seen.
#[derive(Debug, Deserialize)]
pub struct Seen {
    /// Requests, with those that were sent again.
    pub asked: u64,
    /// Sent again on a new connection, because the kept one was closed.
    pub again: u64,
    /// The first of the reasons of those that failed.
    pub failed: Vec<String>,
}

impl Load {
    /// Ask this address for this host's pages.
    pub fn begin(program: &Path, address: &str, host: &str) -> Result<Self> {
        let child = Command::new(program)
            .args([address, host])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn();
        let child = child.with_context(|| format!("{} did not start", program.display()))?;
        Ok(Self { child })
    }

    /// End it.
    pub fn stop(mut self) -> Result<Seen> {
        // The end of its input is its end.
        drop(self.child.stdin.take());
        let done = self.child.wait_with_output()?;
        serde_json::from_slice(&done.stdout).context("the load has made no report")
    }
}
