//! Releases before they are stored: what is asked for, joined with what the service and its environment say.
//!
//! Promise: the same for people and for pushes; all of the configuration is in the input, and why there is none has a type.

use crate::Cloud;
use crate::draft::Asked;
use domain::release::{
    APP, Allowance, EnvironmentSettings, GitAccess, ReleaseServer, Source, UploadedSource,
    ValuesVersion,
};
use domain::release_diff::{Side, SideImage};
use domain::{
    Actor, DeploymentId, Environment, EnvironmentId, FrozenRelease, LockKey, Project, Server,
    ServerId, ServerStatus, Service, StepError, TargetKind, TargetRef, TeamId, Trigger,
};
use pipelines::inputs::{PromotedFrom, Release};
use records::RecordsError;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// An environment with all that a release of it reads.
#[derive(Debug, Clone)]
pub struct Found {
    /// The environment.
    pub environment: Environment,
    /// What is released.
    pub service: Service,
    /// What that belongs to.
    pub project: Project,
    /// Where to, in the environment's order.
    pub servers: Vec<Server>,
    /// Where else it was released to.
    pub elsewhere: Vec<ReleaseServer>,
    /// Its newest values.
    pub values: Option<ValuesVersion>,
}

/// What is said for one deployment alone.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// By service, in the place of the image that its source names.
    pub images: BTreeMap<String, String>,
    /// Another branch or tag.
    pub reference: Option<String>,
    /// Exactly this commit.
    pub commit: Option<String>,
    /// Another Compose file.
    pub compose: Option<String>,
    /// The source, when it is uploaded for each deployment.
    pub upload: Option<UploadedSource>,
}

/// Why nothing can be released.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// It runs nowhere.
    #[error("The environment {0} has no servers; add one first.")]
    NoServers(String),
    /// The quorum cannot be met.
    #[error("The quorum of {quorum} is more than the {servers} servers of the environment.")]
    QuorumTooHigh {
        /// So many must be ready.
        quorum: u32,
        /// So many there are.
        servers: usize,
    },
    /// A server is not registered yet.
    #[error("The server {0} is not registered yet.")]
    ServerNotRegistered(String),
    /// A server lacks something.
    #[error("The server {name} is not ready for releases: {}. Mend that, then run: triphammer servers check {name}", .missing.join("; "))]
    ServerNotReady {
        /// Its name.
        name: String,
        /// What.
        missing: Vec<String>,
    },
    /// What was said does not go with the source.
    #[error("`{what}` means nothing for a service that comes from {kind}.")]
    NotForSource {
        /// The field.
        what: &'static str,
        /// `an image`
        kind: &'static str,
    },
    /// It is made from what is uploaded, and nothing was.
    #[error("This service is built from an archive: upload one, and name it as upload_id.")]
    UploadNeeded,
    /// The release was for other servers.
    #[error("That release was for other servers; the environment is on {} now. Deploy again instead.", .0.join(", "))]
    ServersChanged(Vec<String>),
    /// Pushes do not deploy, because somebody went back.
    #[error(
        "Deploys by pushes are paused since the rollback {0}; resume them, promote, or deploy by hand."
    )]
    AutoDeploysPaused(DeploymentId),
    /// It was made with an allowance that an owner has taken back.
    #[error("It was made with the allowance {}, which the service does not have any more. Only an owner can give it again.", <&str>::from(*.0))]
    NoLongerAllowed(Allowance),
}

impl Refused {
    /// For programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoServers(_) => "no_servers",
            Self::QuorumTooHigh { .. } => "quorum_too_high",
            Self::ServerNotRegistered(_) | Self::ServerNotReady { .. } => "server_not_ready",
            Self::NotForSource { .. } => "not_for_this_source",
            Self::UploadNeeded => "upload_needed",
            Self::ServersChanged(_) => "servers_changed",
            Self::AutoDeploysPaused(_) => "auto_deploys_paused",
            Self::NoLongerAllowed(_) => "no_longer_allowed",
        }
    }
}

