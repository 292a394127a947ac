//! One word to the callback, and what it answered.
//!
//! Promise: each word is said with the order that is on the disk at that moment, so who takes a job over is heard from
//! the next word on. The secret goes into one header and nowhere else.

use crate::jobs::Tempo;
use crate::jobs::folder::{self, Folder};
use protocol::job::{JobOrder, ReportReply, Say};
use serde::Serialize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use ureq::http::StatusCode;

/// Sixteen URLs with their signatures are about 40 KB.
const REPLY_LIMIT_BYTES: u64 = 1024 * 1024;
/// An idle connection that is older may be closed at the other end.
const IDLE_FOR: Duration = Duration::from_secs(10);

/// Where a job reports.
#[derive(Debug)]
pub struct Callback {
    agent: ureq::Agent,
    folder: Folder,
    /// How the last word went.
    last: Mutex<String>,
}

/// What came of a word.
#[derive(Debug)]
pub enum Answer {
    /// It was heard.
    Heard(ReportReply),
    /// Nobody heard it now; it may be said again.
    Away,
    /// The secret is not taken.
    Denied,
    /// The word is not taken.
    Refused(u16),
    /// The job is over.
    Gone,
}

const NOTHING: ReportReply = ReportReply {
    cancel: false,
    log_full: false,
    urls: Vec::new(),
};

#[derive(Serialize)]
struct Report<'a> {
    fence: u64,
    say: &'a Say,
}

/// A client that says every status, follows nothing, and takes no proxy from anybody.
pub fn client(tempo: &Tempo, whole: Option<Duration>, silence: Option<Duration>) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .proxy(None)
        .user_agent("triphammer-agent")
        .max_idle_age(IDLE_FOR)
        .timeout_connect(Some(tempo.connect_within))
        .timeout_global(whole)
        .timeout_per_read(silence)
        .timeout_per_write(silence)
        .build()
        .into()
}

/// Why a request failed, without its address, which may hold a signature.
pub fn reason(error: &ureq::Error) -> String {
    use ureq::Error::{BodyStalled, ConnectionFailed, HostNotFound, Io, Timeout};
    match error {
        Io(error) => error.to_string(),
        Timeout(_) | HostNotFound | ConnectionFailed | BodyStalled => error.to_string(),
        _ => "the request failed".into(),
    }
}

impl Callback {
    /// Of the job in this folder.
    pub fn new(folder: &Folder, tempo: &Tempo) -> Self {
        Self {
            agent: client(tempo, Some(tempo.report_within), None),
            folder: folder.clone(),
            last: Mutex::default(),
        }
    }

    /// Say it once; also with which order that was.
    pub fn say(&self, say: &Say) -> (Answer, Option<JobOrder>) {
        // A disk that cannot be read now may be read later.
        let Ok(order) = self.folder.order() else {
            return (Answer::Away, None);
        };
        let answer = self.send(&order, say);
        // A "no" to an order that was replaced meanwhile says nothing about the new one.
        let is_old = || {
            self.folder
                .order()
                .map_or(true, |now| !folder::same(&now, &order))
        };
        match answer {
            Answer::Denied | Answer::Gone if is_old() => (Answer::Away, Some(order)),
            answer => (answer, Some(order)),
        }
    }

    /// For operators, in the unit's journal, when it is something new.
    fn note(&self, how: String) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if *last != how {
            eprintln!("the callback: {how}");
            *last = how;
        }
    }

    fn send(&self, order: &JobOrder, say: &Say) -> Answer {
        let fence = order.lease.fence;
        let callback = &order.start.callback;
        let Ok(body) = serde_json::to_vec(&Report { fence, say }) else {
            return Answer::Refused(0);
        };
        let sent = self
            .agent
            .post(&callback.url)
            .header("Authorization", format!("Bearer {}", callback.secret))
            .header("Content-Type", "application/json")
            .send(&body[..]);
        let mut answer = match sent {
            Ok(answer) => answer,
            Err(error) => {
                self.note(reason(&error));
                return Answer::Away;
            }
        };
        self.note(format!("it answers {}", answer.status().as_u16()));
        match answer.status() {
            status if status.is_success() => {
                let body = answer
                    .body_mut()
                    .with_config()
                    .limit(REPLY_LIMIT_BYTES)
                    .read_to_vec();
                let reply = body
                    .ok()
                    .and_then(|body| serde_json::from_slice(&body).ok());
                // Heard it was, also when the answer was cut: who asked for URLs and got none asks again.
                Answer::Heard(reply.unwrap_or(NOTHING))
            }
            StatusCode::GONE => Answer::Gone,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND => {
                Answer::Denied
            }
            StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => Answer::Away,
            status if status.is_client_error() => Answer::Refused(status.as_u16()),
            _ => Answer::Away,
        }
    }
}
