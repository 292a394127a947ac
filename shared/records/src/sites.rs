//! Sites.
//!
//! Promise: a site's record is made with its first deployment and goes with it when that does not complete.

use crate::error::from_sdk;
use crate::item::{key, record, s};
use crate::{Records, RecordsError, keys};
use domain::{Site, SiteId, TeamId};

impl Records {
    /// One site.
    pub async fn site(&self, team: TeamId, id: SiteId) -> Result<Site, RecordsError> {
        record(
            self.get(keys::site(team, id))
                .await?
                .ok_or(RecordsError::NotFound("site"))?,
        )
    }

    /// A team's sites, oldest first.
    pub async fn sites(&self, team: TeamId) -> Result<Vec<Site>, RecordsError> {
        self.query(keys::team(team), "SITE#")
            .await?
            .into_iter()
            .map(record)
            .collect()
    }

    /// Where a site answers and what serves it.
    pub async fn site_located(
        &self,
        team: TeamId,
        id: SiteId,
        url: &str,
        path: &str,
        php: &str,
        wordpress: &str,
    ) -> Result<(), RecordsError> {
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key(keys::site(team, id))))
            .update_expression("SET #url = :url, #path = :path, php = :php, wordpress = :wordpress")
            .condition_expression("attribute_exists(pk)")
            .expression_attribute_names("#url", "url")
            .expression_attribute_names("#path", "path")
            .expression_attribute_values(":url", s(url))
            .expression_attribute_values(":path", s(path))
            .expression_attribute_values(":php", s(php))
            .expression_attribute_values(":wordpress", s(wordpress))
            .send()
            .await
            .map(|_| ())
            .map_err(from_sdk)
    }
}
