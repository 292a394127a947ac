//! What a receiver reads.
//!
//! Promise: type, timestamp and data, as Standard Webhooks advises; a deployment as the API shows it, at the time of the try.

use contract::DeploymentView;
use domain::{Deployment, Time, time_text};
use kit::notice::{Notice, NoticeKind};
use serde::Serialize;

/// See the module.
#[derive(Debug, Serialize)]
pub struct NoticeEvent {
    #[serde(rename = "type")]
    kind: NoticeKind,
    #[serde(with = "time_text")]
    timestamp: Time,
    data: Data,
}

#[derive(Debug, Serialize)]
struct Data {
    deployment: DeploymentView,
}

impl NoticeEvent {
    /// Of this notice, about this deployment, at that time.
    pub fn new(notice: &Notice, deployment: &Deployment, timestamp: Time) -> Self {
        Self {
            kind: notice.kind,
            timestamp,
            data: Data {
                deployment: DeploymentView::from(deployment),
            },
        }
    }
}
