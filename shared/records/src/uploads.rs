//! Sources that people upload.
//!
//! Promise: one that expired is not there, whether or not DynamoDB has removed it.

use crate::item::{item, record};
use crate::transact::Written;
use crate::{AuditEntry, Records, RecordsError, keys};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{TeamId, Time, Upload, UploadId};

impl Records {
    /// Announce one.
    pub async fn upload_create(
        &self,
        upload: &Upload,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let at = keys::upload(upload.team_id, upload.id);
        let writes = vec![
            self.put_new(item(at, upload)?)?,
            self.put_new(audit.item(upload.team_id)?)?,
        ];
        match self.write_all(writes).await? {
            Written::All => Ok(()),
            Written::Nothing => Err(RecordsError::Contended),
        }
    }

    /// One of them.
    pub async fn upload(
        &self,
        team: TeamId,
        id: UploadId,
        now: Time,
    ) -> Result<Upload, RecordsError> {
        let stored = self.get(keys::upload(team, id)).await?;
        let upload: Upload = record(stored.ok_or(RecordsError::NotFound("upload"))?)?;
        if upload.expires_at <= now.timestamp() {
            return Err(RecordsError::NotFound("upload"));
        }
        Ok(upload)
    }

    /// It was read back as it was announced. Said twice, it changes nothing.
    pub async fn upload_complete(
        &self,
        upload: &Upload,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let at = keys::upload(upload.team_id, upload.id);
        let writes = vec![
            self.update(
                at,
                "SET is_complete = :yes",
                "attribute_exists(pk)",
                vec![(":yes", AttributeValue::Bool(true))],
            )?,
            self.put_new(audit.item(upload.team_id)?)?,
        ];
        match self.write_all(writes).await? {
            Written::All => Ok(()),
            Written::Nothing => Err(RecordsError::NotFound("upload")),
        }
    }
}
