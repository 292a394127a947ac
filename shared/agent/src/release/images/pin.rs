//! What a reference stands for in its registry now.
//!
//! Promise: asked by the engine itself, so that its mirrors and insecure registries count; nothing is pulled.

use super::engine::{Engine, read};
use super::reference::Reference;
use super::{login, registry};
use crate::fault::{Result, broken};
use protocol::release::RegistryLogin;
use serde::Deserialize;
use std::path::Path;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Distribution {
    descriptor: Descriptor,
}

#[derive(Deserialize)]
struct Descriptor {
    digest: String,
}

/// `name@sha256:…` of what a reference stands for in its registry now; a pinned one is itself, without asking.
///
/// Errors: `bad_reference`, `image_not_found`, `registry_denied`, `registry_untrusted`, `registry_away`, `engine_away`.
pub fn pin(reference: &str, logins: &[RegistryLogin]) -> Result<String> {
    let parsed = Reference::parse(reference)?;
    if let Some(pinned) = parsed.pinned() {
        return Ok(pinned);
    }
    let engine = Engine::host()?;
    let auth = login::header(&parsed, logins);
    let answer = engine
        .get(
            &format!("/distribution/{}/json", parsed.tagged()),
            auth.as_deref(),
        )
        // Asking writes nothing: there is no room to run out of.
        .map_err(|failure| registry::failed(&parsed, failure, Path::new("/")))?;
    let found: Distribution = read(answer)?;
    let pinned = format!("{}@{}", parsed.name, found.descriptor.digest);
    Reference::parse(&pinned).map(|_| pinned).map_err(|_| {
        broken(
            "engine_reply",
            "The registry names the image by a digest that is none.",
        )
    })
}
