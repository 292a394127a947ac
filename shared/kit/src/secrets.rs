//! Secrets: envelope encryption with a KMS data key each.
//!
//! Promise: clear text lives in memory only and is wiped; a secret opens for its own team and id alone (encryption context).

use aes_gcm::aead::{Aead, KeyInit, Payload};
use aes_gcm::{Aes256Gcm, Key, Nonce};
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use domain::{SecretId, StepError, TeamId};
use records::{Records, SealedSecret};
use std::collections::HashMap;
use zeroize::Zeroizing;

/// See the module.
#[derive(Debug, Clone)]
pub struct Secrets {
    kms: Client,
    key_id: String,
    records: Records,
}

/// AES-GCM's nonce. A data key encrypts one secret once, so a random one never repeats under a key.
const NONCE_BYTES: usize = 12;

/// The kind of an environment's values: what the API may open, and nothing else.
const VALUES: &str = "values";

fn context(team: TeamId, id: SecretId, kind: Option<&str>) -> HashMap<String, String> {
    let mut context = HashMap::from([
        ("team".to_string(), team.to_string()),
        ("secret".to_string(), id.to_string()),
    ]);
    if let Some(kind) = kind {
        context.insert("kind".to_string(), kind.to_string());
    }
    context
}

fn additional_data(team: TeamId, id: SecretId) -> String {
    format!("team={team} secret={id}")
}

fn away<E: std::error::Error + Send + Sync + 'static>(error: E) -> StepError {
    StepError::unavailable("secrets_unavailable", "The key service is away for now.")
        .caused_by(error)
}

impl Secrets {
    /// With this KMS key.
    pub fn new(kms: Client, key_id: &str, records: Records) -> Self {
        Self {
            kms,
            key_id: key_id.to_string(),
            records,
        }
    }

    /// Encrypt and store. `expires_at` in seconds since 1970.
    pub async fn seal(
        &self,
        team: TeamId,
        id: SecretId,
        purpose: &str,
        clear: &[u8],
        expires_at: Option<i64>,
    ) -> Result<(), StepError> {
        let secret = self.sealed(team, id, purpose, clear, expires_at).await?;
        Ok(self.records.secret_put(team, &secret).await?)
    }

    /// Encrypt only: for a secret that is stored in the transaction of what it belongs to.
    pub async fn sealed(
        &self,
        team: TeamId,
        id: SecretId,
        purpose: &str,
        clear: &[u8],
        expires_at: Option<i64>,
    ) -> Result<SealedSecret, StepError> {
        self.sealed_as(team, id, (purpose, None), clear, expires_at)
            .await
    }

    /// The same for an environment's values, which the API opens to change some of them.
    pub async fn sealed_values(
        &self,
        team: TeamId,
        id: SecretId,
        purpose: &str,
        clear: &[u8],
    ) -> Result<SealedSecret, StepError> {
        self.sealed_as(team, id, (purpose, Some(VALUES)), clear, None)
            .await
    }

    async fn sealed_as(
        &self,
        team: TeamId,
        id: SecretId,
        (purpose, kind): (&str, Option<&str>),
        clear: &[u8],
        expires_at: Option<i64>,
    ) -> Result<SealedSecret, StepError> {
        let data_key = self
            .kms
            .generate_data_key()
            .key_id(&self.key_id)
            .key_spec(DataKeySpec::Aes256)
            .set_encryption_context(Some(context(team, id, kind)))
            .send()
            .await
            .map_err(away)?;
        let (Some(plain), Some(encrypted)) = (data_key.plaintext, data_key.ciphertext_blob) else {
            return Err(StepError::broken("KMS answered without a data key"));
        };
        let plain = Zeroizing::new(plain.into_inner());
        let cipher = cipher(&plain)?;
        let nonce: [u8; NONCE_BYTES] = rand::random();
        let aad = additional_data(team, id);
        let payload = Payload {
            msg: clear,
            aad: aad.as_bytes(),
        };
        let mut sealed = nonce.to_vec();
        sealed.extend(
            cipher
                .encrypt(Nonce::from_slice(&nonce), payload)
                .map_err(|_| StepError::broken("encryption failed"))?,
        );
        Ok(SealedSecret {
            id,
            purpose: purpose.to_string(),
            kind: kind.map(str::to_string),
            data_key: STANDARD.encode(encrypted.as_ref()),
            ciphertext: STANDARD.encode(sealed),
            expires_at,
        })
    }

    /// Read and decrypt. `now` in seconds since 1970.
    pub async fn open(
        &self,
        team: TeamId,
        id: SecretId,
        now: i64,
    ) -> Result<Zeroizing<Vec<u8>>, StepError> {
        let secret = self.records.secret_get(team, id, now).await?;
        let broken = || StepError::broken(format!("secret {id} is malformed"));
        let encrypted = STANDARD.decode(&secret.data_key).map_err(|_| broken())?;
        let sealed = STANDARD.decode(&secret.ciphertext).map_err(|_| broken())?;
        let data_key = self
            .kms
            .decrypt()
            .key_id(&self.key_id)
            .ciphertext_blob(Blob::new(encrypted))
            .set_encryption_context(Some(context(team, id, secret.kind.as_deref())))
            .send()
            .await
            .map_err(away)?;
        let plain = Zeroizing::new(data_key.plaintext.ok_or_else(broken)?.into_inner());
        let (nonce, body) = sealed.split_at_checked(NONCE_BYTES).ok_or_else(broken)?;
        let aad = additional_data(team, id);
        let payload = Payload {
            msg: body,
            aad: aad.as_bytes(),
        };
        let clear = cipher(&plain)?
            .decrypt(Nonce::from_slice(nonce), payload)
            .map_err(|_| broken())?;
        Ok(Zeroizing::new(clear))
    }
}

fn cipher(key: &[u8]) -> Result<Aes256Gcm, StepError> {
    if key.len() != 32 {
        return Err(StepError::broken("a data key of 32 bytes is expected"));
    }
    Ok(Aes256Gcm::new(Key::<Aes256Gcm>::from_slice(key)))
}
