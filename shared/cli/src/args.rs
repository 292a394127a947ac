//! What may be typed.
//!
//! Promise: every command, argument and flag stands here with its help, and nowhere else.

mod backups;
mod releases;

pub use backups::{
    BackupConfigurationCreate, BackupConfigurationUpdate, BackupConfigurations, Backups,
};
pub use releases::{
    Deploy, Env, EnvironmentCreate, EnvironmentUpdate, Environments, Place, Projects,
    ServiceCreate, ServiceUpdate, Services, SettingsArgs, SourceArgs,
};

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, Parser, Subcommand};
use domain::{DeploymentId, Role, Scope};
use releases::deployment_id;
use std::path::PathBuf;
use strum::VariantArray;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    error; also when a followed deployment failed or was cancelled
  2    denied: the token is not known or may not do this
  3    dry run: the plan was shown, nothing was changed
  130  interrupted while following; the deployment goes on

Configuration: ~/.config/triphammer/config.toml, or the file that TRIPHAMMER_CONFIG names:
  [profiles.default]
  api_url = \"https://api.example.com\"
  token = \"th_…\"
  host_header = \"api.example.com\"    # only for an API behind a name that does not resolve

Environment: TRIPHAMMER_API_URL, TRIPHAMMER_TOKEN, TRIPHAMMER_HOST_HEADER, TRIPHAMMER_PROFILE,
  TRIPHAMMER_CONFIG, TRIPHAMMER_GIT_TOKEN, TRIPHAMMER_REGISTRY_PASSWORD, NO_COLOR";

/// Deployment pipelines for WordPress sites and containers.
#[derive(Debug, Parser)]
#[command(name = "triphammer", version, after_help = EXIT_CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags of every command.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// Print the API's JSON: one document; with --follow one line for each change
    #[arg(long, global = true)]
    pub json: bool,
    /// Show what would happen, change nothing, exit with 3
    #[arg(long, global = true)]
    pub dry_run: bool,
    /// Ask no questions; a host key that nobody knows beforehand is accepted when it is first seen
    #[arg(short, long, global = true)]
    pub yes: bool,
    /// Show the deployment's progress until it has ended
    #[arg(short, long, global = true)]
    pub follow: bool,
    /// The API's address [env: TRIPHAMMER_API_URL]
    #[arg(long, global = true, value_name = "URL")]
    pub api_url: Option<String>,
    /// The token; better kept in a profile or in the environment [env: TRIPHAMMER_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A profile of the configuration file; named here, it goes before the environment [default: default]
    #[arg(long, global = true, value_name = "NAME")]
    pub profile: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Machines that sites and containers live on
    #[command(subcommand)]
    Servers(Servers),
    /// WordPress sites
    #[command(subcommand)]
    Sites(Sites),
    /// Backups of sites
    #[command(subcommand)]
    Backups(Backups),
    /// Services that belong together
    #[command(subcommand)]
    Projects(Projects),
    /// What is released
    #[command(subcommand)]
    Services(Services),
    /// Where services run
    #[command(subcommand)]
    Environments(Environments),
    /// Release a service to an environment
    Deploy(Deploy),
    /// Go back to an earlier release; pushes do not deploy until somebody deploys, promotes or resumes
    Rollback {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// One that is kept [default: the newest before the one that is live]
        #[arg(long, value_name = "DEPLOYMENT", value_parser = deployment_id)]
        to: Option<DeploymentId>,
    },
    /// Release what runs in one environment to another of the same service
    Promote {
        /// Where it runs: PROJECT/SERVICE/ENVIRONMENT or id
        from: String,
        /// Where it is to run: PROJECT/SERVICE/ENVIRONMENT or id
        to: String,
    },
    /// Let pushes deploy by themselves again, after a rollback
    Resume {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
    },
    /// Values of an environment
    #[command(subcommand)]
    Env(Env),
    /// What the newest deployment of an environment logs; with --follow until it has ended
    Logs {
        /// PROJECT/SERVICE/ENVIRONMENT or id
        environment: String,
        /// Only this step's, by the name that `deployments show --json` gives it
        step: Option<String>,
    },
    /// Operations: what happened, what is happening
    #[command(subcommand)]
    Deployments(Deployments),
    /// API tokens
    #[command(subcommand)]
    Tokens(Tokens),
    /// Addresses that are told when a deployment needs attention or a scheduled backup is not made
    #[command(subcommand)]
    WebhookEndpoints(WebhookEndpoints),
    /// Who did what
    #[command(subcommand)]
    Audit(Audit),
}

#[derive(Debug, Subcommand)]
pub enum Servers {
    /// Register a server: pin its host key, install the agent, look at what it has
    Add(ServerAdd),
    /// All servers
    List,
    /// One server and what its last check saw
    Show {
        /// Name or id
        server: String,
    },
    /// Look again at what a server has
    Check {
        /// Name or id
        server: String,
    },
    /// Say yes to the host key that a registration saw
    Confirm {
        /// Name or id
        server: String,
        /// The fingerprint that is right, instead of a question
        #[arg(long, value_name = "SHA256:…")]
        fingerprint: Option<String>,
    },
}

