//! The commands, by the thing they are about.
//!
//! Promise: each says what it did, or asks first when it cannot be taken back; `--follow` where nothing is begun is refused.

mod audit;
mod backup_configurations;
mod backups;
mod deployments;
mod env;
mod environments;
mod logs;
mod pages;
mod picture;
mod projects;
mod releases;
mod servers;
mod services;
mod sites;
mod source;
mod tokens;
mod webhook_endpoints;

use crate::args::{Backups, Cli, Command, Deployments, Environments, Global, Servers, Sites};
use crate::ending::{Ending, Fault};
use crate::follow::{self, Followed};
use crate::invocation::Invocation;
use crate::output::{Output, plain};
use crate::profile::{self, Environment, Flags};
use crate::style::yellow;
use crate::table::Cell;
use crate::times::{ago, exact};
use chrono::{DateTime, Utc};
use client::{Client, Settings};
use contract::DeploymentView;

/// What the API records as the caller's program.
const ORIGIN: &str = concat!("cli/", env!("CARGO_PKG_VERSION"));

/// Do what was typed.
pub async fn perform(cli: Cli) -> Result<Ending, Fault> {
    if cli.global.follow && !can_be_followed(&cli.command) {
        return Err(Fault::said(
            "--follow: this command begins nothing that could be followed",
        ));
    }
    let invocation = invocation(cli.global)?;
    match cli.command {
        Command::Servers(command) => servers::perform(&invocation, command).await,
        Command::Sites(command) => sites::perform(&invocation, command).await,
        Command::Backups(command) => backups::perform(&invocation, command).await,
        Command::Projects(command) => projects::perform(&invocation, command).await,
        Command::Services(command) => services::perform(&invocation, command).await,
        Command::Environments(command) => environments::perform(&invocation, command).await,
        Command::Deploy(asked) => releases::deploy(&invocation, asked).await,
        Command::Rollback { environment, to } => {
            releases::rollback(&invocation, &environment, to).await
        }
        Command::Promote { from, to } => releases::promote(&invocation, &from, &to).await,
        Command::Resume { environment } => environments::resume(&invocation, &environment).await,
        Command::Env(command) => env::perform(&invocation, command).await,
        Command::Logs { environment, step } => {
            releases::logs(&invocation, &environment, step.as_deref()).await
        }
        Command::Deployments(command) => deployments::perform(&invocation, command).await,
        Command::Tokens(command) => tokens::perform(&invocation, command).await,
        Command::WebhookEndpoints(command) => {
            webhook_endpoints::perform(&invocation, command).await
        }
        Command::Audit(command) => audit::perform(&invocation, command).await,
    }
}

fn can_be_followed(command: &Command) -> bool {
    match command {
        Command::Servers(command) => matches!(command, Servers::Add(_) | Servers::Check { .. }),
        Command::Sites(command) => matches!(command, Sites::Create(_)),
        Command::Backups(command) => {
            matches!(command, Backups::Create { .. } | Backups::Restore { .. })
        }
        Command::Deployments(command) => !matches!(
            command,
            Deployments::List { .. }
                | Deployments::Acknowledge { .. }
                | Deployments::Diff { .. }
                | Deployments::Views { .. }
        ),
        Command::Environments(command) => matches!(
            command,
            Environments::Create(_)
                | Environments::Observe { .. }
                | Environments::Stop { .. }
                | Environments::Start { .. }
                | Environments::Restart { .. }
                | Environments::Delete { .. }
        ),
        Command::Deploy(_)
        | Command::Rollback { .. }
        | Command::Promote { .. }
        | Command::Logs { .. } => true,
        Command::Projects(_) | Command::Services(_) | Command::Resume { .. } | Command::Env(_) => {
            false
        }
        Command::Tokens(_) | Command::WebhookEndpoints(_) | Command::Audit(_) => false,
    }
}

fn invocation(global: Global) -> Result<Invocation, Fault> {
    let output = Output::new(global.json);
    let flags = Flags {
        api_url: global.api_url,
        token: global.token,
        profile: global.profile,
    };
    let access = profile::access(flags, Environment::read(), |text| {
        output.note(format!("{} {text}", yellow("warning:")));
    })?;
    let client = Client::with(Settings {
        base_url: &access.api_url,
        token: &access.token,
        origin: ORIGIN,
        host_header: access.host_header.as_deref(),
    })?;
    Ok(Invocation {
        client,
        output,
        dry_run: global.dry_run,
        yes: global.yes,
        follow: global.follow,
    })
}

/// A deployment was begun: follow it, or say how to.
async fn begun(
    invocation: &Invocation,
    deployment: &DeploymentView,
    followed: Followed,
) -> Result<Ending, Fault> {
    if invocation.follow || followed.asks {
        return follow::follow(invocation, followed).await;
    }
    if !invocation.output.json {
        invocation.output.line(format!(
            "{} {}: deployment {}",
            plain(&deployment.operation_name),
            plain(&deployment.target.name),
            deployment.id
        ))?;
        invocation.output.note(format!(
            "follow it: triphammer deployments show {} --follow",
            deployment.id
        ));
    }
    Ok(Ending::Done)
}

/// A deployment that was begun. With `--follow`, a line of its own before those of the changes.
fn told(invocation: &Invocation, created: &contract::DeploymentCreated) -> Result<(), Fault> {
    match (invocation.output.json, invocation.follow) {
        (true, true) => invocation.output.record(created),
        (true, false) => invocation.output.document(created),
        (false, _) => Ok(()),
    }
}

/// "3 min ago" for people, RFC 3339 for programs.
fn when(time: DateTime<Utc>) -> Cell {
    Cell::both(ago(time, Utc::now()), domain::rfc3339(time))
}

/// "3 min ago (2026-11-21 12:03:04 +01:00)" for people, RFC 3339 for programs.
fn when_exactly(time: DateTime<Utc>) -> Cell {
    Cell::both(
        format!("{} ({})", ago(time, Utc::now()), exact(time)),
        domain::rfc3339(time),
    )
}
