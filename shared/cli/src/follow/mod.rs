//! Follow a deployment until nothing more happens to it.
//!
//! Promise: the view is not left before the deployment is settled or needs attention; an API that is away for less than a
//! minute is waited for, visibly; Ctrl-C leaves the deployment alone and says how to come back.

mod frame;
mod lines;
mod patience;
mod verdict;
mod view;

use crate::ending::{Ending, Fault};
use crate::host_key;
use crate::invocation::Invocation;
use crate::style::bold;
use client::{Client, Watch};
use contract::{DeploymentDetail, ServerView};
use domain::{DeploymentId, DeploymentStatus, Settlement};
use patience::Patience;
use std::time::Duration;
use tokio::time::MissedTickBehavior;
use view::View;

pub use frame::{Moment, steps};
pub use verdict::words as verdict;

/// What makes following it a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aim {
    /// It completed.
    Completed,
    /// It is over and nothing is left: of a cancel or an undo nobody expects more.
    Settled,
}

/// How far to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// To the end.
    End,
    /// Until somebody said yes to the host key; then it goes on alone.
    HostKeyPinned,
}

/// What is to be followed.
#[derive(Debug, Clone, Copy)]
pub struct Followed {
    pub id: DeploymentId,
    pub aim: Aim,
    pub until: Until,
    /// Ask about the host key that its server shows.
    pub asks: bool,
}

impl Followed {
    /// To its end, which is hoped to be "completed".
    pub fn to_the_end(id: DeploymentId) -> Self {
        Self {
            id,
            aim: Aim::Completed,
            until: Until::End,
            asks: false,
        }
    }
}

/// The pipeline that sees a host key and waits for a yes.
pub const REGISTER_SERVER: &str = "register_server";

/// Because a spinner that turns ten times a second looks alive, and faster is work for nobody.
const TICK: Duration = Duration::from_millis(100);

/// Because a question may come a second late; the server is looked at so only until it is asked.
const KEY_LOOK: Duration = Duration::from_secs(1);

fn ending(detail: &DeploymentDetail, aim: Aim) -> Ending {
    let deployment = &detail.deployment;
    let settled = deployment.settlement == Settlement::Settled;
    match aim {
        Aim::Settled if settled => Ending::Done,
        Aim::Completed if settled && deployment.status == DeploymentStatus::Completed => {
            Ending::Done
        }
        _ => Ending::NotCompleted,
    }
}

/// See the module.
pub async fn follow(invocation: &Invocation, followed: Followed) -> Result<Ending, Fault> {
    let client = invocation.client.clone().with_tries(1);
    let id = followed.id;
    let mut view = View::of(invocation, followed.until);
    let mut patience = Patience::default();
    let mut ticks = tokio::time::interval(TICK);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let mut watch = Watch::new(&client, id);
    let mut key_looks = tokio::time::interval(KEY_LOOK);
    key_looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut asks = followed.asks;
    let mut last: Option<DeploymentDetail> = None;
    loop {
        let told = tokio::select! {
            _ = &mut stop => return left(invocation, &mut view, id),
            _ = ticks.tick() => { view.tick()?; continue }
            // The key that was seen is the server's: no change of the deployment tells of it.
            _ = key_looks.tick(), if asks && last.is_some() => None,
            told = watch.next() => Some(told),
        };
        match told {
            None => {}
            Some(Ok(update)) => {
                patience.answered();
                view.show(&update.detail)?;
                if update.detail.deployment.settlement.is_at_rest() {
                    view.end(&update.detail)?;
                    return Ok(ending(&update.detail, followed.aim));
                }
                last = Some(update.detail);
            }
            Some(Err(error)) if error.is_transient() => {
                if !patience.missed() {
                    view.make_room()?;
                    return Err(Fault::said(format!(
                        "{error}; the deployment goes on without being watched. Look again: triphammer deployments show {id} --follow"
                    )));
                }
                view.away(&error.to_string())?;
            }
            Some(Err(error)) => {
                view.make_room()?;
                return Err(error.into());
            }
        }
        let Some(detail) = &last else { continue };
        if asks && let Some(server) = waiting_server(&client, detail).await {
            if server.host_key.is_some() {
                asks = false;
            } else if let Some(seen) = &server.host_key_seen {
                asks = false;
                view.make_room()?;
                match host_key::confirm(invocation, &server, seen).await {
                    Ok(true) => {}
                    Ok(false) => {
                        invocation.client.deployment_cancel(id).await?;
                    }
                    Err(Fault::Interrupted) => return left(invocation, &mut view, id),
                    Err(fault) => return Err(fault),
                }
            }
        }
        let pinned = !asks && !detail.deployment.status.is_finished();
        if pinned && followed.until == Until::HostKeyPinned {
            return going_on(invocation, &mut view, id).await;
        }
    }
}

/// The server of a registration that may wait for a yes. When it cannot be read now, the next look tells more.
async fn waiting_server(client: &Client, detail: &DeploymentDetail) -> Option<ServerView> {
    let deployment = &detail.deployment;
    if deployment.pipeline != REGISTER_SERVER || deployment.status.is_finished() {
        return None;
    }
    client.server(deployment.target.id.parse().ok()?).await.ok()
}

/// After a no the cancelled registration is followed to its end; after a yes it needs nobody.
async fn going_on(
    invocation: &Invocation,
    view: &mut View<'_>,
    id: DeploymentId,
) -> Result<Ending, Fault> {
    let detail = invocation.client.deployment(id).await?;
    if detail.deployment.status.is_finished() {
        let to_the_end = Followed::to_the_end(id);
        return Box::pin(follow(invocation, to_the_end)).await;
    }
    view.make_room()?;
    invocation.output.note(format!(
        "The host key is pinned and the registration goes on. Follow it: triphammer deployments show {id} --follow"
    ));
    Ok(Ending::Done)
}

fn left(invocation: &Invocation, view: &mut View<'_>, id: DeploymentId) -> Result<Ending, Fault> {
    view.leave()?;
    let mut words = format!(
        "{}\n  look again:  triphammer deployments show {id} --follow\n  stop it:     triphammer deployments cancel {id}",
        bold("You stopped watching; the deployment goes on.")
    );
    if let Some(server) = view.registers() {
        words.push_str(&format!(
            "\nIt may wait for a yes to the host key:  triphammer servers confirm {server}"
        ));
    }
    invocation.output.note(words);
    Ok(Ending::Interrupted)
}
