//! Look at the objects of a backup, write the one that makes it a backup, and its record.
//!
//! Safe to repeat: the object is written once, and the record is made of what earlier steps gave. When the backup that it
//! goes on from is gone, it is refused: there is no record, so there is no backup.

use backups::{Store, StoreError};
use domain::backup::MARK;
use domain::{
    Backup, BackupPlan, DatabaseContents, FilesContents, RestorePointStatus, SCHEMA, SealedObject,
    StepError, Time,
};
use kit::{At, Cloud, Done, Step};
use pipelines::steps::backup;
use protocol::job::{DatabaseBackedUp, FilesArchived, Sealed, SiteBackedUp};
use protocol::text::bytes;
use records::Put;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;

struct FinalizeBackup {
    cloud: Cloud,
    store: OnceCell<Store>,
}

#[derive(Deserialize)]
struct Needs {
    site_id: domain::SiteId,
    #[serde(default)]
    database_backed_up: Option<DatabaseBackedUp>,
    #[serde(default)]
    files_archived: Option<FilesArchived>,
    #[serde(default)]
    site_backed_up: Option<SiteBackedUp>,
}

#[derive(Deserialize)]
struct Input {
    backup: BackupPlan,
}

#[derive(Serialize)]
struct Gives {
    backup_id: domain::BackupId,
}

fn sealed(object: Sealed) -> SealedObject {
    SealedObject {
        size_bytes: object.size_bytes,
        sha256: object.sha256,
    }
}

fn database(done: DatabaseBackedUp) -> (DatabaseContents, Vec<String>) {
    let contents = DatabaseContents {
        object: sealed(done.database),
        dump_bytes: done.dump_bytes,
        tables: done.tables,
        server: done.server,
    };
    (contents, done.notes)
}

fn files(done: FilesArchived) -> (FilesContents, Vec<String>) {
    let contents = FilesContents {
        object: sealed(done.files),
        manifest: sealed(done.manifest),
        entries: done.collected.entries,
        tree_bytes: done.collected.tree_bytes,
        changed: done.collected.changed,
        deleted: done.collected.deleted,
    };
    (contents, done.notes)
}

/// What the steps before gave, as the record of the backup that they made.
fn record(at: &At, plan: BackupPlan, needs: Needs, now: Time) -> Result<Backup, StepError> {
    let together = needs.site_backed_up.unwrap_or(SiteBackedUp {
        database: None,
        files: None,
    });
    let database = needs.database_backed_up.or(together.database).map(database);
    let files = needs.files_archived.or(together.files).map(files);
    if plan.scope.has_database() != database.is_some() || plan.scope.has_files() != files.is_some()
    {
        return Err(StepError::broken("a part of the backup was not made"));
    }
    let (database, mut notes) = database.unzip();
    let (files, more) = files.unzip();
    notes
        .get_or_insert_default()
        .extend(more.unwrap_or_default());
    let objects = database.iter().map(|database| &database.object);
    let objects = objects.chain(
        files
            .iter()
            .flat_map(|files| [&files.object, &files.manifest]),
    );
    Ok(Backup {
        schema: SCHEMA,
        id: plan.id,
        team_id: at.team,
        site_id: needs.site_id,
        scope: plan.scope,
        reason: plan.reason,
        prefix: plan.prefix,
        deployment_id: at.deployment_id,
        parent: plan.parent.map(|parent| parent.id),
        size_bytes: objects.map(|object| object.size_bytes).sum(),
        database,
        files,
        notes: notes.unwrap_or_default(),
        restore_point: RestorePointStatus::Available,
        created_at: now,
        configuration_id: plan.configuration_id,
        restored_at: None,
        expires_at: None,
    })
}

fn parent_gone() -> StepError {
    StepError::refused(
        "parent_gone",
        "The backup that this one goes on from was deleted or pruned meanwhile. The next one does not need it.",
    )
}

impl FinalizeBackup {
    async fn is_there(
        &self,
        store: &Store,
        key: String,
        object: &SealedObject,
    ) -> Result<(), StepError> {
        match store.size(&key).await? {
            Some(size) if size == object.size_bytes => Ok(()),
            Some(size) => Err(StoreError::Differs(format!(
                "An object of the backup has {size} bytes in the store, not {}.",
                object.size_bytes
            ))
            .into()),
            None => Err(StoreError::NotFound.into()),
        }
    }
}

impl Step for FinalizeBackup {
    const NAME: &'static str = backup::FINALIZE_BACKUP.name;
    type Needs = Needs;
    type Gives = Gives;

    async fn run(&self, at: &At, needs: Needs) -> Result<Done<Gives>, StepError> {
        let plan = at.input::<Input>()?.backup;
        let store = self
            .store
            .get_or_init(|| Store::new(&self.cloud.config))
            .await;
        let mut backup = record(at, plan.clone(), needs, self.cloud.clock.now())?;
        if let Some(database) = &backup.database {
            self.is_there(store, plan.key("database"), &database.object)
                .await?;
        }
        if let Some(files) = &backup.files {
            self.is_there(store, plan.key("files"), &files.object)
                .await?;
            self.is_there(store, plan.key("manifest"), &files.manifest)
                .await?;
        }
        if !self.cloud.records.may_be_gone_on_from(&backup).await? {
            return Err(parent_gone());
        }
        let mark = serde_json::to_vec_pretty(&backup).map_err(StepError::broken)?;
        match store.put_new(&plan.key(MARK), mark).await {
            Ok(()) => {}
            // An earlier worker wrote it: its word stands.
            Err(StoreError::Exists) => {
                let written = store.get(&plan.key(MARK)).await?;
                backup = serde_json::from_slice(&written).map_err(StepError::broken)?;
            }
            Err(error) => return Err(error.into()),
        }
        if self.cloud.records.backup_put(&backup).await? == Put::ParentGone {
            return Err(parent_gone());
        }
        let told = format!("{} in the store, read back", bytes(backup.size_bytes));
        Ok(Done::With(Gives { backup_id: plan.id }, told))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| FinalizeBackup {
        cloud: cloud.clone(),
        store: OnceCell::new(),
    })
    .await
}
