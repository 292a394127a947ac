//! The proxy on a Docker host: a real Caddy, real connections, swaps under load.
//!
//! The rule held: whatever changes behind it, no request fails, none is passed on twice, and what runs is what is kept.
//!
//! Needs root and what `infra/lab/lab` needs, so it runs only when asked:
//! `cargo test -p agent --test proxy_on_a_server -- --ignored`. The binary is the test and what runs on the server, so
//! the host's libc must not be newer than Debian 12's. `-- here CADDY` runs the proofs that need no systemd in a network
//! of their own on this machine, with that Caddy.

#![allow(clippy::disallowed_methods, reason = "it stands where a server stands")]

#[path = "proxy/client.rs"]
mod client;
#[path = "proxy/lab.rs"]
mod lab;
#[path = "proxy/load.rs"]
mod load;
#[path = "proxy/proofs.rs"]
mod proofs;
#[path = "proxy/service.rs"]
mod service;
#[path = "proxy/stand.rs"]
mod stand;
#[path = "proxy/upstream.rs"]
mod upstream;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["here", caddy] => stand::in_own_network(caddy),
        ["inside", caddy] => stand::own(caddy),
        ["on-server"] => service::proofs(),
        _ if arguments.iter().any(|one| one.ends_with("ignored")) => lab::proofs(),
        _ => println!("skipped: the proxy on a booted server runs with -- --ignored"),
    }
}
