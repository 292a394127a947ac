//! How a call of the program ends, as scripts see it.
//!
//! Promise: the one place that knows exit codes.

use std::io;
use std::process::ExitCode;

/// What the exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ending {
    /// What was asked for is done, or begun when it was not to be followed.
    Done,
    /// An error, or a followed deployment that did not complete.
    NotCompleted,
    /// The token is not known, or may not do this.
    Denied,
    /// The plan was shown, nothing was changed.
    DryRun,
    /// Ctrl-C: the deployment goes on. 128 and the signal's number, as shells count.
    Interrupted,
}

impl Ending {
    /// After this fault.
    pub fn of(fault: &Fault) -> Self {
        match fault {
            Fault::Api(error) if error.is_denied() => Self::Denied,
            Fault::Interrupted => Self::Interrupted,
            Fault::Api(_) | Fault::Said(_) | Fault::Output(_) => Self::NotCompleted,
        }
    }
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> Self {
        ExitCode::from(match ending {
            Ending::Done => 0,
            Ending::NotCompleted => 1,
            Ending::Denied => 2,
            Ending::DryRun => 3,
            Ending::Interrupted => 130,
        })
    }
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// The API did not do it.
    #[error(transparent)]
    Api(#[from] client::Error),
    /// Something here: a file, a name, a question that nobody can answer.
    #[error("{0}")]
    Said(String),
    /// Nobody reads what is written.
    #[error(transparent)]
    Output(#[from] io::Error),
    /// Ctrl-C.
    #[error("interrupted")]
    Interrupted,
}

impl Fault {
    /// In these words.
    pub fn said(text: impl Into<String>) -> Self {
        Self::Said(text.into())
    }
}
