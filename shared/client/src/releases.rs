//! What the API does about releases, and the sending of sources to its store.
//!
//! Promise: as of all operations: one method each, with the contract's types. The token goes to the API alone, never to the store.

use crate::routes::YES;
use crate::{Client, Error};
use bytes::Bytes;
use contract::{
    DeploymentCreated, DeploymentDiff, DeploymentViews, Plan, PromoteCreate, ReleaseCreate,
    RollbackCreate, UploadCreate, UploadCreated, UploadView,
};
use domain::{DeploymentId, EnvironmentId, UploadId};
use http_body::{Body, Frame, SizeHint};
use reqwest::Url;
use std::fs::File;
use std::io::Read;
use std::pin::Pin;
use std::task::{Context, Poll};

/// As much as is read of a file at once.
const CHUNK_BYTES: usize = 64 * 1024;

/// What is done with an environment's containers as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Restart them.
    Restart,
    /// Stop them.
    Stop,
    /// Start them again.
    Start,
    /// Look at them.
    Observe,
}

impl Act {
    fn word(self) -> &'static str {
        match self {
            Self::Restart => "restart",
            Self::Stop => "stop",
            Self::Start => "start",
            Self::Observe => "observe",
        }
    }
}

impl Client {
    /// Release to an environment.
    pub async fn release_create(
        &self,
        id: EnvironmentId,
        asked: &ReleaseCreate,
    ) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "deployments"]);
        self.send(call.body(asked)?.once()).await
    }
    /// What that would do.
    pub async fn release_create_plan(
        &self,
        id: EnvironmentId,
        asked: &ReleaseCreate,
    ) -> Result<Plan, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "deployments"]);
        self.send(call.body(asked)?.query("dry_run", YES)).await
    }
    /// Go back to an earlier release.
    pub async fn rollback_create(
        &self,
        id: EnvironmentId,
        asked: &RollbackCreate,
    ) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "rollback"]);
        self.send(call.body(asked)?.once()).await
    }
    /// What that would do.
    pub async fn rollback_create_plan(
        &self,
        id: EnvironmentId,
        asked: &RollbackCreate,
    ) -> Result<Plan, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "rollback"]);
        self.send(call.body(asked)?.query("dry_run", YES)).await
    }
    /// Release what runs in another environment to this one.
    pub async fn promote_create(
        &self,
        id: EnvironmentId,
        asked: &PromoteCreate,
    ) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "promote"]);
        self.send(call.body(asked)?.once()).await
    }
    /// What that would do.
    pub async fn promote_create_plan(
        &self,
        id: EnvironmentId,
        asked: &PromoteCreate,
    ) -> Result<Plan, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), "promote"]);
        self.send(call.body(asked)?.query("dry_run", YES)).await
    }
    /// Do something with an environment's containers.
    pub async fn environment_act(
        &self,
        id: EnvironmentId,
        act: Act,
    ) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), act.word()]);
        self.send(call.once()).await
    }
    /// What that would do.
    pub async fn environment_act_plan(&self, id: EnvironmentId, act: Act) -> Result<Plan, Error> {
        let call = self.post(&["v1", "environments", &id.to_string(), act.word()]);
        self.send(call.query("dry_run", YES)).await
    }

    /// What is known of a release.
    pub async fn deployment_views(&self, id: DeploymentId) -> Result<DeploymentViews, Error> {
        self.send(self.get(&["v1", "deployments", &id.to_string(), "views"]))
            .await
    }
    /// What differs between two releases.
    pub async fn deployment_diff(
        &self,
        from: DeploymentId,
        to: DeploymentId,
    ) -> Result<DeploymentDiff, Error> {
        let call = self.get(&["v1", "deployments", "diff"]);
        self.send(call.query("from", Some(from)).query("to", Some(to)))
            .await
    }

    /// Announce a source. A second one is another upload, and does no harm.
    pub async fn upload_create(&self, new: &UploadCreate) -> Result<UploadCreated, Error> {
        let call = self.post(&["v1", "uploads"]).body(new)?;
        self.send(call).await
    }
    /// Its bytes were sent.
    pub async fn upload_complete(&self, id: UploadId) -> Result<UploadView, Error> {
        self.send(self.post(&["v1", "uploads", &id.to_string(), "complete"]))
            .await
    }
    /// Send the bytes that were announced; `sent` hears how many went so far.
    pub async fn upload_send(
        &self,
        created: &UploadCreated,
        file: File,
        sent: impl FnMut(u64) + Send + Sync + Unpin + 'static,
    ) -> Result<(), Error> {
        let address: Url = created
            .url
            .parse()
            .map_err(|_| Error::Setting("the store's address is not a URL".to_string()))?;
        let length = created.upload.size_bytes;
        let body = Sending {
            file,
            left: length,
            length,
            sent,
        };
        // This one has neither the token nor a limit of time.
        let mut request = self.sockets.put(address.clone());
        for (name, value) in &created.headers {
            if !name.eq_ignore_ascii_case("host") {
                request = request.header(name, value);
            }
        }
        let answer = request.body(reqwest::Body::wrap(body)).send().await;
        let answer = answer.map_err(|error| Error::transport(error, &address))?;
        let status = answer.status();
        if status.is_success() {
            return Ok(());
        }
        Err(Error::Unexpected {
            status: status.as_u16(),
            message: format!("the store did not take the upload: {status}"),
        })
    }
}

/// A file on its way.
struct Sending<F> {
    file: File,
    left: u64,
    length: u64,
    sent: F,
}

impl<F: FnMut(u64) + Unpin> Body for Sending<F> {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let this = self.get_mut();
        if this.left == 0 {
            return Poll::Ready(None);
        }
        let most = usize::try_from(this.left).unwrap_or(usize::MAX);
        let mut chunk = vec![0; CHUNK_BYTES.min(most)];
        // A file's reads do not wait for anybody but its disk.
        let read = match this.file.read(&mut chunk) {
            Ok(0) => {
                return Poll::Ready(Some(Err(std::io::Error::other(
                    "the file became shorter while it was sent",
                ))));
            }
            Ok(read) => read,
            Err(error) => return Poll::Ready(Some(Err(error))),
        };
        chunk.truncate(read);
        this.left -= read as u64;
        (this.sent)(this.length - this.left);
        Poll::Ready(Some(Ok(Frame::data(Bytes::from(chunk)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
