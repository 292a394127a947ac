//! Releases of containers on a Docker host: a real engine, a real Compose, the real proxy, real jobs.
//!
//! The rule held: whatever point a release fails or is killed at, a repeat completes it, the undo leaves what was before,
//! no request is lost, and no other environment notices anything.
//!
//! Needs root and what `infra/lab/lab` needs, so it runs only when asked:
//! `cargo test -p agent --test containers_on_a_server -- --ignored`. The binary is the test and the agent on the server,
//! so the host's libc must not be newer than Debian 12's. `-- in LAB` uses a lab that is up (`lab up LAB 0 1`) and keeps
//! it; `-- in LAB WORD` runs the proofs whose names hold the word.

#![allow(
    dead_code,
    clippy::disallowed_methods,
    reason = "it stands where a server stands, and uses a part of what the other tests do"
)]

#[path = "containers/host.rs"]
mod host;
#[path = "containers/proofs.rs"]
mod proofs;
#[path = "jobs/server.rs"]
mod server;
#[path = "containers/site.rs"]
mod site;
#[path = "jobs/world.rs"]
mod world;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["serve"] => agent::serve::main(),
        ["job", folder] => {
            agent::jobs::runner::main(Path::new(folder));
        }
        ["in", lab] => proofs::all(host::Host::of(lab), ""),
        ["in", lab, word] => proofs::all(host::Host::of(lab), word),
        _ if arguments.iter().any(|one| one.ends_with("ignored")) => {
            proofs::all(host::Host::up(), "");
        }
        _ => println!("skipped: containers on a booted server run with -- --ignored"),
    }
}
