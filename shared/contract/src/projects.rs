//! Projects and services, as they are asked for and shown.
//!
//! Promise: a secret goes in and never comes out; what stands for it stays inside too.

use chrono::{DateTime, Utc};
use domain::release::{
    Allowance, AutoDeploy, Build, Gate, GitAccess, Limits, RegistryAccess, Source,
};
use domain::{Project, ProjectId, Service, ServiceId};
use serde::{Deserialize, Deserializer, Serialize};
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Create a project.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProjectCreate {
    /// Unique in the team: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
}

/// Services that belong together.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ProjectView {
    /// Its id.
    pub id: ProjectId,
    /// Its name.
    pub name: String,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

impl From<Project> for ProjectView {
    fn from(project: Project) -> Self {
        Self {
            id: project.id,
            name: project.name,
            created_at: project.created_at,
        }
    }
}

/// Create a service.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceCreate {
    /// Unique in its project: 2 to 30 lower-case letters, digits and dashes.
    #[schema(min_length = 2, max_length = 30, pattern = "^[a-z](-?[a-z0-9])+$")]
    pub name: String,
    /// Where it comes from.
    pub source: SourceAsked,
    /// By service of the Compose file (`app` for an image or a Dockerfile), when it counts as ready.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub gates: BTreeMap<String, Gate>,
    /// What each container may use at most.
    #[serde(default)]
    pub limits: Limits,
    /// How many containers an image or a Dockerfile is run in, on each server.
    #[serde(default = "one")]
    #[schema(default = 1, minimum = 1, maximum = 16)]
    pub replicas: u32,
    /// Forms of its Compose file that reach beyond its own containers: an owner's word.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow: Vec<Allowance>,
    /// Logins for private registries.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(max_items = 10)]
    pub registries: Vec<RegistryAsked>,
    /// Pushes that deploy by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auto_deploy: Option<AutoDeploy>,
}

fn one() -> u32 {
    1
}

/// Change a service: what is absent stays. What runs stays as it is until the next deploy.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceUpdate {
    /// Only if it is at this revision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u64>,
    /// Where it comes from, all of it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<SourceAsked>,
    /// When it counts as ready, all services anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gates: Option<BTreeMap<String, Gate>>,
    /// What each container may use at most, all of it anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limits: Option<Limits>,
    /// How many containers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 16)]
    pub replicas: Option<u32>,
    /// Forms of its Compose file that reach beyond its own containers, all anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<Allowance>>,
    /// Logins for private registries, all anew; one without a password keeps the one that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 10)]
    pub registries: Option<Vec<RegistryAsked>>,
    /// Pushes that deploy by themselves; null for none.
    #[serde(
        default,
        deserialize_with = "given",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(value_type = Option<AutoDeploy>)]
    pub auto_deploy: Option<Option<AutoDeploy>>,
}

/// A null is a value, and not the same as nothing.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    from: D,
) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(from).map(Some)
}

/// Where a service comes from, with the secrets that open it.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum SourceAsked {
    /// A Compose file.
    Compose {
        /// Its text.
        #[schema(max_length = 65536)]
        file: String,
        /// Its profiles that are wanted.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        profiles: Vec<String>,
    },
    /// An image of a registry.
    Image {
        /// `ghcr.io/example/app:1.2`
        image: String,
    },
    /// A Dockerfile in a Git repository.
    Repository {
        /// `https://…`, `ssh://…` or `git@host:path`.
        url: String,
        /// A branch, a tag, or a commit of 40 hex digits.
        #[serde(default = "main_branch")]
        #[schema(default = "main")]
        reference: String,
        /// What opens it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        access: Option<GitAccessAsked>,
        /// How it is built.
        #[serde(default)]
        build: Build,
    },
    /// A Dockerfile in an archive that is uploaded for each deployment.
    Archive {
        /// How it is built.
        #[serde(default)]
        build: Build,
    },
}

fn main_branch() -> String {
    "main".to_string()
}

