//! The API's operations, by the thing they are about.
//!
//! Promise: each is one method that takes and gives the contract's types; a `_plan` asks what would happen and changes nothing.

use crate::{Client, Error, live};
use contract::{
    Acknowledge, AuditView, DeploymentCreated, DeploymentDetail, DeploymentView, Health,
    HostKeyConfirm, LiveTicket, LogLineView, Page, Plan, ServerCreate, ServerCreated, ServerView,
    SiteCreate, SiteCreated, SiteView, TokenCreate, TokenCreated, TokenView, WebhookEndpointCreate,
    WebhookEndpointCreated, WebhookEndpointView,
};
use domain::{DeploymentId, ServerId, SiteId, TokenId, WebhookEndpointId};

/// Which deployments.
#[derive(Debug, Clone, Default)]
pub struct DeploymentsAsked {
    /// From the page before.
    pub cursor: Option<String>,
    /// 1 to 100 entries.
    pub limit: Option<u32>,
    /// Only those about this target: `site:ID`, `server:ID` or `environment:ID`.
    pub target: Option<String>,
}

pub(crate) const YES: Option<bool> = Some(true);

impl Client {
    /// Is it there?
    pub async fn health(&self) -> Result<Health, Error> {
        self.send(self.get(&["v1", "health"])).await
    }

