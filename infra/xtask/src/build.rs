//! Building what runs: the functions, the agent, the command line.
//!
//! Promise: one debug build serves the local stack and the tests; a second run builds nothing that did not change.

use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The triple the agent is linked for, statically: it must run on any server, whatever its C library.
const AGENT_TARGET: &str = "x86_64-unknown-linux-gnu";

/// Where the repository is.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .map(Path::to_path_buf)
        .unwrap_or_default()
}

/// Where cargo puts what it builds.
pub fn target() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from)
}

/// A folder for what only this machine needs; git ignores it.
pub fn local() -> PathBuf {
    root().join(".local")
}

/// One line of progress, with its place in time.
pub fn say(line: impl AsRef<str>) {
    eprintln!("  {}", line.as_ref());
}

/// Run a command, with its output shown; its failure is ours.
pub fn run(command: &mut Command) -> Result<()> {
    let shown = format!("{command:?}");
    let status = command
        .status()
        .with_context(|| format!("cannot start {shown}"))?;
    if !status.success() {
        bail!("{shown} ended with {status}");
    }
    Ok(())
}

/// Run a command and read what it prints.
pub fn read(command: &mut Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command
        .output()
        .with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        bail!(
            "{shown} ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    // Names of files are bytes.
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The functions that every stack has beside its steps.
pub const SERVICES: [&str; 9] = [
    "agent-callback",
    "api",
    "dispatcher",
    "live",
    "notifier",
    "scheduler",
    "sender",
    "settle",
    "sweeper",
];

/// The names of all functions' binaries.
pub fn functions() -> Vec<String> {
    let steps = machine::functions::list(&pipelines::all());
    SERVICES
        .iter()
        .map(ToString::to_string)
        .chain(steps.into_iter().map(|function| function.name.to_string()))
        .collect()
}

fn cargo_build(packages: &[&str]) -> Command {
    let mut build = Command::new(env!("CARGO"));
    build.current_dir(root()).args(["build", "--quiet"]);
    for package in packages.iter().chain(&SERVICES) {
        build.args(["-p", package]);
    }
    build
}

/// What builds the functions and the command line.
pub fn debug_build() -> Command {
    let mut build = Command::new(env!("CARGO"));
    build
        .current_dir(root())
        .args(["build", "--quiet", "--bin", "triphammer"]);
    for function in functions() {
        build.args(["--bin", &function]);
    }
    build
}

/// Build functions and command line, and the agent.
pub fn all() -> Result<()> {
    say("building the functions and the command line");
    run(&mut debug_build())?;
    agent()
}

/// Build the functions as they go to AWS, and the examples that they are measured against.
pub fn release() -> Result<()> {
    run(cargo_build(&["steps", "kit"])
        .args(["--release", "--bins", "--examples"])
        // Set for the tool that asks for it, not for what goes to AWS.
        .env_remove("CARGO_PROFILE_RELEASE_LTO"))
}

/// Where a function's release binary is.
pub fn release_binary(name: &str) -> PathBuf {
    target().join("release").join(name)
}

/// Where an example's release binary is.
pub fn release_example(name: &str) -> PathBuf {
    target().join("release").join("examples").join(name)
}

/// What goes elsewhere alone, linked statically.
fn alone(package: &str) -> Result<()> {
    run(Command::new(env!("CARGO"))
        .current_dir(root())
        .args([
            "build",
            "--quiet",
            "-p",
            package,
            "--profile",
            "agent",
            "--target",
            AGENT_TARGET,
        ])
        .env(
            "CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUSTFLAGS",
            "-Ctarget-feature=+crt-static",
        ))
}

fn alone_binary(name: &str) -> PathBuf {
    target().join(AGENT_TARGET).join("agent").join(name)
}

/// The agent, linked statically.
pub fn agent() -> Result<()> {
    say("building the agent");
    alone("agent")
}

/// Where the agent's binary is.
pub fn agent_binary() -> PathBuf {
    alone_binary("triphammer-agent")
}

/// Build the sample application, and say where it is.
pub fn sample_app() -> Result<PathBuf> {
    say("building the sample application");
    alone("sample-app")?;
    Ok(alone_binary("sample-app"))
}

/// Build what asks for pages all the time, and say where it is.
pub fn load() -> Result<PathBuf> {
    run(Command::new(env!("CARGO"))
        .current_dir(root())
        .args(["build", "--quiet", "-p", "e2e", "--bin", "load"]))?;
    Ok(target().join("debug").join("load"))
}

/// Where the command line's binary is.
pub fn cli_binary() -> PathBuf {
    target().join("debug").join("triphammer")
}
