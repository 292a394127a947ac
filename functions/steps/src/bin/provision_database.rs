//! Create the site's database and its user; undo drops both.
//!
//! Safe to repeat: names derive from the site's; what carries our mark is found done, what exists without it is refused.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::CreateSite;
use pipelines::steps::database;
use protocol::{Call, Changed, DatabaseName};
use sites::Hosts;
use steps::{SiteNeeds, told};

struct ProvisionDatabase {
    hosts: Hosts,
}

impl Step for ProvisionDatabase {
    const NAME: &'static str = database::PROVISION.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let database = at.input::<CreateSite>()?.system_name;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host
            .call(Call::DatabaseCreate(DatabaseName {
                database: database.clone(),
            }))
            .await?;
        Ok(Done::With(
            Nothing {},
            told(
                &done.notes,
                &format!("database {database} and its user are there"),
            ),
        ))
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let database = at.input::<CreateSite>()?.system_name;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host
            .call(Call::DatabaseDrop(DatabaseName { database }))
            .await?;
        Ok(told(&done.notes, "there was nothing to drop"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| ProvisionDatabase {
        hosts: Hosts::new(cloud),
    })
    .await
}
