//! `triphammer projects`: create, list, show, delete.

use super::{when, when_exactly};
use crate::args::Projects;
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::table::{Cell, Table};
use crate::{plan, resolve};
use contract::{ProjectCreate, ProjectView};
use serde_json::json;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Projects) -> Result<Ending, Fault> {
    match command {
        Projects::Create { name } => create(invocation, name).await,
        Projects::List => list(invocation).await,
        Projects::Show { project } => {
            let project = resolve::project(&invocation.client, &project).await?;
            shown(invocation, &project)
        }
        Projects::Delete { project } => delete(invocation, &project).await,
    }
}

async fn create(invocation: &Invocation, name: String) -> Result<Ending, Fault> {
    let new = ProjectCreate { name };
    if invocation.dry_run {
        let words = format!("create the project {}", plain(&new.name));
        return plan::say(invocation, "create_project", &new, &words);
    }
    let created = invocation.client.project_create(&new).await?;
    shown(invocation, &created)
}

fn shown(invocation: &Invocation, project: &ProjectView) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(project)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::facts();
    table.fact("name", &project.name);
    table.fact("id", project.id.to_string());
    table.fact("created", when_exactly(project.created_at));
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn list(invocation: &Invocation) -> Result<Ending, Fault> {
    let page = invocation.client.projects().await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    if page.items.is_empty() {
        output.note("no projects yet; create one: triphammer projects create NAME");
    }
    let mut table = Table::with(&["NAME", "CREATED", "ID"]);
    for project in &page.items {
        table.row([
            Cell::from(&project.name),
            when(project.created_at),
            project.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    Ok(Ending::Done)
}

async fn delete(invocation: &Invocation, project: &str) -> Result<Ending, Fault> {
    let project = resolve::project(&invocation.client, project).await?;
    let named = format!("the project {}", plain(&project.name));
    if invocation.dry_run {
        let words = format!("delete {named}");
        return plan::say(invocation, "delete_project", &project, &words);
    }
    if !invocation.sure(&format!("Delete {named}?")).await? {
        return Err(Fault::said("not deleted"));
    }
    invocation.client.project_delete(project.id).await?;
    deleted(invocation, json!({ "deleted": project }), &named)
}

/// The last word of a deletion.
pub fn deleted(
    invocation: &Invocation,
    document: serde_json::Value,
    named: &str,
) -> Result<Ending, Fault> {
    if invocation.output.json {
        invocation.output.document(&document)?;
    } else {
        invocation.output.line(format!("deleted {named}"))?;
    }
    Ok(Ending::Done)
}
