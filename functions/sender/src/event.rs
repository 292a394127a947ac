//! What a receiver reads.
//!
//! Promise: type, timestamp and data, as Standard Webhooks advises; things as the API shows them, at the time of the try.

use contract::{DeploymentView, LastBackup};
use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, Deployment, Site, SiteId, StepError,
    TeamId, Time, rfc3339, time_text,
};
use kit::notice::{Notice, Subject};
use records::{Records, RecordsError};
use serde::Serialize;

/// See the module.
#[derive(Debug, Serialize)]
pub struct NoticeEvent {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(with = "time_text")]
    timestamp: Time,
    data: Data,
}

#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Data {
    Deployment { deployment: Box<DeploymentView> },
    Backup(Box<BackupData>),
}

#[derive(Debug, Serialize)]
struct BackupData {
    /// For people: what is wrong.
    message: String,
    site: Named<SiteId>,
    configuration: Named<BackupConfigurationId>,
    /// The newest that can be restored.
    last_backup: Option<LastBackup>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deployment: Option<DeploymentView>,
    #[serde(skip_serializing_if = "Option::is_none", with = "time_text::option")]
    due_at: Option<Time>,
}

#[derive(Debug, Serialize)]
struct Named<I> {
    id: I,
    name: String,
}

/// What a notice of a backup is about.
struct About {
    site: Site,
    configuration: BackupConfiguration,
    backups: Vec<Backup>,
}

impl About {
    async fn read(
        records: &Records,
        team: TeamId,
        site: SiteId,
        id: BackupConfigurationId,
    ) -> Result<Self, RecordsError> {
        Ok(Self {
            site: records.site(team, site).await?,
            configuration: records.backup_configuration(team, site, id).await?,
            backups: records.backups(team, site).await?,
        })
    }

    fn data(self, what: &str, deployment: Option<&Deployment>, due_at: Option<Time>) -> Data {
        let last = self.configuration.last_backup(&self.backups);
        let last = last.map(LastBackup::from);
        let since = match &last {
            Some(last) => format!("The last good one is of {}.", rfc3339(last.created_at)),
            None => "There is no good one.".to_string(),
        };
        Data::Backup(Box::new(BackupData {
            message: format!("{what} {since}"),
            site: Named {
                id: self.site.id,
                name: self.site.name,
            },
            configuration: Named {
                id: self.configuration.id,
                name: self.configuration.name,
            },
            last_backup: last,
            deployment: deployment.map(DeploymentView::from),
            due_at,
        }))
    }

    fn failed(self, deployment: &Deployment) -> Data {
        let why = deployment.error.as_ref();
        let why = why.map_or("", |why| why.message.as_str());
        let what = format!(
            "The scheduled backup {} of the site {} did not complete: {why}",
            self.configuration.name, self.site.name
        );
        self.data(&what, Some(deployment), None)
    }

    fn missing(self, due_at: Time) -> Data {
        let what = format!(
            "The backup {} of the site {} was due at {}, and there is none since.",
            self.configuration.name,
            self.site.name,
            rfc3339(due_at)
        );
        self.data(&what, None, Some(due_at))
    }
}

impl NoticeEvent {
    /// Of this notice, which happened at that time; None when what it is about is not there any more.
    pub async fn read(
        records: &Records,
        notice: &Notice,
        timestamp: Time,
    ) -> Result<Option<Self>, StepError> {
        match Self::data(records, notice).await {
            Ok(data) => Ok(Some(Self {
                kind: notice.subject.kind(),
                timestamp,
                data,
            })),
            Err(RecordsError::NotFound(_)) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn data(records: &Records, notice: &Notice) -> Result<Data, RecordsError> {
        let team = notice.team_id;
        match &notice.subject {
            Subject::NeedsAttention { deployment_id, .. } => {
                let deployment = records.deployment(team, *deployment_id).await?;
                Ok(Data::Deployment {
                    deployment: Box::new(DeploymentView::from(&deployment)),
                })
            }
            Subject::BackupFailed {
                deployment_id,
                site_id,
                configuration_id,
            } => {
                let deployment = records.deployment(team, *deployment_id).await?;
                let about = About::read(records, team, *site_id, *configuration_id).await?;
                Ok(about.failed(&deployment))
            }
            Subject::BackupMissing {
                site_id,
                configuration_id,
                due_at,
            } => {
                let about = About::read(records, team, *site_id, *configuration_id).await?;
                Ok(about.missing(*due_at))
            }
        }
    }
}
