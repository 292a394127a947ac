//! Images from an object of the store.
//!
//! Promise: an object that names any other image than what was asked for is refused before the engine sees it, for it
//! comes from another server; an image that then is another one than was saved is removed, and the tag is as before.

use super::engine::{Engine, Failure, escaped, events};
use super::reference::Reference;
use super::save::OBJECT;
use crate::fault::{Result, broken, disk_full, io_at, refused};
use crate::files;
use crate::jobs::context::Context;
use crate::jobs::meant;
use crate::jobs::work::Finished;
use crate::release::folder::Environment;
use protocol::AgentError;
use protocol::release::{ImagePresent, LoadImages};
use protocol::text::bytes;
use serde::Deserialize;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::{Component, Path};
use tar::{Archive, EntryType};

/// What names the images of an archive; they have some kilobytes.
const NAMING_LIMIT_BYTES: u64 = 16 * 1024 * 1024;
/// The one thing that an archive of the engine's may link.
const LAYER: &str = "layer.tar";

#[derive(Deserialize)]
struct Event {
    #[serde(default)]
    error: Option<String>,
}

/// See [`protocol::job::Work::LoadImages`].
pub fn load(context: &Context, asked: &LoadImages) -> Result<Finished> {
    let environment = Environment::of(context.paths(), &asked.environment)?;
    let release = environment.release(context.deployment_id())?;
    let engine = Engine::of(context)?;
    let wanted = wanted(asked)?;
    if is_here(&engine, &asked.images)? {
        return Finished::new(serde_json::json!({}), "The images are here already");
    }
    if let Some(parent) = release.path().parent() {
        files::directory(parent, 0o700)?;
    }
    files::directory(release.path(), 0o700)?;
    let path = release.path().join("images.tar.zst");
    let done = fetch(context, asked, &path).and_then(|()| {
        let names = named(open(&path)?)?;
        if !names.is_subset(&wanted) || names.is_empty() {
            return Err(other());
        }
        take(context, &engine, asked, &path)
    });
    let removed = files::remove(&path);
    done?;
    removed?;
    let size = asked.images.iter().map(|one| one.size_bytes).sum();
    Finished::new(
        serde_json::json!({}),
        format!("Loaded {} images, {}", asked.images.len(), bytes(size)),
    )
}

fn wanted(asked: &LoadImages) -> Result<BTreeSet<String>> {
    let tag = |one: &ImagePresent| Ok(Reference::parse(&one.image)?.tagged());
    asked.images.iter().map(tag).collect()
}