    /// Register a server.
    pub async fn server_create(&self, new: &ServerCreate) -> Result<ServerCreated, Error> {
        let call = self.post(&["v1", "servers"]).body(new)?;
        self.send(call.once()).await
    }
    /// What that would do.
    pub async fn server_create_plan(&self, new: &ServerCreate) -> Result<Plan, Error> {
        let call = self.post(&["v1", "servers"]).body(new)?;
        self.send(call.query("dry_run", YES)).await
    }
    /// The team's servers.
    pub async fn servers(&self) -> Result<Page<ServerView>, Error> {
        self.send(self.get(&["v1", "servers"])).await
    }
    /// One server.
    pub async fn server(&self, id: ServerId) -> Result<ServerView, Error> {
        self.send(self.get(&["v1", "servers", &id.to_string()]))
            .await
    }
    /// Look again at what a server has.
    pub async fn server_check(&self, id: ServerId) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "servers", &id.to_string(), "check"]);
        self.send(call.once()).await
    }
    /// What that would do.
    pub async fn server_check_plan(&self, id: ServerId) -> Result<Plan, Error> {
        let call = self.post(&["v1", "servers", &id.to_string(), "check"]);
        self.send(call.query("dry_run", YES)).await
    }
    /// Say yes to the host key that was seen. Saying it twice changes nothing.
    pub async fn server_confirm(
        &self,
        id: ServerId,
        yes: &HostKeyConfirm,
    ) -> Result<ServerView, Error> {
        let call = self.post(&["v1", "servers", &id.to_string(), "host-key"]);
        self.send(call.body(yes)?).await
    }

    /// Create a WordPress site.
    pub async fn site_create(&self, new: &SiteCreate) -> Result<SiteCreated, Error> {
        let call = self.post(&["v1", "sites"]).body(new)?;
        self.send(call.once()).await
    }
    /// What that would do.
    pub async fn site_create_plan(&self, new: &SiteCreate) -> Result<Plan, Error> {
        let call = self.post(&["v1", "sites"]).body(new)?;
        self.send(call.query("dry_run", YES)).await
    }
    /// The team's sites, or those of one server.
    pub async fn sites(&self, server: Option<ServerId>) -> Result<Page<SiteView>, Error> {
        let call = self.get(&["v1", "sites"]);
        self.send(call.query("server_id", server)).await
    }
    /// One site.
    pub async fn site(&self, id: SiteId) -> Result<SiteView, Error> {
        self.send(self.get(&["v1", "sites", &id.to_string()])).await
    }

    /// A page of the team's deployments, newest first.
    pub async fn deployments(
        &self,
        asked: &DeploymentsAsked,
    ) -> Result<Page<DeploymentView>, Error> {
        let call = self
            .get(&["v1", "deployments"])
            .query("cursor", asked.cursor.as_ref())
            .query("limit", asked.limit)
            .query("target", asked.target.as_ref());
        self.send(call).await
    }
    /// One deployment with its steps.
    pub async fn deployment(&self, id: DeploymentId) -> Result<DeploymentDetail, Error> {
        self.send(self.get(&["v1", "deployments", &id.to_string()]))
            .await
    }
    /// A page of what a step logged, on one server when it is done on several; oldest first; the last one has no cursor.
    pub async fn step_log(
        &self,
        id: DeploymentId,
        step: &str,
        server: Option<ServerId>,
        cursor: Option<&str>,
    ) -> Result<Page<LogLineView>, Error> {
        let call = self
            .get(&["v1", "deployments", &id.to_string(), "steps", step, "log"])
            .query("server_id", server)
            .query("cursor", cursor)
            .query("limit", Some(100));
        self.send(call).await
    }
    /// Stop it. A finished one is answered as it is, so a repeat changes nothing.
    pub async fn deployment_cancel(&self, id: DeploymentId) -> Result<DeploymentDetail, Error> {
        self.send(self.post(&["v1", "deployments", &id.to_string(), "cancel"]))
            .await
    }
    /// The same input again, as a new deployment.
    pub async fn deployment_retry(&self, id: DeploymentId) -> Result<DeploymentCreated, Error> {
        let call = self.post(&["v1", "deployments", &id.to_string(), "retry"]);
        self.send(call.once()).await
    }
    /// What that would do.
    pub async fn deployment_retry_plan(&self, id: DeploymentId) -> Result<Plan, Error> {
        let call = self.post(&["v1", "deployments", &id.to_string(), "retry"]);
        self.send(call.query("dry_run", YES)).await
    }
    /// Try the undos again. A second call would be told that nothing needs attention.
    pub async fn deployment_undo(&self, id: DeploymentId) -> Result<DeploymentDetail, Error> {
        let call = self.post(&["v1", "deployments", &id.to_string(), "undo"]);
        self.send(call.telling()).await
    }
    /// Accept what an undo left behind. A second call would be told that nothing needs attention.
    pub async fn deployment_acknowledge(
        &self,
        id: DeploymentId,
        why: &Acknowledge,
    ) -> Result<DeploymentDetail, Error> {
        let call = self.post(&["v1", "deployments", &id.to_string(), "acknowledge"]);
        self.send(call.body(why)?.telling()).await
    }

    /// A ticket for one connection to the live channel; refused when it leads past the API's TLS. A repeat gives another one.
    pub async fn live_ticket(&self) -> Result<LiveTicket, Error> {
        let ticket: LiveTicket = self.send(self.post(&["v1", "live-tickets"])).await?;
        live::address(&self.base, &ticket.url)?;
        Ok(ticket)
    }

    /// Create a token. Its secret is in one reply only, so a lost reply is not followed by a second token.
    pub async fn token_create(&self, new: &TokenCreate) -> Result<TokenCreated, Error> {
        let call = self.post(&["v1", "tokens"]).body(new)?;
        self.send(call.once().telling()).await
    }
    /// The team's tokens.
    pub async fn tokens(&self) -> Result<Page<TokenView>, Error> {
        self.send(self.get(&["v1", "tokens"])).await
    }
    /// Revoke a token, for good.
    pub async fn token_revoke(&self, id: TokenId) -> Result<(), Error> {
        self.send(self.delete(&["v1", "tokens", &id.to_string()]))
            .await
    }

    /// Have notices sent to an address. Its secret is in one reply only, so a lost reply is not followed by a second endpoint.
    pub async fn webhook_endpoint_create(
        &self,
        new: &WebhookEndpointCreate,
    ) -> Result<WebhookEndpointCreated, Error> {
        let call = self.post(&["v1", "webhook-endpoints"]).body(new)?;
        self.send(call.once().telling()).await
    }
    /// The team's webhook endpoints.
    pub async fn webhook_endpoints(&self) -> Result<Page<WebhookEndpointView>, Error> {
        self.send(self.get(&["v1", "webhook-endpoints"])).await
    }
    /// Send no more notices to an address.
    pub async fn webhook_endpoint_delete(&self, id: WebhookEndpointId) -> Result<(), Error> {
        self.send(self.delete(&["v1", "webhook-endpoints", &id.to_string()]))
            .await
    }

    /// A page of the audit trail, newest first.
    pub async fn audit(
        &self,
        cursor: Option<&str>,
        limit: Option<u32>,
    ) -> Result<Page<AuditView>, Error> {
        let call = self.get(&["v1", "audit"]);
        self.send(call.query("cursor", cursor).query("limit", limit))
            .await
    }
}
