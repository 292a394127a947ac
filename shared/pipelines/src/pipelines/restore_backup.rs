//! Put a backup back: a backup of what is there first, then everything checked beside the site, then two swaps.
//!
//! Ends with the site as it was in the backup, or as it was before.

use crate::steps::backup;
use crate::{Pipeline, SkipRule};
use domain::TargetKind::Site;

const NO_DATABASE: SkipRule = SkipRule {
    reason: "no database is restored",
    applies: |input| input["database"].is_null(),
};
const NO_FILES: SkipRule = SkipRule {
    reason: "no files are restored",
    applies: |input| input["chain"].as_array().is_none_or(Vec::is_empty),
};

/// See the module.
pub fn restore_backup() -> Pipeline {
    Pipeline::named("restore_backup", "Restore backup")
        .writes(Site)
        .starts_with(&["site_id", "server_id"])
        .step(backup::BACKUP_SITE_FIRST.keeps("a backup of what was there harms nobody"))
        .step(backup::FINALIZE_BACKUP.keeps("a backup that was read back is worth keeping"))
        .step(backup::DOWNLOAD_BACKUP.undo(backup::DISCARD_DOWNLOAD))
        .commit(
            backup::RESTORE_DATABASE
                .undo(backup::SWAP_DATABASE_BACK)
                .skipped_when(NO_DATABASE),
        )
        .commit(
            backup::RESTORE_FILES
                .undo(backup::SWAP_FILES_BACK)
                .skipped_when(NO_FILES),
        )
        .tidy(backup::CLEAN_UP_RESTORE.keeps("what it throws away is of no use any more"))
}
