//! Back up a site: files, database or both, in plain formats.
//!
//! Ends with a backup that was read back, or with none.

use crate::steps::backup;
use crate::{Pipeline, SkipRule};
use domain::TargetKind::Site;

const DATABASE_ONLY: SkipRule = SkipRule {
    reason: "only the database is backed up",
    applies: |input| input["backup"]["scope"] == "database",
};
const FILES_ONLY: SkipRule = SkipRule {
    reason: "only the files are backed up",
    applies: |input| input["backup"]["scope"] == "files",
};
const NO_CONFIGURATION: SkipRule = SkipRule {
    reason: "it is made for no configuration",
    applies: |input| input["backup"]["configuration_id"].is_null(),
};
const INCOMPLETE: &str = "objects without the one that makes a backup are none, and expire";

/// See the module.
pub fn backup_site() -> Pipeline {
    Pipeline::named("backup_site", "Back up site")
        .reads(Site)
        .starts_with(&["site_id", "server_id"])
        .step(
            backup::BACKUP_DATABASE
                .keeps(INCOMPLETE)
                .skipped_when(FILES_ONLY),
        )
        .step(backup::COLLECT_FILES.reads().skipped_when(DATABASE_ONLY))
        .step(
            backup::ARCHIVE_FILES
                .keeps(INCOMPLETE)
                .skipped_when(DATABASE_ONLY),
        )
        .commit(backup::FINALIZE_BACKUP.keeps("a backup that was read back is worth keeping"))
        .tidy(
            backup::APPLY_RETENTION
                .keeps("what expired is what nobody wanted to keep")
                .skipped_when(NO_CONFIGURATION),
        )
}
