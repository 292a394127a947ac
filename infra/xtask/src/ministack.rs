//! The local AWS: one process, its own folder, a port of its own.
//!
//! Promise: started once for a folder and stopped by its recorded process alone; bound to this machine and its lab, never to
//! the network.

use crate::build::{local, root, run, say};
use crate::setup::ensure_venv;
use anyhow::{Context, Result, bail};
use std::fs;
use std::net::{TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Imports and the first answer take a second; a busy machine is given more.
const START_WITHIN: Duration = Duration::from_secs(30);
/// State is written when it is asked to stop.
const STOP_WITHIN: Duration = Duration::from_secs(20);

/// Where a lab's servers reach it: an address of this machine alone, which `infra/lab/lab` makes.
pub const SERVERS_ADDRESS: &str = "10.77.0.1";

/// How to start it.
pub struct Options {
    /// Its folder.
    pub state_dir: PathBuf,
    /// Its port.
    pub port: u16,
    /// Are functions held to their policies?
    pub auth: bool,
    /// May a file in its folder say what goes wrong? See `infra/local/faults.py`.
    pub faults: bool,
}

/// The file in a stack's folder that says what goes wrong.
pub fn faults_file(state_dir: &Path) -> PathBuf {
    state_dir.join("faults.json")
}

/// A running one.
pub struct MiniStack {
    /// `http://127.0.0.1:4566`
    pub endpoint: String,
}

/// A port that nobody listens on.
pub fn free_port() -> Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

fn recorded(state_dir: &Path) -> Option<(u32, u16)> {
    let text = fs::read_to_string(state_dir.join("pid")).ok()?;
    let (pid, port) = text.trim().split_once(' ')?;
    Some((pid.parse().ok()?, port.parse().ok()?))
}

/// The recorded process, if it is still the one that was started.
fn alive(pid: u32) -> bool {
    fs::read(format!("/proc/{pid}/cmdline"))
        .is_ok_and(|line| String::from_utf8_lossy(&line).contains("ministack_launcher.py"))
}

fn answers(port: u16) -> bool {
    TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_millis(200)).is_ok()
}

impl MiniStack {
    /// Start it, unless it runs.
    pub fn start(options: &Options) -> Result<Self> {
        let endpoint = format!("http://127.0.0.1:{}", options.port);
        match recorded(&options.state_dir) {
            Some((pid, port)) if alive(pid) && port == options.port && answers(port) => {
                return Ok(Self { endpoint });
            }
            Some((pid, port)) if alive(pid) && port != options.port => {
                bail!("the local stack runs on port {port}; run `cargo xtask down` first")
            }
            _ => {}
        }
        if answers(options.port) {
            bail!(
                "port {} is taken by another program; choose another one with --port",
                options.port
            );
        }
        say(format!("starting the local AWS on {endpoint}"));
        let venv = ensure_venv("venv", &["infra/local/requirements.txt"])?;
        for folder in ["s3", "state", "tmp"] {
            fs::create_dir_all(options.state_dir.join(folder))?;
        }
        let log = fs::File::create(options.state_dir.join("ministack.log"))?;
        let mut command = Command::new(venv.join("bin/python"));
        command
            .arg(root().join("infra/local/ministack_launcher.py"))
            .env_clear()
            .envs(
                ["PATH", "HOME", "LANG"]
                    .iter()
                    .filter_map(|name| Some((*name, std::env::var_os(name)?))),
            )
            .env("GATEWAY_PORT", options.port.to_string())
            .env("BIND_HOST", "127.0.0.1")
            .env("TRIPHAMMER_SERVERS_ADDRESS", SERVERS_ADDRESS)
            .env("IOT_MTLS_ENABLED", "0")
            .env("SFTP_ENABLED", "0")
            // Copied into every function: without it they would call the real AWS.
            .env("AWS_ENDPOINT_URL", &endpoint)
            .env("S3_PERSIST", "1")
            .env("S3_DATA_DIR", options.state_dir.join("s3"))
            .env("PERSIST_STATE", "1")
            .env("STATE_DIR", options.state_dir.join("state"))
            .env("TMPDIR", options.state_dir.join("tmp"))
            .env("AUTH", if options.auth { "true" } else { "false" })
            .envs(
                options
                    .faults
                    .then(|| ("TRIPHAMMER_FAULTS", faults_file(&options.state_dir))),
            )
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0);
        let mut process = command.spawn().context("the local AWS cannot be started")?;
        fs::write(
            options.state_dir.join("pid"),
            format!("{} {}", process.id(), options.port),
        )?;
        let began = Instant::now();
        while !answers(options.port) {
            if let Some(ended) = process.try_wait()? {
                bail!(
                    "the local AWS ended with {ended}; see {}",
                    options.state_dir.join("ministack.log").display()
                );
            }
            if began.elapsed() > START_WITHIN {
                bail!(
                    "the local AWS does not answer; see {}",
                    options.state_dir.join("ministack.log").display()
                );
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(Self { endpoint })
    }

    /// Stop the one of this folder, if it runs.
    pub fn stop(state_dir: &Path) -> Result<()> {
        let Some((pid, _)) = recorded(state_dir).filter(|(pid, _)| alive(*pid)) else {
            return Ok(());
        };
        let signal = |name: &str| Command::new("kill").args([name, &pid.to_string()]).status();
        signal("-TERM")?;
        let began = Instant::now();
        while alive(pid) {
            if began.elapsed() > STOP_WITHIN {
                signal("-KILL")?;
                break;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        fs::remove_file(state_dir.join("pid"))?;
        Ok(())
    }
}

/// The tests of the launcher's corrections.
pub fn test() -> Result<()> {
    let venv = ensure_venv("venv", &["infra/local/requirements.txt"])?;
    let check = ensure_venv(
        "check",
        &[
            "infra/local/requirements.txt",
            "infra/local/requirements-check.txt",
        ],
    )?;
    run(Command::new(check.join("bin/python"))
        .current_dir(root())
        .args([
            "-m",
            "pytest",
            "-q",
            "-p",
            "no:cacheprovider",
            "infra/local/tests",
        ])
        .env("TRIPHAMMER_PYTHON", venv.join("bin/python"))
        .env("TMPDIR", local()))
}
