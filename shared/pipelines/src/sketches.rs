//! Every pipeline that is planned, in outline: proof that the vocabulary can say them all.
//!
//! Promise: names, order, commits and undos as they are meant; no function stands behind them yet. Behind a feature, so
//! that nothing but tests can take one for real.

use crate::steps::{database, domain, site};
use crate::{Pipeline, SkipRule, StepDefinition, minutes};
use ::domain::TargetKind::Site;

const NO_DOMAIN: SkipRule = SkipRule {
    reason: "no custom domain",
    applies: |input| input["domain"].is_null(),
};
const NO_FILES: SkipRule = SkipRule {
    reason: "files not chosen",
    applies: |input| input["files"] == false,
};
const NO_DATABASE: SkipRule = SkipRule {
    reason: "database not chosen",
    applies: |input| input["database"] == false,
};
const SITE_META: &[&str] = &["site_id", "server_id"];

/// An outline of a job.
const fn job(name: &'static str, title: &'static str) -> StepDefinition {
    StepDefinition::job(name, title)
}

/// An outline of a call.
const fn call(name: &'static str, title: &'static str) -> StepDefinition {
    StepDefinition::inline(name, title)
}

const STORED: &str = "an archive that is not named by a backup is pruned by its lifecycle";
const BESIDE: &str = "it lies beside the site and goes with the deployment's temporary folder";

/// The four of create_site, the last one not the commit here.
fn site_made(pipeline: Pipeline) -> Pipeline {
    pipeline
        .creates(Site)
        .starts_with(SITE_META)
        .step(database::PROVISION.undo(database::DROP))
        .step(site::INSTALL_WORDPRESS.undo(site::REMOVE))
        .step(domain::ATTACH.undo(domain::DETACH).skipped_when(NO_DOMAIN))
        .step(site::CREATE_CONF_DIRECTORIES.undo(site::REMOVE_CONF_DIRECTORIES))
}

/// All of them.
pub fn all() -> Vec<Pipeline> {
    vec![
        clone_site(),
        create_staging(),
        push_staging(),
        refresh_staging(),
        create_snapshot(),
        restore_snapshot(),
        create_time_capsule(),
        restore_time_capsule(),
        restore_capsule_to_new_site(),
        download_capsule_archive(),
    ]
}

fn clone_site() -> Pipeline {
    site_made(Pipeline::named("clone_site", "Clone site").reads(Site))
        .step(job("backup_source_site", "Backup source site").keeps(STORED))
        .step(job("transfer_backup", "Transfer backup").keeps(BESIDE))
        .commit(
            job("restore_site_from_backup", "Restore site from backup").undo("empty_restored_site"),
        )
        .tidy(call("clean_up", "Clean up").keeps("nothing is left to keep"))
}

fn create_staging() -> Pipeline {
    Pipeline::named("create_staging", "Create staging")
        .writes(Site)
        .starts_with(SITE_META)
        .step(
            call(
                "provision_staging_database",
                "Create staging database & user",
            )
            .undo("drop_staging_database"),
        )
        .step(job("copy_site_files", "Copy site files").undo("remove_copied_files"))
        .step(
            call("configure_wordpress", "Configure WordPress")
                .keeps("it goes with the copied files"),
        )
        .step(job("clone_database", "Clone database").keeps("it goes with the staging database"))
        .step(call("apply_protections", "Apply protections").undo("lift_protections"))
        .commit(call("activate_staging", "Activate staging").undo("deactivate_staging"))
}

fn push_staging() -> Pipeline {
    Pipeline::named("push_staging", "Push staging")
        .writes(Site)
        .starts_with(SITE_META)
        .step(job("backup_production", "Backup production").keeps(STORED))
        .commit(
            job("sync_files", "Sync files")
                .undo("swap_back_files")
                .skipped_when(NO_FILES),
        )
        .commit(
            job("sync_database", "Sync database")
                .undo("swap_back_database")
                .skipped_when(NO_DATABASE),
        )
        .tidy(call("flush_caches", "Flush caches").keeps("a cache fills itself"))
        .tidy(call("clean_up", "Clean up").keeps("nothing is left to keep"))
}

