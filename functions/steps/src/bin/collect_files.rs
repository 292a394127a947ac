//! Walk the site's files, and compare them with the backup before.
//!
//! Changes nothing.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::BackupSite;
use pipelines::steps::backup;
use protocol::job::Work;
use sites::Hosts;
use steps::{SiteNeeds, files, hand_over, written};

struct CollectFiles {
    hosts: Hosts,
}

impl Step for CollectFiles {
    const NAME: &'static str = backup::COLLECT_FILES.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: BackupSite = at.input()?;
        let mut order = written(&input.backup, &[], "files_collected");
        let work = Work::CollectFiles(files(&input.backup, &input.system_name, &mut order));
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| CollectFiles {
        hosts: Hosts::new(cloud),
    })
    .await
}
