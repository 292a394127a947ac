//! A prepared release among its containers, with the release that it replaces.
//!
//! Promise: only reads.

use crate::fault::Result;
use crate::jobs::context::Context;
use crate::paths::Paths;
use crate::release::container::{self, Container};
use crate::release::engine;
use crate::release::folder::{Environment, Ports, Release, State};
use crate::release::mask::Mask;
use crate::release::plan::{self, Files};
use crate::release::project::Project;
use crate::run::{self, Outcome};
use protocol::release::{ReleasePlan, ReleasePrepare};
use serde_json::Value;
use std::collections::BTreeSet;
use std::process::Command;

/// A release and what belongs to it.
pub struct Scene {
    /// Its environment.
    pub environment: Environment,
    /// Which release is which.
    pub state: State,
    /// This one.
    pub release: Release,
    /// What was asked, images pinned.
    pub asked: ReleasePrepare,
    /// What is done.
    pub plan: ReleasePlan,
    /// By which files.
    pub files: Files,
    /// Where routed containers are.
    pub ports: Ports,
    /// Its values, out of what programs print.
    pub mask: Mask,
}

impl Scene {
    /// Of a release that was prepared.
    pub fn of(paths: &Paths, environment: &str, deployment: &str) -> Result<Self> {
        let environment = Environment::of(paths, environment)?;
        let release = environment.release(deployment)?;
        Self::at(environment, release)
    }

    /// Of the release that the routes lead to; none on a server to which nothing of the environment was released.
    pub fn live(paths: &Paths, environment: &str) -> Result<Option<Self>> {
        let environment = Environment::of(paths, environment)?;
        let live = environment.state()?.live;
        live.map(|id| Self::at(environment.clone(), environment.release(&id)?))
            .transpose()
    }

    fn at(environment: Environment, release: Release) -> Result<Self> {
        let asked = release.asked()?;
        Ok(Self {
            state: environment.state()?,
            plan: release.plan()?,
            files: release.files()?,
            ports: release.ports()?,
            mask: Mask::of(&asked.values),
            asked,
            release,
            environment,
        })
    }

    /// The release that this one replaces or has replaced, if it was prepared with all of its parts.
    pub fn replaced(&self) -> Result<Option<Self>> {
        let other = self.environment.replaced_by(self.release.deployment())?;
        other
            .map(|release| Self::at(self.environment.clone(), release))
            .transpose()
    }

    /// Of the services that are updated in place.
    pub fn in_place(&self) -> Project {
        Project::in_place(&self.release, &self.asked, &self.files.in_place)
    }

    /// Of those that stand beside older ones.
    pub fn beside(&self) -> Project {
        Project::beside(&self.release, &self.asked, &self.files.beside)
    }

    /// Services of the file of those that are updated in place.
    pub fn names_in_place(&self) -> BTreeSet<String> {
        plan::names_in(&self.files.in_place)
    }

    /// Services of the other one.
    pub fn names_beside(&self) -> BTreeSet<String> {
        plan::names_in(&self.files.beside)
    }

    /// All containers of the environment.
    pub fn containers(&self) -> Result<Vec<Container>> {
        container::of_environment(self.environment.name())
    }

    /// Those that are this release's: its own beside ones, and those that its services updated in place have.
    pub fn own<'a>(&self, all: &'a [Container]) -> Vec<&'a Container> {
        let (project, environment) = (self.release.project(), self.environment.name());
        all.iter()
            .filter(|one| {
                one.project == project
                    || (one.project == environment && has_entry(&self.files.in_place, one))
            })
            .collect()
    }

    /// Run a command with its lines in the job's log.
    pub fn stream(&self, context: &Context, command: &mut Command) -> Result<Outcome> {
        engine::stream(context, &self.mask, command)
    }

    /// Run a command of a call, which has no log.
    pub fn run(&self, command: &mut Command) -> Result<()> {
        let seen = run::run(command, b"")?;
        if seen.ok {
            Ok(())
        } else {
            Err(engine::unlogged(&seen.errors, &self.mask))
        }
    }
}

/// Is it made by this Compose file?
pub fn has_entry(file: &Value, container: &Container) -> bool {
    !file["services"][container.entry.as_str()].is_null()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::release::folder::State;

    #[test]
    fn a_server_to_which_nothing_was_released_has_no_scene_and_one_whose_release_is_damaged_says_so()
     {
        let root = tempfile::tempdir().expect("a temporary directory");
        let paths = Paths::under(root.path());
        assert!(Scene::live(&paths, "shop").expect("read").is_none());
        let environment = Environment::of(&paths, "shop").expect("a name");
        let release = environment.release("d1").expect("an id");
        release.make().expect("made");
        assert!(Scene::live(&paths, "shop").expect("read").is_none());
        let state = State {
            live: Some("d1".into()),
            ..State::default()
        };
        environment.set_state(&state).expect("kept");
        let fault = Scene::live(&paths, "shop").err().expect("refused");
        assert_eq!(fault.code, "not_prepared");
    }
}
