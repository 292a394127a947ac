//! Pipelines run in memory: the generated machine, the real runtime and records, and a world of marks instead of servers.
//!
//! Promise: what is scripted is only the work of a step; begin, finish, retries, catches, undos and settling are the real ones.

mod bench;
mod interpreter;
mod kms;
mod requests;
mod table;
mod targets;
mod world;

pub use bench::{Bench, Invoked};
pub use interpreter::End;
pub use kms::kms;
pub use requests::{Requests, TRANSACTION, Tally};
pub use table::{dynamo, dynamo_counted, endpoint};
pub use world::{Fault, World};
