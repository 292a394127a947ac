//! Say that the backup was restored, and throw away what that replaced and what it downloaded.
//!
//! Safe to repeat: what is gone is no fault.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Cloud, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::steps::backup;
use protocol::job::{Database, Work};
use sites::Hosts;
use steps::{SiteNeeds, hand_over};

struct CleanUpRestore {
    cloud: Cloud,
    hosts: Hosts,
}

impl Step for CleanUpRestore {
    const NAME: &'static str = backup::CLEAN_UP_RESTORE.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
        let (backup, now) = (
            (at.team, needs.site_id, input.restored),
            self.cloud.clock.now(),
        );
        self.cloud
            .records
            .restore_done(backup, at.deployment_id, now)
            .await?;
        let work = Work::CleanUpRestore(Database {
            site: input.system_name.clone(),
            database: input.system_name,
        });
        hand_over(&self.hosts, at, needs.server_id, JobOrder::default(), work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| CleanUpRestore {
        cloud: cloud.clone(),
        hosts: Hosts::new(cloud),
    })
    .await
}
