//! Images of this host as an object of the store.
//!
//! Promise: streamed, packed on the way, with constant memory; it is an object only when the engine gave all of it.

use super::engine::{Engine, Failure, away, escaped};
use super::reference::Reference;
use crate::check;
use crate::fault::{Result, broken, io_at, refused};
use crate::jobs::context::Context;
use crate::jobs::meant;
use crate::jobs::work::Finished;
use protocol::release::{ImagePresent, ImagesSaved, SaveImages};
use protocol::text::bytes;
use std::io::{Read, Write};
use std::path::Path;

/// The object.
pub const OBJECT: &str = "images";
/// As for backups: more costs time and saves little.
const LEVEL: i32 = 3;
/// As much as the engine sends at once.
const CHUNK_BYTES: usize = 128 * 1024;
/// Two empty blocks end a tar archive.
const END_BYTES: usize = 1024;

/// See [`protocol::job::Work::SaveImages`].
pub fn save(context: &Context, asked: &SaveImages) -> Result<Finished> {
    check::environment(&asked.environment)?;
    let engine = Engine::of(context)?;
    let mut images: Vec<ImagePresent> = Vec::new();
    let mut names = Vec::new();
    for image in &asked.images {
        let reference = Reference::parse(image)?;
        let found = engine.image(&reference.asked())?.ok_or_else(|| {
            refused(
                "image_not_found",
                format!("The image {image} is not on this server any more. Build it again."),
            )
        })?;
        images.push(found.present(image));
        names.push(format!("names={}", escaped(&reference.asked())));
    }
    if names.is_empty() {
        return Err(refused("bad_request", "There is no image to save."));
    }
    let size: u64 = images.iter().map(|one| one.size_bytes).sum();
    context.log(&format!("saving {} images, {}", images.len(), bytes(size)));
    let answer = engine
        .get(&format!("/images/get?{}", names.join("&")), None)
        .map_err(Failure::unexpected)?;
    let mut packed = zstd::Encoder::new(context.upload(OBJECT), LEVEL)
        .map_err(|_| broken("pack_failed", "The images could not be packed."))?;
    let copied = copy(context, answer.into_body().into_reader(), &mut packed, size);
    // A cancel ends the connection, which is then seen as an engine that went.
    context.check()?;
    let unpacked = copied?;
    let upload = packed
        .finish()
        .map_err(|error| meant(&error, |error| io_at(Path::new(OBJECT), error)))?;
    let sealed = upload.finish()?;
    let summary = format!(
        "Saved {} images, {}, as {}",
        images.len(),
        bytes(unpacked),
        bytes(sealed.size_bytes)
    );
    Finished::new(ImagesSaved { sealed, images }, summary)
}

fn copy(context: &Context, mut from: impl Read, into: &mut impl Write, size: u64) -> Result<u64> {
    let mut chunk = vec![0; CHUNK_BYTES];
    let mut end = Vec::new();
    let mut done = 0;
    loop {
        let read = from.read(&mut chunk).map_err(|_| away())?;
        if read == 0 {
            break;
        }
        into.write_all(&chunk[..read])
            .map_err(|error| meant(&error, |error| io_at(Path::new(OBJECT), error)))?;
        done += read as u64;
        context.progress(done, Some(size.max(done)), "bytes");
        end.extend_from_slice(&chunk[read.saturating_sub(END_BYTES)..read]);
        end.drain(..end.len().saturating_sub(END_BYTES));
    }
    // An engine that fails in the middle writes its complaint where the archive should go on.
    let ended_well = end.len() == END_BYTES && end.iter().all(|byte| *byte == 0);
    ended_well.then_some(done).ok_or_else(|| {
        broken(
            "image_damaged",
            "Docker could not give all of the images. Build them again.",
        )
    })
}
