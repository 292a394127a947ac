//! Let the site answer under its own domain and aliases; undo goes back to the address it had.
//!
//! A domain that another site of the server answers under is refused. Safe to repeat.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::inputs::CreateSite;
use pipelines::steps::domain as steps_of;
use protocol::{Call, Changed, DomainAttach, DomainDetach, SiteReply};
use serde::Serialize;
use sites::Hosts;
use steps::{SiteNeeds, told};

struct AttachDomain {
    hosts: Hosts,
}

#[derive(Serialize)]
struct Gives {
    url: String,
}

impl Step for AttachDomain {
    const NAME: &'static str = steps_of::ATTACH.name;
    type Needs = SiteNeeds;
    type Gives = Gives;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Gives>, StepError> {
        let input: CreateSite = at.input()?;
        let Some(domain) = input.domain else {
            return Ok(Done::Skipped("no custom domain".to_string()));
        };
        let host = self.hosts.connect(at, needs.server_id).await?;
        let attach = DomainAttach {
            site: input.system_name,
            domain: domain.clone(),
            aliases: input.aliases,
        };
        let done: SiteReply = host.call(Call::DomainAttach(attach)).await?;
        self.hosts
            .cloud()
            .records
            .site_located(
                at.team,
                needs.site_id,
                &done.url,
                &done.path,
                &done.php,
                &done.wordpress,
            )
            .await?;
        Ok(Done::With(
            Gives { url: done.url },
            told(&done.notes, &format!("answers under {domain}")),
        ))
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let input: CreateSite = at.input()?;
        let Some(domain) = input.domain else {
            return Ok("there was no domain".to_string());
        };
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host
            .call(Call::DomainDetach(DomainDetach {
                site: input.system_name,
                domain,
                address: input.address,
            }))
            .await?;
        Ok(told(&done.notes, "there was nothing to detach"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| AttachDomain {
        hosts: Hosts::new(cloud),
    })
    .await
}
