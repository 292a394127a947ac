//! `triphammer deployments`: list, show, logs, diff, views, cancel, retry, undo, acknowledge.

use super::{begun, pages, picture, sites, when};
use crate::args::{Deployments, Paging};
use crate::ending::{Ending, Fault};
use crate::follow::{self, Aim, Followed, REGISTER_SERVER, Until};
use crate::host_key;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::style::standing;
use crate::table::{Cell, Table};
use crate::times::took;
use crate::{plan, resolve};
use client::DeploymentsAsked;
use contract::{Acknowledge, DeploymentDetail, DeploymentView, Page};
use domain::{DeploymentId, DeploymentStatus, Settlement};

/// See the module.
pub async fn perform(invocation: &Invocation, command: Deployments) -> Result<Ending, Fault> {
    match command {
        Deployments::List { target, paging } => list(invocation, target.as_deref(), &paging).await,
        Deployments::Show { id } => show(invocation, id).await,
        Deployments::Logs { id, step } => super::logs::show(invocation, id, step.as_deref()).await,
        Deployments::Diff { from, to } => super::releases::diff(invocation, from, to).await,
        Deployments::Views { id } => {
            let views = invocation.client.deployment_views(id).await?;
            invocation.output.document(&views)?;
            Ok(Ending::Done)
        }
        Deployments::Cancel { id } => cancel(invocation, id).await,
        Deployments::Retry { id } => retry(invocation, id).await,
        Deployments::Undo { id } => undo(invocation, id).await,
        Deployments::Acknowledge { id, reason } => acknowledge(invocation, id, reason).await,
    }
}

async fn list(
    invocation: &Invocation,
    target: Option<&str>,
    paging: &Paging,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let target = match target {
        Some(target) => Some(resolve::target(client, target).await?),
        None => None,
    };
    let page = pages::gather(paging, async |cursor, limit| {
        let asked = DeploymentsAsked {
            cursor,
            limit: Some(limit),
            target: target.clone(),
        };
        client.deployments(&asked).await
    })
    .await?;
    if invocation.output.json {
        invocation.output.document(&page)?;
    } else {
        table(invocation, &page)?;
    }
    Ok(Ending::Done)
}

fn table(invocation: &Invocation, page: &Page<DeploymentView>) -> Result<(), Fault> {
    let output = &invocation.output;
    if page.items.is_empty() {
        output.note("no deployments yet");
    }
    let mut table = Table::with(&[
        "OPERATION",
        "TARGET",
        "STATUS",
        "BY",
        "CREATED",
        "TOOK",
        "ID",
    ]);
    for deployment in &page.items {
        let words = plain(&deployment.standing);
        let coloured = standing(deployment.status, deployment.settlement, &words);
        let took = match (deployment.started_at, deployment.finished_at) {
            (Some(began), Some(ended)) => took(ended - began),
            _ => "-".to_string(),
        };
        table.row([
            Cell::from(&deployment.operation_name),
            Cell::from(&deployment.target.name),
            Cell::both(coloured, words),
            Cell::from(&deployment.actor.name),
            when(deployment.created_at),
            took.into(),
            deployment.id.to_string().into(),
        ]);
    }
    output.table(&table)?;
    if page.next_cursor.is_some() {
        output.note("there are more: --all, or a higher --limit");
    }
    Ok(())
}

async fn show(invocation: &Invocation, id: DeploymentId) -> Result<Ending, Fault> {
    if invocation.follow {
        return follow::follow(invocation, Followed::to_the_end(id)).await;
    }
    let detail = invocation.client.deployment(id).await?;
    if invocation.output.json {
        invocation.output.document(&detail)?;
    } else {
        picture::show(&invocation.output, &detail)?;
    }
    Ok(Ending::Done)
}

/// "Create site shop (running, 01J…)"
fn named(detail: &DeploymentDetail) -> String {
    let deployment = &detail.deployment;
    format!(
        "{} {} ({}, {})",
        plain(&deployment.operation_name),
        plain(&deployment.target.name),
        plain(&deployment.standing),
        deployment.id
    )
}