/// An environment with all that a release of it reads.
pub async fn find(cloud: &Cloud, team: TeamId, id: EnvironmentId) -> Result<Found, RecordsError> {
    let environment = cloud.records.environment(team, id).await?;
    find_for(cloud, environment).await
}

/// The same for one that was read, or is yet to be stored.
pub async fn find_for(cloud: &Cloud, environment: Environment) -> Result<Found, RecordsError> {
    let (records, team) = (&cloud.records, environment.team_id);
    let service = records.service(team, environment.service_id).await?;
    let project = records.project(team, environment.project_id).await?;
    let mut servers = Vec::new();
    for server in &environment.settings.server_ids {
        servers.push(records.server(team, *server).await?);
    }
    let mut elsewhere = Vec::new();
    for id in &environment.placed_on {
        if !environment.settings.server_ids.contains(id) {
            match records.server(team, *id).await {
                Ok(server) => elsewhere.push(ReleaseServer {
                    id: *id,
                    name: server.name,
                }),
                // What is no server any more has nothing to be taken from.
                Err(RecordsError::NotFound(_)) => {}
                Err(error) => return Err(error),
            }
        }
    }
    let version = environment.values_version;
    let values = records
        .values_version(team, environment.id, version)
        .await?;
    Ok(Found {
        environment,
        service,
        project,
        servers,
        elsewhere,
        values,
    })
}

fn quorum(settings: &EnvironmentSettings) -> usize {
    let all = settings.server_ids.len();
    settings
        .quorum
        .map_or(all, |quorum| usize::try_from(quorum).unwrap_or(usize::MAX))
}

/// Can these servers take a release now?
pub fn ready(servers: &[Server]) -> Result<(), Refused> {
    for server in servers {
        let (ServerStatus::Active, Some(facts)) = (server.status, &server.facts) else {
            return Err(Refused::ServerNotRegistered(server.name.clone()));
        };
        let missing = facts.missing.get("releases").cloned().unwrap_or_default();
        if !missing.is_empty() {
            let name = server.name.clone();
            return Err(Refused::ServerNotReady { name, missing });
        }
    }
    Ok(())
}

impl Found {
    /// `project/service/environment`
    pub fn path(&self) -> String {
        let (project, service) = (&self.project.name, &self.service.name);
        format!("{project}/{service}/{}", self.environment.name)
    }

    /// What an operation on this environment is about. `from` is where a promotion takes images from.
    pub fn on_target(&self, from: Option<&PromotedFrom>) -> OnTarget {
        let id = self.environment.id;
        let mut locks = vec![LockKey::environment(id)];
        let mut meta = BTreeMap::from([("environment_id".to_string(), id.to_string().into())]);
        if let Some(from) = from {
            locks.push(LockKey::environment(from.environment_id));
            meta.insert("server_id".to_string(), from.server_id.to_string().into());
        }
        OnTarget {
            target: TargetRef {
                kind: TargetKind::Environment,
                id: id.to_string(),
                name: self.path(),
            },
            locks,
            meta,
        }
    }

    /// A release as it is drafted for a trigger that waits its turn: `slot` is the branch.
    pub fn asked(
        &self,
        input: &Release,
        actor: Actor,
        trigger: Trigger,
        slot: Option<String>,
    ) -> Result<Asked, StepError> {
        let OnTarget {
            target,
            locks,
            meta,
        } = self.on_target(None);
        Ok(Asked {
            team_id: self.environment.team_id,
            actor,
            trigger,
            slot,
            target,
            locks,
            input: serde_json::to_value(input).map_err(StepError::broken)?,
            meta,
            claims: Vec::new(),
        })
    }

    /// All servers that may have something of it.
    pub fn placed_on(&self) -> Vec<ReleaseServer> {
        let placed_on = &self.environment.placed_on;
        let mut all = self.release_servers();
        all.retain(|server| placed_on.contains(&server.id));
        all.extend(self.elsewhere.clone());
        all
    }

