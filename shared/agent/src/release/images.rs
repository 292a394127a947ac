//! Images: pinned, pulled, built, saved, loaded, pruned.
//!
//! Promise: a login lasts as long as the call that needs it; nothing that a kept release needs is ever pruned.

use crate::fault::{Result, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::paths::Paths;
use protocol::release::{
    BuildImage, ImagePresent, ImagesCheck, ImagesChecked, LoadImages, PullImages, RegistryLogin,
    SaveImages,
};
use std::collections::BTreeSet;

/// `name@sha256:…` of what a reference stands for in its registry now; a pinned one is itself, without asking.
pub fn pin(_reference: &str, _logins: &[RegistryLogin]) -> Result<String> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// The image on this host; none when it is not here.
pub fn present(_reference: &str) -> Result<Option<ImagePresent>> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::Call::ImagesCheck`].
pub fn check(_asked: &ImagesCheck) -> Result<ImagesChecked> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::PullImages`].
pub fn pull(_context: &Context, _asked: &PullImages) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::BuildImage`].
pub fn build(_context: &Context, _asked: &BuildImage) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::SaveImages`].
pub fn save(_context: &Context, _asked: &SaveImages) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// See [`protocol::job::Work::LoadImages`].
pub fn load(_context: &Context, _asked: &LoadImages) -> Result<Finished> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}

/// What was pruned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pruned {
    /// References.
    pub images: Vec<String>,
    /// Bytes that came free.
    pub freed_bytes: u64,
}

/// Remove these images, which only releases of ours used, unless a kept release of any environment of this host needs
/// them or a container uses them.
pub fn prune(_paths: &Paths, _candidates: &BTreeSet<String>) -> Result<Pruned> {
    Err(refused("not_built_yet", "This agent cannot do that yet."))
}
