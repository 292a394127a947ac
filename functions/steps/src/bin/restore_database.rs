//! Load the dump beside the live tables and swap them in; undo swaps the old ones back.
//!
//! Safe to repeat: a journal on the server says how far an earlier worker came.

use domain::JobOrder;
use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::RestoreBackup;
use pipelines::steps::backup;
use protocol::job::{Database, Work};
use protocol::{Call, Changed, DatabaseName};
use sites::Hosts;
use steps::{SiteNeeds, hand_over, told};

struct RestoreDatabase {
    hosts: Hosts,
}

impl Step for RestoreDatabase {
    const NAME: &'static str = backup::RESTORE_DATABASE.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: RestoreBackup = at.input()?;
        let order = JobOrder {
            gives: Some("database_restored".to_string()),
            ..JobOrder::default()
        };
        let work = Work::RestoreDatabase(Database {
            site: input.system_name.clone(),
            database: input.system_name,
        });
        hand_over(&self.hosts, at, needs.server_id, order, work).await
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let input: RestoreBackup = at.input()?;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let call = Call::DatabaseSwapBack(DatabaseName {
            database: input.system_name,
        });
        let done: Changed = host.call(call).await?;
        Ok(told(&done.notes, "the tables had not been swapped"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| RestoreDatabase {
        hosts: Hosts::new(cloud),
    })
    .await
}
