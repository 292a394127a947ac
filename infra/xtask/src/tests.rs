//! Everything a change must pass.
//!
//! Promise: starts what it needs on free ports and stops it again; what cannot run here is said aloud, and is a failure in CI.

use crate::build::{self, run, say};
use crate::lab::{self, Lab};
use crate::ministack::{self, MiniStack};
use crate::{contract, generate, setup, up};
use anyhow::{Result, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;
use std::thread::JoinHandle;

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
    Lab::down(&docker(&name))?;
    ended
}

const OTHERS: &[&str] = &["sites", "following", "triggers", "canary"];

/// They look twice at all that the team has, and nobody may change it between.
const ALONE: &[&str] = &["bad_input", "tenancy"];

/// They leave large sites with names of every kind, which the others would have to look through.
const SITES_WITH_CONTENT: &[&str] = &["backups", "large", "schedules"];

/// They let things go wrong, and wait most of their time for what is done about it: so they have a stack and a server of
/// their own, beside the others.
const FAULTS: &[&str] = &["faults", "job_faults"];

/// They need Docker hosts.
const RELEASES: &[&str] = &[
    "docker_hosts",
    "environments",
    "promotions",
    "release_servers",
    "switches",
    "release_sources",
    "release_refusals",
    "release_commands",
];

/// Each boots what it needs.
const ON_A_SERVER: &[&str] = &[
    "jobs_on_a_server",
    "proxy_on_a_server",
    "images_on_a_server",
    "containers_on_a_server",
    "on_docker_hosts",
];

/// The lab of the Docker hosts, on the stack of this name.
fn docker(name: &str) -> String {
    format!("{name}-docker")
}

async fn on_two_stacks(name: &str, beside: &str) -> Result<()> {
    let stack = Place::ready(name).await?;
    say("the launcher's corrections");
    ministack::test()?;
    say("the records on the local stack");
    run(cargo(&[
        "test", "--test", "suite", "--test", "held", "--test", "jobs",
    ])
    .env("TRIPHAMMER_DYNAMODB_ENDPOINT", &stack.up.endpoint))?;
    let faults = Place::ready(beside).await?;
    Lab::up(&docker(name), 0, 2)?;
    let app = build::sample_app()?;
    run(stack
        .suites(&[FAULTS, OTHERS, SITES_WITH_CONTENT, RELEASES, ALONE].concat())
        .arg("--no-run"))?;
    for suite in ON_A_SERVER {
        run(&mut cargo(&["test", "--test", suite, "--no-run"]))?;
    }

    let mut releases = stack.suites(RELEASES);
    releases
        .env("TRIPHAMMER_E2E_LAB", docker(name))
        .env("TRIPHAMMER_SAMPLE_APP", &app);
    let on_a_server = ON_A_SERVER.iter().map(|suite| {
        let mut command = cargo(&["test", "--test", suite, "--", "--ignored"]);
        command.env("TRIPHAMMER_SAMPLE_APP", &app);
        command
    });
    say("end to end, on real servers");
    let lanes = [
        Lane::begin(
            "where things go wrong",
            up::state(beside).join("faults.log"),
            vec![one_by_one(faults.suites(FAULTS))],
        )?,
        Lane::begin(
            "releases, on Docker hosts",
            up::state(name).join("releases.log"),
            vec![one_by_one(releases)],
        )?,
    ];
    let mut failed = Vec::new();
    let others = [OTHERS, SITES_WITH_CONTENT].map(|suites| one_by_one(stack.suites(suites)));
    for mut suite in others.into_iter().chain(on_a_server) {
        if let Err(error) = run(&mut suite) {
            failed.push(format!("{error:#}"));
        }
    }
    for lane in lanes {
        failed.extend(lane.end()?);
    }
    if let Err(error) = run(&mut one_by_one(stack.suites(ALONE))) {
        failed.push(format!("{error:#}"));
    }
    if let Err(error) = contract::hold(&stack.up).await {
        failed.push(format!("the contract: {error:#}"));
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!(failed.join("\n"))
}

fn one_by_one(mut suites: Command) -> Command {
    suites.args(["--", "--test-threads", "1"]);
    suites
}

/// Suites that run one after another beside the others, and are told of when they are over. One that fails does not keep
/// the next ones from saying what they found.
struct Lane {
    title: &'static str,
    log: PathBuf,
    at_work: JoinHandle<Result<Vec<String>>>,
}

impl Lane {
    fn begin(title: &'static str, log: PathBuf, suites: Vec<Command>) -> Result<Self> {
        let to = File::create(&log)?;
        let at_work = std::thread::spawn(move || {
            let mut failed = Vec::new();
            for mut suite in suites {
                let ended = suite
                    .stdout(to.try_clone()?)
                    .stderr(to.try_clone()?)
                    .status()?;
                if !ended.success() {
                    let words: Vec<_> = suite.get_args().map(OsStr::to_string_lossy).collect();
                    failed.push(format!("cargo {} ended with {ended}", words.join(" ")));
                }
            }
            Ok(failed)
        });
        Ok(Self {
            title,
            log,
            at_work,
        })
    }

    /// Wait for it; what failed.
    fn end(self) -> Result<Vec<String>> {
        say(self.title);
        let ended = self.at_work.join();
        print!("{}", std::fs::read_to_string(&self.log)?);
        ended.unwrap_or_else(|_| bail!("{}: it came to no end", self.title))
    }
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
