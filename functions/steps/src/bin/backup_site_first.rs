//! Back up what a restore is about to replace.
//!
//! Safe to repeat, as every backup is.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::steps::backup;
use protocol::job::{BackupSite, Work};
use sites::Hosts;
use steps::{SiteNeeds, files, hand_over, written};

struct BackupSiteFirst {
    hosts: Hosts,
}

impl Step for BackupSiteFirst {
    const NAME: &'static str = backup::BACKUP_SITE_FIRST.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
        let backup = &input.backup;
        let mut objects = Vec::new();
        if backup.scope.has_database() {
            objects.push("database");
        }
        if backup.scope.has_files() {
            objects.extend(["files", "manifest"]);
        }
        let mut order = written(backup, &objects, "site_backed_up");
        let site = input.system_name.clone();
        let work = Work::BackupSite(BackupSite {
            database: backup.scope.has_database().then(|| site.clone()),
            files: backup
                .scope
                .has_files()
                .then(|| files(backup, &site, &mut order)),
            site,
        });
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| BackupSiteFirst {
        hosts: Hosts::new(cloud),
    })
    .await
}
