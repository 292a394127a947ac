//! Jobs against a callback and a store that misbehave.
//!
//! The rule held: whatever either of them does, what ends up in the store is what was written, each word is heard, and
//! the work ends the way it is said to have ended.

#![allow(
    clippy::disallowed_methods,
    reason = "these tests stand where a server stands"
)]

mod child;
mod download;
mod runner;
mod server;
mod start;
mod upload;
mod world;
