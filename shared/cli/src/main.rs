//! `triphammer`: the command line of Triphammer.
//!
//! Promise: exit codes 0 done, 1 error, 2 denied, 3 dry run; with `--json` standard output holds JSON and nothing else.

mod args;
mod ask;
mod commands;
mod ending;
mod follow;
mod host_key;
mod invocation;
mod output;
mod plan;
mod problem;
mod profile;
mod resolve;
mod style;
mod table;
mod times;
mod upload;

use args::Cli;
use clap::Parser;
use ending::{Ending, Fault};
use std::process::ExitCode;

fn main() -> ExitCode {
    style::decide_colours();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return usage(&said),
    };
    let json = cli.global.json;
    let ending = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Fault::Output)
        .and_then(|runtime| {
            let ending = runtime.block_on(commands::perform(cli));
            // A question that nobody answered may still read the keyboard: it is not waited for.
            runtime.shutdown_background();
            ending
        });
    match ending {
        Ok(ending) => ending.into(),
        Err(fault) => {
            problem::tell(&fault, json);
            Ending::of(&fault).into()
        }
    }
}

/// Help and version are answers; everything else is an error, and 2 is taken: it means denied.
fn usage(said: &clap::Error) -> ExitCode {
    let printed = said.print();
    if said.use_stderr() || printed.is_err() {
        Ending::NotCompleted.into()
    } else {
        Ending::Done.into()
    }
}
