//! Fetch a backup beside the site and check all of it; undo throws it away.
//!
//! The live site is not touched, and the restore point says that it is in use. Safe to repeat: what is there and right is kept.

use domain::{
    BackupId, JobObject, JobOrder, RestorePointStatus, SealedObject, SiteId, StepError, TeamId,
};
use kit::step::Nothing;
use kit::{At, Cloud, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::inputs::StoredFiles;
use pipelines::steps::backup;
use protocol::job::{self, Dump, Link, Sealed, Work};
use protocol::{Call, Changed, SiteName};
use sites::Hosts;
use steps::{SiteNeeds, hand_over, told};

fn sealed(object: &SealedObject) -> Sealed {
    Sealed {
        size_bytes: object.size_bytes,
        sha256: object.sha256.clone(),
    }
}

fn link(stored: &StoredFiles) -> Link {
    Link {
        files: sealed(&stored.contents.object),
        manifest: sealed(&stored.contents.manifest),
        tree_bytes: stored.contents.tree_bytes,
    }
}

struct DownloadBackup {
    cloud: Cloud,
    hosts: Hosts,
}

impl DownloadBackup {
    /// From now on its restore point is in use, for this deployment.
    async fn begin(&self, at: &At, backup: (TeamId, SiteId, BackupId)) -> Result<(), StepError> {
        let records = &self.cloud.records;
        if records.restore_begun(backup, at.deployment_id).await? {
            return Ok(());
        }
        let (team, site, id) = backup;
        match records.backup(team, site, id).await?.restore_point {
            RestorePointStatus::Expired => Err(StepError::refused(
                "restore_point_expired",
                "This backup was pruned, and cannot be restored any more.",
            )),
            _ => Err(StepError::busy(
                "records_contended",
                "The record is being changed by others.",
            )),
        }
    }
}

impl Step for DownloadBackup {
    const NAME: &'static str = backup::DOWNLOAD_BACKUP.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
        self.begin(at, (at.team, needs.site_id, input.restored))
            .await?;
        let mut order = JobOrder {
            gives: Some("backup_downloaded".to_string()),
            ..JobOrder::default()
        };
        let mut may_read = |name: String, key: &str| {
            order.objects.insert(name, JobObject::read(key));
        };
        if let Some(database) = &input.database {
            may_read("database".to_string(), &database.key);
        }
        for (at, link) in input.chain.iter().enumerate() {
            may_read(format!("files_{at}"), &link.files_key);
            may_read(format!("manifest_{at}"), &link.manifest_key);
        }
        let work = Work::DownloadBackup(job::DownloadBackup {
            site: input.system_name,
            database: input.database.map(|database| Dump {
                sealed: sealed(&database.contents.object),
                dump_bytes: database.contents.dump_bytes,
            }),
            chain: input.chain.iter().map(link).collect(),
        });
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let input: RestoreBackup = at.input()?;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let call = Call::RestoreDiscard(SiteName {
            site: input.system_name,
        });
        let done: Changed = host.call(call).await?;
        let backup = (at.team, needs.site_id, input.restored);
        self.cloud
            .records
            .restore_undone(backup, at.deployment_id)
            .await?;
        Ok(told(&done.notes, "there was nothing beside the site"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| DownloadBackup {
        cloud: cloud.clone(),
        hosts: Hosts::new(cloud),
    })
    .await
}
