//! Services: what is released.
//!
//! Promise: a name is unique in its project; a secret comes and goes with the settings that name it; a service with
//! environments stays.

use crate::item::{item, record};
use crate::making::{ATTEMPTS, Made, Making};
use crate::transact::Written;
use crate::{
    AuditEntry, Claim, CreateRefused, Idempotency, Records, RecordsError, SealedSecret, keys,
};
use aws_sdk_dynamodb::types::AttributeValue;
use domain::release::ServiceSettings;
use domain::{SecretId, Service, ServiceId, TeamId, Time};
use serde::Serialize;

/// What a deployment at work may still read of credentials that were replaced.
const REPLACED_SECRET_SECONDS: i64 = 86_400;

fn name_claim(service: &Service) -> Claim {
    Claim {
        name: format!("service-name:{}:{}", service.project_id, service.name),
        what: format!("The service name {} in this project", service.name),
        target: service.id.to_string(),
    }
}

/// As an attribute of its own, because other writes change the same item.
pub(crate) fn attribute(value: &impl Serialize) -> Result<AttributeValue, RecordsError> {
    serde_dynamo::aws_sdk_dynamodb_1::to_attribute_value(value)
        .map_err(|error| RecordsError::Malformed("settings".to_string(), Some(Box::new(error))))
}

impl Records {
    /// Store a new one with the secrets that it names, if its name is free.
    pub async fn service_create(
        &self,
        service: &Service,
        secrets: &[SealedSecret],
        idempotency: Option<&Idempotency>,
        audit: &AuditEntry,
    ) -> Result<Made, CreateRefused> {
        let team = service.team_id;
        let making = Making {
            team,
            id: service.id.to_string(),
            claims: &[name_claim(service)],
            parent: Some((keys::project(team, service.project_id), "project")),
            idempotency,
            audit,
            now: service.created_at,
        };
        self.make(making, || {
            let mut writes = vec![self.put_new(item(keys::service(team, service.id), service)?)?];
            for secret in secrets {
                writes.push(self.put_new_secret(item(keys::secret(team, secret.id), secret)?)?);
            }
            Ok(writes)
        })
        .await
    }

    /// One service.
    pub async fn service(&self, team: TeamId, id: ServiceId) -> Result<Service, RecordsError> {
        let stored = self.get(keys::service(team, id)).await?;
        record(stored.ok_or(RecordsError::NotFound("service"))?)
    }

    /// A team's services, oldest first.
    pub async fn services(&self, team: TeamId) -> Result<Vec<Service>, RecordsError> {
        let stored = self.query(keys::team(team), "SERVICE#").await?;
        stored.into_iter().map(record).collect()
    }

    /// Change its settings, over the revision that was read; as it is then. Secrets that its settings name no more are
    /// of no use a day later.
    pub async fn service_update<E: From<RecordsError>>(
        &self,
        (team, id): (TeamId, ServiceId),
        secrets: &[SealedSecret],
        (audit, now): (&AuditEntry, Time),
        mut change: impl FnMut(&Service) -> Result<ServiceSettings, E>,
    ) -> Result<Service, E> {
        for attempt in 0..ATTEMPTS {
            let mut service = self.service(team, id).await?;
            let settings = change(&service)?;
            let after: Vec<SecretId> = settings.secrets().collect();
            let mut writes = vec![self.update(
                keys::service(team, id),
                "SET settings = :settings ADD revision :one",
                "revision = :read",
                vec![
                    (":settings", attribute(&settings)?),
                    (":one", Self::number(1)),
                    (":read", Self::number(service.revision)),
                ],
            )?];
            for secret in secrets {
                let stored = item(keys::secret(team, secret.id), secret)?;
                writes.push(self.put_new_secret(stored)?);
            }
            for gone in service.settings.secrets().filter(|id| !after.contains(id)) {
                let end = now.timestamp() + REPLACED_SECRET_SECONDS;
                writes.push(self.expire_secret(keys::secret(team, gone), end)?);
            }
            writes.push(self.put_new(audit.item(team)?)?);
            if self.write_all(writes).await? == Written::All {
                service.settings = settings;
                service.revision += 1;
                return Ok(service);
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended.into())
    }

    /// Delete one that has no environments, with its secrets.
    pub async fn service_delete(
        &self,
        team: TeamId,
        id: ServiceId,
        audit: &AuditEntry,
    ) -> Result<(), RecordsError> {
        let at = keys::service(team, id);
        for attempt in 0..ATTEMPTS {
            let service = self.service(team, id).await?;
            if self
                .children(at.clone())
                .await?
                .is_some_and(|count| count > 0)
            {
                return Err(RecordsError::InUse {
                    code: "service_in_use",
                    why: format!(
                        "The service {} has environments; delete them first.",
                        service.name
                    ),
                });
            }
            let mut writes = vec![
                self.delete_childless(at.clone())?,
                self.child_removed(keys::project(team, service.project_id))?,
                self.unclaim(team, &name_claim(&service).name, &id.to_string())?,
                self.put_new(audit.item(team)?)?,
            ];
            for secret in service.settings.secrets() {
                writes.push(self.delete_secret(keys::secret(team, secret))?);
            }
            if self.write_all(writes).await? == Written::All {
                return Ok(());
            }
            Self::jitter(attempt).await;
        }
        Err(RecordsError::Contended)
    }
}
