//! An image out of a Dockerfile in the deployment's checkout.
//!
//! Promise: neither the Dockerfile nor its context is outside of the checkout, also not by a link; the build has its
//! limits, and one that eats the disk fails alone, with what it left in the builder.

mod place;
mod said;

use place::{Place, arguments_ok, bases};
use said::{Said, base_trouble, exit_code, lines};

use super::engine::{Engine, Image, away};
use super::limits::{Cgroup, Steps};
use super::login::LoginFolder;
use super::pull::Pulling;
use super::reference::Reference;
use super::registry;
use super::{DEPLOYMENT_LABEL, ENVIRONMENT_LABEL, cache, prune};
use crate::fault::{Result, already_exists, bad_request, broken, io_at, missing_software, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::processes::ProcessId;
use crate::release::folder::Environment;
use crate::run::{self, As};
use protocol::AgentError;
use protocol::release::{BuildImage, ImageBuilt};
use protocol::text::bytes;
use std::fs;
use std::io::Read;
use std::path::PathBuf;
use std::process::{Child, Command};
use std::thread;
use std::time::Duration;

/// Between two looks at the build, the disk and its steps.
const LOOK: Duration = Duration::from_millis(200);
/// A program that the kernel killed, by its exit code.
const KILLED: i64 = 137;
/// Nobody's Dockerfile is longer.
const DOCKERFILE_LIMIT_BYTES: u64 = 1024 * 1024;

/// See [`protocol::job::Work::BuildImage`].
pub fn build(context: &Context, asked: &BuildImage) -> Result<Finished> {
    let environment = Environment::of(context.paths(), &asked.environment)?;
    let release = environment.release(context.deployment_id())?;
    let tag = tag(asked)?;
    arguments_ok(asked)?;
    let engine = Engine::of(context)?;
    if let Some(found) = finished(context, asked, &engine, &tag)? {
        return done(asked, &found, "was built already");
    }
    let place = Place::of(&release.checkout(), asked)?;
    let room = engine.info()?.docker_root_dir;
    let building = Building {
        context,
        asked,
        engine: &engine,
        room,
        tag: &tag,
    };
    prune::make_room(context, &environment);
    building.check_disk()?;
    building.fetch_untrusted_bases(&place)?;
    let since = cache::now();
    let result = building.run(&place);
    // A cancel ends the program, which is then seen as a failed one.
    context.check()?;
    if let Err(error) = result {
        if error.code == OUT_OF_DISK {
            let freed = cache::prune_since(&engine, &since)?;
            context.complain(&format!("what the build left is removed: {}", bytes(freed)));
        }
        return Err(error);
    }
    let found = engine.image(&tag)?.ok_or_else(|| {
        broken(
            "image_lost",
            format!("The image {tag} was built, and Docker does not have it."),
        )
    })?;
    done(asked, &found, "is built")
}

const OUT_OF_DISK: &str = "build_out_of_disk";

fn done(asked: &BuildImage, found: &Image, how: &str) -> Result<Finished> {
    let built = ImageBuilt {
        tag: asked.tag.clone(),
        id: found.id.clone(),
        size_bytes: found.size_bytes,
    };
    Finished::new(
        built,
        format!("{} {how}, {}", asked.tag, bytes(found.size_bytes)),
    )
}

/// A tag of this host: with no digest, which only a registry gives.
fn tag(asked: &BuildImage) -> Result<String> {
    let reference = Reference::parse(&asked.tag)?;
    match reference.digest {
        None => Ok(reference.tagged()),
        Some(_) => Err(bad_request(
            "An image is built under a tag, not under a digest.",
        )),
    }
}

/// The image of this deployment, when it was built before; an error when the tag is somebody else's.
fn finished(
    context: &Context,
    asked: &BuildImage,
    engine: &Engine,
    tag: &str,
) -> Result<Option<Image>> {
    let Some(found) = engine.image(tag)? else {
        return Ok(None);
    };
    if found.labels.get(ENVIRONMENT_LABEL) != Some(&asked.environment) {
        return Err(already_exists(&format!("The image {tag}")));
    }
    let is_ours = found
        .labels
        .get(DEPLOYMENT_LABEL)
        .is_some_and(|one| one == context.deployment_id());
    Ok(is_ours.then_some(found))
}

struct Building<'a> {
    context: &'a Context,
    asked: &'a BuildImage,
    engine: &'a Engine,
    /// Where the engine keeps images and what the builder makes.
    room: PathBuf,
    tag: &'a str,
}

