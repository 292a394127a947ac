//! Jobs that agents have in hand, and what they log.
//!
//! Promise: only the newest worker of a step writes about its job; a line that comes twice is stored once.

use crate::error::from_sdk;
use crate::item::{item, key, n, record, s};
use crate::logs::LogChunk;
use crate::{Records, RecordsError, keys};
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::{DeploymentId, Job, TeamId, Time};

/// Whose job.
#[derive(Debug, Clone, Copy)]
pub struct JobKey<'a> {
    /// The team.
    pub team: TeamId,
    /// Its deployment.
    pub deployment: DeploymentId,
    /// Its name: the step's, with the server's when each has one.
    pub job: &'a str,
    /// The job's fence.
    pub fence: u64,
}

impl JobKey<'_> {
    fn key(&self) -> keys::Key {
        keys::job(self.team, self.deployment, self.job)
    }
}

impl Records {
    /// A job is about to be given to an agent; false when a newer worker did so meanwhile.
    pub async fn job_put(
        &self,
        team: TeamId,
        deployment: DeploymentId,
        job: &Job,
    ) -> Result<bool, RecordsError> {
        let stored = item(keys::job(team, deployment, &job.name()), job)?;
        let put = self
            .client
            .put_item()
            .table_name(&self.table)
            .set_item(Some(stored))
            .condition_expression("attribute_not_exists(pk) OR fence < :fence")
            .expression_attribute_values(":fence", n(job.fence))
            .send()
            .await;
        held(put)
    }

    /// An object's upload began. Answers the one that stands: another report may have begun one first.
    pub async fn job_upload(
        &self,
        of: JobKey<'_>,
        object: &str,
        upload_id: &str,
    ) -> Result<Option<String>, RecordsError> {
        let update = self
            .job_update(of)
            .update_expression("SET objects.#object.upload_id = :upload REMOVE objects.#object.sha256")
            .condition_expression("fence = :fence AND attribute_exists(objects.#object) AND attribute_not_exists(objects.#object.upload_id)")
            .expression_attribute_names("#object", object)
            .expression_attribute_values(":upload", s(upload_id))
            .send()
            .await;
        if held(update)? {
            return Ok(Some(upload_id.to_string()));
        }
        let Some(stored) = self.get(of.key()).await? else {
            return Ok(None);
        };
        let job: Job = record(stored)?;
        Ok(job
            .objects
            .get(object)
            .filter(|_| job.fence == of.fence)
            .and_then(|object| object.upload_id.clone()))
    }

    /// An object is complete and was read back.
    pub async fn job_object_complete(
        &self,
        of: JobKey<'_>,
        object: &str,
        sha256: &str,
    ) -> Result<bool, RecordsError> {
        let update = self
            .job_update(of)
            .update_expression(
                "SET objects.#object.sha256 = :sha256 REMOVE objects.#object.upload_id",
            )
            .condition_expression("fence = :fence AND attribute_exists(objects.#object)")
            .expression_attribute_names("#object", object)
            .expression_attribute_values(":sha256", s(sha256))
            .send()
            .await;
        held(update)
    }

    /// Lines of its log, with how much they weigh.
    pub async fn job_log(
        &self,
        of: JobKey<'_>,
        chunks: &[LogChunk],
        bytes: u64,
    ) -> Result<bool, RecordsError> {
        for chunk in chunks {
            let at = keys::log_chunk(of.team, of.deployment, of.job, of.fence, chunk.first);
            let put = self
                .client
                .put_item()
                .table_name(&self.table)
                .set_item(Some(item(at, chunk)?));
            put.send().await.map_err(from_sdk)?;
        }
        let update = self
            .job_update(of)
            .update_expression("ADD log_bytes :bytes")
            .condition_expression("fence = :fence")
            .expression_attribute_values(":bytes", n(bytes))
            .send()
            .await;
        held(update)
    }

    /// Its agent said a word.
    pub async fn job_heard(&self, of: JobKey<'_>, at: Time) -> Result<bool, RecordsError> {
        let update = self
            .job_update(of)
            .update_expression("SET heard_at = :at")
            .condition_expression("fence = :fence")
            .expression_attribute_values(":at", s(domain::rfc3339(at)))
            .send()
            .await;
        held(update)
    }

    /// Its whole log is here now.
    pub async fn job_log_key(&self, of: JobKey<'_>, key: &str) -> Result<bool, RecordsError> {
        let update = self
            .job_update(of)
            .update_expression("SET log_key = :key")
            .condition_expression("fence = :fence")
            .expression_attribute_values(":key", s(key))
            .send()
            .await;
        held(update)
    }

    fn job_update(
        &self,
        of: JobKey<'_>,
    ) -> aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(of.key())))
            .expression_attribute_values(":fence", AttributeValue::N(of.fence.to_string()))
    }
}

/// Written, or its condition did not hold.
fn held<T, E>(
    written: Result<T, SdkError<E, aws_sdk_dynamodb::config::http::HttpResponse>>,
) -> Result<bool, RecordsError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match written {
        Ok(_) => Ok(true),
        Err(error) if error.code() == Some("ConditionalCheckFailedException") => Ok(false),
        Err(error) => Err(from_sdk(error)),
    }
}
