//! The log of a step: while its job is at work, and after.
//!
//! Promise: a reader that goes on from a cursor sees each line once, also when the job ends between two pages.

use crate::auth::Caller;
use crate::body::{Asked, limit};
use crate::problem::ApiError;
use axum::Json;
use axum::extract::{Path, State};
use backups::Store;
use chrono::DateTime;
use contract::{LogLineView, Page};
use domain::{DeploymentId, Scope, ServerId, Settlement};
use kit::Cloud;
use records::{LogPosition, StepLogLine};
use serde::Deserialize;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

/// Bytes of the whole log that are read at once; a line is a sixteenth of it at most.
const RANGE_BYTES: u64 = 256 * 1024;

/// See the module.
pub fn routes() -> OpenApiRouter<Cloud> {
    OpenApiRouter::new().routes(routes!(step_log))
}

#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct Listed {
    /// Of a step that is done on several servers: on which; absent for the first.
    server_id: Option<String>,
    /// From the page before: a page without one was the last.
    cursor: Option<String>,
    /// 1 to 100 lines, and more when they were sent together.
    #[param(minimum = 1, maximum = 100, default = 20)]
    limit: Option<u32>,
}

/// The next line, and where in the whole log it is looked for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Cursor {
    next: LogPosition,
    offset: u64,
}

impl Cursor {
    fn read(text: Option<&str>) -> Result<Self, ApiError> {
        let Some(text) = text else {
            return Ok(Self::default());
        };
        let numbers: Option<Vec<u64>> = text.split('.').map(|word| word.parse().ok()).collect();
        let Some([fence, number, offset]) = numbers.as_deref() else {
            return Err(ApiError::bad_request(
                "bad_cursor",
                "The cursor is not one that a page of this log gave.",
            ));
        };
        let next = LogPosition {
            fence: *fence,
            number: *number,
        };
        Ok(Self {
            next,
            offset: *offset,
        })
    }

    fn text(self) -> String {
        format!("{}.{}.{}", self.next.fence, self.next.number, self.offset)
    }
}

/// What a step logged, oldest first. While it is at work there is always a `next_cursor`, also behind an empty page.
#[utoipa::path(get, path = "/v1/deployments/{id}/steps/{step}/log", tag = "deployments", params(Listed, ("id" = DeploymentId, Path), ("step" = String, Path)),
    responses((status = 200, body = Page<LogLineView>)))]
async fn step_log(
    State(cloud): State<Cloud>,
    caller: Caller,
    Path((id, step)): Path<(String, String)>,
    Asked(listed): Asked<Listed>,
) -> Result<Json<Page<LogLineView>>, ApiError> {
    caller.need(Scope::LogsRead)?;
    let id: DeploymentId = id.parse().map_err(|_| ApiError::not_found("deployment"))?;
    let cursor = Cursor::read(listed.cursor.as_deref())?;
    let limit = limit(listed.limit)? as usize;
    let snapshot = cloud.records.deployment_snapshot(caller.team, id).await?;
    let of_step = snapshot
        .step(&step)
        .ok_or_else(|| ApiError::not_found("step"))?;
    let asked = listed.server_id.map(|id| id.parse::<ServerId>());
    let asked = asked
        .transpose()
        .map_err(|_| ApiError::not_found("server"))?;
    let mut servers = of_step.servers.iter().map(|row| row.id);
    let server = match asked {
        None => servers.next(),
        Some(asked) if servers.any(|id| id == asked) => Some(asked),
        Some(_) => return Err(ApiError::not_found("server")),
    };
    let job = domain::job_name(&step, server);
    let joined = snapshot
        .job(&step, server)
        .and_then(|job| job.log_key.as_deref());
    let (lines, next) = match joined {
        Some(key) => from_object(&cloud, key, cursor, limit).await?,
        None => {
            let lines = cloud
                .records
                .log_lines(caller.team, id, &job, cursor.next, limit)
                .await?;
            let next = lines.last().map_or(cursor.next, StepLogLine::next);
            (lines, Cursor { next, offset: 0 })
        }
    };
    // A step whose worker was lost is begun again, and logs on.
    let more_may_come =
        !of_step.status.is_finished() && snapshot.deployment.settlement != Settlement::Settled;
    let next = (more_may_come || !lines.is_empty()).then_some(next);
    Ok(Json(Page {
        items: lines.into_iter().map(view).collect(),
        next_cursor: next.map(Cursor::text),
    }))
}

/// From the whole log: a position that lines gave, before they were put together, is found in it from its beginning.
async fn from_object(
    cloud: &Cloud,
    key: &str,
    mut cursor: Cursor,
    limit: usize,
) -> Result<(Vec<StepLogLine>, Cursor), ApiError> {
    let store = Store::new(&cloud.config).await;
    let mut lines: Vec<StepLogLine> = Vec::new();
    loop {
        let bytes = store
            .get_range(key, cursor.offset, RANGE_BYTES)
            .await
            .map_err(kit::StepError::from)?;
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if lines.len() >= limit {
                return Ok((lines, cursor));
            }
            if !line.ends_with(b"\n") {
                break;
            }
            cursor.offset += line.len() as u64;
            let line: StepLogLine = serde_json::from_slice(line).map_err(kit::StepError::broken)?;
            if line.position() >= cursor.next {
                cursor.next = line.next();
                lines.push(line);
            }
        }
        if (bytes.len() as u64) < RANGE_BYTES {
            return Ok((lines, cursor));
        }
    }
}

fn view(line: StepLogLine) -> LogLineView {
    LogLineView {
        attempt: line.fence,
        number: line.number,
        at: DateTime::from_timestamp_millis(line.line.at_ms).unwrap_or_default(),
        is_error: line.line.is_error,
        text: line.line.text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_another_text_is_refused() {
        let cursor = Cursor {
            next: LogPosition {
                fence: 7,
                number: 12,
            },
            offset: 345,
        };
        assert_eq!(Cursor::read(Some(&cursor.text())).ok(), Some(cursor));
        assert_eq!(Cursor::read(None).ok(), Some(Cursor::default()));
        for text in ["", "1.2", "1.2.3.4", "1.x.3", "1.2.-3"] {
            assert!(Cursor::read(Some(text)).is_err(), "{text}");
        }
    }
}
