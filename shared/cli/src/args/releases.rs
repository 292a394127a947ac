//! What may be typed about projects, services, environments, values and releases.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Subcommand};
use domain::release::{Allowance, Gate, HttpProbe, Route, Tls};
use domain::{DeploymentId, names};
use std::path::PathBuf;
use strum::VariantArray;

#[derive(Debug, Subcommand)]
pub enum Projects {
    /// Create a project
    Create {
        /// Its name: 2 to 30 lower-case letters, digits and dashes
        name: String,
    },
    /// All projects
    List,
    /// One project
    Show {
        /// Name or id
        project: String,
    },
    /// Delete a project that has no services
    Delete {
        /// Name or id
        project: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Services {
    /// Create a service: from an image, a Compose file, a repository, or an archive that each deploy uploads
    Create(Box<ServiceCreate>),
    /// All services
    List {
        /// Only those of this project: name or id
        #[arg(long)]
        project: Option<String>,
    },
    /// One service
    Show {
        /// PROJECT/SERVICE or id
        service: String,
    },
    /// Change a service: what is not given stays; what runs stays as it is until the next deploy
    Update(Box<ServiceUpdate>),
    /// Delete a service that has no environments
    Delete {
        /// PROJECT/SERVICE or id
        service: String,
    },
}

#[derive(Debug, Args)]
pub struct ServiceCreate {
    /// PROJECT/NAME; the name has 2 to 30 lower-case letters, digits and dashes
    pub service: String,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub settings: SettingsArgs,
}

#[derive(Debug, Args)]
pub struct ServiceUpdate {
    /// PROJECT/SERVICE or id
    pub service: String,
    #[command(flatten)]
    pub source: SourceArgs,
    #[command(flatten)]
    pub settings: SettingsArgs,
    /// Pushes do not deploy by themselves any more
    #[arg(long, conflicts_with = "auto_deploy")]
    pub no_auto_deploy: bool,
    /// No gates any more
    #[arg(long, conflicts_with = "gates")]
    pub no_gates: bool,
    /// No form that reaches beyond its own containers is allowed any more
    #[arg(long, conflicts_with = "allow")]
    pub no_allow: bool,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Source: one of these")]
pub struct SourceArgs {
    /// An image of a registry
    #[arg(long, value_name = "IMAGE", group = "from")]
    pub image: Option<String>,
    /// A Compose file
    #[arg(long, value_name = "FILE", group = "from")]
    pub compose: Option<PathBuf>,
    /// A Git repository with a Dockerfile: https://…, ssh://… or git@host:path
    #[arg(long, value_name = "URL", group = "from")]
    pub repo: Option<String>,
    /// A Dockerfile in an archive that each deploy uploads
    #[arg(long, group = "from")]
    pub archive: bool,
    /// A profile of the Compose file that is wanted; may be given again
    #[arg(long = "profile-wanted", value_name = "PROFILE")]
    pub profiles: Vec<String>,
    /// The repository's branch or tag [default: main]
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// The Dockerfile beneath the source [default: Dockerfile]
    #[arg(long, value_name = "PATH")]
    pub dockerfile: Option<String>,
    /// The build's context beneath the source [default: .]
    #[arg(long, value_name = "PATH")]
    pub context: Option<String>,
    /// A stage of the Dockerfile
    #[arg(long, value_name = "STAGE")]
    pub build_target: Option<String>,
    /// A build argument, and no secret: an image remembers it; may be given again
    #[arg(long = "build-arg", value_name = "NAME=VALUE", value_parser = pair)]
    pub build_arguments: Vec<(String, String)>,
    /// A token opens the repository: read from TRIPHAMMER_GIT_TOKEN, or asked for
    #[arg(long)]
    pub git_token: bool,
    /// Who the token belongs to [default: x-access-token]
    #[arg(long, value_name = "USER", requires = "git_token")]
    pub git_user: Option<String>,
    /// A private key opens the repository over SSH
    #[arg(long, value_name = "FILE", conflicts_with = "git_token")]
    pub deploy_key: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Settings")]
pub struct SettingsArgs {
    /// A service is ready when this page answers: SERVICE=/health or SERVICE=:8080/health; may be given again
    #[arg(long = "gate", value_name = "SERVICE=/PATH", value_parser = gate)]
    pub gates: Vec<(String, Gate)>,
    /// Not ready by then is failed: seconds, for all gates given here
    #[arg(long, value_name = "SECONDS", requires = "gates")]
    pub gate_within: Option<u32>,
    /// Containers of an image or a Dockerfile on each server
    #[arg(long, value_name = "NUMBER")]
    pub replicas: Option<u32>,
    /// Processors of each container: 0.5
    #[arg(long, value_name = "NUMBER")]
    pub cpus: Option<f64>,
    /// Memory of each container, in MB
    #[arg(long, value_name = "MB")]
    pub memory: Option<u64>,
    /// A form of the Compose file that reaches beyond its own containers: an owner's word; may be given again
    #[arg(long, value_name = "FORM", value_parser = allowances(), value_delimiter = ',')]
    pub allow: Vec<Allowance>,
    /// A login for a private registry: USER@ghcr.io; its password is read from TRIPHAMMER_REGISTRY_PASSWORD or standard input, or asked for
    #[arg(long, value_name = "USER@REGISTRY")]
    pub registry: Option<String>,
    /// Read the registry's password from standard input
    #[arg(long, requires = "registry")]
    pub registry_password_stdin: bool,
    /// Pushes to this branch deploy by themselves
    #[arg(long, value_name = "BRANCH")]
    pub auto_deploy: Option<String>,
    /// Only when one of these paths changed; may be given again
    #[arg(long = "watch", value_name = "PATH", requires = "auto_deploy")]
    pub watch_paths: Vec<String>,
}

#[derive(Debug, Subcommand)]
pub enum Environments {
    /// Create an environment, and deploy once to it
    Create(EnvironmentCreate),
    /// All environments
    List {
        /// Only those of this service: PROJECT/SERVICE or id
        #[arg(long)]
        service: Option<String>,
    },
    /// One environment, and where it stands
    Show {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Change an environment: what is not given stays; what runs stays as it is until the next deploy
    Update(EnvironmentUpdate),
    /// Delete an environment, with all it has on its servers but its named volumes
    Delete {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// Its volumes go too, with all that is in them: say the environment's name again
        #[arg(long, value_name = "NAME")]
        delete_volumes: Option<String>,
        /// Delete it even if a server does not do it: that one keeps what it has of it
        #[arg(long)]
        force: bool,
    },
    /// Look at what of it runs
    Observe {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Stop its containers; volumes, images and routes stay
    Stop {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Start its containers again
    Start {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Restart its containers
    Restart {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
}

#[derive(Debug, Args)]
pub struct EnvironmentCreate {
    /// PROJECT/SERVICE/NAME; the name has 2 to 30 lower-case letters, digits and dashes
    pub environment: String,
    #[command(flatten)]
    pub place: Place,
    /// Deploy nothing to it yet
    #[arg(long)]
    pub no_deploy: bool,
}

#[derive(Debug, Args)]
pub struct EnvironmentUpdate {
    /// PROJECT/SERVICE/ENVIRONMENT or id
    pub environment: String,
    #[command(flatten)]
    pub place: Place,
    /// No routes any more
    #[arg(long, conflicts_with = "routes")]
    pub no_routes: bool,
    /// All servers must be ready again
    #[arg(long, conflicts_with = "quorum")]
    pub no_quorum: bool,
}

#[derive(Debug, Args)]
pub struct Place {
    /// Where its containers run: name or id; may be given again
    #[arg(long = "server", value_name = "SERVER")]
    pub servers: Vec<String>,
    /// What the proxy passes on: HOST[/PATH]=SERVICE:PORT, or HOST=PORT for an image or a Dockerfile; may be given again
    #[arg(long = "route", value_name = "HOST=SERVICE:PORT", value_parser = route)]
    pub routes: Vec<Route>,
    /// Who vouches for the hosts given here: off, internal, or acme [default: acme]
    #[arg(long, value_parser = tls(), requires = "routes")]
    pub tls: Option<Tls>,
    /// So many servers must be ready [default: all]
    #[arg(long, value_name = "NUMBER")]
    pub quorum: Option<u32>,
    /// What requests under way are given before their containers are stopped [default: 30]
    #[arg(long, value_name = "SECONDS")]
    pub drain: Option<u32>,
    /// So many releases can be gone back to [default: 5]
    #[arg(long, value_name = "NUMBER")]
    pub keep: Option<u32>,
}

impl Place {
    /// The routes with what vouches for them.
    pub fn routes(&self) -> Vec<Route> {
        let tls = self.tls.unwrap_or_default();
        let routed = self.routes.iter().cloned();
        routed.map(|route| Route { tls, ..route }).collect()
    }
}

#[derive(Debug, Args)]
pub struct Deploy {
    /// PROJECT/SERVICE/ENVIRONMENT or id
    pub environment: String,
    /// What is run instead: IMAGE, or SERVICE=IMAGE for a Compose file; may be given again
    #[arg(long = "image", value_name = "[SERVICE=]IMAGE", value_parser = image)]
    pub images: Vec<(String, String)>,
    /// Another Compose file instead
    #[arg(long, value_name = "FILE")]
    pub compose: Option<PathBuf>,
    /// Another branch or tag of the repository
    #[arg(long, value_name = "BRANCH")]
    pub branch: Option<String>,
    /// Exactly this commit of the repository
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// What is built: a folder, or a .zip or .tar.gz file; it is uploaded
    #[arg(long, value_name = "FILE|FOLDER")]
    pub archive: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum Env {
    /// Set values: NAME=VALUE, or all of a file; the next deploy takes them
    Set {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// A value; secrets are better read from a file or standard input
        #[arg(value_name = "NAME=VALUE", value_parser = pair)]
        values: Vec<(String, String)>,
        /// Lines NAME=VALUE, as in a .env file; - for standard input
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// What is not given is taken away
        #[arg(long)]
        replace: bool,
    },
    /// Names of the values, each with the version that set it
    List {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Show one value in clear; it is written down who read it
    Get {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// Its name
        name: String,
    },
    /// Take values away
    Unset {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// Their names
        #[arg(required = true)]
        names: Vec<String>,
    },
}

/// Ids are written in capitals; people need not.
pub fn deployment_id(text: &str) -> Result<DeploymentId, domain::ids::NotAnId> {
    text.to_ascii_uppercase().parse()
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) => {
            let name = names::value_name(name).map_err(|why| format!("the name {why}"))?;
            Ok((name, value.to_string()))
        }
        None => Err("write NAME=VALUE".to_string()),
    }
}

fn image(text: &str) -> Result<(String, String), String> {
    let (service, image) = text.split_once('=').unwrap_or((domain::release::APP, text));
    Ok((service.to_string(), image.to_string()))
}

/// `app=/health`, `app=:8080/health`
fn gate(text: &str) -> Result<(String, Gate), String> {
    let shape = || "write SERVICE=/PATH or SERVICE=:PORT/PATH".to_string();
    let (service, page) = text.split_once('=').ok_or_else(shape)?;
    let (port, path) = match page.strip_prefix(':') {
        None => (None, page),
        Some(rest) => {
            let at = rest.find('/').ok_or_else(shape)?;
            let port = rest[..at].parse().map_err(|_| shape())?;
            (Some(port), &rest[at..])
        }
    };
    if !path.starts_with('/') {
        return Err(shape());
    }
    let http = HttpProbe {
        path: path.to_string(),
        port,
        statuses: Vec::new(),
        contains: None,
        header: None,
        host: None,
        timeout_seconds: 5,
    };
    let gate = Gate {
        http: Some(http),
        ..Gate::default()
    };
    Ok((service.to_string(), gate))
}

/// `shop.example.com/api=web:8080`, `shop.example.com=8080`
fn route(text: &str) -> Result<Route, String> {
    let shape = || "write HOST[/PATH]=SERVICE:PORT or HOST[/PATH]=PORT".to_string();
    let (from, to) = text.split_once('=').ok_or_else(shape)?;
    let (host, path) = match from.find('/') {
        None => (from, None),
        Some(at) => (&from[..at], Some(from[at..].to_string())),
    };
    let (service, port) = to.rsplit_once(':').unwrap_or((domain::release::APP, to));
    Ok(Route {
        host: host.to_string(),
        path,
        service: service.to_string(),
        port: port.parse().map_err(|_| shape())?,
        tls: Tls::default(),
    })
}

fn allowances() -> impl TypedValueParser<Value = Allowance> {
    let words = Allowance::VARIANTS
        .iter()
        .copied()
        .map(<&'static str>::from);
    PossibleValuesParser::new(words)
        .map(|text| text.parse().expect("only the words above come through"))
}

fn tls() -> impl TypedValueParser<Value = Tls> {
    PossibleValuesParser::new(["off", "internal", "acme"])
        .map(|text| text.parse().expect("only the words above come through"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_is_read_with_its_path_and_service() {
        let full = route("shop.example.com/api=web:8080").expect("a route");
        assert_eq!(
            (
                full.host.as_str(),
                full.path.as_deref(),
                full.service.as_str(),
                full.port
            ),
            ("shop.example.com", Some("/api"), "web", 8080)
        );
        let short = route("shop.example.com=80").expect("a route");
        assert_eq!((short.service.as_str(), short.port), ("app", 80));
        for text in [
            "shop.example.com",
            "shop.example.com=web",
            "a=b:c:d",
            "=x:99999",
        ] {
            assert!(route(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_gate_is_read_with_its_port() {
        let (service, read) = gate("web=:8080/health").expect("a gate");
        let http = read.http.expect("a page");
        assert_eq!(
            (service.as_str(), http.port, http.path.as_str()),
            ("web", Some(8080), "/health")
        );
        assert_eq!(
            gate("app=/").expect("a gate").1.http.expect("a page").port,
            None
        );
        for text in ["web", "web=health", "web=:x/health", "web=:8080"] {
            assert!(gate(text).is_err(), "{text}");
        }
    }
}
