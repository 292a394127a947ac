//! `triphammer deploy`, `rollback`, `promote`, `logs`, and `deployments diff`.

use super::services::text;
use super::{begun, logs as of_deployment, told};
use crate::args::Deploy;
use crate::ending::{Ending, Fault};
use crate::follow::Followed;
use crate::invocation::Invocation;
use crate::output::plain;
use crate::upload;
use crate::{plan, resolve};
use client::DeploymentsAsked;
use contract::{DeploymentCreated, PromoteCreate, ReleaseCreate, RollbackCreate};
use domain::DeploymentId;

/// A deployment was begun.
async fn on_its_way(invocation: &Invocation, created: &DeploymentCreated) -> Result<Ending, Fault> {
    told(invocation, created)?;
    let followed = Followed::to_the_end(created.deployment.id);
    begun(invocation, &created.deployment, followed).await
}

/// What the API wants uploaded is an argument here.
fn with_archive(mut error: client::Error) -> Fault {
    if let client::Error::Problem(problem) = &mut error
        && problem.code == "upload_needed"
    {
        problem.detail =
            "This service is built from an archive: say --archive FILE or FOLDER.".to_string();
    }
    error.into()
}

/// `triphammer deploy`
pub async fn deploy(invocation: &Invocation, asked: Deploy) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, &asked.environment).await?;
    let compose = match &asked.compose {
        Some(path) => Some(text(path)?),
        None => None,
    };
    let mut release = ReleaseCreate {
        images: asked.images.into_iter().collect(),
        reference: asked.branch,
        commit: asked.commit,
        compose,
        upload_id: None,
    };
    if invocation.dry_run && asked.archive.is_some() {
        // A plan needs the bytes in the store, and a dry run sends none.
        let words = format!("upload a source and deploy {}", plain(&found.path));
        return plan::say(invocation, "deploy", &found, &words);
    }
    if let Some(path) = &asked.archive {
        let upload = upload::send(invocation, path).await?;
        release.upload_id = Some(upload.id);
    }
    if invocation.dry_run {
        let would = client.release_create_plan(found.id, &release).await;
        return plan::show(invocation, &would.map_err(with_archive)?);
    }
    let created = client.release_create(found.id, &release).await;
    let created = created.map_err(with_archive)?;
    on_its_way(invocation, &created).await
}

/// `triphammer rollback`
pub async fn rollback(
    invocation: &Invocation,
    environment: &str,
    to: Option<DeploymentId>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, environment).await?;
    let asked = RollbackCreate { to };
    if invocation.dry_run {
        let would = client.rollback_create_plan(found.id, &asked).await?;
        return plan::show(invocation, &would);
    }
    let back = to.map_or_else(
        || "the release before".to_string(),
        |id| format!("the release {id}"),
    );
    let question = format!(
        "Go back to {back} in {}? Pushes do not deploy there until somebody deploys, promotes or resumes.",
        plain(&found.path)
    );
    if !invocation.sure(&question).await? {
        return Err(Fault::said("not gone back"));
    }
    let created = client.rollback_create(found.id, &asked).await?;
    on_its_way(invocation, &created).await
}

/// `triphammer promote`
pub async fn promote(invocation: &Invocation, from: &str, to: &str) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let from = resolve::environment(client, from).await?;
    let to = resolve::environment(client, to).await?;
    let asked = PromoteCreate { from: from.id };
    if invocation.dry_run {
        let would = client.promote_create_plan(to.id, &asked).await?;
        return plan::show(invocation, &would);
    }
    let created = client.promote_create(to.id, &asked).await?;
    on_its_way(invocation, &created).await
}

/// `triphammer logs`
pub async fn logs(
    invocation: &Invocation,
    environment: &str,
    step: Option<&str>,
) -> Result<Ending, Fault> {
    let client = &invocation.client;
    let found = resolve::environment(client, environment).await?;
    let asked = DeploymentsAsked {
        cursor: None,
        limit: Some(1),
        target: Some(format!("environment:{}", found.id)),
    };
    let newest = client.deployments(&asked).await?.items.into_iter().next();
    let Some(newest) = newest else {
        return Err(Fault::said(format!(
            "nothing was deployed to {} yet",
            plain(&found.path)
        )));
    };
    of_deployment::show(invocation, newest.id, step).await
}

/// `triphammer deployments diff`
pub async fn diff(
    invocation: &Invocation,
    from: DeploymentId,
    to: DeploymentId,
) -> Result<Ending, Fault> {
    let diff = invocation.client.deployment_diff(from, to).await?;
    if invocation.output.json {
        invocation.output.document(&diff)?;
    } else {
        plan::differs(invocation, &diff.diff)?;
    }
    Ok(Ending::Done)
}
