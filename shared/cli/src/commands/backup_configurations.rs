//! `triphammer backups configurations`: create, list, show, update, delete, retention.

use super::{when, when_exactly};
use crate::args::{
    BackupConfigurationCreate as New, BackupConfigurationUpdate, BackupConfigurations,
};
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{bold, dim};
use crate::table::{Cell, Table};
use crate::times::{exact, size};
use crate::{plan, resolve};
use chrono::{DateTime, Utc};
use contract::{
    BackupConfigurationCreate, BackupConfigurationPlan, BackupConfigurationUpdate as Change,
    BackupConfigurationView, RetentionPlan, SiteView,
};
use domain::Retention;
use serde_json::json;

/// See the module.
pub async fn configurations(
    invocation: &Invocation,
    command: BackupConfigurations,
) -> Result<Ending, Fault> {
    match command {
        BackupConfigurations::Create(new) => create(invocation, new).await,
        BackupConfigurations::List { site } => list(invocation, &site).await,
        BackupConfigurations::Show {
            site,
            configuration,
        } => {
            let (_, found) = found(invocation, &site, &configuration).await?;
            told(invocation, &found)
        }
        BackupConfigurations::Update(change) => update(invocation, change).await,
        BackupConfigurations::Delete {
            site,
            configuration,
        } => delete(invocation, &site, &configuration).await,
        BackupConfigurations::Retention {
            site,
            configuration,
        } => retention(invocation, &site, &configuration).await,
    }
}

async fn found(
    invocation: &Invocation,
    site: &str,
    configuration: &str,
) -> Result<(SiteView, BackupConfigurationView), Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    let found = resolve::backup_configuration(client, site.id, configuration).await?;
    Ok((site, found))
}

async fn create(invocation: &Invocation, new: New) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, &new.site).await?;
    let asked = BackupConfigurationCreate {
        retention: new.keep.retention(),
        name: new.name,
        scope: new.scope,
        exclude: new.exclude,
        schedule: new.schedule,
        time_zone: new.time_zone,
        full_every: new.full_every,
        enabled: !new.disabled,
    };
    if invocation.dry_run {
        let would = client
            .backup_configuration_create_plan(site.id, &asked)
            .await?;
        return planned(invocation, &would);
    }
    let created = client.backup_configuration_create(site.id, &asked).await?;
    told(invocation, &created)
}

async fn update(
    invocation: &Invocation,
    change: BackupConfigurationUpdate,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let (site, found) = found(invocation, &change.site, &change.configuration).await?;
    let retention = match (change.keep_all, change.keep.retention()) {
        (true, _) => Some(None),
        (false, Some(retention)) => Some(Some(retention)),
        (false, None) => None,
    };
    let asked = Change {
        name: change.name,
        scope: change.scope,
        exclude: (change.exclude_nothing || !change.exclude.is_empty()).then_some(change.exclude),
        schedule: change.schedule,
        time_zone: change.time_zone,
        full_every: change.full_every,
        retention,
        enabled: (change.enable || change.disable).then_some(change.enable),
    };
    if invocation.dry_run {
        let would = client
            .backup_configuration_update_plan(site.id, found.id, &asked)
            .await?;
        return planned(invocation, &would);
    }
    let changed = client
        .backup_configuration_update(site.id, found.id, &asked)
        .await?;
    told(invocation, &changed)
}

