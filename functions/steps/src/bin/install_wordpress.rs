//! Create the site's system user, tree, WordPress, php-fpm pool and server block; undo removes them.
//!
//! Ends with a page that answers over HTTP on the server itself. Safe to repeat: each part is found done by its mark.

use domain::StepError;
use kit::{At, Done, Step};
use pipelines::inputs::CreateSite;
use pipelines::steps::site;
use protocol::{Call, Changed, SiteInstall, SiteName, SiteReply};
use serde::Serialize;
use sites::Hosts;
use steps::{SiteNeeds, told, wordpress_source};

struct InstallWordPress {
    hosts: Hosts,
}

#[derive(Serialize)]
struct Gives {
    url: String,
}

impl Step for InstallWordPress {
    const NAME: &'static str = site::INSTALL_WORDPRESS.name;
    type Needs = SiteNeeds;
    type Gives = Gives;

    async fn run(&self, at: &At, needs: SiteNeeds) -> Result<Done<Gives>, StepError> {
        let input: CreateSite = at.input()?;
        let cloud = self.hosts.cloud();
        let password = cloud
            .secrets
            .open(at.team, input.admin_password, cloud.clock.now().timestamp())
            .await?;
        let admin_password = String::from_utf8(password.to_vec()).map_err(StepError::broken)?;
        let host = self.hosts.connect(at, needs.server_id).await?;
        at.say("Copying WordPress and installing it").await;
        let install = SiteInstall {
            site: input.system_name.clone(),
            database: input.system_name,
            address: input.address,
            php: input.php,
            source: wordpress_source(&cloud.config.wordpress_source)?,
            title: input.title,
            admin_user: input.admin_user,
            admin_password,
            admin_email: input.admin_email,
            locale: String::new(),
        };
        let done: SiteReply = host.call(Call::SiteInstall(Box::new(install))).await?;
        cloud
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
        let output = format!(
            "WordPress {} answers at {} with PHP {}",
            done.wordpress, done.url, done.php
        );
        Ok(Done::With(Gives { url: done.url }, output))
    }

    async fn undo(&self, at: &At, needs: SiteNeeds) -> Result<String, StepError> {
        let site = at.input::<CreateSite>()?.system_name;
        let host = self.hosts.connect(at, needs.server_id).await?;
        let done: Changed = host.call(Call::SiteRemove(SiteName { site })).await?;
        Ok(told(&done.notes, "there was nothing to remove"))
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> kit::Exit {
    kit::serve(|cloud| InstallWordPress {
        hosts: Hosts::new(cloud),
    })
    .await
}
