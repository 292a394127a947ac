//! From the shared definition to what runs it: state machines, functions, policies, and the words about them.
//!
//! Promise: pure functions; the same pipelines give the same bytes.

pub mod asl;
pub mod docs;
pub mod functions;
pub mod template;
pub mod tree;
