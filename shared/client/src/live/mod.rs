//! One deployment, watched: told whole after each change, as soon as it happens.
//!
//! Promise: what is told rises in `seq`, and the end is never missed; only after a failure the same is told again. By the
//! live channel where there is one, by looking again and again where there is none.

mod following;
mod known;
mod rhythm;
mod socket;

pub use rhythm::Rhythm;
pub(crate) use socket::address;

use crate::{Client, Error};
use contract::DeploymentDetail;
use domain::DeploymentId;
use following::Following;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The deployment after a change.
#[derive(Debug, Clone)]
pub struct Update {
    /// All of it.
    pub detail: DeploymentDetail,
    /// How it is watched now.
    pub channel: Channel,
}

/// How a deployment is watched.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Channel {
    /// Changes come by themselves.
    Live,
    /// It is looked at again and again.
    Polling,
}

/// See the module.
pub struct Watch {
    updates: UnboundedReceiver<Result<Update, Error>>,
}

impl Watch {
    /// Begin to watch this deployment. Calls are tried once each, so that every failure is told. Needs tokio's runtime.
    pub fn new(client: &Client, id: DeploymentId) -> Self {
        Self::with(client, id, Rhythm::default())
    }

    /// The same in another rhythm.
    pub fn with(client: &Client, id: DeploymentId, rhythm: Rhythm) -> Self {
        // One update for each change and no more, so the channel holds what a deployment is long.
        let (said, updates) = unbounded_channel();
        let following = Following::of(client.clone().with_tries(1), id, rhythm, said);
        // It ends by itself when the watch is dropped.
        tokio::spawn(following.run());
        Self { updates }
    }

    /// Wait for the next change. May be dropped and called again at any time.
    ///
    /// An error that [is transient](Error::is_transient) says that the API did not answer a look; the watch goes on, and
    /// its next answer is told even if nothing changed. After any other error there is nothing more.
    pub async fn next(&mut self) -> Result<Update, Error> {
        let ended = || Error::Setting("the watch has ended".to_string());
        self.updates.recv().await.unwrap_or_else(|| Err(ended()))
    }
}