    fn release_servers(&self) -> Vec<ReleaseServer> {
        let servers = self.servers.iter().map(|server| ReleaseServer {
            id: server.id,
            name: server.name.clone(),
        });
        servers.collect()
    }

    /// It has servers that are ready, and enough of them.
    pub fn placed(&self) -> Result<(), Refused> {
        let settings = &self.environment.settings;
        let servers = self.servers.len();
        if servers == 0 {
            return Err(Refused::NoServers(self.environment.name.clone()));
        }
        if let Some(quorum) = settings.quorum.filter(|_| quorum(settings) > servers) {
            return Err(Refused::QuorumTooHigh { quorum, servers });
        }
        ready(&self.servers)
    }

    /// The names of its newest values.
    fn value_names(&self) -> Vec<String> {
        let values = self.values.as_ref();
        values.map_or(Vec::new(), |values| values.names.keys().cloned().collect())
    }

    /// A release of what the service says now. A push's is refused while a rollback has paused them.
    pub fn release(&self, wanted: Wanted, trigger: Trigger) -> Result<Release, Refused> {
        if let Some(by) = self.environment.auto_deploys_paused_by
            && trigger.is_automatic()
        {
            return Err(Refused::AutoDeploysPaused(by));
        }
        self.placed()?;
        let settings = &self.service.settings;
        let source = overridden(&settings.source, &wanted)?;
        let is_archive = matches!(source, Source::Archive { .. });
        if is_archive && wanted.upload.is_none() {
            return Err(Refused::UploadNeeded);
        }
        let (environment, of) = (&self.environment, &self.environment.settings);
        Ok(Release {
            environment_id: environment.id,
            host_name: environment.host_name.clone(),
            servers: self.release_servers(),
            left_servers: self.elsewhere.clone(),
            quorum: quorum(of),
            source,
            commit: wanted.commit,
            upload: wanted.upload,
            images: wanted.images,
            frozen_of: None,
            promoted_from: None,
            values_version: environment.values_version,
            value_names: self.value_names(),
            routes: of.routes.clone(),
            gates: settings.gates.clone(),
            limits: settings.limits.clone(),
            replicas: settings.replicas,
            allow: settings.allow.clone(),
            registries: settings.registries.clone(),
            drain_seconds: of.drain_seconds,
        })
    }

    /// What was asked for once, asked for again: with the credentials of now, which may have been replaced, on top of what
    /// is on servers now, and only with what an owner still allows.
    fn renewed(&self, mut input: Release) -> Result<Release, Refused> {
        let now = &self.service.settings;
        let mut withdrawn = input.allow.iter().filter(|one| !now.allow.contains(one));
        if let Some(allowance) = withdrawn.next() {
            return Err(Refused::NoLongerAllowed(*allowance));
        }
        input.registries = now.registries.clone();
        if let Source::Repository { url, access, .. } = &mut input.source {
            *access = match &now.source {
                Source::Repository {
                    url: same,
                    access: now,
                    ..
                } if same == url => now.clone(),
                _ => None::<GitAccess>,
            };
        }
        let mut left = self.placed_on();
        left.retain(|server| !input.servers.iter().any(|one| one.id == server.id));
        input.left_servers = left;
        Ok(input)
    }

    /// A failed release again, on the servers that it was for.
    pub fn retry(
        &self,
        failed: Release,
        frozen: Option<&FrozenRelease>,
    ) -> Result<Release, Refused> {
        let ids = |servers: &[ReleaseServer]| -> BTreeSet<ServerId> {
            servers.iter().map(|server| server.id).collect()
        };
        let now = self.release_servers();
        if ids(&failed.servers) != ids(&now) {
            return Err(servers_changed(&now));
        }
        Ok(again(self.renewed(failed)?, frozen))
    }

