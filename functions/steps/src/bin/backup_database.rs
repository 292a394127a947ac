//! Dump the site's database into the store.
//!
//! Safe to repeat: a dump that is there already is sent again, and is no backup before the backup is finalized.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::BackupSite;
use pipelines::steps::backup;
use protocol::job::{Database, Work};
use sites::Hosts;
use steps::{SiteNeeds, hand_over, written};

struct BackupDatabase {
    hosts: Hosts,
}

impl Step for BackupDatabase {
    const NAME: &'static str = backup::BACKUP_DATABASE.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: BackupSite = at.input()?;
        let order = written(&input.backup, &["database"], "database_backed_up");
        let work = Work::BackupDatabase(Database {
            site: input.system_name.clone(),
            database: input.system_name,
        });
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| BackupDatabase {
        hosts: Hosts::new(cloud),
    })
    .await
}
