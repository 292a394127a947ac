//! Everything a change must pass.
//!
//! Promise: starts what it needs on free ports and stops it again; what cannot run here is said aloud, and is a failure in CI.

use crate::build::{self, run, say};
use crate::lab::{self, Lab};
use crate::ministack::{self, MiniStack};
use crate::{contract, generate, setup, up};
use anyhow::{Result, bail};
use std::process::Command;

fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.current_dir(build::root()).args(arguments);
    command
}

/// Format, lints, generated files.
pub fn check() -> Result<()> {
    setup::ensure_tools()?;
    say("format");
    run(&mut cargo(&["fmt", "--all", "--check"]))?;
    say("clippy");
    run(&mut cargo(&[
        "clippy",
        "--quiet",
        "--workspace",
        "--all-targets",
        "--all-features",
        "--",
        "-D",
        "warnings",
    ]))?;
    say("generated files");
    generate::generate(true)?;
    generate::lint()
}

/// All of it.
pub async fn test() -> Result<()> {
    check()?;
    say("tests that need nothing running");
    run(&mut cargo(&[
        "test",
        "--workspace",
        "--exclude",
        "e2e",
        "--all-features",
        "--no-fail-fast",
    ]))?;
    run(&mut cargo(&["test", "--test", "architecture"]))?;
    end_to_end().await
}

/// The tests on the local stack and real servers.
pub async fn end_to_end() -> Result<()> {
    if let Err(why) = lab::can_boot() {
        let said = format!("the end-to-end tests did not run: {why}");
        if std::env::var_os("CI").is_some() {
            bail!(said);
        }
        eprintln!("\n*** {said} ***\n");
        return Ok(());
    }
    let name = format!("test-{}", std::process::id());
    let ended = on_a_stack(&name).await;
    MiniStack::stop(&up::state(&name))?;
    Lab::down(&name)?;
    let _nothing_left = std::fs::remove_dir_all(up::state(&name));
    ended
}

async fn on_a_stack(name: &str) -> Result<()> {
    let up = up::with_faults(name, ministack::free_port()?, true).await?;
    say("the launcher's corrections");
    ministack::test()?;
    say("the records on the local stack");
    run(cargo(&["test", "--test", "suite", "--test", "held"])
        .env("TRIPHAMMER_DYNAMODB_ENDPOINT", &up.endpoint))?;
    say("booting the servers");
    let lab = Lab::up(name, 1)?;
    lab.neighbour("srv1", "neighbour.test")?;
    // The schedules of the sites that tests leave would change them between two looks at the server.
    lab.exec("srv1", &["systemctl", "stop", "cron"])?;
    say("end to end, on real servers");
    run(cargo(&[
        "test",
        "--no-fail-fast",
        "--test",
        "sites",
        "--test",
        "bad_input",
        "--test",
        "following",
        "--test",
        "triggers",
        "--test",
        "faults",
        "--test",
        "tenancy",
        "--test",
        "canary",
        "--test",
        "backups",
        "--",
        "--test-threads",
        "1",
    ])
    .env("TRIPHAMMER_E2E_STATE", up::state(name))
    .env("TRIPHAMMER_E2E_LAB", name)
    .env("TRIPHAMMER_E2E_ENDPOINT", &up.endpoint)
    .env("TRIPHAMMER_E2E_API", &up.api_url)
    .env("TRIPHAMMER_E2E_TOKEN", &up.token)
    .env(
        "TRIPHAMMER_E2E_TABLE",
        up.outputs
            .get("TableName")
            .map(String::as_str)
            .unwrap_or_default(),
    )
    .env(
        "TRIPHAMMER_E2E_SECRETS_TABLE",
        up.outputs
            .get("SecretsTableName")
            .map(String::as_str)
            .unwrap_or_default(),
    )
    .env("TRIPHAMMER_E2E_CLI", build::cli_binary()))?;
    say("jobs, on a server of their own");
    run(&mut cargo(&[
        "test",
        "--test",
        "jobs_on_a_server",
        "--",
        "--ignored",
    ]))?;
    contract::hold(&up).await
}