async fn list(invocation: &Invocation, site: &str) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let site = resolve::site(client, site).await?;
    let page = client.backup_configurations(site.id).await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        let name = plain(&site.name);
        output.note(format!(
            "{name} is not backed up by any schedule yet; add one: triphammer backups configurations create {name} nightly --schedule @daily"
        ));
    }
    let mut table = Table::with(&[
        "NAME",
        "HOLDS",
        "SCHEDULE",
        "TIME ZONE",
        "NEXT",
        "LAST BACKUP",
        "KEEPS",
        "ID",
    ]);
    for one in &page.items {
        table.row([
            Cell::from(&one.name),
            one.scope.as_str().into(),
            Cell::from(&one.schedule),
            Cell::from(&one.time_zone),
            next(one),
            one.last_backup
                .map_or("-".into(), |last| when(last.created_at)),
            keeps(one.retention).into(),
            one.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

fn at(time: DateTime<Utc>) -> Cell {
    Cell::both(exact(time), domain::rfc3339(time))
}

fn next(one: &BackupConfigurationView) -> Cell {
    one.next_due_at.map_or("disabled".into(), at)
}

fn keeps(retention: Option<Retention>) -> String {
    let Some(policy) = retention else {
        return "all".to_string();
    };
    let numbers = [
        ("last", policy.keep_last),
        ("daily", policy.keep_daily),
        ("weekly", policy.keep_weekly),
        ("monthly", policy.keep_monthly),
        ("yearly", policy.keep_yearly),
    ];
    let used = numbers.iter().filter(|(_, number)| *number > 0);
    let words: Vec<_> = used
        .map(|(name, number)| format!("{name} {number}"))
        .collect();
    words.join(", ")
}

fn facts(one: &BackupConfigurationView) -> Table {
    let mut table = Table::facts();
    table.fact("name", &one.name);
    table.fact("holds", one.scope.as_str());
    if !one.exclude.is_empty() {
        table.fact("without", one.exclude.join(", "));
    }
    table.fact("schedule", format!("{} {}", one.schedule, one.time_zone));
    table.fact("next", next(one));
    table.fact("full every", format!("{} backups", one.full_every));
    table.fact("keeps", keeps(one.retention));
    table.fact_if(
        "last backup",
        one.last_backup.map(|last| when_exactly(last.created_at)),
    );
    table.fact("id", one.id.to_string());
    table
}

fn told(invocation: &Invocation, one: &BackupConfigurationView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(one)?;
    } else {
        output.table(&facts(one))?;
    }
    Ok(Ending::Done)
}

fn planned(invocation: &Invocation, would: &BackupConfigurationPlan) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(would)?;
        return Ok(Ending::DryRun);
    }
    let mut table = facts(&would.configuration);
    for (number, time) in (1..).zip(&would.next_due) {
        table.fact(&format!("due {number}"), at(*time));
    }
    output.table(&table)?;
    decisions(invocation, &would.retention)?;
    plan::ended(invocation)
}

async fn delete(invocation: &Invocation, site: &str, configuration: &str) -> Result<Ending, Fault> {
    let (site, found) = found(invocation, site, configuration).await?;
    let named = format!(
        "the backup configuration {} of {}",
        plain(&found.name),
        plain(&site.name)
    );
    if invocation.dry_run {
        let words = format!("delete {named}");
        return plan::say(invocation, "delete_backup_configuration", &found, &words);
    }
    let question = format!("Delete {named}? Its backups stay, and no retention counts for them.");
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not deleted"));
    }
    invocation
        .client
        .backup_configuration_delete(site.id, found.id)
        .await?;
    if invocation.output.json {
        invocation.output.document(&json!({ "deleted": found }))?;
    } else {
        invocation.output.line(format!("deleted {named}"))?;
    }
    Ok(Ending::Done)
}

async fn retention(
    invocation: &Invocation,
    site: &str,
    configuration: &str,
) -> Result<Ending, Fault> {
    let (site, found) = found(invocation, site, configuration).await?;
    let plan = invocation
        .client
        .backup_configuration_retention(site.id, found.id)
        .await?;
    if invocation.output.json {
        invocation.output.document(&plan)?;
        return Ok(Ending::Done);
    }
    decisions(invocation, &plan)?;
    Ok(Ending::Done)
}

fn decisions(invocation: &Invocation, plan: &RetentionPlan) -> Result<(), Fault> {
    let output = &invocation.output;
    if plan.backups.is_empty() {
        output.note("it has no backups yet");
        return Ok(());
    }
    let mut table = Table::with(&["BACKUP", "CREATED", "HOLDS", "SIZE", "STAYS", "WHY"]);
    for decision in &plan.backups {
        let stays = match decision.keep {
            true => Cell::from("yes"),
            false => Cell::both(bold("no"), "no"),
        };
        table.row([
            decision.backup_id.to_string().into(),
            when(decision.created_at),
            decision.scope.as_str().into(),
            size(decision.size_bytes).into(),
            stays,
            Cell::from(&decision.reasons.join(", ")),
        ]);
    }
    output.table(&table)?;
    let goes = plan.backups.iter().filter(|decision| !decision.keep);
    output.note(dim(format!(
        "{} of {} would go after the next backup, {}",
        goes.count(),
        plan.backups.len(),
        size(plan.expires_bytes)
    )));
    Ok(())
}
