//! What the API does about projects, services, environments and their values.
//!
//! Promise: as of all operations: one method each, with the contract's types.

use crate::call::Call;
use crate::routes::YES;
use crate::{Client, Error};
use contract::{
    DeploymentCreated, EnvironmentCreate, EnvironmentCreated, EnvironmentUpdate, EnvironmentView,
    Page, Plan, ProjectCreate, ProjectView, ServiceCreate, ServiceUpdate, ServiceView, ValueClear,
    ValuesChange, ValuesReplace, ValuesView,
};
use domain::{EnvironmentId, ProjectId, ServiceId};

/// How an environment is deleted.
#[derive(Debug, Clone, Copy, Default)]
pub struct Deletion<'a> {
    /// Its volumes go too: its name, said again.
    pub with_volumes: Option<&'a str>,
    /// Servers that do not do it keep what they have of it.
    pub force: bool,
}

impl Client {
    /// Create a project.
    pub async fn project_create(&self, new: &ProjectCreate) -> Result<ProjectView, Error> {
        let call = self.post(&["v1", "projects"]).body(new)?;
        self.send(call.once()).await
    }
    /// The team's projects.
    pub async fn projects(&self) -> Result<Page<ProjectView>, Error> {
        self.send(self.get(&["v1", "projects"])).await
    }
    /// One project.
    pub async fn project(&self, id: ProjectId) -> Result<ProjectView, Error> {
        self.send(self.get(&["v1", "projects", &id.to_string()]))
            .await
    }
    /// Delete a project that has no services.
    pub async fn project_delete(&self, id: ProjectId) -> Result<(), Error> {
        self.send(self.delete(&["v1", "projects", &id.to_string()]))
            .await
    }

    /// Create a service.
    pub async fn service_create(
        &self,
        project: ProjectId,
        new: &ServiceCreate,
    ) -> Result<ServiceView, Error> {
        let call = self.post(&["v1", "projects", &project.to_string(), "services"]);
        self.send(call.body(new)?.once()).await
    }
    /// The team's services, or those of one project.
    pub async fn services(&self, project: Option<ProjectId>) -> Result<Page<ServiceView>, Error> {
        let call = self.get(&["v1", "services"]);
        self.send(call.query("project_id", project)).await
    }
    /// One service.
    pub async fn service(&self, id: ServiceId) -> Result<ServiceView, Error> {
        self.send(self.get(&["v1", "services", &id.to_string()]))
            .await
    }
    /// Change a service. With a revision a second one would be told that it came too late.
    pub async fn service_update(
        &self,
        id: ServiceId,
        change: &ServiceUpdate,
    ) -> Result<ServiceView, Error> {
        let call = self.patch(&["v1", "services", &id.to_string()]);
        self.send(call.body(change)?.telling()).await
    }
    /// Delete a service that has no environments.
    pub async fn service_delete(&self, id: ServiceId) -> Result<(), Error> {
        self.send(self.delete(&["v1", "services", &id.to_string()]))
            .await
    }

    /// Create an environment, and deploy once to it.
    pub async fn environment_create(
        &self,
        service: ServiceId,
        new: &EnvironmentCreate,
    ) -> Result<EnvironmentCreated, Error> {
        let call = self.post(&["v1", "services", &service.to_string(), "environments"]);
        self.send(call.body(new)?.once()).await
    }
    /// What that would do.
    pub async fn environment_create_plan(
        &self,
        service: ServiceId,
        new: &EnvironmentCreate,
    ) -> Result<Plan, Error> {
        let call = self.post(&["v1", "services", &service.to_string(), "environments"]);
        self.send(call.body(new)?.query("dry_run", YES)).await
    }
    /// The team's environments, or those of one service.
    pub async fn environments(
        &self,
        service: Option<ServiceId>,
    ) -> Result<Page<EnvironmentView>, Error> {
        let call = self.get(&["v1", "environments"]);
        self.send(call.query("service_id", service)).await
    }
    /// One environment.
    pub async fn environment(&self, id: EnvironmentId) -> Result<EnvironmentView, Error> {
        self.send(self.get(&["v1", "environments", &id.to_string()]))
            .await
    }
    /// Change an environment.
    pub async fn environment_update(
        &self,
        id: EnvironmentId,
        change: &EnvironmentUpdate,
    ) -> Result<EnvironmentView, Error> {
        let call = self.patch(&["v1", "environments", &id.to_string()]);
        self.send(call.body(change)?.telling()).await
    }
    /// Delete an environment: at once, or with the deployment that takes it from its servers.
    pub async fn environment_delete(
        &self,
        id: EnvironmentId,
        how: Deletion<'_>,
    ) -> Result<Option<DeploymentCreated>, Error> {
        self.send(self.deleting(id, how)).await
    }
    /// What that would do to one that was live.
    pub async fn environment_delete_plan(
        &self,
        id: EnvironmentId,
        how: Deletion<'_>,
    ) -> Result<Plan, Error> {
        let call = self.deleting(id, how);
        self.send(call.query("dry_run", YES)).await
    }
    fn deleting(&self, id: EnvironmentId, how: Deletion<'_>) -> Call {
        let call = self.delete(&["v1", "environments", &id.to_string()]);
        call.query("delete_volumes", how.with_volumes.and(YES))
            .query("confirm", how.with_volumes)
            .query("force", how.force.then_some(true))
    }
    /// Let pushes deploy by themselves again.
    pub async fn environment_resume(&self, id: EnvironmentId) -> Result<EnvironmentView, Error> {
        self.send(self.post(&["v1", "environments", &id.to_string(), "resume"]))
            .await
    }

    /// The names of an environment's values.
    pub async fn values(&self, id: EnvironmentId) -> Result<ValuesView, Error> {
        self.send(self.get(&["v1", "environments", &id.to_string(), "values"]))
            .await
    }
    /// One value in clear.
    pub async fn value(&self, id: EnvironmentId, name: &str) -> Result<ValueClear, Error> {
        let id = id.to_string();
        self.send(self.get(&["v1", "environments", &id, "values", name]))
            .await
    }
    /// Set and unset values. The same a second time changes nothing.
    pub async fn values_change(
        &self,
        id: EnvironmentId,
        change: &ValuesChange,
    ) -> Result<ValuesView, Error> {
        let call = self.patch(&["v1", "environments", &id.to_string(), "values"]);
        self.send(call.body(change)?).await
    }
    /// All values anew.
    pub async fn values_replace(
        &self,
        id: EnvironmentId,
        all: &ValuesReplace,
    ) -> Result<ValuesView, Error> {
        let call = self.put(&["v1", "environments", &id.to_string(), "values"]);
        self.send(call.body(all)?).await
    }
}
