//! An image out of a Dockerfile in the deployment's checkout.
//!
//! Promise: neither the Dockerfile nor its context is outside of the checkout, also not by a link; the build has its
//! limits, and one that eats the disk fails alone, with what it left in the builder.

use super::engine::{Engine, Image, away};
use super::limits::{Cgroup, Steps};
use super::login::LoginFolder;
use super::pull::Pulling;
use super::reference::Reference;
use super::registry::{self, Trouble};
use super::{DEPLOYMENT_LABEL, ENVIRONMENT_LABEL, cache};
use crate::backup::bytes;
use crate::fault::{Result, already_exists, bad_request, broken, io_at, missing_software, refused};
use crate::jobs::context::Context;
use crate::jobs::work::Finished;
use crate::release::folder::Environment;
use crate::run::{self, As};
use protocol::AgentError;
use protocol::release::{BuildImage, ImageBuilt};
use std::collections::VecDeque;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// Between two looks at the build, the disk and its steps.
const LOOK: Duration = Duration::from_millis(200);
/// A line of a log is no longer.
const LINE_LIMIT_BYTES: u64 = 8 * 1024;
/// Why a build failed stands in its last lines.
const LAST_LINES: usize = 60;
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
    building.check_disk()?;
    building.fetch_untrusted_bases(&place)?;
    let since = cache::now()?;
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

