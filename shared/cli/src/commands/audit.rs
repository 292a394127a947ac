//! `triphammer audit`: who did what.

use super::when;
use crate::args::{Audit, Paging};
use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::table::{Cell, Table};
use contract::Page;

/// The most that the API puts on a page.
const PAGE_LIMIT: u32 = 100;

/// See the module.
pub async fn perform(invocation: &Invocation, command: Audit) -> Result<Ending, Fault> {
    let Audit::List { paging } = command;
    list(invocation, &paging).await
}

async fn list(invocation: &Invocation, paging: &Paging) -> Result<Ending, Fault> {
    let mut wanted = if paging.all { u32::MAX } else { paging.limit };
    let mut page = Page {
        items: Vec::new(),
        next_cursor: None,
    };
    loop {
        let cursor = page.next_cursor.take();
        let limit = Some(wanted.min(PAGE_LIMIT));
        let next = invocation.client.audit(cursor.as_deref(), limit).await?;
        wanted = wanted.saturating_sub(u32::try_from(next.items.len()).unwrap_or(u32::MAX));
        page.items.extend(next.items);
        page.next_cursor = next.next_cursor;
        if page.next_cursor.is_none() || wanted == 0 {
            break;
        }
    }
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