/// What a change that is not followed came to.
fn changed(invocation: &Invocation, detail: &DeploymentDetail) -> Result<Ending, Fault> {
    let output = &invocation.output;
    if output.json {
        output.document(detail)?;
    } else {
        output.line(named(detail))?;
        if matches!(
            detail.deployment.settlement,
            Settlement::Stopping | Settlement::Undoing
        ) {
            output.note(format!(
                "follow it: triphammer deployments show {} --follow",
                detail.deployment.id
            ));
        }
    }
    Ok(Ending::Done)
}

async fn follow_to_settled(invocation: &Invocation, id: DeploymentId) -> Result<Ending, Fault> {
    let followed = Followed {
        aim: Aim::Settled,
        ..Followed::to_the_end(id)
    };
    follow::follow(invocation, followed).await
}

async fn cancel(invocation: &Invocation, id: DeploymentId) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let before = client.deployment(id).await?;
    if invocation.dry_run {
        let words = format!("cancel {}, and undo what it did", named(&before));
        return plan::say(invocation, "cancel", &before, &words);
    }
    if before.deployment.status.is_finished() && before.deployment.settlement != Settlement::Active
    {
        if !invocation.output.json {
            invocation
                .output
                .note("it is over already; there is nothing to cancel");
        }
    } else {
        let question = format!("Cancel {}, and undo what it did?", named(&before));
        if !invocation.sure(&question).await? {
            return Err(Fault::said("not cancelled"));
        }
    }
    let after = client.deployment_cancel(id).await?;
    if invocation.follow {
        return follow_to_settled(invocation, id).await;
    }
    changed(invocation, &after)
}

async fn retry(invocation: &Invocation, id: DeploymentId) -> Result<Ending, Fault> {
    let client = &invocation.client;
    if invocation.dry_run {
        let would = client.deployment_retry_plan(id).await?;
        return plan::show(invocation, &would);
    }
    let created = client.deployment_retry(id).await?;
    let output = &invocation.output;
    match (output.json, invocation.follow) {
        (true, true) => output.record(&created)?,
        (true, false) => output.document(&created)?,
        (false, _) if created.deployment.pipeline == "create_site" => {
            let site = created.deployment.target.id.parse();
            let user = match site {
                Ok(site) => client.site(site).await.ok().map(|site| site.admin_user),
                Err(_) => None,
            };
            let user = user.unwrap_or_else(|| "admin".to_string());
            sites::admin_access(invocation, &user, created.admin_password.as_deref())?;
        }
        (false, _) => {}
    }
    // Its input may hold the fingerprint already; then nobody is asked.
    let asks = created.deployment.pipeline == REGISTER_SERVER
        && host_key::can_be_answered(invocation).is_ok();
    let followed = Followed {
        asks: asks && (invocation.follow || !output.json),
        until: if invocation.follow {
            Until::End
        } else {
            Until::HostKeyPinned
        },
        ..Followed::to_the_end(created.deployment.id)
    };
    begun(invocation, &created.deployment, followed).await
}

async fn undo(invocation: &Invocation, id: DeploymentId) -> Result<Ending, Fault> {
    if invocation.dry_run {
        let before = invocation.client.deployment(id).await?;
        let words = match before.deployment.settlement {
            Settlement::NeedsAttention => format!("try the undos of {} again", named(&before)),
            _ => format!("be refused: {} does not need attention", named(&before)),
        };
        return plan::say(invocation, "undo", &before, &words);
    }
    let after = invocation.client.deployment_undo(id).await?;
    if invocation.follow {
        return follow_to_settled(invocation, id).await;
    }
    changed(invocation, &after)
}

async fn acknowledge(
    invocation: &Invocation,
    id: DeploymentId,
    reason: String,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let before = client.deployment(id).await?;
    let left = plain(before.deployment.attention.as_deref().unwrap_or_default());
    if invocation.dry_run {
        let words = format!("accept what {} left behind. {left}", named(&before));
        return plan::say(invocation, "acknowledge", &before, words.trim());
    }
    let needed = before.deployment.settlement == Settlement::NeedsAttention
        && before.deployment.status != DeploymentStatus::Completed;
    if needed {
        let question = format!(
            "{}. {left}\nAccept that, and free the target? Nothing will undo it later.",
            named(&before)
        );
        if !invocation.sure(&question).await? {
            return Err(Fault::said("not acknowledged"));
        }
    }
    let after = client
        .deployment_acknowledge(id, &Acknowledge { reason })
        .await?;
    changed(invocation, &after)
}
