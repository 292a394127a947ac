//! `cargo xtask`: everything around the code, from one place.
//!
//! Promise: each command sets up what it needs, says what it does, and ends with what to do when it fails.

#![allow(
    clippy::disallowed_methods,
    reason = "a program around the product: it asks the machine itself"
)]

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use std::process::ExitCode;
use xtask::demo::Target;
use xtask::ministack::MiniStack;
use xtask::{demo, generate, lab, tests, up};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything around the code")]
struct Arguments {
    #[command(subcommand)]
    command: Do,
}

#[derive(Subcommand)]
enum Do {
    /// Bring the whole system up on this machine.
    Up {
        /// Where the local AWS listens.
        #[arg(long, default_value_t = up::PORT)]
        port: u16,
        /// Let a file say what goes wrong, for trying tests by hand: see infra/local/faults.py.
        #[arg(long)]
        faults: bool,
    },
    /// Stop it. Records are kept for the next `up`, unless they are purged.
    Down {
        /// Forget all records too.
        #[arg(long)]
        purge: bool,
    },
    /// Up, a server, a WordPress site on it, and its front page.
    Demo {
        /// Where the local AWS listens.
        #[arg(long, default_value_t = up::PORT)]
        port: u16,
        /// A server of yours instead of one booted here: user@host.
        #[arg(long)]
        server: Option<String>,
        /// The key that logs in there.
        #[arg(long, requires = "server")]
        key: Option<String>,
    },
    /// All checks and all tests.
    Test {
        /// Only the tests on the local stack and real servers.
        #[arg(long)]
        end_to_end: bool,
    },
    /// Build the sample application that tests and demos deploy, and print its path: for `infra/lab/lab app-image`.
    SampleApp,
    /// Write what is derived from the pipelines and the API.
    Generate,
    /// Format, lints, generated files, templates and machines.
    Check,
    /// Measure, and write the figures into the README.
    Bench {
        /// A tenth of the samples, printed only.
        #[arg(long)]
        quick: bool,
        /// Build times too: many minutes.
        #[arg(long)]
        builds: bool,
        /// Archives beside those of tar, restic and borg, and nothing else.
        #[arg(long, conflicts_with = "builds")]
        archives: bool,
        /// Releases under load beside `docker compose up -d`, and nothing else.
        #[arg(long, conflicts_with_all = ["builds", "archives"])]
        releases: bool,
    },
    /// Show a pipeline's steps.
    Tree {
        /// For example create_site.
        pipeline: String,
    },
    /// Make a token for a new team, on a stack that the environment's AWS credentials reach.
    Token {
        /// The table's name, from the stack's outputs.
        #[arg(long)]
        table: String,
    },
}

#[tokio::main]
async fn main() -> ExitCode {
    match run(Arguments::parse().command).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("\nerror: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(command: Do) -> Result<()> {
    match command {
        Do::Up { port, faults } => {
            let up = up::with_faults("local", port, faults).await?;
            println!(
                "\nTriphammer is up.\n  API      {}\n  command  TRIPHAMMER_CONFIG={} {}\n  stop     cargo xtask down",
                up.api_url,
                up.cli_config.display(),
                xtask::build::cli_binary().display()
            );
            Ok(())
        }
        Do::Down { purge } => {
            MiniStack::stop(&up::state("local"))?;
            if lab::can_boot().is_ok() {
                lab::Lab::down(demo::LAB)?;
            }
            if purge {
                std::fs::remove_dir_all(up::state("local")).or_else(|error| {
                    if error.kind() == std::io::ErrorKind::NotFound {
                        Ok(())
                    } else {
                        Err(error)
                    }
                })?;
            }
            println!("Triphammer is down.");
            Ok(())
        }
        Do::Demo { port, server, key } => {
            let target = match server {
                None => Target::Lab,
                Some(server) => {
                    let (user, host) = server.split_once('@').context("--server is user@host")?;
                    let key = key
                        .context("--server needs --key FILE: the private key that logs in there")?;
                    Target::Own {
                        user: user.to_string(),
                        host: host.to_string(),
                        key,
                    }
                }
            };
            demo::demo(port, target).await
        }
        Do::Test { end_to_end: true } => tests::end_to_end().await,
        Do::Test { end_to_end: false } => tests::test().await,
        Do::SampleApp => {
            println!("{}", xtask::build::sample_app()?.display());
            Ok(())
        }
        Do::Generate => generate::generate(false),
        Do::Check => tests::check(),
        Do::Bench {
            quick,
            archives: true,
            ..
        } => xtask::bench::archives(quick).await,
        Do::Bench {
            quick,
            releases: true,
            ..
        } => xtask::bench::releases(quick).await,
        Do::Bench { quick, builds, .. } => bench(quick, builds).await,
        Do::Tree { pipeline } => {
            let found = pipelines::find(&pipeline).with_context(|| {
                format!(
                    "there is no pipeline {pipeline}; there are: {}",
                    pipelines::all()
                        .iter()
                        .map(|pipeline| pipeline.name)
                        .collect::<Vec<_>>()
                        .join(", ")
                )
            })?;
            print!("{}", machine::tree::tree(&found));
            Ok(())
        }
        Do::Token { table } => {
            let config = aws_config::load_from_env().await;
            let records = records::Records::new(aws_sdk_dynamodb::Client::new(&config), table, "");
            println!("{}", up::token_create_owner(&records).await?);
            Ok(())
        }
    }
}

#[cfg(feature = "bench")]
async fn bench(quick: bool, builds: bool) -> Result<()> {
    xtask::bench::bench(xtask::bench::Options { quick, builds }).await
}

/// By a release build that can: what measures must not be what is slow, and other commands need none of it.
#[cfg(not(feature = "bench"))]
async fn bench(quick: bool, builds: bool) -> Result<()> {
    xtask::build::say("building the benchmarks in release mode; the first time takes minutes");
    let mut again = std::process::Command::new(env!("CARGO"));
    again.current_dir(xtask::build::root()).args([
        "run",
        "--quiet",
        "--release",
        "-p",
        "xtask",
        "--features",
        "bench",
        "--",
        "bench",
    ]);
    again.args(quick.then_some("--quick"));
    again.args(builds.then_some("--builds"));
    // The tool itself need not be small; the functions that it builds keep their profile.
    again.env("CARGO_PROFILE_RELEASE_LTO", "off");
    xtask::build::run(&mut again)
}
