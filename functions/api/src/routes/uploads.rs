//! Uploads of sources: announce, complete.
//!
//! Promise: an address takes the bytes that were announced and no others, and they count once the store itself says so.

use crate::auth::Caller;
use crate::body::{Asked, Body, Fields, Id, NoQuery};
use crate::problem::ApiError;
use crate::routes::servers::Empty;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use backups::Store;
use contract::{UploadCreate, UploadCreated, UploadView};
use domain::upload::{UPLOAD_LIMIT_BYTES, UPLOAD_SECONDS};
use domain::{SCHEMA, Scope, SealedObject, Upload, UploadId};
use kit::{Cloud, StepError};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new()
        .routes(routes!(upload_create))
        .routes(routes!(upload_show))
        .routes(routes!(upload_complete))
}

/// Announce a source: its bytes are sent to the address in the answer. It is there for a day.
#[utoipa::path(post, path = "/v1/uploads", tag = "uploads", request_body = UploadCreate,
    responses((status = 201, body = UploadCreated)))]
async fn upload_create(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    body: Body<UploadCreate>,
) -> Result<(StatusCode, Json<UploadCreated>), ApiError> {
    caller.need(Scope::DeployStart)?;
    let asked = body.value;
    let mut fields = Fields::default();
    if !(1..=UPLOAD_LIMIT_BYTES).contains(&asked.size_bytes) {
        let limit = UPLOAD_LIMIT_BYTES / 1024 / 1024;
        fields.refuse(
            "size_bytes",
            format!("must be 1 to {UPLOAD_LIMIT_BYTES} ({limit} MB)"),
        );
    }
    let sha256 = checksum(&asked.sha256);
    if sha256.is_none() {
        fields.refuse("sha256", "must be 64 lower-case hex digits");
    }
    fields.end()?;
    let now = cloud.clock.now();
    let (time, random) = cloud.id_parts();
    let id = UploadId::from_parts(time, random);
    let upload = Upload {
        schema: SCHEMA,
        id,
        team_id: caller.team,
        key: Upload::key(caller.team, id),
        format: asked.format,
        object: SealedObject {
            size_bytes: asked.size_bytes,
            sha256: asked.sha256,
        },
        is_complete: false,
        created_at: now,
        expires_at: now.timestamp() + UPLOAD_SECONDS,
    };
    let store = Store::new(&cloud.config).await;
    let url = store
        .put_url(&upload.key, asked.size_bytes, &sha256.unwrap_or_default())
        .await
        .map_err(StepError::from)?;
    let audit = caller.audit(&cloud, "upload.create", id, "");
    cloud.records.upload_create(&upload, &audit).await?;
    let created = UploadCreated {
        upload: upload.into(),
        url: url.url,
        headers: url.headers.into_iter().collect(),
    };
    Ok((StatusCode::CREATED, Json(created)))
}

/// In base64, as S3 has it.
fn checksum(hex_digits: &str) -> Option<String> {
    let lower = hex_digits.bytes().all(|b| !b.is_ascii_uppercase());
    let bytes = hex::decode(hex_digits).ok()?;
    (lower && bytes.len() == 32).then(|| backups::store::base64(&bytes))
}

/// An upload, and whether it is complete.
#[utoipa::path(get, path = "/v1/uploads/{id}", tag = "uploads", params(("id" = UploadId, Path)),
    responses((status = 200, body = UploadView)))]
async fn upload_show(
    State(cloud): State<Cloud>,
    caller: Caller,
    Id(id): Id<UploadId>,
) -> Result<Json<UploadView>, ApiError> {
    caller.need(Scope::DeployRead)?;
    let now = cloud.clock.now();
    let upload = cloud.records.upload(caller.team, id, now).await?;
    Ok(Json(upload.into()))
}

/// Its bytes were sent: they are read back, and count when they are what was announced.
#[utoipa::path(post, path = "/v1/uploads/{id}/complete", tag = "uploads", params(("id" = UploadId, Path)),
    responses((status = 200, body = UploadView)))]
async fn upload_complete(
    State(cloud): State<Cloud>,
    caller: Caller,
    Asked(_): Asked<NoQuery>,
    Id(id): Id<UploadId>,
    _body: Body<Empty>,
) -> Result<Json<UploadView>, ApiError> {
    caller.need(Scope::DeployStart)?;
    let now = cloud.clock.now();
    let mut upload = cloud.records.upload(caller.team, id, now).await?;
    if !upload.is_complete {
        let store = Store::new(&cloud.config).await;
        let sha256 = checksum(&upload.object.sha256).unwrap_or_default();
        store
            .is_as_announced(&upload.key, upload.object.size_bytes, &sha256)
            .await
            .map_err(|error| match error {
                backups::StoreError::NotFound => ApiError::conflict(
                    "not_uploaded",
                    "Its bytes are not in the store yet; send them first.",
                ),
                other => StepError::from(other).into(),
            })?;
        let audit = caller.audit(&cloud, "upload.complete", id, "");
        cloud.records.upload_complete(&upload, &audit).await?;
        upload.is_complete = true;
    }
    Ok(Json(upload.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_64_lower_case_hex_digits() {
        assert_eq!(
            checksum(&"00".repeat(32)).as_deref(),
            Some("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        );
        for text in [
            "",
            "00",
            &"AB".repeat(32),
            &"zz".repeat(32),
            &"00".repeat(33),
        ] {
            assert_eq!(checksum(text), None, "{text}");
        }
    }
}
