//! Archive the site's files, or what changed of them, into the store.
//!
//! Safe to repeat: an archive that is there already is sent again, and is no backup before the backup is finalized.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::BackupSite;
use pipelines::steps::backup;
use protocol::job::Work;
use sites::Hosts;
use steps::{SiteNeeds, files, hand_over, written};

struct ArchiveFiles {
    hosts: Hosts,
}

impl Step for ArchiveFiles {
    const NAME: &'static str = backup::ARCHIVE_FILES.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: BackupSite = at.input()?;
        let mut order = written(&input.backup, &["files", "manifest"], "files_archived");
        let work = Work::ArchiveFiles(files(&input.backup, &input.system_name, &mut order));
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| ArchiveFiles {
        hosts: Hosts::new(cloud),
    })
    .await
}