#[derive(Debug, Args)]
pub struct ServerAdd {
    /// Its name: 2 to 30 lower-case letters, digits and dashes
    pub name: String,
    /// Address or host name
    #[arg(long)]
    pub host: String,
    /// The SSH port
    #[arg(long, default_value_t = 22, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// The account that installs the agent: root, or one that may sudo without a password
    #[arg(long, default_value = "root")]
    pub user: String,
    /// That account's private key, without a passphrase; kept encrypted until the registration is over
    #[arg(long, value_name = "FILE")]
    pub key_file: PathBuf,
    /// The server's host key, if it is known: `ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` shows it
    #[arg(long, value_name = "SHA256:…")]
    pub host_key: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Sites {
    /// Create a WordPress site
    Create(SiteCreate),
    /// All sites
    List {
        /// Only those on this server: name or id
        #[arg(long)]
        server: Option<String>,
    },
    /// One site
    Show {
        /// Name, SERVER/NAME, or id
        site: String,
    },
}

#[derive(Debug, Args)]
pub struct SiteCreate {
    /// Its name: 2 to 30 lower-case letters, digits and dashes
    pub name: String,
    /// Where it is to live: name or id
    #[arg(long)]
    pub server: String,
    /// The site's title
    #[arg(long)]
    pub title: String,
    /// Its own main domain; without one it answers under a name made from the server's address
    #[arg(long)]
    pub domain: Option<String>,
    /// Another host name of it; may be given again
    #[arg(long = "alias", value_name = "DOMAIN", requires = "domain")]
    pub aliases: Vec<String>,
    /// The first administrator's login
    #[arg(long, default_value = "admin")]
    pub admin_user: String,
    /// The first administrator's mail address
    #[arg(long)]
    pub admin_email: String,
    /// A PHP version of the server, such as 8.2 [default: its newest]
    #[arg(long, value_name = "VERSION")]
    pub php: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Deployments {
    /// Newest first
    List {
        /// Only those about this: site:NAME, server:NAME or environment:PROJECT/SERVICE/NAME, or with an id
        #[arg(long)]
        target: Option<String>,
        #[command(flatten)]
        paging: Paging,
    },
    /// One deployment with its steps; with --follow until it has ended
    Show {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
    },
    /// What its steps logged on the server; with --follow until it has ended
    Logs {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
        /// Only this step's, by the name that `deployments show --json` gives it
        step: Option<String>,
    },
    /// What differs between two releases
    Diff {
        /// The earlier one
        #[arg(value_parser = deployment_id)]
        from: DeploymentId,
        /// The other one
        #[arg(value_parser = deployment_id)]
        to: DeploymentId,
    },
    /// What is known of a release, as JSON: as it was asked for, as it was frozen, as it was last seen
    Views {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
    },
    /// Stop it and take back what it did
    Cancel {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
    },
    /// The same again, as a new deployment
    Retry {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
    },
    /// Needs attention: try the undos again
    Undo {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
    },
    /// Needs attention: accept what is left, and free the target
    Acknowledge {
        /// As `deployments list` shows it
        #[arg(value_parser = deployment_id)]
        id: DeploymentId,
        /// Why, for the audit trail
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Tokens {
    /// Create a token; its secret is shown once
    Create {
        /// For people
        name: String,
        /// Of the member it stands for
        #[arg(long, value_parser = roles(), default_value = "member")]
        role: Role,
        /// What it may do; may be given again, or several with commas
        #[arg(long = "scope", value_name = "SCOPE", value_parser = scopes(), value_delimiter = ',', required = true)]
        scopes: Vec<Scope>,
    },
    /// All tokens, without their secrets
    List,
    /// Revoke a token, for good
    Revoke {
        /// Name or id
        token: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum WebhookEndpoints {
    /// Have notices sent to an address; the secret that signs them is shown once
    Add {
        /// Where they go: https://…, an address of the public internet
        url: String,
    },
    /// All webhook endpoints, without their secrets
    List,
    /// Send no more notices to an address
    Remove {
        /// URL or id
        endpoint: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Newest first
    List {
        #[command(flatten)]
        paging: Paging,
    },
}

/// How much of a list.
#[derive(Debug, Clone, Args)]
pub struct Paging {
    /// At most this many
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..))]
    pub limit: u32,
    /// All of them
    #[arg(long, conflicts_with = "limit")]
    pub all: bool,
}

fn roles() -> impl TypedValueParser<Value = Role> {
    PossibleValuesParser::new(
        Role::VARIANTS
            .iter()
            .map(|role| <&'static str>::from(*role)),
    )
    .map(|text| text.parse().expect("only the words above come through"))
}

fn scopes() -> impl TypedValueParser<Value = Scope> {
    PossibleValuesParser::new(Scope::VARIANTS.iter().map(|scope| scope.as_str()))
        .map(|text| text.parse().expect("only the words above come through"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn global_flags_may_stand_anywhere() {
        for line in [
            "triphammer -f --json deployments show 01jd2z6e9w8q4s5t6v7x8y9zab",
            "triphammer deployments show 01JD2Z6E9W8Q4S5T6V7X8Y9ZAB --json -f",
        ] {
            let cli = Cli::try_parse_from(line.split(' ')).expect("a command");
            assert!(cli.global.json && cli.global.follow);
        }
    }
}
