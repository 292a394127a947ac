//! Create the site's configuration directories on the server and include them; undo removes them.
//!
//! The last proof before the site is called created: it answers over HTTP under its main name. Safe to repeat.

use domain::StepError;
use kit::step::Nothing;
use kit::{At, Done, Step};
use pipelines::inputs::CreateSite;
use pipelines::steps::site;
use protocol::{Call, Changed, HttpReply, SiteName, SiteProbe};
use sites::Hosts;
use steps::{SiteNeeds, told};

struct CreateConfDirectories {
    hosts: Hosts,
}

impl Step for CreateConfDirectories {
    const NAME: &'static str = site::CREATE_CONF_DIRECTORIES.name;
    type Needs = SiteNeeds;
    type Gives = Nothing;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Nothing>, StepError> {
        let input: CreateSite = at.input()?;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host
            .call(Call::ConfDirectoriesCreate(SiteName {
                site: input.system_name.clone(),
            }))
            .await?;
        let address = input.domain.unwrap_or(input.address);
        let page: HttpReply = host
            .call(Call::SiteProbe(SiteProbe {
                site: input.system_name,
                address: address.clone(),
            }))
            .await?;
        if !(200..400).contains(&page.status) {
            return Err(StepError::unavailable(
                "site_not_answering",
                format!(
                    "{address} answers with status {} on the server.",
                    page.status
                ),
            ));
        }
        Ok(Done::With(
            Nothing {},
            told(&done.notes, "the directories are there"),
        ))
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let site = at.input::<CreateSite>()?.system_name;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host
            .call(Call::ConfDirectoriesRemove(SiteName { site }))
            .await?;
        Ok(told(&done.notes, "there was nothing to remove"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| CreateConfDirectories {
        hosts: Hosts::new(cloud),
    })
    .await
}
