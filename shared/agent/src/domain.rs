//! A site's domain: which names its server block serves, and which address WordPress believes to have.
//!
//! Promise: a name that another site of this host serves is never taken; detaching brings back the block's old bytes.

use crate::check;
use crate::claims::{self, Claim, Kind, Standing};
use crate::fault::{Result, refused};
use crate::host::Work;
use crate::probe;
use crate::site::{self, DomainFacts, SiteFacts};
use crate::web::nginx;
use crate::wordpress;
use protocol::{DomainAttach, DomainDetach, SiteReply};

fn site_claim(work: &Work<'_>, site: &str) -> Result<Option<Claim<SiteFacts>>> {
    claims::read(work.paths, Kind::Site, site)
}

/// A site of ours, whichever deployment made it.
pub fn known_site(work: &Work<'_>, site: &str) -> Result<Claim<SiteFacts>> {
    site_claim(work, site)?
        .filter(|claim| claim.facts.installed)
        .ok_or_else(|| {
            refused(
                "no_such_site",
                format!("There is no site {site} of Triphammer's on this server."),
            )
        })
}

/// See [`protocol::Call::DomainAttach`].
pub fn attach(work: &mut Work<'_>, asked: &DomainAttach) -> Result<SiteReply> {
    let site = asked.site.as_str();
    check::name("site", site)?;
    check::hosts(&asked.domain, &asked.aliases)?;
    let claim = known_site(work, site)?;
    let user = site::existing_user(work.paths, site)?;
    let facts = DomainFacts {
        domain: asked.domain.clone(),
        aliases: asked.aliases.clone(),
    };
    {
        let _locked = work.configuration_lock()?;
        let all = nginx::whole_configuration(work.paths, site)?;
        let names: Vec<&str> = asked
            .aliases
            .iter()
            .map(String::as_str)
            .chain([asked.domain.as_str()])
            .collect();
        nginx::refuse_taken(work.paths, &all, site, &names)?;
        let attached = claims::read::<DomainFacts>(work.paths, Kind::Domain, site)?
            .filter(|old| nginx::serves(work.paths, &all, site, &old.facts.domain))
            .map(|old| format!("The domain {} of this site", old.facts.domain));
        let mut domain = claims::begin(
            work.paths,
            Kind::Domain,
            site,
            work.lease,
            attached.as_deref(),
            facts.clone(),
        )?;
        if domain.facts != facts {
            domain.facts = facts;
            claims::write(work.paths, Kind::Domain, site, &domain)?;
        }
        if nginx::enable(
            work.paths,
            site,
            &site::block_text(work.paths, site, &claim, Some(&domain.facts)),
        )? {
            work.did(format!("the server block serves {}", asked.domain));
        }
    }
    set_address(work, site, &user, &claim, &asked.domain)?;
    probe::wait_for_wordpress(&asked.domain)?;
    let SiteFacts { php, wordpress, .. } = claim.facts;
    Ok(site::reply(work, site, &asked.domain, php, wordpress))
}

/// See [`protocol::Call::DomainDetach`].
pub fn detach(work: &mut Work<'_>, asked: &DomainDetach) -> Result<()> {
    let site = asked.site.as_str();
    check::name("site", site)?;
    check::host("domain", &asked.domain)?;
    check::host("address", &asked.address)?;
    match claims::standing::<DomainFacts>(work.paths, Kind::Domain, site, work.lease)? {
        Standing::Ours(claim) if claim.facts.domain == asked.domain => {}
        Standing::Ours(claim) => {
            work.note(format!(
                "left domain {} alone: it is not the one to detach",
                claim.facts.domain
            ));
            return Ok(());
        }
        Standing::Theirs(claim) => {
            work.note(format!(
                "left domain {} alone: another deployment attached it",
                claim.facts.domain
            ));
            return Ok(());
        }
        Standing::Unclaimed => {
            work.note(format!("no domain {} to detach", asked.domain));
            return Ok(());
        }
    }
    if let Some(claim) = site_claim(work, site)? {
        if claim.facts.address != asked.address {
            return Err(refused(
                "other_address",
                format!(
                    "The site {site} had another address before: {}.",
                    claim.facts.address
                ),
            ));
        }
        let user = site::existing_user(work.paths, site)?;
        set_address(work, site, &user, &claim, &asked.address)?;
        let _locked = work.configuration_lock()?;
        if nginx::put_back(
            work,
            site,
            &site::block_text(work.paths, site, &claim, None),
        )? {
            work.did(format!("the server block serves {} no more", asked.domain));
        }
    }
    claims::end(work.paths, Kind::Domain, site)?;
    Ok(())
}

fn set_address(
    work: &mut Work<'_>,
    site: &str,
    user: &crate::accounts::User,
    claim: &Claim<SiteFacts>,
    host: &str,
) -> Result<()> {
    let url = format!("http://{host}");
    if wordpress::set_address(user, &claim.facts.php, &work.paths.public(site), &url)? {
        work.did(format!("WordPress's address is {url}"));
    }
    Ok(())
}
