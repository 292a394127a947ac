//! Let the backups of the configuration expire that its retention does not keep.
//!
//! Safe to repeat: a restore point expires before its objects go, and its record says when they are gone; what an earlier
//! worker left half done is finished first. Objects are named by the record, never found by looking.

use backups::Store;
use domain::{Backup, BackupPlan, RestorePointStatus, SiteId, StepError, retention};
use kit::step::Nothing;
use kit::{At, Cloud, Done, Step};
use pipelines::steps::backup;
use protocol::text::bytes;
use records::RecordsError;
use serde::Deserialize;
use tokio::sync::OnceCell;

struct ApplyRetention {
    cloud: Cloud,
    store: OnceCell<Store>,
}

#[derive(Deserialize)]
struct Needs {
    site_id: SiteId,
}

#[derive(Deserialize)]
struct Input {
    backup: BackupPlan,
}

impl ApplyRetention {
    /// The objects go, and the record says so.
    async fn prune(&self, at: &At, backup: &Backup) -> Result<(), StepError> {
        let store = self
            .store
            .get_or_init(|| Store::new(&self.cloud.config))
            .await;
        store.delete(&backup.keys()).await?;
        let named = (at.team, backup.site_id, backup.id);
        let now = self.cloud.clock.now();
        self.cloud.records.backup_pruned(named, now).await?;
        Ok(())
    }
}

impl Step for ApplyRetention {
    const NAME: &'static str = backup::APPLY_RETENTION.name;
    type Needs = Needs;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: Needs) -> Result<Done<Nothing>, StepError> {
        let Some(id) = at.input::<Input>()?.backup.configuration_id else {
            return Ok(Done::Skipped("it is made for no configuration".to_string()));
        };
        let (records, site) = (&self.cloud.records, needs.site_id);
        let configuration = match records.backup_configuration(at.team, site, id).await {
            Ok(configuration) => configuration,
            Err(RecordsError::NotFound(_)) => {
                let reason = "the configuration was deleted meanwhile";
                return Ok(Done::Skipped(reason.to_string()));
            }
            Err(error) => return Err(error.into()),
        };
        let backups = records.backups(at.team, site).await?;
        let half_done = backups.iter().filter(|backup| {
            backup.configuration_id == Some(id)
                && backup.restore_point == RestorePointStatus::Expired
                && backup.expires_at.is_none()
        });
        for backup in half_done {
            self.prune(at, backup).await?;
        }
        let plan = retention::plan(&configuration, &backups);
        let goes = |backup: &&Backup| {
            plan.iter()
                .any(|decision| decision.id == backup.id && decision.expires())
        };
        // The newest first: at no time does one go on from an expired one.
        let (mut pruned, mut freed) = (0, 0);
        for backup in backups.iter().filter(goes) {
            if !records.backup_expire(at.team, site, backup.id).await? {
                continue;
            }
            self.prune(at, backup).await?;
            pruned += 1;
            freed += backup.size_bytes;
        }
        let kept = plan.len() - pruned;
        let told = format!("{kept} kept, {pruned} expired, {} freed", bytes(freed));
        Ok(Done::With(Nothing {}, told))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| ApplyRetention {
        cloud: cloud.clone(),
        store: OnceCell::new(),
    })
    .await
}
