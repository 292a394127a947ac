//! Images: pinned, pulled, built, saved, loaded, pruned.
//!
//! Promise: a login lasts as long as the call that needs it; nothing that a kept release needs is ever pruned.

mod build;
mod cache;
mod engine;
mod limits;
mod load;
mod login;
mod pin;
mod prune;
mod pull;
mod reference;
mod registry;
mod save;
mod socket;

pub use build::build;
pub use load::load;
pub use pin::pin;
pub use prune::{Pruned, prune, prune_lapsed};
pub use pull::pull;
pub use save::save;

use crate::fault::Result;
use engine::Engine;
use protocol::release::{ImagePresent, ImagesCheck, ImagesChecked};
use reference::Reference;

/// The label of an image that was built here: its environment.
const ENVIRONMENT_LABEL: &str = "triphammer.environment";
/// And the deployment it was built for.
const DEPLOYMENT_LABEL: &str = "triphammer.deployment";

/// The image on this host; none when it is not here.
pub fn present(reference: &str) -> Result<Option<ImagePresent>> {
    present_at(&Engine::host()?, reference)
}

fn present_at(engine: &Engine, reference: &str) -> Result<Option<ImagePresent>> {
    let asked = Reference::parse(reference)?.asked();
    Ok(engine.image(&asked)?.map(|found| found.present(reference)))
}

/// See [`protocol::Call::ImagesCheck`].
pub fn check(asked: &ImagesCheck) -> Result<ImagesChecked> {
    let engine = Engine::host()?;
    let mut checked = ImagesChecked {
        present: Vec::new(),
        missing: Vec::new(),
    };
    for image in &asked.images {
        match present_at(&engine, image)? {
            Some(found) => checked.present.push(found),
            None => checked.missing.push(image.clone()),
        }
    }
    Ok(checked)
}