fn refresh_staging() -> Pipeline {
    Pipeline::named("refresh_staging", "Refresh staging")
        .writes(Site)
        .starts_with(SITE_META)
        .step(
            call("truncate_staging_database", "Truncate staging database")
                .undo("swap_back_staging_database"),
        )
        .step(job("copy_site_files", "Copy site files").undo("remove_copied_files"))
        .step(
            call("configure_wordpress", "Configure WordPress")
                .keeps("it goes with the copied files"),
        )
        .step(job("clone_database", "Clone database").keeps("it goes with the staging database"))
        .commit(call("apply_protections", "Apply protections").undo("lift_protections"))
}

fn create_snapshot() -> Pipeline {
    Pipeline::named("create_snapshot", "Create snapshot")
        .writes(Site)
        .starts_with(SITE_META)
        .commit(job("take_snapshot", "Create snapshot").undo("remove_snapshot"))
}

fn restore_snapshot() -> Pipeline {
    Pipeline::named("restore_snapshot", "Restore snapshot")
        .writes(Site)
        .starts_with(SITE_META)
        .commit(job("apply_snapshot", "Restore snapshot").undo("swap_back_snapshot"))
}

fn create_time_capsule() -> Pipeline {
    Pipeline::named("create_time_capsule", "Create time capsule")
        .writes(Site)
        .starts_with(SITE_META)
        .step(job("export_database", "Export database").keeps(STORED))
        .step(job("collect_capsule_manifest", "Collect capsule manifest").keeps(STORED))
        .step(
            job("archive_capsule_files", "Archive files")
                .keeps(STORED)
                .within(minutes(360)),
        )
        .commit(call("finalize_capsule", "Finalize capsule").undo("discard_capsule"))
}

fn restore_time_capsule() -> Pipeline {
    Pipeline::named("restore_time_capsule", "Restore time capsule")
        .writes(Site)
        .starts_with(SITE_META)
        .step(job("capsule_before_restore", "Pre-restore capsule").keeps(STORED))
        .step(job("download_capsule", "Download capsule").keeps(BESIDE))
        .step(job("restore_capsule_files", "Restore files").undo("swap_back_files"))
        .commit(job("restore_capsule_database", "Restore database").undo("swap_back_database"))
        .tidy(
            call("verify_site", "Verify and clean up")
                .keeps("it looks, and removes what was beside"),
        )
}

fn restore_capsule_to_new_site() -> Pipeline {
    site_made(Pipeline::named(
        "restore_capsule_to_new_site",
        "Restore capsule to new site",
    ))
    .step(job("download_capsule", "Download capsule").keeps(BESIDE))
    .commit(
        job("restore_site_from_capsule", "Restore site from capsule")
            .undo("empty_restored_capsule"),
    )
    .tidy(call("clean_up", "Clean up").keeps("nothing is left to keep"))
}

fn download_capsule_archive() -> Pipeline {
    Pipeline::named("download_capsule_archive", "Download capsule archive")
        .reads(Site)
        .starts_with(SITE_META)
        .step(job("assemble_archive", "Assemble archive").keeps(BESIDE))
        .step(call("publish_archive", "Publish archive").undo("withdraw_archive"))
        .commit(call("issue_download_link", "Issue download link").undo("revoke_download_link"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn every_planned_pipeline_can_be_said_and_passes_its_check() {
        for pipeline in all() {
            assert_eq!(pipeline.check(), Ok(()));
        }
    }

    #[test]
    fn the_planned_and_the_built_share_no_name_and_agree_on_their_steps() {
        let both: Vec<Pipeline> = crate::all().into_iter().chain(all()).collect();
        let names: BTreeSet<_> = both.iter().map(|pipeline| pipeline.name).collect();
        assert_eq!(names.len(), both.len());
        let mut modes = BTreeMap::new();
        for step in both.iter().flat_map(|pipeline| &pipeline.steps) {
            let said = (step.definition.mode, step.undo_name());
            assert_eq!(
                *modes.entry(step.definition.name).or_insert(said),
                said,
                "{}",
                step.definition.name
            );
        }
    }

    #[test]
    fn a_push_commits_with_the_last_swap_that_was_chosen() {
        let commit = |input: serde_json::Value| {
            push_staging()
                .commit_step(&input)
                .map(|step| step.definition.name)
        };
        assert_eq!(commit(serde_json::json!({})), Some("sync_database"));
        assert_eq!(
            commit(serde_json::json!({"database": false})),
            Some("sync_files")
        );
        assert_eq!(
            commit(serde_json::json!({"files": false, "database": false})),
            None
        );
    }
}
