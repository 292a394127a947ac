//! What jobs log, line by line, while they are at work.
//!
//! Promise: lines are read in order and each once, however often and in whatever pieces they were sent; from where a reader
//! stopped, without reading what came before.

use crate::error::from_sdk;
use crate::item::{Item, record, s};
use crate::{Records, RecordsError, keys};
use domain::{DeploymentId, TeamId};
use serde::{Deserialize, Serialize};

/// Lines of one chunk: whoever goes on reading has to look back so far for the chunk with the next line.
pub const LOG_CHUNK_LINES: u64 = 256;

/// Lines of a job's log that were sent together.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogChunk {
    /// Of which job.
    pub job: String,
    /// The job's fence.
    pub fence: u64,
    /// The first line's number.
    pub first: u64,
    /// In order; not more than [`LOG_CHUNK_LINES`].
    pub lines: Vec<LogLine>,
    /// Seconds since 1970: by then the whole log is an object in the store.
    pub expires_at: i64,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogLine {
    /// Milliseconds since 1970 by the server's clock.
    pub at_ms: i64,
    /// A complaint, rather than output.
    pub is_error: bool,
    /// Without its end.
    pub text: String,
}

/// A line of a step's log, with its place in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepLogLine {
    /// Of the worker that wrote it: each try of a step has its own.
    pub fence: u64,
    /// Its number among those of its worker.
    pub number: u64,
    /// What it says.
    #[serde(flatten)]
    pub line: LogLine,
}

/// The next line that a reader wants.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPosition {
    /// Of this worker, or a later one.
    pub fence: u64,
    /// From this one on.
    pub number: u64,
}

impl StepLogLine {
    /// Where it stands.
    pub fn position(&self) -> LogPosition {
        LogPosition {
            fence: self.fence,
            number: self.number,
        }
    }

    /// Where a reader goes on after it.
    pub fn next(&self) -> LogPosition {
        LogPosition {
            fence: self.fence,
            number: self.number + 1,
        }
    }
}

impl Records {
    /// Lines of a job's log from here on; about so many, and none only when there are no more.
    pub async fn log_lines(
        &self,
        team: TeamId,
        deployment: DeploymentId,
        job: &str,
        from: LogPosition,
        about: usize,
    ) -> Result<Vec<StepLogLine>, RecordsError> {
        let begin = from.number.saturating_sub(LOG_CHUNK_LINES);
        let (partition, begin) = keys::log_chunk(team, deployment, job, from.fence, begin);
        let mut pages = self
            .client
            .query()
            .table_name(&self.table)
            .key_condition_expression("pk = :partition AND sk BETWEEN :begin AND :end")
            .expression_attribute_values(":partition", s(partition))
            .expression_attribute_values(":begin", s(begin))
            .expression_attribute_values(":end", s(format!("LOG#{job}#~")))
            .into_paginator()
            .page_size(20)
            .items()
            .send();
        let mut lines = Vec::new();
        let mut next = from;
        while let Some(found) = pages.next().await {
            let chunk: LogChunk = record::<LogChunk>(found.map_err(from_sdk)? as Item)?;
            for (number, line) in (chunk.first..).zip(chunk.lines) {
                let line = StepLogLine {
                    fence: chunk.fence,
                    number,
                    line,
                };
                if line.position() >= next {
                    next = line.next();
                    lines.push(line);
                }
            }
            if lines.len() >= about {
                break;
            }
        }
        Ok(lines)
    }
}