/// What opens a private repository. It is kept encrypted and not shown again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum GitAccessAsked {
    /// A token over HTTPS.
    Token {
        /// `x-access-token` for GitHub, `oauth2` for GitLab.
        #[serde(default = "access_token_user")]
        #[schema(default = "x-access-token")]
        username: String,
        /// The token.
        token: String,
    },
    /// A key over SSH.
    DeployKey {
        /// Its private half in OpenSSH format, without a passphrase.
        private_key: String,
    },
    /// What is stored stays; only for the same repository.
    Keep {},
}

fn access_token_user() -> String {
    "x-access-token".to_string()
}

/// A login for a private registry. Its password is kept encrypted and not shown again.
#[derive(Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RegistryAsked {
    /// `ghcr.io`; `docker.io` for Docker Hub.
    pub registry: String,
    /// The user.
    pub username: String,
    /// The password or token; absent in a change to keep the one that is stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
}

/// A service.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ServiceView {
    /// Its id.
    pub id: ServiceId,
    /// Its project.
    pub project_id: ProjectId,
    /// Its name.
    pub name: String,
    /// Where it comes from.
    pub source: SourceView,
    /// When it counts as ready.
    pub gates: BTreeMap<String, Gate>,
    /// What each container may use at most.
    pub limits: Limits,
    /// How many containers.
    pub replicas: u32,
    /// What an owner allowed.
    pub allow: Vec<Allowance>,
    /// Logins for private registries, without their passwords.
    pub registries: Vec<RegistryView>,
    /// Pushes that deploy by themselves.
    pub auto_deploy: Option<AutoDeploy>,
    /// Rises with every change.
    pub revision: u64,
    /// When it was created.
    pub created_at: DateTime<Utc>,
}

/// Where a service comes from.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum SourceView {
    /// A Compose file.
    Compose {
        /// Its text.
        file: String,
        /// Its profiles that are wanted.
        profiles: Vec<String>,
    },
    /// An image of a registry.
    Image {
        /// Its name.
        image: String,
    },
    /// A Dockerfile in a Git repository.
    Repository {
        /// Where it is.
        url: String,
        /// A branch, a tag, or a commit.
        reference: String,
        /// `token` or `deploy_key`, when something opens it.
        access: Option<String>,
        /// How it is built.
        build: Build,
    },
    /// A Dockerfile in an archive that is uploaded for each deployment.
    Archive {
        /// How it is built.
        build: Build,
    },
}

impl SourceView {
    /// `compose`, `image`, `repository`, `archive`
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Compose { .. } => "compose",
            Self::Image { .. } => "image",
            Self::Repository { .. } => "repository",
            Self::Archive { .. } => "archive",
        }
    }
}

impl From<Source> for SourceView {
    fn from(source: Source) -> Self {
        match source {
            Source::Compose { file, profiles } => Self::Compose { file, profiles },
            Source::Image { image } => Self::Image { image },
            Source::Repository {
                url,
                reference,
                access,
                build,
            } => Self::Repository {
                url,
                reference,
                access: access.map(|access| {
                    match access {
                        GitAccess::Token { .. } => "token",
                        GitAccess::DeployKey { .. } => "deploy_key",
                    }
                    .to_string()
                }),
                build,
            },
            Source::Archive { build } => Self::Archive { build },
        }
    }
}

/// A login for a private registry, without its password.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct RegistryView {
    /// The registry.
    pub registry: String,
    /// The user.
    pub username: String,
}

impl From<RegistryAccess> for RegistryView {
    fn from(access: RegistryAccess) -> Self {
        Self {
            registry: access.registry,
            username: access.username,
        }
    }
}

impl From<Service> for ServiceView {
    fn from(service: Service) -> Self {
        let settings = service.settings;
        Self {
            id: service.id,
            project_id: service.project_id,
            name: service.name,
            source: settings.source.into(),
            gates: settings.gates,
            limits: settings.limits,
            replicas: settings.replicas,
            allow: settings.allow,
            registries: settings
                .registries
                .into_iter()
                .map(RegistryView::from)
                .collect(),
            auto_deploy: settings.auto_deploy,
            revision: service.revision,
            created_at: service.created_at,
        }
    }
}
