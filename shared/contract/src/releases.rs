//! Releases: what is asked for, uploaded, seen and compared.
//!
//! Promise: no value of an environment is in any of these, and no id of a secret.

use chrono::{DateTime, Utc};
use domain::release::ArchiveFormat;
use domain::{DeploymentId, EnvironmentId, FrozenRelease, ReleaseDiff, ServerId, Upload, UploadId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Release a service to an environment, with what is said for this deployment alone.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReleaseCreate {
    /// By service (`app` for an image), what is run in the place of the image that its source names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub images: BTreeMap<String, String>,
    /// Another branch or tag of its repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reference: Option<String>,
    /// Exactly this commit of its repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[0-9a-fA-F]{40}$")]
    pub commit: Option<String>,
    /// Another text in the place of its Compose file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 65536)]
    pub compose: Option<String>,
    /// The archive that it is built from, once it is complete.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload_id: Option<UploadId>,
}

/// Go back to an earlier release.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackCreate {
    /// One that the environment keeps; absent for the newest before the one that is live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<DeploymentId>,
}

/// Release what runs in another environment of the same service.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteCreate {
    /// Where it runs.
    pub from: EnvironmentId,
}

/// Announce a source that is to be uploaded.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UploadCreate {
    /// How it is packed.
    pub format: ArchiveFormat,
    /// Its length.
    #[schema(minimum = 1, maximum = 536870912)]
    pub size_bytes: u64,
    /// Hex SHA-256 of all of it.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    pub sha256: String,
}

/// An uploaded source.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadView {
    /// Its id.
    pub id: UploadId,
    /// How it is packed.
    pub format: ArchiveFormat,
    /// Its length.
    pub size_bytes: u64,
    /// Hex SHA-256 of all of it.
    pub sha256: String,
    /// It was read back as it was announced, and can be deployed.
    pub is_complete: bool,
    /// Until when it is there.
    pub expires_at: DateTime<Utc>,
}

impl From<Upload> for UploadView {
    fn from(upload: Upload) -> Self {
        Self {
            id: upload.id,
            format: upload.format,
            size_bytes: upload.object.size_bytes,
            sha256: upload.object.sha256,
            is_complete: upload.is_complete,
            expires_at: DateTime::from_timestamp(upload.expires_at, 0).unwrap_or_default(),
        }
    }
}

/// A source that was announced, and where its bytes go.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct UploadCreated {
    /// The upload.
    pub upload: UploadView,
    /// Where to PUT the bytes, within fifteen minutes.
    pub url: String,
    /// Headers that must be sent with them.
    pub headers: BTreeMap<String, String>,
}

/// What is known of a release: as it was asked for, as it was frozen, as it was last seen.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentViews {
    /// What was asked for, with the configuration as it stood.
    #[schema(value_type = Object)]
    pub declared: Value,
    /// What was released, to the last digest; absent until its first step is done.
    pub frozen: Option<FrozenRelease>,
    /// What was last seen of its environment, on each server; empty when it is not the one that is live.
    pub observed: Vec<ObservedView>,
}

/// What was last seen on a server.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct ObservedView {
    /// The server.
    pub server_id: ServerId,
    /// When it was looked.
    pub at: DateTime<Utc>,
    /// How long ago that is.
    pub age_seconds: u64,
    /// The deployment that looked.
    pub deployment_id: DeploymentId,
    /// As the server's agent said it.
    #[schema(value_type = Object)]
    pub observed: Value,
}

/// What differs between two releases.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct DeploymentDiff {
    /// The earlier one, as it is asked for.
    pub from: DeploymentId,
    /// The other one.
    pub to: DeploymentId,
    /// What of the other is not as in the first.
    #[serde(flatten)]
    pub diff: ReleaseDiff,
}
