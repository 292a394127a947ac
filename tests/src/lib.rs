//! What the end-to-end tests stand on: the running stack's API, and a real server booted beside it.
//!
//! Promise: `cargo xtask test` starts both and names them in the environment; a test that is run without them says so.

#![allow(
    clippy::disallowed_methods,
    reason = "a program around the product: it asks the machine itself"
)]

pub mod app;
pub mod cli;
pub mod containers;
pub mod faults;
mod live;
pub mod processes;
pub mod receiver;
pub mod refused;
pub mod routes;
pub mod shop;
pub mod sources;
mod stack;

pub use faults::{Disturbed, Fault, Frozen};
pub use live::Live;
pub use receiver::Receiver;
pub use stack::{Answer, Stack, settled, step};
