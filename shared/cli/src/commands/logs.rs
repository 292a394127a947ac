//! `triphammer deployments logs`: what steps logged on the server, also while they do.

use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{dim, yellow};
use crate::times::clock;
use contract::LogLineView;
use domain::{DeploymentId, Settlement};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often is looked while a step is at work.
const EVERY: Duration = Duration::from_secs(1);

/// A line for machines.
#[derive(Serialize)]
struct Line<'a> {
    step: &'a str,
    #[serde(flatten)]
    line: &'a LogLineView,
}

/// Where the reading of a step's log stands.
#[derive(Default)]
struct Read {
    cursor: Option<String>,
    is_over: bool,
}

/// The log of one step, or of all in their order.
pub async fn show(
    invocation: &Invocation,
    id: DeploymentId,
    step: Option<&str>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let (mut read, mut any) = (BTreeMap::<String, Read>::new(), false);
    loop {
        let detail = client.deployment(id).await?;
        let is_over = detail.deployment.settlement == Settlement::Settled;
        let steps: Vec<_> = match step {
            Some(step) => vec![step.to_string()],
            None => detail.steps.into_iter().map(|step| step.name).collect(),
        };
        for step in steps {
            let read = read.entry(step.clone()).or_default();
            any |= page_on(invocation, id, &step, read).await?;
        }
        if is_over || !invocation.follow {
            break;
        }
        tokio::time::sleep(EVERY).await;
    }
    if !any {
        invocation
            .output
            .note("nothing was logged: only steps that work on the server for longer keep a log");
    }
    Ok(Ending::Done)
}

/// Everything that there is by now. Was there any?
async fn page_on(
    invocation: &Invocation,
    id: DeploymentId,
    step: &str,
    read: &mut Read,
) -> Result<bool, Fault> {
    let mut any = false;
    while !read.is_over {
        let cursor = read.cursor.as_deref();
        let page = invocation.client.step_log(id, step, cursor).await?;
        for line in &page.items {
            told(invocation, step, line)?;
        }
        any |= !page.items.is_empty();
        match page.next_cursor {
            None => read.is_over = true,
            Some(next) => read.cursor = Some(next),
        }
        if page.items.is_empty() {
            break;
        }
    }
    Ok(any)
}

fn told(invocation: &Invocation, step: &str, line: &LogLineView) -> Result<(), Fault> {
    if invocation.output.json {
        return invocation.output.record(&Line { step, line });
    }
    let text = plain(&line.text);
    let text = if line.is_error { yellow(text) } else { text };
    let place = dim(format!("{} {step}", clock(line.at)));
    invocation.output.line(format!("{place}  {text}"))
}