    /// An earlier release of this environment again, as it was frozen: its own source, values, routes and gates, wherever
    /// the environment is live now. Where the release never was, there is nothing of it to go back to.
    pub fn rollback(
        &self,
        earlier: Release,
        frozen_of: DeploymentId,
        live: &Release,
    ) -> Result<Release, Refused> {
        let was_on = |id| earlier.servers.iter().any(|server| server.id == id);
        if !live.servers.iter().all(|server| was_on(server.id)) {
            return Err(servers_changed(&live.servers));
        }
        let mut input = self.renewed(Release {
            servers: live.servers.clone(),
            quorum: earlier.quorum.min(live.servers.len()),
            ..earlier
        })?;
        input.frozen_of = Some(frozen_of);
        input.promoted_from = None;
        Ok(input)
    }

    /// What runs in another environment of the service, released to this one with this one's values and routes. Its images
    /// are on `server_id`.
    pub fn promotion(
        &self,
        mut runs: Release,
        frozen_of: DeploymentId,
        server_id: ServerId,
    ) -> Result<Release, Refused> {
        self.placed()?;
        let from = PromotedFrom {
            environment_id: runs.environment_id,
            host_name: runs.host_name.clone(),
            server_id,
        };
        let (environment, of) = (&self.environment, &self.environment.settings);
        runs.servers = self.release_servers();
        let mut input = self.renewed(runs)?;
        input.environment_id = environment.id;
        input.host_name = environment.host_name.clone();
        input.quorum = quorum(of);
        input.frozen_of = Some(frozen_of);
        input.promoted_from = Some(from);
        input.values_version = environment.values_version;
        input.value_names = self.value_names();
        input.routes = of.routes.clone();
        input.drain_seconds = of.drain_seconds;
        Ok(input)
    }
}

fn overridden(source: &Source, wanted: &Wanted) -> Result<Source, Refused> {
    let kind = match source {
        Source::Compose { .. } => "a Compose file",
        Source::Image { .. } => "an image",
        Source::Repository { .. } => "a repository",
        Source::Archive { .. } => "an archive",
    };
    let refuse = |what| Err(Refused::NotForSource { what, kind });
    let mut source = source.clone();
    if !wanted.images.is_empty() && source.build().is_some() {
        return refuse("images");
    }
    if wanted.upload.is_some() && !matches!(source, Source::Archive { .. }) {
        return refuse("upload_id");
    }
    if wanted.commit.is_some() && !matches!(source, Source::Repository { .. }) {
        return refuse("commit");
    }
    match (&mut source, &wanted.reference) {
        (_, None) => {}
        (Source::Repository { reference, .. }, Some(other)) => *reference = other.clone(),
        (_, Some(_)) => return refuse("reference"),
    }
    match (&mut source, &wanted.compose) {
        (_, None) => {}
        (Source::Compose { file, .. }, Some(other)) => *file = other.clone(),
        (_, Some(_)) => return refuse("compose"),
    }
    Ok(source)
}

fn servers_changed(now: &[ReleaseServer]) -> Refused {
    Refused::ServersChanged(now.iter().map(|server| server.name.clone()).collect())
}

/// What it resolved before it failed is what it is again.
fn again(mut input: Release, frozen: Option<&FrozenRelease>) -> Release {
    let Some(frozen) = frozen else {
        return input;
    };
    input.commit = frozen.commit.clone().or(input.commit);
    // What was built is built again: a tag of the earlier try may be half a one.
    let pinned = frozen
        .images
        .iter()
        .filter(|(service, _)| !frozen.built.contains(service));
    input
        .images
        .extend(pinned.map(|(service, image)| (service.clone(), image.clone())));
    input
}

/// What an operation on an environment is about.
pub struct OnTarget {
    /// The target.
    pub target: TargetRef,
    /// What it locks.
    pub locks: Vec<LockKey>,
    /// What its first steps need.
    pub meta: BTreeMap<String, Value>,
}

