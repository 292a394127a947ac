//! `triphammer deployments logs`: what steps logged on the server, also while they do.

use crate::ending::{Ending, Fault};
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::{dim, yellow};
use crate::times::clock;
use contract::{LogLineView, StepView};
use domain::{DeploymentId, ServerId, Settlement};
use serde::Serialize;
use std::collections::BTreeMap;
use std::time::Duration;

/// How often is looked while a step is at work.
const EVERY: Duration = Duration::from_secs(1);

/// A line for machines.
#[derive(Serialize)]
struct Line<'a> {
    step: &'a str,
    /// When the step is done on several servers: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    #[serde(flatten)]
    line: &'a LogLineView,
}

/// A log: a step's, on one server when it is done on several.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Of {
    step: String,
    server: Option<(ServerId, String)>,
}

/// A step's logs: one for each of its servers.
fn logs_of(step: &StepView) -> Vec<Of> {
    let of = |server| Of {
        step: step.name.clone(),
        server,
    };
    if step.servers.is_empty() {
        return vec![of(None)];
    }
    let servers = step.servers.iter();
    servers
        .map(|row| of(Some((row.id, row.name.clone()))))
        .collect()
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
    let (mut read, mut any) = (BTreeMap::<Of, Read>::new(), false);
    loop {
        let detail = client.deployment(id).await?;
        let is_over = detail.deployment.settlement == Settlement::Settled;
        let wanted = |known: &&StepView| step.is_none_or(|step| known.name == step);
        let mut logs: Vec<Of> = detail
            .steps
            .iter()
            .filter(wanted)
            .flat_map(logs_of)
            .collect();
        if let (Some(step), true) = (step, logs.is_empty()) {
            // The API says that there is no such step.
            logs.push(Of {
                step: step.to_string(),
                server: None,
            });
        }
        for of in logs {
            let read = read.entry(of.clone()).or_default();
            any |= page_on(invocation, id, &of, read).await?;
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
    of: &Of,
    read: &mut Read,
) -> Result<bool, Fault> {
    let mut any = false;
    while !read.is_over {
        let cursor = read.cursor.as_deref();
        let server = of.server.as_ref().map(|(id, _)| *id);
        let page = invocation
            .client
            .step_log(id, &of.step, server, cursor)
            .await?;
        for line in &page.items {
            told(invocation, of, line)?;
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

fn told(invocation: &Invocation, of: &Of, line: &LogLineView) -> Result<(), Fault> {
    let (step, server) = (of.step.as_str(), of.server.as_ref());
    let server = server.map(|(_, name)| name.as_str());
    if invocation.output.json {
        return invocation.output.record(&Line { step, server, line });
    }
    let text = plain(&line.text);
    let text = if line.is_error { yellow(text) } else { text };
    let on = server.map_or(String::new(), |name| format!(" {}", plain(name)));
    let place = dim(format!("{} {step}{on}", clock(line.at)));
    invocation.output.line(format!("{place}  {text}"))
}
