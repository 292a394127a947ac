//! Swap the downloaded tree in; undo swaps the old one back.
//!
//! Safe to repeat: a journal on the server says how far an earlier worker came.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::steps::backup;
use protocol::job::{Site, Work};
use protocol::{Call, Changed, SiteName};
use sites::Hosts;
use steps::{SiteNeeds, hand_over, told};

struct RestoreFiles {
    hosts: Hosts,
}

impl Step for RestoreFiles {
    const NAME: &'static str = backup::RESTORE_FILES.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
        let order = JobOrder {
            gives: Some("files_restored".to_string()),
            ..JobOrder::default()
        };
        let work = Work::RestoreFiles(Site {
            site: input.system_name,
        });
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let input: RestoreBackup = at.input()?;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let call = Call::FilesSwapBack(SiteName {
            site: input.system_name,
        });
        let done: Changed = host.call(call).await?;
        Ok(told(&done.notes, "the files had not been swapped"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| RestoreFiles {
        hosts: Hosts::new(cloud),
    })
    .await
}