fn arguments_ok(asked: &BuildImage) -> Result<()> {
    let word = |text: &str| {
        !text.is_empty()
            && !text.starts_with(|c: char| c.is_ascii_digit())
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
    };
    let stage = |text: &str| {
        text.starts_with(|c: char| c.is_ascii_alphanumeric())
            && text
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
    };
    if !asked.arguments.keys().all(|name| word(name)) {
        return Err(bad_request(
            "A build argument's name must be letters, digits and underscores, not beginning with a digit.",
        ));
    }
    if asked.arguments.values().any(|value| value.contains('\0')) {
        return Err(bad_request(
            "A build argument's value holds a character that none may hold.",
        ));
    }
    if !asked.target.as_deref().is_none_or(stage) {
        return Err(bad_request("The stage's name is not one."));
    }
    Ok(())
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

/// Where a build takes what it needs, all links resolved.
#[derive(Debug)]
struct Place {
    dockerfile: PathBuf,
    context: PathBuf,
}

impl Place {
    /// Nobody but root can change the checkout, so what is seen here holds.
    fn of(checkout: &Path, asked: &BuildImage) -> Result<Self> {
        let top = fs::canonicalize(checkout).map_err(|_| {
            refused(
                "not_fetched",
                "The source is not on this server. Deploy again.",
            )
        })?;
        let missing = |path: &str| {
            refused(
                "dockerfile_missing",
                format!(
                    "The source has no Dockerfile at {path:?}. Check the path, or add the file."
                ),
            )
        };
        let no_folder = |path: &str| {
            refused(
                "context_missing",
                format!("The source has no folder {path:?} to build in. Check the path."),
            )
        };
        let dockerfile = beneath(&top, &asked.dockerfile).filter(|path| path.is_file());
        let context = beneath(&top, &asked.context).filter(|path| path.is_dir());
        Ok(Self {
            dockerfile: dockerfile.ok_or_else(|| missing(&asked.dockerfile))?,
            context: context.ok_or_else(|| no_folder(&asked.context))?,
        })
    }
}

fn beneath(top: &Path, path: &str) -> Option<PathBuf> {
    let path = if path.is_empty() { "." } else { path };
    if Path::new(path).is_absolute() || path.contains('\0') {
        return None;
    }
    let found = fs::canonicalize(top.join(path)).ok()?;
    found.starts_with(top).then_some(found)
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
                // Its end is seen by the next look; the builder ends what it ran for it.
                let _ = child.kill();
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

/// What the program said on stderr, which is where the builder's progress goes.
#[derive(Debug, Default)]
struct Said(Mutex<Heard>);

#[derive(Debug, Default)]
struct Heard {
    last: VecDeque<String>,
    steps: u64,
}

impl Said {
    fn hear(&self, context: &Context, line: &str) {
        let step = line
            .strip_prefix('#')
            .and_then(|rest| rest.split_once(' '))
            .map(|(_, said)| said);
        // Docker 20.10 names each step by its digest too, which tells people nothing.
        if step.is_some_and(|said| said.starts_with("sha256:") && said.len() == 71) {
            return;
        }
        let mut heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if step.is_some_and(|said| said.starts_with("DONE") || said == "CACHED") {
            heard.steps += 1;
            context.progress(heard.steps, None, "steps");
        }
        heard.last.push_back(line.to_string());
        if heard.last.len() > LAST_LINES {
            heard.last.pop_front();
        }
        drop(heard);
        // A step's own output comes with its number and does not say which stream it came from.
        let is_complaint = step.map_or(!line.is_empty(), |said| said.starts_with("ERROR"));
        if is_complaint {
            context.complain(line)
        } else {
            context.log(line)
        }
    }

    fn last(&self) -> Vec<String> {
        let heard = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        heard.last.iter().cloned().collect()
    }
}

/// `… did not complete successfully: exit code: 3`, or `executor failed running […]: exit code: 3`.
fn exit_code(line: &str) -> Option<i64> {
    if !line.contains("failed to solve") && !line.contains("ERROR") {
        return None;
    }
    let (_, after) = line.rsplit_once("exit code: ")?;
    let digits: String = after.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

/// A base image that was not had, and why.
fn base_trouble(last: &[String]) -> Option<(Reference, Trouble)> {
    let named = last
        .iter()
        .rev()
        .find_map(|line| line.rsplit_once("load metadata for ").map(|(_, rest)| rest))?;
    let reference = Reference::parse(named.trim().trim_end_matches(':')).ok()?;
    let said = last
        .iter()
        .rev()
        .find(|line| line.contains("failed to solve"))?;
    let trouble = registry::trouble_of(&reference, said)?;
    Some((reference, trouble))
}

/// Images that a Dockerfile names in words, stages of its own left out.
fn bases(text: &str) -> Vec<&str> {
    let mut stages: Vec<String> = vec!["scratch".into()];
    let mut bases = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        if !words
            .next()
            .is_some_and(|first| first.eq_ignore_ascii_case("from"))
        {
            continue;
        }
        let mut words = words.skip_while(|word| word.starts_with("--"));
        let Some(base) = words.next() else {
            continue;
        };
        if !base.contains('$') && !stages.contains(&base.to_ascii_lowercase()) {
            bases.push(base);
        }
        if let (Some(_), Some(stage)) = (words.next(), words.next()) {
            stages.push(stage.to_ascii_lowercase());
        }
    }
    bases
}

/// Each line of what is printed, however long the program makes it.
fn lines(from: impl Read, mut on: impl FnMut(&str)) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut from)
            .take(LINE_LIMIT_BYTES)
            .read_until(b'\n', &mut line)
        {
            Ok(0) | Err(_) => return,
            Ok(_) => on(String::from_utf8_lossy(&line).trim_end()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    fn asked(dockerfile: &str, context: &str) -> BuildImage {
        let value = serde_json::json!({
            "environment": "shop", "dockerfile": dockerfile, "context": context, "tag": "triphammer/shop:1", "keep_free_bytes": 0,
        });
        serde_json::from_value(value).expect("an order")
    }

    #[test]
    fn neither_dockerfile_nor_context_leads_out_of_the_checkout() {
        let root = tempfile::tempdir().expect("a temporary directory");
        let top = root.path().join("checkout");
        fs::create_dir_all(top.join("app")).expect("made");
        fs::write(root.path().join("Dockerfile"), "FROM scratch").expect("written");
        fs::write(top.join("app/Dockerfile"), "FROM scratch").expect("written");
        symlink("app/Dockerfile", top.join("inside")).expect("linked");
        symlink("../Dockerfile", top.join("outside")).expect("linked");
        symlink("/", top.join("root")).expect("linked");
        let place = |dockerfile, context| {
            Place::of(&top, &asked(dockerfile, context)).map_err(|error| error.code)
        };
        assert!(place("app/Dockerfile", ".").is_ok());
        assert!(place("inside", "app").is_ok());
        assert!(place("app/../inside", "").is_ok());
        for bad in [
            "outside",
            "../Dockerfile",
            "root/etc/passwd",
            "/etc/passwd",
            "app",
            "nope",
            "",
        ] {
            assert_eq!(place(bad, ".").expect_err(bad), "dockerfile_missing");
        }
        for bad in ["root", "..", "root/etc", "/", "inside", "app/../.."] {
            assert_eq!(place("inside", bad).expect_err(bad), "context_missing");
        }
        assert_eq!(
            Place::of(&root.path().join("gone"), &asked("a", "."))
                .expect_err("gone")
                .code,
            "not_fetched"
        );
    }

    #[test]
    fn arguments_with_meaning_to_the_program_are_refused() {
        let mut order = asked("Dockerfile", ".");
        order.target = Some("--output=/".into());
        assert!(arguments_ok(&order).is_err());
        order.target = Some("build-stage.1".into());
        order.arguments.insert("VERSION".into(), "a=b --c".into());
        assert!(arguments_ok(&order).is_ok());
        order.arguments.insert("A=B".into(), String::new());
        assert!(arguments_ok(&order).is_err());
    }

    /// As Docker 20.10 and 28 say it.
    #[test]
    fn the_exit_code_is_that_of_the_step() {
        for line in [
            "executor failed running [/bin/sh -c echo exit code: 9; exit 3]: exit code: 3",
            "ERROR: failed to solve: process \"/bin/sh -c exit 3\" did not complete successfully: exit code: 3",
        ] {
            let line = format!("failed to solve: {line}");
            assert_eq!(exit_code(&line), Some(3), "{line}");
        }
        assert_eq!(exit_code("#5 0.1 exit code: 4"), None);
    }

    #[test]
    fn bases_are_those_that_a_registry_gives() {
        let text = "ARG A=1\nFROM --platform=linux/amd64 registry.test:5000/a:1 AS Build\nFROM build\nfrom scratch\nFROM ${A}\nCOPY --from=x . .\nFROM b\n";
        assert_eq!(bases(text), ["registry.test:5000/a:1", "b"]);
    }

    #[test]
    fn a_base_image_that_is_not_there_is_named() {
        let last = [
            "#3 [internal] load metadata for registry.test:5000/lab/nope:1",
            "#3 ERROR: registry.test:5000/lab/nope:1: not found",
            " > [internal] load metadata for registry.test:5000/lab/nope:1:",
            "ERROR: failed to solve: registry.test:5000/lab/nope:1: not found",
        ];
        let last: Vec<String> = last.iter().map(ToString::to_string).collect();
        let (base, trouble) = base_trouble(&last).expect("told");
        assert_eq!(
            (base.tagged().as_str(), trouble),
            ("registry.test:5000/lab/nope:1", Trouble::NotFound)
        );
    }
}
