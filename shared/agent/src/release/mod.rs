//! Releases of containers on this host: prepared, started beside the old ones, switched, finished.
//!
//! Promise: an environment's containers, networks and routes carry its name and their deployment; nothing without them is
//! touched, volumes are never deleted, and every act may be repeated from wherever it stopped.

pub mod compose;
pub mod container;
pub mod containers;
pub mod engine;
pub mod folder;
pub mod health;
pub mod images;
pub mod mask;
pub mod observe;
pub mod plan;
pub mod policy;
pub mod ports;
pub mod prepare;
mod project;
mod scene;
pub mod source;
pub mod switch;

/// "1 container", "2 containers".
fn many(number: usize, what: &str) -> String {
    match number {
        1 => format!("1 {what}"),
        _ => format!("{number} {what}s"),
    }
}
