//! Everything a change must pass.
//!
//! Promise: starts what it needs on free ports and stops it again; what cannot run here is said aloud, and is a failure in CI.

use crate::build::{self, run, say};
use crate::lab::{self, Lab};
use crate::ministack::{self, MiniStack};
use crate::{contract, generate, setup, up};
use anyhow::{Result, bail};
use std::fs::File;
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
    let beside = format!("{name}-faults");
    let ended = on_two_stacks(&name, &beside).await;
    for name in [&name, &beside] {
        MiniStack::stop(&up::state(name))?;
        Lab::down(name)?;
        let _nothing_left = std::fs::remove_dir_all(up::state(name));
    }
    ended
}

/// They let things go wrong, and wait most of their time for what is done about it: so they have a stack and a server of
/// their own, beside the others.
const FAULTS: &[&str] = &["faults", "job_faults"];
const OTHERS: &[&str] = &[
    "sites",
    "bad_input",
    "following",
    "triggers",
    "tenancy",
    "canary",
];

/// They leave large sites with names of every kind, which the others would have to look through.
const SITES_WITH_CONTENT: &[&str] = &["backups", "large", "schedules"];

/// They need Docker hosts.
const RELEASES: &[&str] = &["releases", "environments", "switches"];
/// Each boots what it needs.
const ON_A_SERVER: &[&str] = &[
    "jobs_on_a_server",
    "proxy_on_a_server",
    "images_on_a_server",
    "containers_on_a_server",
    "on_docker_hosts",
];

async fn on_two_stacks(name: &str, beside: &str) -> Result<()> {
    let stack = Place::ready(name).await?;
    say("the launcher's corrections");
    ministack::test()?;
    say("the records on the local stack");
    run(cargo(&["test", "--test", "suite", "--test", "held"])
        .env("TRIPHAMMER_DYNAMODB_ENDPOINT", &stack.up.endpoint))?;
    let faults = Place::ready(beside).await?;
    run(stack
        .suites(&[FAULTS, OTHERS, SITES_WITH_CONTENT, RELEASES].concat())
        .arg("--no-run"))?;
    say("end to end, on real servers");
    let log = up::state(beside).join("suites.log");
    let to = File::create(&log)?;
    let mut faults = faults.suites(FAULTS);
    let mut faults = faults
        .args(["--", "--test-threads", "1"])
        .stdout(to.try_clone()?)
        .stderr(to)
        .spawn()?;
    let others = others(&stack).await;
    say("end to end, where things go wrong");
    let ended = faults.wait()?;
    print!("{}", std::fs::read_to_string(&log)?);
    if !ended.success() {
        bail!("the suites of faults ended with {ended}");
    }
    others
}

/// One that fails does not keep the others from saying what they found.
async fn others(stack: &Place) -> Result<()> {
    let mut failed = Vec::new();
    let mut note = |what: &str, ended: Result<()>| {
        if let Err(error) = ended {
            failed.push(format!("{what}: {error:#}"));
        }
    };
    for suites in [OTHERS, SITES_WITH_CONTENT] {
        let ended = run(stack.suites(suites).args(["--", "--test-threads", "1"]));
        note(&suites.join(", "), ended);
    }
    say("releases, on Docker hosts");
    note("releases", releases(stack));
    say("the agent's own, on servers of their own");
    let app = build::sample_app()?;
    for suite in ON_A_SERVER {
        let mut command = cargo(&["test", "--test", suite, "--", "--ignored"]);
        note(suite, run(command.env("TRIPHAMMER_SAMPLE_APP", &app)));
    }
    note("the contract", contract::hold(&stack.up).await);
    if failed.is_empty() {
        return Ok(());
    }
    bail!(failed.join("\n"))
}

/// On the same stack, with a lab of Docker hosts.
fn releases(stack: &Place) -> Result<()> {
    let name = format!("{}-docker", stack.name);
    Lab::up(&name, 0, 2)?;
    let ended = run(stack
        .suites(RELEASES)
        .args(["--", "--test-threads", "1"])
        .env("TRIPHAMMER_E2E_LAB", &name)
        .env("TRIPHAMMER_SAMPLE_APP", build::sample_app()?));
    Lab::down(&name)?;
    ended
}

/// A stack and a server.
struct Place {
    name: String,
    up: up::Up,
}

impl Place {
    async fn ready(name: &str) -> Result<Self> {
        let up = up::with_faults(name, ministack::free_port()?, true).await?;
        say("booting a server");
        let lab = Lab::up(name, 1, 0)?;
        lab.neighbour("srv1", "neighbour.test")?;
        // The schedules of the sites that tests leave would change them between two looks at the server.
        lab.exec("srv1", &["systemctl", "stop", "cron"])?;
        let name = name.to_string();
        Ok(Self { name, up })
    }

    /// These test suites, with what they need to know of it.
    fn suites(&self, suites: &[&str]) -> Command {
        let up = &self.up;
        let output = |name: &str| up.outputs.get(name).map(String::as_str).unwrap_or_default();
        let mut command = cargo(&["test", "--no-fail-fast"]);
        for suite in suites {
            command.args(["--test", suite]);
        }
        command
            .env("TRIPHAMMER_E2E_STATE", up::state(&self.name))
            .env("TRIPHAMMER_E2E_LAB", &self.name)
            .env("TRIPHAMMER_E2E_ENDPOINT", &up.endpoint)
            .env("TRIPHAMMER_E2E_API", &up.api_url)
            .env("TRIPHAMMER_E2E_TOKEN", &up.token)
            .env("TRIPHAMMER_E2E_TABLE", output("TableName"))
            .env("TRIPHAMMER_E2E_SECRETS_TABLE", output("SecretsTableName"))
            .env("TRIPHAMMER_E2E_CLI", build::cli_binary());
        command
    }
}
