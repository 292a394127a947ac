//! The bucket of backups and capsules.
//!
//! Promise: servers get addresses for single parts and objects, signed for fifteen minutes, and never credentials; an
//! upload is completed from what the bucket itself says it has.

use aws_sdk_s3::Client;
use aws_sdk_s3::config::{Builder, RequestChecksumCalculation};
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::presigning::{PresignedRequest, PresigningConfig};
use aws_sdk_s3::types::{
    ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, Delete, ObjectIdentifier,
};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use domain::StepError;
use kit::Config;
use protocol::job::{Part, PartSent, Url};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::time::Duration;

/// Long enough for a part over a slow line; a job asks again for what takes longer.
const SIGNED_FOR: Duration = Duration::from_secs(15 * 60);
/// What S3 deletes in one call.
const DELETE_LIMIT: usize = 1000;

/// Why the store did not do it.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// It is away: again, with patience.
    #[error("the store is away for now")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is there is not what was said to be there.
    #[error("{0}")]
    Differs(String),
    /// There is no such object or upload.
    #[error("there is no such object in the store")]
    NotFound,
    /// The object exists already.
    #[error("the object exists already")]
    Exists,
    /// A request is wrong: ours to mend.
    #[error("the store refused a request of ours")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<StoreError> for StepError {
    fn from(error: StoreError) -> Self {
        match &error {
            StoreError::Unavailable(_) => {
                StepError::unavailable("store_unavailable", "The store of backups is away for now.")
                    .caused_by(error)
            }
            StoreError::Differs(what) => StepError::refused("object_differs", what.clone()),
            StoreError::NotFound => StepError::refused(
                "object_missing",
                "An object of the backup is not in the store.",
            ),
            StoreError::Exists | StoreError::Broken(_) => StepError::broken(error),
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub struct Store {
    client: Client,
    /// The same store by the address that servers reach it at.
    signer: Client,
    bucket: String,
}

impl Store {
    /// With what a function is given.
    pub async fn new(config: &Config) -> Self {
        let aws = kit::cloud::aws_config().await;
        let client = |url: Option<&String>| {
            let mut settings = Builder::from(&aws)
                .request_checksum_calculation(RequestChecksumCalculation::WhenRequired)
                // An emulator has no name for each bucket.
                .force_path_style(config.archives_url.is_some());
            if let Some(url) = url {
                settings = settings.endpoint_url(url);
            }
            Client::from_conf(settings.build())
        };
        Self {
            client: client(None),
            signer: client(config.archives_url.as_ref()),
            bucket: config.archives.clone(),
        }
    }

    /// Begin to send an object in parts.
    pub async fn upload(&self, key: &str) -> Result<String, StoreError> {
        let begun = self
            .client
            .create_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .checksum_algorithm(ChecksumAlgorithm::Sha256)
            .send()
            .await
            .map_err(fault)?;
        begun.upload_id.ok_or(StoreError::NotFound)
    }

    /// Throw an upload's parts away.
    pub async fn abort(&self, key: &str, upload_id: &str) -> Result<(), StoreError> {
        let aborted = self
            .client
            .abort_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id)
            .send()
            .await;
        match aborted.map_err(fault) {
            Ok(_) | Err(StoreError::NotFound) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Where to send parts: each address takes the bytes with this checksum and no others.
    pub async fn part_urls(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[Part],
    ) -> Result<Vec<Url>, StoreError> {
        let mut urls = Vec::new();
        for part in parts {
            let number = i32::try_from(part.number).map_err(broken)?;
            let signed = self
                .signer
                .upload_part()
                .bucket(&self.bucket)
                .key(key)
                .upload_id(upload_id)
                .part_number(number)
                .content_length(i64::try_from(part.size_bytes).map_err(broken)?)
                .checksum_sha256(&part.sha256)
                .presigned(signing()?)
                .await
                .map_err(fault)?;
            urls.push(url(part.number, &signed));
        }
        Ok(urls)
    }

    /// Make an object of its parts, after comparing what the store has with what was sent; then look at it. A repeat
    /// finds it made.
    pub async fn complete(
        &self,
        key: &str,
        upload_id: &str,
        parts: &[PartSent],
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let stored = match self.parts(key, upload_id).await {
            Err(StoreError::NotFound) => return self.is_made(key, parts, size_bytes).await,
            stored => stored?,
        };
        let mut completed = Vec::new();
        for sent in parts {
            let found = stored.get(&sent.part.number);
            let same = found.is_some_and(|(size, etag)| {
                *size == sent.part.size_bytes
                    && etag.trim_matches('"') == sent.etag.trim_matches('"')
            });
            if !same {
                return Err(StoreError::Differs(format!(
                    "Part {} of the upload is not in the store as it was sent.",
                    sent.part.number
                )));
            }
            completed.push(
                CompletedPart::builder()
                    .part_number(i32::try_from(sent.part.number).map_err(broken)?)
                    .e_tag(&sent.etag)
                    .checksum_sha256(&sent.part.sha256)
                    .build(),
            );
        }
        let made = self
            .client
            .complete_multipart_upload()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id)
            .multipart_upload(
                CompletedMultipartUpload::builder()
                    .set_parts(Some(completed))
                    .build(),
            )
            .send()
            .await;
        match made.map_err(fault) {
            Ok(_) | Err(StoreError::NotFound) => self.is_made(key, parts, size_bytes).await,
            Err(error) => Err(error),
        }
    }

    /// By number: length and tag.
    async fn parts(
        &self,
        key: &str,
        upload_id: &str,
    ) -> Result<BTreeMap<u32, (u64, String)>, StoreError> {
        let mut found = BTreeMap::new();
        let mut pages = self
            .client
            .list_parts()
            .bucket(&self.bucket)
            .key(key)
            .upload_id(upload_id)
            .into_paginator()
            .send();
        while let Some(page) = pages.next().await {
            for part in page.map_err(fault)?.parts() {
                let number = part
                    .part_number()
                    .and_then(|number| u32::try_from(number).ok());
                let size = part.size().and_then(|size| u64::try_from(size).ok());
                if let (Some(number), Some(size), Some(etag)) = (number, size, part.e_tag()) {
                    found.insert(number, (size, etag.to_string()));
                }
            }
        }
        Ok(found)
    }

    /// The object is there, with this size, and the checksum that these parts have together.
    async fn is_made(
        &self,
        key: &str,
        parts: &[PartSent],
        size_bytes: u64,
    ) -> Result<(), StoreError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled)
            .send()
            .await
            .map_err(fault)?;
        let size = head
            .content_length()
            .and_then(|size| u64::try_from(size).ok());
        if size != Some(size_bytes) {
            return Err(StoreError::Differs(format!(
                "The object has {} bytes in the store, not {size_bytes}.",
                size.unwrap_or_default()
            )));
        }
        let Some(stored) = head.checksum_sha256() else {
            return Ok(());
        };
        let mut all = Sha256::new();
        for sent in parts {
            all.update(BASE64_STANDARD.decode(&sent.part.sha256).map_err(broken)?);
        }
        let together = BASE64_STANDARD.encode(all.finalize());
        let (stored, _) = stored.split_once('-').unwrap_or((stored, ""));
        if stored == together {
            Ok(())
        } else {
            Err(StoreError::Differs(
                "The object's checksum in the store is not that of what was sent.".to_string(),
            ))
        }
    }

    /// Where to send an object whole: the address takes these bytes (base64 of their SHA-256) and no others.
    pub async fn put_url(
        &self,
        key: &str,
        size_bytes: u64,
        sha256: &str,
    ) -> Result<Url, StoreError> {
        let signed = self
            .signer
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .content_length(i64::try_from(size_bytes).map_err(broken)?)
            .checksum_sha256(sha256)
            .presigned(signing()?)
            .await
            .map_err(fault)?;
        Ok(url(0, &signed))
    }

    /// The object is there, with this size and checksum (base64 of its SHA-256), as the store itself says.
    pub async fn is_as_announced(
        &self,
        key: &str,
        size_bytes: u64,
        sha256: &str,
    ) -> Result<(), StoreError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .checksum_mode(aws_sdk_s3::types::ChecksumMode::Enabled)
            .send()
            .await
            .map_err(|error| {
                // Who may not list a bucket is not told that an object is missing.
                let status = error.raw_response().map(|raw| raw.status().as_u16());
                match status {
                    Some(403) => StoreError::NotFound,
                    _ => fault(error),
                }
            })?;
        let size = head
            .content_length()
            .and_then(|size| u64::try_from(size).ok())
            .unwrap_or_default();
        if size != size_bytes {
            return Err(StoreError::Differs(format!(
                "The object has {size} bytes in the store, not {size_bytes}."
            )));
        }
        if head.checksum_sha256() != Some(sha256) {
            return Err(StoreError::Differs(
                "The object's checksum in the store is not the one that was announced.".to_string(),
            ));
        }
        Ok(())
    }

    /// Where to fetch an object.
    pub async fn fetch_url(&self, key: &str) -> Result<Url, StoreError> {
        let signed = self
            .signer
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .presigned(signing()?)
            .await
            .map_err(fault)?;
        Ok(url(0, &signed))
    }

    /// An object's length, when it is there.
    pub async fn size(&self, key: &str) -> Result<Option<u64>, StoreError> {
        let head = self
            .client
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await;
        match head.map_err(fault) {
            Ok(head) => Ok(head
                .content_length()
                .and_then(|size| u64::try_from(size).ok())),
            Err(StoreError::NotFound) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A small object that must not be there yet.
    pub async fn put_new(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .if_none_match("*")
            .body(bytes.into())
            .send()
            .await
            .map(|_| ())
            .map_err(fault)
    }

    /// A small object, also over an older one.
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.client
            .put_object()
            .bucket(&self.bucket)
            .key(key)
            .body(bytes.into())
            .send()
            .await
            .map(|_| ())
            .map_err(fault)
    }

    /// So many bytes of an object from here on; fewer at its end, none behind it.
    pub async fn get_range(
        &self,
        key: &str,
        from: u64,
        length: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let last = from.saturating_add(length.max(1)) - 1;
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .range(format!("bytes={from}-{last}"))
            .send()
            .await;
        let got = match got {
            Err(error) if error.raw_response().map(|raw| raw.status().as_u16()) == Some(416) => {
                return Ok(Vec::new());
            }
            got => got.map_err(fault)?,
        };
        let body = got.body.collect().await;
        body.map(|body| body.to_vec())
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// All of a small object.
    pub async fn get(&self, key: &str) -> Result<Vec<u8>, StoreError> {
        let got = self
            .client
            .get_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(fault)?;
        let body = got.body.collect().await;
        body.map(|body| body.to_vec())
            .map_err(|error| StoreError::Unavailable(error.into()))
    }

    /// These objects go; what is not there is no fault.
    pub async fn delete(&self, keys: &[String]) -> Result<(), StoreError> {
        for some in keys.chunks(DELETE_LIMIT) {
            let objects = some
                .iter()
                .map(|key| ObjectIdentifier::builder().key(key).build())
                .collect::<Result<Vec<_>, _>>()
                .map_err(broken)?;
            let all = Delete::builder()
                .set_objects(Some(objects))
                .build()
                .map_err(broken)?;
            self.client
                .delete_objects()
                .bucket(&self.bucket)
                .delete(all)
                .send()
                .await
                .map_err(fault)?;
        }
        Ok(())
    }
}

/// A checksum as S3 has it.
pub fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

fn signing() -> Result<PresigningConfig, StoreError> {
    PresigningConfig::expires_in(SIGNED_FOR).map_err(broken)
}

fn url(number: u32, signed: &PresignedRequest) -> Url {
    Url {
        number,
        url: signed.uri().to_string(),
        headers: signed
            .headers()
            .map(|(name, value)| (name.to_string(), value.to_string()))
            .collect(),
    }
}

fn broken(error: impl std::error::Error + Send + Sync + 'static) -> StoreError {
    StoreError::Broken(Box::new(error))
}

fn fault<E>(error: SdkError<E, aws_sdk_s3::config::http::HttpResponse>) -> StoreError
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    let status = error
        .raw_response()
        .map(|response| response.status().as_u16());
    let code = error.code();
    match (status, code) {
        (_, Some("NoSuchUpload" | "NoSuchKey")) | (Some(404), _) => StoreError::NotFound,
        (Some(412), _) => StoreError::Exists,
        (Some(429 | 500..), _) | (None, _) => StoreError::Unavailable(Box::new(error)),
        _ => StoreError::Broken(Box::new(error)),
    }
}
