//! Backups in the store: how bytes get there and back, and what makes them a backup.
//!
//! Promise: an object counts when its size and checksum were read back; the one that makes a backup is written last.

pub mod store;

pub use store::{Store, StoreError};