impl Building<'_> {
    fn free(&self) -> Result<u64> {
        let found =
            rustix::fs::statvfs(&self.room).map_err(|error| io_at(&self.room, &error.into()))?;
        Ok(found.f_bavail.saturating_mul(found.f_frsize))
    }

    fn check_disk(&self) -> Result<()> {
        let free = self.free()?;
        if free >= self.asked.keep_free_bytes {
            return Ok(());
        }
        Err(refused(
            OUT_OF_DISK,
            format!(
                "The build leaves less than {} of the disk free at {}, and was ended. Make room, or make the build smaller.",
                bytes(self.asked.keep_free_bytes),
                self.room.display()
            ),
        ))
    }

    /// The builder of Docker 20.10 does not reach registries that speak plain HTTP, but the engine does (measured), and
    /// the builder takes what the engine has.
    fn fetch_untrusted_bases(&self, place: &Place) -> Result<()> {
        let Some(registries) = self.engine.info()?.registry_config else {
            return Ok(());
        };
        let mut text = String::new();
        let file =
            fs::File::open(&place.dockerfile).map_err(|error| io_at(&place.dockerfile, &error))?;
        // What cannot be read as text is the builder's to complain of.
        let _ = file.take(DOCKERFILE_LIMIT_BYTES).read_to_string(&mut text);
        for base in bases(&text) {
            let Ok(reference) = Reference::parse(base) else {
                continue;
            };
            let untrusted = registries
                .index_configs
                .get(reference.registry())
                .is_some_and(|one| !one.secure);
            if untrusted {
                self.context.log(&format!("fetching {base}"));
                let pulling = Pulling {
                    context: self.context,
                    engine: self.engine,
                    room: self.room.clone(),
                };
                let which = reference
                    .digest
                    .as_deref()
                    .or(reference.tag.as_deref())
                    .unwrap_or("latest");
                pulling.fetch_as(&reference, which, &self.asked.registries)?;
            }
        }
        Ok(())
    }

    fn run(&self, place: &Place) -> Result<()> {
        let logins = LoginFolder::new(&self.asked.registries)?;
        let cgroup = match self.engine.is_23() {
            true => Cgroup::new(self.context.deployment_id(), &self.asked.limits)?,
            false => None,
        };
        let mut steps = match self.engine.is_23() {
            true => None,
            false => Steps::new(&self.asked.limits),
        };
        let mut command = self.command(place, &logins, cgroup.as_ref())?;
        let mut child = run::start(&mut command)?;
        let said = Said::default();
        let (ended, full) = thread::scope(|scope| {
            let (output, errors) = (child.stdout.take(), child.stderr.take());
            let context = self.context;
            scope.spawn(move || {
                if let Some(output) = output {
                    lines(output, |line| context.log(line));
                }
            });
            let said = &said;
            scope.spawn(move || {
                if let Some(errors) = errors {
                    lines(errors, |line| said.hear(context, line));
                }
            });
            self.watch(&mut child, steps.as_mut())
        })?;
        match full {
            Some(error) => Err(error),
            None if ended => Ok(()),
            None => Err(self.failed(&said)),
        }
    }

    fn command(
        &self,
        place: &Place,
        logins: &LoginFolder,
        cgroup: Option<&Cgroup>,
    ) -> Result<Command> {
        let asked = self.asked;
        let mut command = run::command(&run::need("docker", "docker.io")?, As::Root);
        command
            .env("DOCKER_CONFIG", logins.path())
            .env("DOCKER_BUILDKIT", "1")
            // A plain image, with an id that is the same wherever it is loaded.
            .env("BUILDX_NO_DEFAULT_ATTESTATIONS", "1")
            .args(["build", "--progress=plain", "--network=default"])
            .arg(format!("--tag={}", self.tag))
            .arg(format!("--label={ENVIRONMENT_LABEL}={}", asked.environment))
            .arg(format!(
                "--label={DEPLOYMENT_LABEL}={}",
                self.context.deployment_id()
            ));
        let mut file = std::ffi::OsString::from("--file=");
        file.push(&place.dockerfile);
        command.arg(file);
        if let Some(target) = &asked.target {
            command.arg(format!("--target={target}"));
        }
        if let Some(cgroup) = cgroup {
            command.arg(format!("--cgroup-parent={}", cgroup.parent()));
        }
        let arguments = asked.arguments.iter();
        command.args(arguments.map(|(name, value)| format!("--build-arg={name}={value}")));
        command.arg("--").arg(&place.context);
        Ok(command)
    }

    /// Until it ended: well or not, and why it was ended.
    fn watch(
        &self,
        child: &mut Child,
        mut steps: Option<&mut Steps>,
    ) -> Result<(bool, Option<AgentError>)> {
        let mut full = None;
        loop {
            let ended = child.try_wait();
            let ended =
                ended.map_err(|_| broken("program_lost", "A program's end was not seen."))?;
            if let Some(status) = ended {
                return Ok((status.success(), full));
            }
            if full.is_none()
                && let Err(error) = self.check_disk()
            {
                full = Some(error);
                // With its plugin, a program of its own that would build on; nothing else of this work runs meanwhile.
                // Their end is seen by the next look, and the builder ends what it ran for them.
                let _ = child.kill();
                ProcessId::own().end_children();
            }
            if let Some(steps) = steps.as_deref_mut() {
                steps.look();
            }
            thread::sleep(LOOK);
        }
    }

    fn failed(&self, said: &Said) -> AgentError {
        let last = said.last();
        let any = |words: &str| last.iter().any(|line| line.contains(words));
        if any("no space left on device") {
            return refused(
                OUT_OF_DISK,
                format!(
                    "The build filled the disk at {}, and failed. Make room, or make the build smaller.",
                    self.room.display()
                ),
            );
        }
        if any("buildx component is missing") {
            return missing_software(
                "Docker's buildx plugin",
                "apt install docker-buildx-plugin (or docker-buildx)",
            );
        }
        if let Some(code) = last.iter().rev().find_map(|line| exit_code(line)) {
            let limit = self.asked.limits.memory_bytes.filter(|_| code == KILLED);
            let hint = limit.map_or(String::new(), |limit| {
                format!(
                    " It may have used more than its limit of {} of memory.",
                    bytes(limit)
                )
            });
            return refused(
                "build_failed",
                format!(
                    "A step of the build failed with exit code {code}.{hint} The last lines of the log say why."
                ),
            );
        }
        if let Some((base, trouble)) = base_trouble(&last) {
            return registry::fault(&base, Some(trouble), &self.room);
        }
        if any("Cannot connect to the Docker daemon")
            || any("error reading from server")
            || any("rpc error: code = Unavailable")
        {
            return away();
        }
        refused(
            "build_failed",
            "The build failed. The last lines of the log say why.",
        )
    }
}
