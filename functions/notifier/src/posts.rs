//! Frames to whom they concern.
//!
//! Promise: in order for each connection, side by side for all of them; a connection that is gone is forgotten.

use crate::frames::Frames;
use contract::Topic;
use futures_util::StreamExt;
use kit::Cloud;
use kit::live::{Connections, Posted};
use records::RecordsError;
use std::collections::BTreeMap;

/// A post takes milliseconds; so many at once keep a thousand connections under a second.
const AT_ONCE: usize = 64;

/// Every frame to every connection that listens to its deployment or to its team.
pub async fn post_all(cloud: &Cloud, connections: &Connections, all: Vec<Frames>) {
    let mut teams = BTreeMap::new();
    let mut queues: BTreeMap<String, Vec<(&Frames, Topic)>> = BTreeMap::new();
    for frames in &all {
        let topic = Topic::Deployment(frames.deployment);
        for listener in subscribers(cloud, frames, topic).await {
            queues.entry(listener).or_default().push((frames, topic));
        }
        if let std::collections::btree_map::Entry::Vacant(team) = teams.entry(frames.team) {
            team.insert(subscribers(cloud, frames, Topic::Team).await);
        }
        for listener in teams.get(&frames.team).into_iter().flatten() {
            let queue = queues.entry(listener.clone()).or_default();
            // One that listens to both hears it once.
            if !queue
                .iter()
                .any(|(queued, _)| queued.deployment == frames.deployment)
            {
                queue.push((frames, Topic::Team));
            }
        }
    }
    futures_util::stream::iter(queues)
        .for_each_concurrent(AT_ONCE, |(connection, queue)| async move {
            post(cloud, connections, &connection, &queue).await;
        })
        .await;
}

async fn subscribers(cloud: &Cloud, frames: &Frames, topic: Topic) -> Vec<String> {
    let found = cloud
        .records
        .subscribers(frames.team, &topic.to_string())
        .await;
    found.unwrap_or_else(|error| {
        tracing::warn!(%error, %topic, "nobody is told, because the subscribers could not be read");
        Vec::new()
    })
}

async fn post(cloud: &Cloud, connections: &Connections, id: &str, queue: &[(&Frames, Topic)]) {
    for (frames, topic) in queue {
        let log = matches!(topic, Topic::Deployment(_)).then_some(&frames.log);
        for frame in frames.frames.iter().chain(log.into_iter().flatten()) {
            match connections.post(id, frame).await {
                Posted::Yes => {}
                // The client reads again when it sees the gap; what comes after would only show the same one.
                Posted::Lost => return,
                Posted::Gone => {
                    if let Err(error) = forget(cloud, id, frames, *topic).await {
                        tracing::warn!(%error, "a closed connection is not forgotten yet");
                    }
                    return;
                }
            }
        }
    }
}

async fn forget(
    cloud: &Cloud,
    id: &str,
    frames: &Frames,
    topic: Topic,
) -> Result<(), RecordsError> {
    cloud.records.connection_close(id).await?;
    cloud
        .records
        .subscription_forget(frames.team, &topic.to_string(), id)
        .await
}
