//! What a call works with: the host's paths, the lease, and the notes it will reply.
//!
//! Promise: two calls for different sites never change the host's shared configuration at the same time.

use crate::fault::Result;
use crate::lease;
use crate::paths::Paths;
use protocol::{Changed, Lease};
use std::fs::File;
use std::time::Duration;

/// Changing users, pools or blocks takes seconds; many sites at once wait for each other.
const CONFIGURATION_WITHIN: Duration = Duration::from_secs(120);

/// One call at work.
#[derive(Debug)]
pub struct Work<'a> {
    /// Where things are.
    pub paths: &'a Paths,
    /// Who asks.
    pub lease: &'a Lease,
    changed: bool,
    notes: Vec<String>,
}

impl<'a> Work<'a> {
    /// At the beginning of a call.
    pub fn new(paths: &'a Paths, lease: &'a Lease) -> Self {
        Self {
            paths,
            lease,
            changed: false,
            notes: Vec::new(),
        }
    }

    /// Something was changed.
    pub fn did(&mut self, note: impl Into<String>) {
        self.changed = true;
        self.notes.push(note.into());
    }

    /// Something was not changed, and why.
    pub fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// The reply as it stands.
    pub fn so_far(&self) -> Changed {
        Changed {
            changed: self.changed,
            notes: self.notes.clone(),
        }
    }

    /// The reply.
    pub fn changed(self) -> Changed {
        Changed {
            changed: self.changed,
            notes: self.notes,
        }
    }

    /// The line that says whose a file is, without the file's own comment sign.
    pub fn mark(&self) -> String {
        format!(
            "managed by triphammer, deployment {}",
            self.lease.deployment_id
        )
    }

    /// Hold the host's shared configuration (users, pools, server blocks) until dropped.
    pub fn configuration_lock(&self) -> Result<File> {
        lease::lock(
            &self.paths.state().join("configuration.lock"),
            CONFIGURATION_WITHIN,
        )
    }
}
