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
use client::{Client, Error};
use contract::{DeploymentDetail, ServerView};
use domain::{DeploymentId, DeploymentStatus, Settlement};
use patience::Patience;
use std::time::Duration;
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

/// Nothing more will happen by itself.
fn is_over(detail: &DeploymentDetail) -> bool {
    matches!(
        detail.deployment.settlement,
        Settlement::Settled | Settlement::NeedsAttention
    )
}

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

async fn look_after(
    client: &Client,
    id: DeploymentId,
    pause: Duration,
) -> Result<DeploymentDetail, Error> {
    tokio::time::sleep(pause).await;
    client.deployment(id).await
}

/// See the module.
pub async fn follow(invocation: &Invocation, followed: Followed) -> Result<Ending, Fault> {
    let client = invocation.client.clone().with_tries(1);
    let id = followed.id;
    let mut view = View::of(invocation, followed.until);
    let mut patience = Patience::default();
    let mut ticks = tokio::time::interval(TICK);
    let mut stop = std::pin::pin!(tokio::signal::ctrl_c());
    let mut looking = Box::pin(look_after(&client, id, Duration::ZERO));
    let mut asks = followed.asks;
    loop {
        let looked = tokio::select! {
            _ = &mut stop => return left(invocation, &mut view, id),
            _ = ticks.tick() => { view.tick()?; continue }
            looked = &mut looking => looked,
        };
        let pause = match looked {
            Ok(detail) => {
                let pause = patience.answered(detail.deployment.seq);
                view.show(&detail)?;
                if is_over(&detail) {
                    view.end(&detail)?;
                    return Ok(ending(&detail, followed.aim));
                }
                if asks && let Some(server) = waiting_server(&client, &detail).await {
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
                pause
            }
            Err(error) if error.is_transient() => match patience.missed() {
                Some(pause) => {
                    view.away(&error.to_string())?;
                    pause
                }
                None => {
                    view.make_room()?;
                    return Err(Fault::said(format!(
                        "{error}; the deployment goes on without being watched. Look again: triphammer deployments show {id} --follow"
                    )));
                }
            },
            Err(error) => {
                view.make_room()?;
                return Err(error.into());
            }
        };
        looking.set(look_after(&client, id, pause));
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
