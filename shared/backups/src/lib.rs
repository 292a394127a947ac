//! Backups: how they are planned, how bytes get into the store and back, and what makes them a backup.
//!
//! Promise: an object counts when its size and checksum were read back; the one that makes a backup is written last.

pub mod plan;
pub mod store;

pub use store::{Store, StoreError};
