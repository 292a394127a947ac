//! Everything around the code: set-up, the local stack, test servers, generated files.
//!
//! Promise: one way to do each; the tests use the same ones as people do.

#![allow(
    clippy::disallowed_methods,
    reason = "a program around the product: it asks the machine itself"
)]

pub mod bench;
pub mod build;
pub mod cli;
pub mod contract;
pub mod demo;
pub mod generate;
pub mod lab;
pub mod load;
pub mod ministack;
pub mod package;
pub mod setup;
pub mod stack;
pub mod tests;
pub mod up;
