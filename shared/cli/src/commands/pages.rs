//! Lists that come in pages, gathered into one.
//!
//! Promise: as many entries as were asked for, in as few calls as the API's page size allows; it always ends.

use crate::args::Paging;
use crate::ending::Fault;
use contract::Page;

/// The most that the API puts on a page.
const PAGE_LIMIT: u32 = 100;

/// Pages from the first on, fetched by cursor and limit; with a cursor left when there is more.
pub async fn gather<T>(
    paging: &Paging,
    fetch: impl AsyncFn(Option<String>, u32) -> Result<Page<T>, client::Error>,
) -> Result<Page<T>, Fault> {
    let mut wanted = if paging.all { u32::MAX } else { paging.limit };
    let mut page = Page {
        items: Vec::new(),
        next_cursor: None,
    };
    loop {
        let cursor = page.next_cursor.take();
        let next = fetch(cursor.clone(), wanted.min(PAGE_LIMIT)).await?;
        wanted = wanted.saturating_sub(u32::try_from(next.items.len()).unwrap_or(u32::MAX));
        page.items.extend(next.items);
        // A cursor that leads to itself leads nowhere.
        page.next_cursor = next
            .next_cursor
            .filter(|next| Some(next) != cursor.as_ref());
        if page.next_cursor.is_none() || wanted == 0 {
            return Ok(page);
        }
    }
}
