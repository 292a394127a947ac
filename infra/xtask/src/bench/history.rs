//! A page of a team's history does not become slower as the history becomes longer.

use super::Options;
use super::figures::{Figure, Group, Times};
use super::rest;
use anyhow::{Context, Result, ensure};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use domain::DeploymentId;
use records::keys;
use serde_json::json;
use std::time::Instant;
use testkit::Bench;

/// A history that fits on two screens.
const SHORT: u64 = 100;
/// A hundred sites' backups and checks of two and a half years.
const LONG: u64 = 100_000;
/// What a screen asks for.
const PAGE: u32 = 50;
/// DynamoDB takes so many writes in one request.
const BATCH: usize = 25;

/// See the module.
pub async fn group(options: Options) -> Result<Group> {
    let long = if options.quick { LONG / 10 } else { LONG };
    let (few, many) = (filled(SHORT).await?, filled(long).await?);
    let (mut of_few, mut of_many) = (Times::default(), Times::default());
    for _ in 0..options.samples(300) {
        of_few.push(page(&few).await?);
        of_many.push(page(&many).await?);
    }
    Ok(Group::new(
        "a page of 50 of a team's history",
        "Newest first, through the real client; both histories asked in turn.",
        vec![
            Figure::beside(
                format!("{long} deployments, p50"),
                of_many.p50(),
                format!("{SHORT} deployments"),
                of_few.p50(),
            ),
            Figure::beside(
                format!("{long} deployments, p95"),
                of_many.p95(),
                format!("{SHORT} deployments"),
                of_few.p95(),
            ),
        ],
    ))
}

async fn page(bench: &Bench) -> Result<std::time::Duration> {
    let began = Instant::now();
    let page = bench
        .cloud
        .records
        .history_page(bench.team, None, PAGE)
        .await?;
    let took = began.elapsed();
    ensure!(
        u32::try_from(page.items.len())? == PAGE && page.next_cursor.is_some(),
        "the page is not full"
    );
    Ok(took)
}

/// A table whose team has so many deployments: one made as all are, the others copies of its record under other ids.
async fn filled(size: u64) -> Result<Bench> {
    let bench = Bench::new(&rest::one()).await;
    let first = bench.create(json!({})).await;
    bench.run(first, "run").await;
    let client = testkit::dynamo();
    let (pk, sk) = keys::deployment(bench.team, first);
    let stored = client
        .get_item()
        .table_name(&bench.table)
        .key("pk", AttributeValue::S(pk))
        .key("sk", AttributeValue::S(sk))
        .send()
        .await?;
    let record = stored.item.context("the deployment was stored")?;
    let copies: Vec<u64> = (1..size).collect();
    for batch in copies.chunks(BATCH) {
        let writes = batch.iter().map(|number| {
            let id = DeploymentId::from_parts(*number, u128::from(*number));
            let mut copy = record.clone();
            let (pk, _) = keys::deployment(bench.team, id);
            copy.insert("pk".to_string(), AttributeValue::S(pk));
            copy.insert("id".to_string(), AttributeValue::S(id.to_string()));
            let put = PutRequest::builder().set_item(Some(copy)).build()?;
            Ok(WriteRequest::builder().put_request(put).build())
        });
        let reply = client
            .batch_write_item()
            .request_items(&bench.table, writes.collect::<Result<Vec<_>>>()?)
            .send()
            .await?;
        ensure!(
            reply.unprocessed_items().is_none_or(|left| left.is_empty()),
            "a batch was not written whole"
        );
    }
    Ok(bench)
}
