//! What a month costs on AWS: what was counted, times list prices.
//!
//! Promise: arithmetic alone; every price and assumption is a constant here, so that a reader can put in their own.
//! List prices of us-east-1, without free tiers: to be checked against the pages named before they are relied on.

use super::figures::{Figure, Group, Quantity, Unit};
use super::requests::{Usage, usage};
use super::rest;
use anyhow::{Context, Result};

/// A write request unit. Source: Amazon DynamoDB pricing, on-demand. A transaction counts double; it was counted so.
const WRITE_UNIT: f64 = 0.625e-6;
/// A read request unit, of the same source.
const READ_UNIT: f64 = 0.125e-6;
/// A state transition. Source: AWS Step Functions pricing, Standard Workflows. States entered count, and retries.
const TRANSITION: f64 = 0.025e-3;
/// A call of a function. Source: AWS Lambda pricing.
const CALL: f64 = 0.20e-6;
/// A gigabyte of a function's memory for a second, x86, of the same source.
const GIGABYTE_SECOND: f64 = 0.000_016_666_7;
/// A request to an HTTP API. Source: Amazon API Gateway pricing.
const API_REQUEST: f64 = 1.00e-6;

/// The template's 256 MB.
const MEMORY_GB: f64 = 0.25;
/// Assumed: how long a step's function is at work: an SSH session and a typed call to the agent. Jobs keep no function waiting.
const STEP_SECONDS: f64 = 3.0;
/// Assumed: how long API, dispatcher and settle take.
const OTHER_SECONDS: f64 = 0.05;
/// A step on a server reads the server's record and its key, beside what was counted.
const SERVER_READS: f64 = 2.0;
/// A look at a deployment reads the token, then the deployment with its steps.
const LOOK_READS: f64 = 4.0;
/// Assumed: how often a person who follows a deployment looks. Scheduled ones are looked at by nobody.
const LOOKS: f64 = 30.0;

/// Assumed: the agency.
const SITES: f64 = 100.0;
/// Assumed: deployments like a backup, of five steps, of a site in a month.
const BACKUPS: f64 = 30.0;
/// Assumed: deployments like a check, of one step, of a site in a month.
const CHECKS: f64 = 4.0;

fn calls(number: f64, seconds: f64) -> f64 {
    number * (CALL + seconds * MEMORY_GB * GIGABYTE_SECOND)
}

/// Of one deployment that a person looks at so often.
fn deployment(used: &Usage, looks: f64) -> f64 {
    let steps = f64::from(used.steps);
    let records = used.write_units * WRITE_UNIT
        + (used.read_units + steps * SERVER_READS + looks * LOOK_READS) * READ_UNIT;
    let machine = f64::from(used.transitions) * TRANSITION;
    // Settle and the dispatcher are called once, the API for the creation and each look.
    let functions = calls(steps, STEP_SECONDS) + calls(3.0 + looks, OTHER_SECONDS);
    records + machine + functions + (1.0 + looks) * API_REQUEST
}

fn dollars(amount: f64) -> Quantity {
    Quantity(amount, Unit::Dollars)
}

/// See the module.
pub async fn group() -> Result<Group> {
    let create_site = pipelines::find("create_site").context("there is no create_site")?;
    let create_site = usage(&create_site).await?;
    let (backup, check) = (usage(&rest::five()).await?, usage(&rest::one()).await?);
    let followed = deployment(&create_site, LOOKS);
    let transitions = f64::from(create_site.transitions) * TRANSITION;
    let month = SITES * (BACKUPS * deployment(&backup, 0.0) + CHECKS * deployment(&check, 0.0));
    Ok(Group::new(
        "cost by list prices",
        format!(
            "us-east-1, without free tiers; prices and assumptions are constants in `infra/xtask/src/bench/cost.rs`, to be checked before they are relied on. Assumed: a step is at work for {STEP_SECONDS} s at {:.0} MB; a followed deployment is looked at {LOOKS} times; a site has {BACKUPS} backup-like deployments of 5 steps and {CHECKS} check-like of 1 step a month. Without S3, KMS, CloudWatch and data transfer.",
            MEMORY_GB * 1024.0
        ),
        vec![
            Figure::beside(
                "one `create_site`, followed by a person",
                dollars(followed),
                "of it state transitions",
                dollars(transitions),
            ),
            Figure::alone(format!("{SITES} sites, a month"), dollars(month)),
        ],
    ))
}
