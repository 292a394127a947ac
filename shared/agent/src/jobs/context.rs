//! What a work stands on: who asks, how to say how far it is, and its way to the store.
//!
//! Promise: a work never sees the secret, a URL or the callback. After a cancel every one of these fails soon.

use crate::accounts::User;
use crate::fault::Result;
use crate::jobs::child::Child;
use crate::jobs::download::Download;
use crate::jobs::line::{Line, Verdict};
use crate::jobs::upload::Upload;
use crate::paths::Paths;
use crate::{check, site};
use protocol::Lease;
use protocol::job::{Sealed, Stream};
use std::sync::Arc;

/// One work of a job. Cheap to clone, for threads of the work's own.
#[derive(Debug, Clone)]
pub struct Context {
    paths: Paths,
    lease: Lease,
    line: Arc<Line>,
}

impl Context {
    /// On this line.
    pub fn new(paths: &Paths, lease: &Lease, line: &Arc<Line>) -> Self {
        Self {
            paths: paths.clone(),
            lease: lease.clone(),
            line: Arc::clone(line),
        }
    }

    /// Where things are.
    pub fn paths(&self) -> &Paths {
        &self.paths
    }

    /// Who asked for the job when it began; who takes it over later has a higher fence and the same deployment.
    pub fn lease(&self) -> &Lease {
        &self.lease
    }

    /// The deployment whose mark is put on what is created.
    pub fn deployment_id(&self) -> &str {
        &self.lease.deployment_id
    }

    /// The user of a site, by the name in the work; the name is checked here.
    pub fn site_user(&self, site: &str) -> Result<User> {
        check::name("site", site)?;
        site::existing_user(&self.paths, site)
    }

    /// So much of so much is done. As often as wanted: the newest is said every few seconds, with its rate.
    pub fn progress(&self, done: u64, total: Option<u64>, unit: &str) {
        self.line.progress(done, total, unit);
    }

    /// Log, for people; never a secret.
    pub fn log(&self, text: &str) {
        self.line.log(Stream::Out, text);
    }

    /// Log what a program complained of, or what people should look at.
    pub fn complain(&self, text: &str) {
        self.line.log(Stream::Err, text);
    }

    /// Is the work to stop? Its programs are killed by then, and nothing new can be started.
    pub fn is_cancelled(&self) -> bool {
        self.line.verdict() != Verdict::Working
    }

    /// An error when the work is to stop: for loops.
    pub fn check(&self) -> Result<()> {
        self.line.check()
    }

    /// Send an object, by writing it; it becomes one with [`Upload::finish`] only.
    pub fn upload(&self, object: &str) -> Upload {
        Upload::new(&self.line, object)
    }

    /// Read an object that was sealed so.
    pub fn fetch(&self, object: &str, sealed: &Sealed) -> Download {
        Download::new(&self.line, object, sealed)
    }

    /// Run a part of the work as the site's user: [`crate::jobs::work::child`] gets the name.
    pub fn child(&self, user: &User, name: &str) -> Result<Child> {
        Child::start(&self.line, user, name)
    }
}
