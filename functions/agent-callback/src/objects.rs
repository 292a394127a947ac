//! Objects that jobs send and fetch.
//!
//! Promise: a job names objects by the words it was given; it can neither read what it may only write, nor the reverse.

use crate::{Callback, Refused};
use domain::{Access, Job, JobObject};
use protocol::job::{PARTS_LIMIT, Part, PartSent, Sealed, Url};
use records::JobKey;

/// S3 knows no more of one upload.
const PART_NUMBER_LIMIT: u32 = 10_000;
/// S3 takes no larger one.
const PART_LIMIT_BYTES: u64 = 5 * 1024 * 1024 * 1024;

fn object<'a>(job: &'a Job, name: &str, access: Access) -> Result<&'a JobObject, Refused> {
    job.objects
        .get(name)
        .filter(|object| object.access == access)
        .ok_or(Refused::NotFound)
}

fn is_part(part: &Part) -> bool {
    (1..=PART_NUMBER_LIMIT).contains(&part.number) && part.size_bytes <= PART_LIMIT_BYTES
}

impl Callback {
    /// Addresses for parts of an object; its upload begins with the first.
    pub(crate) async fn parts(
        &self,
        of: JobKey<'_>,
        job: &Job,
        name: &str,
        parts: &[Part],
    ) -> Result<Vec<Url>, Refused> {
        let object = object(job, name, Access::Write)?;
        if parts.len() > PARTS_LIMIT || !parts.iter().all(is_part) {
            return Err(Refused::BadRequest);
        }
        let upload_id = match &object.upload_id {
            Some(upload_id) => upload_id.clone(),
            None => self.begin(of, name, &object.key).await?,
        };
        Ok(self.store.part_urls(&object.key, &upload_id, parts).await?)
    }

    async fn begin(&self, of: JobKey<'_>, name: &str, key: &str) -> Result<String, Refused> {
        let begun = self.store.upload(key).await?;
        let stands = self.cloud.records.job_upload(of, name, &begun).await?;
        if stands.as_ref() != Some(&begun) {
            self.store.abort(key, &begun).await?;
        }
        stands.ok_or(Refused::Gone)
    }

    /// All parts of an object are there.
    pub(crate) async fn complete(
        &self,
        of: JobKey<'_>,
        job: &Job,
        name: &str,
        parts: &[PartSent],
        sealed: &Sealed,
    ) -> Result<(), Refused> {
        let object = object(job, name, Access::Write)?;
        let mut in_order = parts.iter().map(|sent| &sent.part).zip(1..);
        let whole = in_order.try_fold(0_u64, |whole, (part, number)| {
            Some(whole)
                .filter(|_| is_part(part) && part.number == number)?
                .checked_add(part.size_bytes)
        });
        if whole != Some(sealed.size_bytes) || parts.is_empty() {
            return Err(Refused::BadRequest);
        }
        if object.sha256.as_ref() == Some(&sealed.sha256) {
            return Ok(());
        }
        let upload_id = object.upload_id.as_ref().ok_or(Refused::Conflict)?;
        self.store
            .complete(&object.key, upload_id, parts, sealed.size_bytes)
            .await?;
        let records = &self.cloud.records;
        if records
            .job_object_complete(of, name, &sealed.sha256)
            .await?
        {
            Ok(())
        } else {
            Err(Refused::Gone)
        }
    }

    /// An address to fetch an object from.
    pub(crate) async fn fetch(&self, job: &Job, name: &str) -> Result<Url, Refused> {
        let object = object(job, name, Access::Read)?;
        Ok(self.store.fetch_url(&object.key).await?)
    }
}
