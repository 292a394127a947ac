//! Encrypted secrets, in a table of their own.
//!
//! Promise: this crate sees ciphertext alone; opening it is kit's, and needs the key.

use crate::error::from_sdk;
use crate::item::{item, key, record};
use crate::{Records, RecordsError, keys};
use domain::{SecretId, TeamId};
use serde::{Deserialize, Serialize};

/// A secret as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SealedSecret {
    /// Its id, also in the encryption context.
    pub id: SecretId,
    /// What it is for, for people: "bootstrap key of web1".
    pub purpose: String,
    /// The data key, encrypted by KMS, in base64.
    pub data_key: String,
    /// Nonce and ciphertext, in base64.
    pub ciphertext: String,
    /// Also in the encryption context, where a role may open secrets of one kind alone.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub kind: Option<String>,
    /// Seconds since 1970 after which it is of no use; DynamoDB removes it some time later.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub expires_at: Option<i64>,
}

impl Records {
    /// Store a secret.
    pub async fn secret_put(
        &self,
        team: TeamId,
        secret: &SealedSecret,
    ) -> Result<(), RecordsError> {
        let stored = item(keys::secret(team, secret.id), secret)?;
        self.client
            .put_item()
            .table_name(&self.secrets_table)
            .set_item(Some(stored))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }

    /// A secret that has not expired at `now` (seconds since 1970).
    pub async fn secret_get(
        &self,
        team: TeamId,
        id: SecretId,
        now: i64,
    ) -> Result<SealedSecret, RecordsError> {
        let reply = self
            .client
            .get_item()
            .table_name(&self.secrets_table)
            .set_key(Some(key(keys::secret(team, id))))
            .consistent_read(true)
            .send()
            .await
            .map_err(from_sdk)?;
        let secret: SealedSecret = record(reply.item.ok_or(RecordsError::NotFound("secret"))?)?;
        if secret.expires_at.is_some_and(|end| end <= now) {
            Err(RecordsError::NotFound("secret"))
        } else {
            Ok(secret)
        }
    }

    /// Forget a secret, there or not.
    pub async fn secret_delete(&self, team: TeamId, id: SecretId) -> Result<(), RecordsError> {
        self.client
            .delete_item()
            .table_name(&self.secrets_table)
            .set_key(Some(key(keys::secret(team, id))))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }
}
