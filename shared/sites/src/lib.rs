//! Servers and the sites on them: how to reach a server, and how to ask its agent.
//!
//! Promise: one door. Whatever is done on a server goes through `Host::call`, after the host key was compared.

pub mod address;
pub mod agent;
pub mod keys;
pub mod ssh;

pub use agent::{Host, Hosts};
pub use ssh::{Login, SeenKey, Session};

/// A live agent's user on every server.
pub const AGENT_USER: &str = "triphammer";
