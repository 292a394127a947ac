//! Steps that make backups of sites, and put them back.

use crate::Permission::{Archives, DeleteBackups, ReadSecrets};
use crate::StepDefinition;

const SITE: &[&str] = &["site_id", "server_id"];

/// A dump of the database, in the store.
pub const BACKUP_DATABASE: StepDefinition =
    StepDefinition::job("backup_database", "Backup database")
        .needs(SITE)
        .gives(&["database_backed_up"])
        .may(&[ReadSecrets]);

/// What there is, and what changed since the backup before.
pub const COLLECT_FILES: StepDefinition =
    StepDefinition::job("collect_files", "Collect file manifest")
        .needs(SITE)
        .gives(&["files_collected"])
        .may(&[ReadSecrets]);

/// The files' archive and its manifest, in the store.
pub const ARCHIVE_FILES: StepDefinition = StepDefinition::job("archive_files", "Archive files")
    .needs(SITE)
    .gives(&["files_archived"])
    .may(&[ReadSecrets]);

/// Everything of a backup in one job.
pub const BACKUP_SITE_FIRST: StepDefinition =
    StepDefinition::job("backup_site_first", "Pre-restore backup")
        .needs(SITE)
        .gives(&["site_backed_up"])
        .may(&[ReadSecrets]);

/// Look at what is in the store, write the object that makes it a backup, and its record.
pub const FINALIZE_BACKUP: StepDefinition =
    StepDefinition::inline("finalize_backup", "Finalize backup")
        .needs(SITE)
        .gives(&["backup_id"])
        .may(&[Archives]);

/// Backups that the configuration's retention does not keep go.
pub const APPLY_RETENTION: StepDefinition =
    StepDefinition::inline("apply_retention", "Apply retention")
        .needs(&["site_id"])
        .may(&[DeleteBackups]);

/// All that a restore needs, beside the site and checked.
pub const DOWNLOAD_BACKUP: StepDefinition =
    StepDefinition::job("download_backup", "Download backup")
        .needs(SITE)
        .gives(&["backup_downloaded"])
        .may(&[ReadSecrets]);

/// The opposite: what lies beside the site goes.
pub const DISCARD_DOWNLOAD: &str = "discard_download";

/// The dump becomes the live tables.
pub const RESTORE_DATABASE: StepDefinition =
    StepDefinition::job("restore_database", "Restore database")
        .needs(SITE)
        .gives(&["database_restored"])
        .may(&[ReadSecrets]);

/// The opposite: the old tables are live again.
pub const SWAP_DATABASE_BACK: &str = "swap_database_back";

/// The archive becomes the live tree.
pub const RESTORE_FILES: StepDefinition =
    StepDefinition::job("restore_files", "Apply file restore")
        .needs(SITE)
        .gives(&["files_restored"])
        .may(&[ReadSecrets]);

/// The opposite: the old tree is live again.
pub const SWAP_FILES_BACK: &str = "swap_files_back";

/// The old sides and all temporary files go.
pub const CLEAN_UP_RESTORE: StepDefinition =
    StepDefinition::job("clean_up_restore", "Post-restore cleanup")
        .needs(SITE)
        .may(&[ReadSecrets]);
