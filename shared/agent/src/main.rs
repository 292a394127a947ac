//! The agent's program: `serve`, `install`, `uninstall`, a job, and the workers that both run as a site's user.
//!
//! Promise: what it says is one line of JSON on stdout; an error said there is a success of the program. A job says
//! what it has to say to its callback.

use std::process::ExitCode;

/// As `sysexits.h` has it for a wrong command line.
const USAGE: u8 = 64;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => agent::serve::main(),
        ["install"] => agent::install::main(),
        ["uninstall"] => agent::install::main_uninstall(),
        ["tree-worker"] => {
            agent::tree::worker::main(std::io::stdin().lock(), std::io::stdout().lock())
        }
        ["job", folder] => return agent::jobs::runner::main(folder.as_ref()),
        ["job-child", work] => return agent::jobs::child::main(work),
        ["--version"] => println!("triphammer-agent {}", env!("CARGO_PKG_VERSION")),
        _ => {
            eprintln!("usage: triphammer-agent serve|install|uninstall < REQUEST.json");
            return ExitCode::from(USAGE);
        }
    }
    ExitCode::SUCCESS
}
