//! `triphammer backups`: create, list, show, restore, delete, restore-points.

use super::backup_configurations::configurations;
use super::{begun, told, when, when_exactly};
use crate::args::Backups;
use crate::ending::{Ending, Fault};
use crate::follow::Followed;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::yellow;
use crate::table::Table;
use crate::times::size;
use crate::{plan, resolve};
use contract::{BackupCreate, BackupRestore, BackupView, SiteView};
use domain::{BackupId, BackupScope};
use serde_json::json;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Backups) -> Result<Ending, Fault> {
    match command {
        Backups::Create {
            site,
            scope,
            full,
            exclude,
            configuration,
        } => {
            let asked = BackupCreate {
                scope,
                full,
                exclude,
                configuration_id: None,
            };
            create(invocation, &site, asked, configuration.as_deref()).await
        }
        Backups::List { site } => list(invocation, &site).await,
        Backups::Show { site, backup } => show(invocation, &site, backup).await,
        Backups::Restore {
            site,
            backup,
            scope,
        } => restore(invocation, &site, backup, scope).await,
        Backups::Delete { site, backup } => delete(invocation, &site, backup).await,
        Backups::RestorePoints { site } => restore_points(invocation, &site).await,
        Backups::Configurations(command) => configurations(invocation, command).await,
    }
}

async fn create(
    invocation: &Invocation,
    site: &str,
    mut asked: BackupCreate,
    configuration: Option<&str>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    if let Some(name) = configuration {
        let found = resolve::backup_configuration(client, site.id, name).await?;
        asked.configuration_id = Some(found.id);
    }
    if invocation.dry_run {
        let would = client.backup_create_plan(site.id, &asked).await?;
        return plan::show(invocation, &would);
    }
    let created = client.backup_create(site.id, &asked).await?;
    told(invocation, &created)?;
    let followed = Followed::to_the_end(created.deployment.id);
    begun(invocation, &created.deployment, followed).await
}

fn kind(backup: &BackupView) -> &'static str {
    match (&backup.files, backup.parent) {
        (None, _) => "-",
        (Some(_), None) => "full",
        (Some(_), Some(_)) => "incremental",
    }
}

async fn list(invocation: &Invocation, site: &str) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    let page = client.backups(site.id).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        output.note(format!(
            "no backups of {} yet; make one: triphammer backups create {}",
            plain(&site.name),
            plain(&site.name)
        ));
    }
    let mut table = Table::with(&[
        "HOLDS",
        "FILES",
        "SIZE",
        "WHY",
        "RESTORE POINT",
        "CREATED",
        "ID",
    ]);
    for backup in &page.items {
        table.row([
            backup.scope.as_str().into(),
            kind(backup).into(),
            size(backup.size_bytes).into(),
            words(backup.reason.into()).into(),
            <&'static str>::from(backup.restore_point).into(),
            when(backup.created_at),
            backup.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

fn words(word: &'static str) -> String {
    word.replace('_', " ")
}

async fn show(invocation: &Invocation, site: &str, id: BackupId) -> Result<Ending, Fault> {
    let site = resolve::site(&invocation.client, site).await?;
    let backup = invocation.client.backup(site.id, id).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&backup)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::facts();
    table.fact("site", &site.name);
    table.fact("holds", backup.scope.as_str());
    table.fact("why", words(backup.reason.into()));
    table.fact("size", size(backup.size_bytes));
    if let Some(files) = &backup.files {
        table.fact(
            "files",
            format!("{} entries, {}", files.entries, size(files.tree_bytes)),
        );
        if let Some(parent) = backup.parent {
            table.fact(
                "changes",
                format!(
                    "{} entries, {} gone, since {parent}",
                    files.changed, files.deleted
                ),
            );
        }
    }
    if let Some(database) = &backup.database {
        table.fact(
            "database",
            format!(
                "{} tables, {}, of {}",
                database.tables,
                size(database.dump_bytes),
                plain(&database.server)
            ),
        );
    }
    table.fact("restore point", <&'static str>::from(backup.restore_point));
    table.fact("created", when_exactly(backup.created_at));
    table.fact("deployment", backup.deployment_id.to_string());
    output.table(&table)?;
    for note in &backup.notes {
        output.line(yellow(plain(note)))?;
    }
    Ok(Ending::Done)
}

/// "shop, files and database"
fn what(site: &SiteView, scope: BackupScope) -> String {
    let side = match scope {
        BackupScope::Site => "files and database",
        BackupScope::Files => "files",
        BackupScope::Database => "database",
    };
    format!("{} of {}", side, plain(&site.name))
}

async fn restore(
    invocation: &Invocation,
    site: &str,
    id: BackupId,
    scope: Option<BackupScope>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    let asked = BackupRestore { scope };
    if invocation.dry_run {
        let would = client.backup_restore_plan(site.id, id, &asked).await?;
        return plan::show(invocation, &would);
    }
    let backup = client.backup(site.id, id).await?;
    let question = format!(
        "Replace the {} with what they were {}? What is there now is backed up first.",
        what(&site, scope.unwrap_or(backup.scope)),
        crate::times::exact(backup.created_at)
    );
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not restored"));
    }
    let created = client.backup_restore(site.id, id, &asked).await?;
    told(invocation, &created)?;
    let followed = Followed::to_the_end(created.deployment.id);
    begun(invocation, &created.deployment, followed).await
}

async fn restore_points(invocation: &Invocation, site: &str) -> Result<Ending, Fault> {
    let site = resolve::site(&invocation.client, site).await?;
    let page = invocation.client.restore_points(site.id).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        output.note(format!(
            "there is nothing yet that {} could be restored to",
            plain(&site.name)
        ));
    }
    let mut table = Table::with(&[
        "STATUS", "HOLDS", "DOWNLOAD", "CHAIN", "CREATED", "ID", "NOTE",
    ]);
    for point in &page.items {
        let note = point.not_restorable.as_ref();
        let note = note.map_or(String::new(), |why| format!("cannot be restored: {why}"));
        table.row([
            <&'static str>::from(point.status).into(),
            point.scope.as_str().into(),
            size(point.download_bytes).into(),
            point.chain.len().to_string().into(),
            when(point.created_at),
            point.backup_id.to_string().into(),
            note.into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn delete(invocation: &Invocation, site: &str, id: BackupId) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    let backup = client.backup(site.id, id).await?;
    let named = format!(
        "the backup {id} of {}, {}",
        plain(&site.name),
        size(backup.size_bytes)
    );
    if invocation.dry_run {
        return plan::say(
            invocation,
            "delete_backup",
            &backup,
            &format!("delete {named}"),
        );
    }
    let question = format!("Delete {named}? It cannot be restored any more.");
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not deleted"));
    }
    client.backup_delete(site.id, id).await?;
    if invocation.output.json {
        invocation.output.document(&json!({ "deleted": backup }))?;
    } else {
        invocation.output.line(format!("deleted {named}"))?;
    }
    Ok(Ending::Done)
}
