//! Projects: services that belong together.
//!
//! Promise: a name is unique in its team; a project with services stays.

use crate::item::{item, record};
use crate::making::{ATTEMPTS, Made, Making};
use crate::transact::Written;
use crate::{AuditEntry, Claim, CreateRefused, Idempotency, Records, RecordsError, keys};
use domain::{Project, ProjectId, TeamId};

fn name_claim(project: &Project) -> Claim {
    Claim {
        name: format!("project-name:{}", project.name),
        what: format!("The project name {}", project.name),
        target: project.id.to_string(),
    }
}

impl Records {
    /// Store a new one, if its name is free.
    pub async fn project_create(
        &self,
        project: &Project,
        idempotency: Option<&Idempotency>,
        audit: &AuditEntry,
    ) -> Result<Made, CreateRefused> {
        let making = Making {
            team: project.team_id,
            id: project.id.to_string(),
            claims: &[name_claim(project)],
            parent: None,
            idempotency,
            audit,
            now: project.created_at,
        };
        let at = keys::project(project.team_id, project.id);
        self.make(making, || {
            Ok(vec![self.put_new(item(at.clone(), project)?)?])
        })
        .await
    }

    /// One project.
    pub async fn project(&self, team: TeamId, id: ProjectId) -> Result<Project, RecordsError> {
        let stored = self.get(keys::project(team, id)).await?;
        record(stored.ok_or(RecordsError::NotFound("project"))?)
    }

    /// A team's projects, oldest first.
    pub async fn projects(&self, team: TeamId) -> Result<Vec<Project>, RecordsError> {
        let stored = self.query(keys::team(team), "PROJECT#").await?;
        stored.into_iter().map(record).collect()
    }

    /// Delete one that has no services.
    pub async fn project_delete(
        &self,
        team: TeamId,
        id: ProjectId,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let at = keys::project(team, id);
        for attempt in 0..ATTEMPTS {
            let project = self.project(team, id).await?;
            if self
                .children(at.clone())
                .await?
                .is_some_and(|count| count > 0)
            {
                return Err(RecordsError::InUse {
                    code: "project_in_use",
                    why: format!(
                        "The project {} has services; delete them first.",
                        project.name
                    ),
                });
            }
            let writes = vec![
                self.delete_childless(at.clone())?,
                self.unclaim(team, &name_claim(&project).name, &id.to_string())?,
                self.put_new(audit.item(team)?)?,
            ];
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }
}
