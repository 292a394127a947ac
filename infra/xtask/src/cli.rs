//! The command line, as a person would use it.
//!
//! Promise: a command that does not end well is an error that names it.

use crate::build::cli_binary;
use crate::up::Up;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::process::Command;

/// Run a command; what it prints is seen.
pub fn run(up: &Up, arguments: &[&str]) -> Result<()> {
    eprintln!("\n$ triphammer {}", arguments.join(" "));
    let status = Command::new(cli_binary())
        .args(arguments)
        .env("TRIPHAMMER_CONFIG", &up.cli_config)
        .status()?;
    if !status.success() {
        bail!(
            "triphammer {} ended with {status}; the local stack's log is {}",
            arguments.join(" "),
            up.cli_config.with_file_name("ministack.log").display()
        );
    }
    Ok(())
}

/// What a command answers as JSON.
pub fn ask(up: &Up, arguments: &[&str]) -> Result<Value> {
    let output = Command::new(cli_binary())
        .args(arguments)
        .arg("--json")
        .env("TRIPHAMMER_CONFIG", &up.cli_config)
        .output()?;
    serde_json::from_slice(&output.stdout).with_context(|| {
        format!(
            "triphammer {} answered {}",
            arguments.join(" "),
            String::from_utf8_lossy(&output.stderr)
        )
    })
}