fn is_here(engine: &Engine, images: &[ImagePresent]) -> Result<bool> {
    for image in images {
        let found = engine.image(&Reference::parse(&image.image)?.asked())?;
        if found.is_none_or(|found| found.id != image.id) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn fetch(context: &Context, asked: &LoadImages, path: &Path) -> Result<()> {
    context.log(&format!("fetching {}", bytes(asked.sealed.size_bytes)));
    let mut from = context.fetch(OBJECT, &asked.sealed);
    files::remove(path)?;
    let mut into = File::create(path).map_err(|error| io_at(path, &error))?;
    io::copy(&mut from, &mut into)
        .map(|_| ())
        .map_err(|error| meant(&error, |error| io_at(path, error)))
}

fn open(path: &Path) -> Result<impl Read + use<>> {
    let file = File::open(path).map_err(|error| io_at(path, &error))?;
    zstd::Decoder::new(file).map_err(|_| other())
}

/// All images that an archive names, in each of the ways that engines have looked for them.
fn named(stream: impl Read) -> Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let mut archive = Archive::new(stream);
    for entry in archive.entries().map_err(|_| other())? {
        let mut entry = entry.map_err(|_| other())?;
        let kind = entry.header().entry_type();
        let path = entry.path().map_err(|_| other())?.into_owned();
        let parts: Vec<Component> = path
            .components()
            .filter(|part| *part != Component::CurDir)
            .collect();
        let above = parts.len().saturating_sub(1);
        let is_layer = |part: &Component| part.as_os_str() == LAYER;
        // A link anywhere else could give a file a second name, or a name a second file.
        let ok = parts
            .iter()
            .all(|part| matches!(part, Component::Normal(_)))
            && !parts.iter().take(above).any(is_layer)
            && match kind {
                EntryType::Regular | EntryType::Continuous | EntryType::Directory => true,
                EntryType::Symlink => above == 1 && parts.last().is_some_and(is_layer),
                EntryType::XGlobalHeader => true,
                _ => false,
            };
        if !ok {
            return Err(other());
        }
        let file = match parts[..] {
            [Component::Normal(name)] => name.to_string_lossy().into_owned(),
            _ => continue,
        };
        if !["manifest.json", "repositories", "index.json"].contains(&file.as_str()) {
            continue;
        }
        if entry.size() > NAMING_LIMIT_BYTES {
            return Err(other());
        }
        let value: Value = serde_json::from_reader(&mut entry).map_err(|_| other())?;
        names.extend(names_of(&file, &value).ok_or_else(other)?);
    }
    Ok(names)
}

fn names_of(file: &str, value: &Value) -> Option<Vec<String>> {
    let mut names = Vec::new();
    match file {
        "manifest.json" => {
            for image in value.as_array()? {
                for tag in image["RepoTags"].as_array().into_iter().flatten() {
                    names.push(plain(tag.as_str()?));
                }
            }
        }
        "repositories" => {
            for (name, tags) in value.as_object()? {
                names.extend(
                    tags.as_object()?
                        .keys()
                        .map(|tag| plain(&format!("{name}:{tag}"))),
                );
            }
        }
        _ => {
            for image in value["manifests"].as_array()? {
                if let Some(name) = image["annotations"]["io.containerd.image.name"].as_str() {
                    names.push(plain(name));
                }
            }
        }
    }
    Some(names)
}

/// Some engines write a name of the hub in full.
fn plain(name: &str) -> String {
    let short = name.strip_prefix("docker.io/").unwrap_or(name);
    short.strip_prefix("library/").unwrap_or(short).to_string()
}

fn take(context: &Context, engine: &Engine, asked: &LoadImages, path: &Path) -> Result<()> {
    let before = before(engine, asked)?;
    let size: u64 = asked.images.iter().map(|one| one.size_bytes).sum();
    let mut counted = Counted {
        from: BufReader::with_capacity(128 * 1024, open(path)?),
        done: 0,
        on: |done: u64| context.progress(done, Some(size.max(done)), "bytes"),
    };
    let answer = engine.send("/images/load?quiet=1", &mut counted);
    context.check()?;
    let room = || engine.info().map(|info| disk_full(&info.docker_root_dir));
    let no_room = |said: &str| said.contains("no space left on device");
    let answer = match answer {
        Ok(answer) => answer,
        Err(Failure::Said(complaint)) if no_room(&complaint.said) => return Err(room()?),
        Err(failure) => return Err(failure.unexpected()),
    };
    let mut complaint = None;
    events(answer, |event: Event| {
        complaint = complaint.take().or(event.error);
        Ok(())
    })?;
    match complaint {
        Some(said) if no_room(&said) => return Err(room()?),
        Some(_) => {
            return Err(broken(
                "images_not_loaded",
                "Docker could not take the images.",
            ));
        }
        None => {}
    }
    if is_here(engine, &asked.images)? {
        return Ok(());
    }
    put_back(engine, &before)?;
    Err(other())
}

/// By tag, what it stands for now.
fn before(engine: &Engine, asked: &LoadImages) -> Result<BTreeMap<String, Option<String>>> {
    let tags = wanted(asked)?.into_iter();
    tags.map(|tag| Ok((tag.clone(), engine.image(&tag)?.map(|found| found.id))))
        .collect()
}

fn put_back(engine: &Engine, before: &BTreeMap<String, Option<String>>) -> Result<()> {
    for (tag, id) in before {
        let now = engine.image(tag)?.map(|found| found.id);
        if now == *id {
            continue;
        }
        let done = match id {
            Some(id) => {
                let tag = Reference::parse(tag)?;
                let name = tag.tag.as_deref().unwrap_or("latest");
                engine.post(
                    &format!("/images/{id}/tag?repo={}&tag={name}", escaped(&tag.name)),
                    None,
                )
            }
            None => engine.delete(&format!("/images/{tag}?force=false")),
        };
        done.map_err(Failure::unexpected)?;
    }
    Ok(())
}

/// Says how far it was read.
struct Counted<R, F> {
    from: R,
    done: u64,
    on: F,
}

impl<R: Read, F: FnMut(u64)> Read for Counted<R, F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.from.read(into)?;
        self.done += read as u64;
        (self.on)(self.done);
        Ok(read)
    }
}

fn other() -> AgentError {
    refused(
        "images_differ",
        "The stored images are not those that were saved; they are not taken. Save them again.",
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use tar::{Builder, Header};

    fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, kind, content) in entries {
            let mut header = Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o644);
            let is_link = matches!(kind, EntryType::Symlink | EntryType::Link);
            if is_link {
                header.set_link_name(content).expect("a link name");
            }
            let content = if is_link { "" } else { content };
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, path, content.as_bytes())
                .expect("appended");
        }
        builder.into_inner().expect("ended")
    }

    fn names(entries: &[(&str, EntryType, &str)]) -> Result<BTreeSet<String>> {
        named(&archive(entries)[..])
    }

    #[test]
    fn an_image_is_seen_in_whatever_way_it_is_named() {
        let file = EntryType::Regular;
        let found = names(&[
            (
                "manifest.json",
                file,
                r#"[{"RepoTags":["a:1","team/b:2"]},{"RepoTags":null}]"#,
            ),
            ("repositories", file, r#"{"c":{"3":"abc"}}"#),
            (
                "index.json",
                file,
                r#"{"manifests":[{"annotations":{"io.containerd.image.name":"docker.io/library/d:4"}},{}]}"#,
            ),
            ("abc/layer.tar", EntryType::Symlink, "../def/layer.tar"),
            ("manifest.json", file, r#"[{"RepoTags":["e:5"]}]"#),
        ]);
        let found: Vec<String> = found.expect("understood").into_iter().collect();
        assert_eq!(found, ["a:1", "c:3", "d:4", "e:5", "team/b:2"]);
    }

    #[test]
    fn an_archive_that_hides_a_name_behind_a_link_is_refused() {
        let file = EntryType::Regular;
        for entries in [
            &[("manifest.json", EntryType::Symlink, "other.json")][..],
            &[("manifest.json", EntryType::Link, "other.json")],
            &[
                ("x", EntryType::Symlink, "."),
                ("x/manifest.json", file, "[]"),
            ],
            &[
                ("a/layer.tar", EntryType::Symlink, ".."),
                ("a/layer.tar/manifest.json", file, "[]"),
            ],
            &[("layer.tar", EntryType::Symlink, "manifest.json")],
            &[("manifest.json", file, "{")],
        ] {
            assert_eq!(names(entries).expect_err("refused").code, "images_differ");
        }
    }
}
