//! Throw away what the restore replaced, and what it downloaded.
//!
//! Safe to repeat: what is gone is no fault.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::steps::backup;
use protocol::job::{Database, Work};
use sites::Hosts;
use steps::{SiteNeeds, hand_over};

struct CleanUpRestore {
    hosts: Hosts,
}

impl Step for CleanUpRestore {
    const NAME: &'static str = backup::CLEAN_UP_RESTORE.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
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
        hosts: Hosts::new(cloud),
    })
    .await
}
