//! Backups that are to be made: one way for what a person asks for and for what is due.
//!
//! Promise: the frozen input and what the deployment is about come from the same lines, whoever begins it.

use domain::{
    Backup, BackupConfiguration, BackupConfigurationId, BackupId, BackupParent, BackupPlan,
    BackupReason, BackupScope, LockKey, Site, TargetKind, TargetRef, backup, backup_configuration,
};
use kit::Cloud;
use pipelines::inputs::BackupSite;
use serde_json::Value;
use std::collections::BTreeMap;

/// A backup that is wanted.
#[derive(Debug, Clone)]
pub struct Wanted<'a> {
    /// What it is to hold.
    pub scope: BackupScope,
    /// Why.
    pub reason: BackupReason,
    /// What is left out.
    pub exclude: Vec<String>,
    /// What its files go on from.
    pub parent: Option<&'a Backup>,
    /// The configuration that it counts for.
    pub configuration_id: Option<BackupConfigurationId>,
}

impl<'a> Wanted<'a> {
    /// As a configuration wants it; `backups` are the site's.
    pub fn of(
        configuration: &BackupConfiguration,
        reason: BackupReason,
        backups: &'a [Backup],
    ) -> Self {
        let limit = configuration.chain_limit();
        let parent = backup::parent(backups, Some(configuration.id), limit);
        Self {
            scope: configuration.scope,
            reason,
            exclude: configuration.exclude.clone(),
            parent: parent.filter(|_| configuration.scope.has_files()),
            configuration_id: Some(configuration.id),
        }
    }
}

/// With an id and a place in the store.
pub fn planned(cloud: &Cloud, site: &Site, wanted: Wanted<'_>) -> BackupPlan {
    let (time, random) = cloud.id_parts();
    let id = BackupId::from_parts(time, random);
    let parent = wanted.parent.and_then(|parent| {
        Some(BackupParent {
            id: parent.id,
            manifest_key: parent.key("manifest"),
            manifest: parent.files.as_ref()?.manifest.clone(),
        })
    });
    BackupPlan {
        id,
        scope: wanted.scope,
        reason: wanted.reason,
        prefix: domain::backup_prefix(site.team_id, site.id, id),
        exclude: wanted.exclude,
        parent,
        configuration_id: wanted.configuration_id,
    }
}

/// The frozen input of a backup of this site.
pub fn backup_site(cloud: &Cloud, site: &Site, wanted: Wanted<'_>) -> BackupSite {
    BackupSite {
        site_id: site.id,
        server_id: site.server_id,
        system_name: site.system_name.clone(),
        backup: planned(cloud, site, wanted),
    }
}

/// What a deployment on a site is about.
#[derive(Debug, Clone)]
pub struct OnSite {
    /// The site.
    pub target: TargetRef,
    /// Its lock.
    pub locks: Vec<LockKey>,
    /// What first steps need.
    pub meta: BTreeMap<String, Value>,
}

/// A deployment on this site, for this configuration when there is one.
pub fn on_site(site: &Site, configuration: Option<BackupConfigurationId>) -> OnSite {
    let mut meta = BTreeMap::from([
        ("site_id".to_string(), site.id.to_string().into()),
        ("server_id".to_string(), site.server_id.to_string().into()),
    ]);
    if let Some(id) = configuration {
        meta.insert(
            backup_configuration::META.to_string(),
            id.to_string().into(),
        );
    }
    OnSite {
        target: TargetRef {
            kind: TargetKind::Site,
            id: site.id.to_string(),
            name: site.name.clone(),
        },
        locks: vec![LockKey::site(site.id)],
        meta,
    }
}
