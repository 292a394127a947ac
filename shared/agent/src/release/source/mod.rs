//! Sources: a commit of a repository, or an uploaded archive, in a checkout of the deployment's own.
//!
//! Promise: nothing of it leaves the checkout, no program of it is run, and a credential lasts as long as the call that needs it.

use crate::fault::{Result, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::paths::Paths;
use protocol::release::{FetchSource, SourceResolve, SourceResolved};

/// See [`protocol::Call::SourceResolve`].
pub fn resolve(_paths: &Paths, _asked: &SourceResolve) -> Result<SourceResolved> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::FetchSource`].
pub fn fetch(_context: &Context, _asked: &FetchSource) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
