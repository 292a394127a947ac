//! `triphammer audit`: who did what.

use super::{pages, when};
use crate::args::{Audit, Paging};
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::table::{Cell, Table};

/// See the module.
pub async fn perform(invocation: &Invocation, command: Audit) -> Result<Ending, Fault> {
    let Audit::List { paging } = command;
    list(invocation, &paging).await
}

async fn list(invocation: &Invocation, paging: &Paging) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let page = pages::gather(paging, async |cursor, limit| {
        client.audit(cursor.as_deref(), Some(limit)).await
    })
    .await?;
    let output = &invocation.output;
    if output.json {
        output.document(&page)?;
        return Ok(Ending::Done);
    }
    let mut table = Table::with(&["WHEN", "WHO", "FROM", "ACTION", "TARGET", "DETAIL"]);
    for entry in &page.items {
        table.row([
            when(entry.at),
            Cell::from(&entry.actor.name),
            Cell::from(&entry.from),
            Cell::from(&entry.action),
            Cell::from(&entry.target),
            Cell::from(&entry.detail),
        ]);
    }
    output.table(&table)?;
    if page.next_cursor.is_some() {
        output.note("there are more: --all, or a higher --limit");
    }
    Ok(Ending::Done)
}
