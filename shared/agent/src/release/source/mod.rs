//! Sources: a commit of a repository, or an uploaded archive, in a checkout of the deployment's own.
//!
//! Promise: nothing of it leaves the checkout, no program of it is run, and a credential lasts as long as the call that needs it.

mod address;
mod archive;
mod fetch;
mod git;
mod hosts;
mod refusal;
mod repository;
mod resolve;
mod scratch;
mod tarball;
mod tree;

pub use fetch::fetch;
pub use resolve::resolve;
pub use scratch::remove;