/// What is known of a release, to be compared: what was frozen where it was, in its own environment's routes and values.
pub fn side(
    input: &Release,
    frozen: Option<&FrozenRelease>,
    values: BTreeMap<String, u64>,
) -> Side {
    let mut side = match frozen {
        Some(frozen) => Side::frozen(frozen, values),
        None => declared(input, values),
    };
    side.routes = input.routes.clone();
    side.gates = input.gates.clone();
    side.limits = input.limits.clone();
    side.allow = input.allow.clone();
    side
}

fn declared(input: &Release, values: BTreeMap<String, u64>) -> Side {
    let mut side = Side {
        commit: input.commit.clone(),
        values,
        ..Side::default()
    };
    let mut asked = BTreeMap::new();
    match &input.source {
        Source::Compose { file, .. } => side.compose = Some(file.clone()),
        Source::Image { image } => {
            side.all_images = true;
            asked.insert(APP.to_string(), image.clone());
        }
        Source::Repository { reference, .. } => side.reference = Some(reference.clone()),
        Source::Archive { .. } => {}
    }
    asked.extend(input.images.clone());
    let image = |asked| SideImage {
        asked,
        pinned: None,
    };
    let images = asked.into_iter().map(|(name, asked)| (name, image(asked)));
    side.images = images.collect();
    side
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source(value: Value) -> Source {
        serde_json::from_value(value).expect("a source")
    }

    #[test]
    fn what_does_not_go_with_a_source_is_refused_by_its_name() {
        let image = source(json!({"kind": "image", "image": "app:1"}));
        let commit = Wanted {
            commit: Some("a".repeat(40)),
            ..Wanted::default()
        };
        assert_eq!(
            overridden(&image, &commit)
                .expect_err("refused")
                .to_string(),
            "`commit` means nothing for a service that comes from an image."
        );
        let repository =
            source(json!({"kind": "repository", "url": "https://git.example.com/app.git"}));
        assert!(overridden(&repository, &commit).is_ok());
        let images = Wanted {
            images: BTreeMap::from([("app".to_string(), "app:2".to_string())]),
            ..Wanted::default()
        };
        assert!(overridden(&repository, &images).is_err());
        assert!(overridden(&image, &images).is_ok());
        let compose = Wanted {
            compose: Some("services: {}".to_string()),
            ..Wanted::default()
        };
        assert!(overridden(&image, &compose).is_err());
    }

    fn input(source: Value) -> Release {
        let input = json!({"environment_id": EnvironmentId::from_parts(1, 1), "host_name": "a-b-c-x", "servers": [],
            "quorum": 1, "source": source, "commit": null, "upload": null, "images": {}, "frozen_of": null,
            "promoted_from": null, "values_version": 0, "value_names": [], "routes": [], "gates": {}, "limits": {},
            "replicas": 1, "allow": [], "registries": [], "drain_seconds": 30});
        serde_json::from_value(input).expect("an input")
    }

    fn frozen() -> FrozenRelease {
        let frozen = json!({"compose": "made", "profiles": [], "images": {"app": "built:1", "db": "db@sha256:1"},
            "built": ["app"], "commit": "abc", "reference": "refs/heads/main", "values_version": 0, "variables": {},
            "services": [], "routes": [], "gates": {}, "limits": {}, "allow": []});
        serde_json::from_value(frozen).expect("frozen")
    }

    #[test]
    fn a_retry_takes_the_commit_and_the_digests_that_were_resolved_and_builds_anew() {
        let repository = json!({"kind": "repository", "url": "https://git.example.com/app.git"});
        let again = again(input(repository), Some(&frozen()));
        assert_eq!(again.commit.as_deref(), Some("abc"));
        assert_eq!(
            again.images,
            BTreeMap::from([("db".to_string(), "db@sha256:1".to_string())])
        );
    }

    #[test]
    fn a_branch_is_the_same_before_and_after_it_was_frozen() {
        let repository = json!({"kind": "repository", "url": "https://git.example.com/app.git"});
        let input = input(repository);
        let before = side(&input, Some(&frozen()), BTreeMap::new());
        let after = side(&input, None, BTreeMap::new());
        assert!(domain::release_diff::diff(&before, &after).is_empty());
    }
}
