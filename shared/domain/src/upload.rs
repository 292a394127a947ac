//! Sources that people upload, each for the deployments that name it.
//!
//! Promise: what was not read back with the size and checksum that were announced is no source of anything.

use crate::release::{ArchiveFormat, UploadedSource};
use crate::{SealedObject, TeamId, Time, UploadId, time_text};
use serde::{Deserialize, Serialize};

/// The most that one may weigh: a checkout with its assets, not a disk.
pub const UPLOAD_LIMIT_BYTES: u64 = 512 * 1024 * 1024;
/// How long one is there to be deployed.
pub const UPLOAD_SECONDS: i64 = 86_400;

/// See the module.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Upload {
    /// Number of the record's shape.
    pub schema: u32,
    /// Its id.
    pub id: UploadId,
    /// Its owner.
    pub team_id: TeamId,
    /// Its key in the store.
    pub key: String,
    /// How it is packed.
    pub format: ArchiveFormat,
    /// As it is to be, and as it is once it is complete.
    pub object: SealedObject,
    /// It was read back.
    #[serde(default)]
    pub is_complete: bool,
    /// When it was announced.
    #[serde(with = "time_text")]
    pub created_at: Time,
    /// Seconds since 1970 after which it is of no use; DynamoDB removes it some time later.
    pub expires_at: i64,
}

impl Upload {
    /// Where its bytes go.
    pub fn key(team: TeamId, id: UploadId) -> String {
        format!("sources/{team}/{id}")
    }

    /// As a deployment takes it; None while it is not complete.
    pub fn source(&self) -> Option<UploadedSource> {
        self.is_complete.then(|| UploadedSource {
            key: self.key.clone(),
            object: self.object.clone(),
            format: self.format,
        })
    }
}
