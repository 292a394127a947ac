//! What is due is begun: once an hour over the index of due backup configurations.
//!
//! Promise: an occurrence passes in the transaction that creates its deployment, so it is begun once or not at all,
//! however often and however much at once this runs, and wherever it dies. What was due while nothing ran is begun once.
//! A backup that has been missing for a whole period is told before, under an id that is the same each time.

use backups::plan::{self, OnSite, Wanted};
use domain::{
    Actor, ActorKind, BackupConfiguration, BackupConfigurationId, BackupReason, Site, SiteId,
    SiteStatus, StepError, TeamId, Time, Trigger,
};
use futures_util::StreamExt;
use kit::notice::{Notice, Notices, Subject};
use kit::{Cloud, draft};
use records::{AuditEntry, CreateRefused, NewDeployment, Occurrence, RecordsError};
use serde::Serialize;

/// So many configurations are looked at at once.
const AT_ONCE: usize = 8;

/// What one run came to.
#[derive(Debug, Default, Clone, PartialEq, Eq, Serialize)]
pub struct Ran {
    /// Configurations whose time had come.
    pub due: u64,
    /// Deployments that were created.
    pub begun: u64,
    /// Let pass, or begun by another run.
    pub passed: u64,
    /// Could not be looked at.
    pub failed: u64,
}

/// Where notices go.
pub trait Tell: Sync {
    /// Let it be sent; a repeat is no fault.
    fn tell(&self, notice: &Notice) -> impl Future<Output = Result<(), StepError>> + Send;
}

impl Tell for Notices {
    async fn tell(&self, notice: &Notice) -> Result<(), StepError> {
        self.put(notice).await
    }
}

/// See the module.
pub async fn run(cloud: &Cloud, people: &impl Tell) -> Result<Ran, StepError> {
    let now = cloud.clock.now();
    let due = cloud.records.due_backup_configurations(now).await?;
    let began: Vec<_> = futures_util::stream::iter(due)
        .map(|named| async move {
            let began = Box::pin(look(cloud, people, named, now)).await;
            began.inspect_err(|error| {
                let (team, site, configuration) = named;
                tracing::error!(%team, %site, %configuration, error = error.chain(), "not begun");
            })
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut ran = Ran::default();
    for began in began {
        ran.due += 1;
        match began {
            Ok(true) => ran.begun += 1,
            Ok(false) => ran.passed += 1,
            Err(_) => ran.failed += 1,
        }
    }
    tracing::info!(?ran, "looked at what is due");
    Ok(ran)
}

/// One that the index says is due; true when its backup was begun here.
async fn look(
    cloud: &Cloud,
    people: &impl Tell,
    (team, site, id): (TeamId, SiteId, BackupConfigurationId),
    now: Time,
) -> Result<bool, StepError> {
    let records = &cloud.records;
    let configuration = match records.backup_configuration(team, site, id).await {
        Ok(configuration) => configuration,
        Err(RecordsError::NotFound(_)) => return Ok(false),
        Err(error) => return Err(error.into()),
    };
    // The index may be behind.
    let Some(due_at) = configuration.next_due_at.filter(|due| *due <= now) else {
        return Ok(false);
    };
    let occurrence = Occurrence {
        site_id: site,
        configuration_id: id,
        due_at,
        next_due_at: configuration.schedule.next_after(now),
    };
    let site = match records.site(team, site).await {
        Ok(site) if site.status == SiteStatus::Active => site,
        Ok(_) | Err(RecordsError::NotFound(_)) => {
            tracing::warn!(%team, %site, configuration = %id, "let pass: the site is not there to be backed up");
            records.occurrence_passed(team, &occurrence).await?;
            return Ok(false);
        }
        Err(error) => return Err(error.into()),
    };
    let backups = records.backups(team, site.id).await?;
    if let Some(missed) = configuration.missing(&backups, now) {
        let notice = missing(&configuration, missed);
        // A backup is worth more than the word that one is missing.
        if let Err(error) = people.tell(&notice).await {
            tracing::error!(%team, configuration = %id, error = error.chain(), "a missing backup was not told");
        }
    }
    let wanted = Wanted::of(&configuration, BackupReason::Schedule, &backups);
    let new = deployment(cloud, &site, &configuration, wanted)?;
    match records.deployment_create_due(new, &occurrence).await {
        Ok(_) => Ok(true),
        Err(CreateRefused::NotDue) => Ok(false),
        Err(CreateRefused::Records(error)) => Err(error.into()),
        Err(refused) => Err(StepError::broken(refused)),
    }
}

fn missing(configuration: &BackupConfiguration, due_at: Time) -> Notice {
    Notice {
        team_id: configuration.team_id,
        subject: Subject::BackupMissing {
            site_id: configuration.site_id,
            configuration_id: configuration.id,
            due_at,
        },
    }
}

fn deployment(
    cloud: &Cloud,
    site: &Site,
    configuration: &BackupConfiguration,
    wanted: Wanted<'_>,
) -> Result<NewDeployment, StepError> {
    let pipeline = pipelines::find("backup_site")
        .ok_or_else(|| StepError::broken("there is no pipeline backup_site"))?;
    let actor = Actor {
        kind: ActorKind::System,
        id: "scheduler".to_string(),
        name: "Triphammer".to_string(),
        role: String::new(),
    };
    let input = plan::backup_site(cloud, site, wanted);
    let input = serde_json::to_value(input).map_err(StepError::broken)?;
    let OnSite {
        target,
        locks,
        meta,
    } = plan::on_site(site, Some(configuration.id));
    let asked = draft::Asked {
        team_id: site.team_id,
        actor: actor.clone(),
        trigger: Trigger::Schedule,
        slot: Some(configuration.id.to_string()),
        target,
        locks,
        input: input.clone(),
        meta,
        claims: Vec::new(),
    };
    let (deployment, steps) = draft::deployment(cloud, &pipeline, asked)?;
    let audit = AuditEntry {
        id: deployment.id.to_string(),
        at: deployment.created_at,
        actor,
        from: String::new(),
        action: "backup.create".to_string(),
        target: site.id.to_string(),
        detail: format!("by the schedule {} of {}", configuration.name, site.name),
    };
    Ok(NewDeployment {
        deployment,
        input,
        steps,
        target: None,
        claims: Vec::new(),
        idempotency: None,
        audit,
    })
}
