//! Fetch the source into a checkout of the deployment's own, on each server.
//!
//! Safe to repeat: a checkout that is whole is found, another one begun anew.

use domain::StepError;
use domain::release::{ArchiveFormat, Source};
use domain::{JobObject, JobOrder};
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::Release;
use pipelines::steps::release;
use protocol::job::{Sealed, Work};
use protocol::release as wire;
use sites::Hosts;
use std::collections::BTreeMap;
use steps::release::{EnvironmentNeeds, credential, frozen, hand_over_to_each};

struct FetchSource {
    hosts: Hosts,
}

impl Step for FetchSource {
    const NAME: &'static str = release::FETCH_SOURCE.name;
    type Needs = EnvironmentNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, _: EnvironmentNeeds) -> Result<Done<Nothing>, StepError> {
        let input: Release = at.input()?;
        let mut order = JobOrder::default();
        let source = match (&input.source, &input.upload) {
            (Source::Repository { url, access, .. }, _) => {
                let cloud = self.hosts.cloud();
                let commit = frozen(cloud, at).await?.commit;
                wire::Source::Git {
                    url: url.clone(),
                    commit: commit.ok_or_else(|| StepError::broken("no commit was frozen"))?,
                    credential: credential(cloud, at, access.as_ref()).await?,
                }
            }
            (Source::Archive { .. }, Some(upload)) => {
                order.objects =
                    BTreeMap::from([("source".to_string(), JobObject::read(&upload.key))]);
                wire::Source::Archive {
                    sealed: Sealed {
                        size_bytes: upload.object.size_bytes,
                        sha256: upload.object.sha256.clone(),
                    },
                    format: match upload.format {
                        ArchiveFormat::Zip => wire::ArchiveFormat::Zip,
                        ArchiveFormat::TarGz => wire::ArchiveFormat::TarGz,
                    },
                }
            }
            _ => return Err(StepError::broken("there is no source to fetch")),
        };
        let asked = wire::FetchSource {
            environment: input.host_name,
            source,
        };
        let work = |_| (order.clone(), Work::FetchSource(asked.clone()));
        hand_over_to_each(&self.hosts, at, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| FetchSource {
        hosts: Hosts::new(cloud),
    })
    .await
}
