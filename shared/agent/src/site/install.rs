//! Installing a WordPress site: its user, tree, wp-config, installation, pool and server block.
//!
//! Promise: in an order in which nothing is reachable before it is whole, and every act finds its own earlier work.

use crate::accounts::{self, User};
use crate::check;
use crate::claims::{self, Claim, Kind, NoFacts, Standing};
use crate::database;
use crate::fault::{Result, broken, io_at, missing_software, refused};
use crate::files;
use crate::host::Work;
use crate::paths::Paths;
use crate::probe;
use crate::secret;
use crate::site::{DomainFacts, SiteFacts, block_text, existing, existing_user, home_text, reply};
use crate::tree::{self, Done, Job, fetch};
use crate::web::{dump, fpm, nginx};
use crate::wordpress::{self, First, config};
use protocol::{SiteInstall, SiteReply, WordPressSource};
use std::fs;
use std::os::unix::fs::{PermissionsExt, lchown};

/// Nobody logs in as a site.
const SHELL: &str = "/usr/sbin/nologin";
/// The site's own, and the web server may pass through: other sites' users may not even look.
const HOME_MODE: u32 = 0o750;

/// See [`protocol::Call::SiteInstall`].
pub fn install(work: &mut Work<'_>, asked: &SiteInstall) -> Result<SiteReply> {
    check_all(asked)?;
    let site = asked.site.as_str();
    let php = ready(work.paths, asked)?;
    let (mut claim, web_user) = claim(work, asked, php)?;
    let user = user(work, site)?;
    home(work, site, &user, &web_user)?;
    tree(work, site, &user, &claim.facts.php, &asked.source)?;
    wp_config(work, site, &user, &claim.facts)?;
    installation(work, asked, &user, &mut claim)?;
    serve(work, site, &claim, &web_user)?;
    probe::wait_for_wordpress(&asked.address)?;
    let SiteFacts {
        address,
        php,
        wordpress,
        ..
    } = claim.facts;
    Ok(reply(work, site, &address, php, wordpress))
}

fn check_all(asked: &SiteInstall) -> Result<()> {
    check::name("site", &asked.site)?;
    check::name("database", &asked.database)?;
    check::host("address", &asked.address)?;
    asked.php.as_deref().map_or(Ok(()), check::php)?;
    check::title(&asked.title)?;
    check::login(&asked.admin_user)?;
    check::password(&asked.admin_password)?;
    check::email(&asked.admin_email)?;
    check::locale(&asked.locale)?;
    match &asked.source {
        WordPressSource::Url { url, sha256 } => {
            check::url(url).and_then(|()| sha256.as_deref().map_or(Ok(()), check::sha256))
        }
        WordPressSource::Directory { path } => check::directory(path),
    }
}

/// Is all there that the site will need? The PHP version to use.
fn ready(paths: &Paths, asked: &SiteInstall) -> Result<String> {
    let php = fpm::choose(paths, asked.php.as_deref())?;
    if !fpm::has_mysqli(&php)? {
        return Err(missing_software(
            "PHP's MySQL extension",
            &format!("apt install php{php}-mysql"),
        ));
    }
    if !database::has_database(&asked.database)? {
        return Err(refused(
            "no_such_database",
            format!(
                "There is no database {}; it must be made first.",
                asked.database
            ),
        ));
    }
    Ok(php)
}

/// Claim the site, unless its name or address is taken; also the web server's user.
fn claim(
    work: &mut Work<'_>,
    asked: &SiteInstall,
    php: String,
) -> Result<(Claim<SiteFacts>, String)> {
    let site = asked.site.as_str();
    let _locked = work.configuration_lock()?;
    let standing = claims::standing::<SiteFacts>(work.paths, Kind::Site, site, work.lease)?;
    let found = existing(work.paths, site)?;
    if let (Some(what), Standing::Theirs(_) | Standing::Unclaimed) = (&found, &standing) {
        return Err(crate::fault::already_exists(what));
    }
    // Its user's password is going to be changed, so the database must be of this deployment too.
    if !matches!(
        claims::standing::<NoFacts>(work.paths, Kind::Database, &asked.database, work.lease)?,
        Standing::Ours(_)
    ) {
        return Err(crate::fault::already_exists(&format!(
            "The database {}",
            asked.database
        )));
    }
    let all = nginx::whole_configuration(work.paths, site)?;
    nginx::refuse_taken(work.paths, &all, site, &[&asked.address])?;
    let facts = SiteFacts {
        address: asked.address.clone(),
        php,
        database: asked.database.clone(),
        installed: false,
        wordpress: String::new(),
    };
    let claim = claims::begin(
        work.paths,
        Kind::Site,
        site,
        work.lease,
        found.as_deref(),
        facts,
    )?;
    if claim.facts.address != asked.address || claim.facts.database != asked.database {
        return Err(refused(
            "already_exists",
            format!("This deployment began the site {site} with another address or database."),
        ));
    }
    Ok((claim, dump::worker_user(&all)))
}

fn user(work: &mut Work<'_>, site: &str) -> Result<User> {
    if accounts::user(work.paths, site)?.is_none() {
        let _locked = work.configuration_lock()?;
        accounts::create(site, &work.paths.home(site), SHELL)?;
        work.did(format!("created system user {site}"));
    }
    existing_user(work.paths, site)
}

fn home(work: &mut Work<'_>, site: &str, user: &User, web_user: &str) -> Result<()> {
    let home = work.paths.home(site);
    let at = |error: std::io::Error| io_at(&home, &error);
    let web = accounts::user(work.paths, web_user)?.ok_or_else(|| {
        broken(
            "user_missing",
            format!("nginx's user {web_user} is missing."),
        )
    })?;
    if !files::exists(&home) {
        fs::create_dir(&home).map_err(at)?;
        work.did(format!("created {}", home.display()));
    }
    // Nobody but root can put a link at this place: it stands in /home itself.
    if !fs::symlink_metadata(&home).map_err(at)?.is_dir() {
        return Err(refused(
            "already_exists",
            format!("{} is no directory.", home.display()),
        ));
    }
    lchown(&home, Some(user.uid), Some(web.gid)).map_err(at)?;
    fs::set_permissions(&home, fs::Permissions::from_mode(HOME_MODE)).map_err(at)
}

fn tree(
    work: &mut Work<'_>,
    site: &str,
    user: &User,
    php: &str,
    source: &WordPressSource,
) -> Result<()> {
    let home = home_text(work.paths, site);
    let look = Job::Look {
        home: home.clone(),
        mark: work.mark(),
    };
    if matches!(tree::ask(user, &look)?, Done::Looked { public: false, .. }) {
        match source {
            WordPressSource::Url { url, sha256 } => {
                fetch::fetch(user, php, &home, url, sha256.as_deref())?
            }
            WordPressSource::Directory { path } => {
                tree::ask(
                    user,
                    &Job::Copy {
                        home: home.clone(),
                        source: path.clone(),
                    },
                )?;
            }
        }
        work.did("put WordPress's files in place");
    }
    tree::ask(user, &Job::Publish { home }).map(|_| ())
}

fn wp_config(work: &mut Work<'_>, site: &str, user: &User, facts: &SiteFacts) -> Result<()> {
    let home = home_text(work.paths, site);
    let mark = work.mark();
    let look = tree::ask(
        user,
        &Job::Look {
            home: home.clone(),
            mark: mark.clone(),
        },
    )?;
    if matches!(look, Done::Looked { config: true, .. })
        && wordpress::connects(user, &facts.php, &work.paths.public(site))?
    {
        return Ok(());
    }
    // Both anew: a killed call may have changed one of them only. The password is nowhere but here and there.
    let password = secret::password();
    database::set_password(&facts.database, &password)?;
    let content = config::render(&mark, &facts.database, &password);
    tree::ask(user, &Job::Config { home, content })?;
    work.did("wrote wp-config.php");
    Ok(())
}

fn installation(
    work: &mut Work<'_>,
    asked: &SiteInstall,
    user: &User,
    claim: &mut Claim<SiteFacts>,
) -> Result<()> {
    // A killed installation leaves some tables and rows. Nobody has seen them: the site is not served before it is installed.
    if !claim.facts.installed && !database::is_empty(&claim.facts.database)? {
        database::empty(&claim.facts.database)?;
        work.note("emptied the database of an installation that was cut short");
    }
    let url = format!("http://{}", claim.facts.address);
    let first = First {
        url: &url,
        title: &asked.title,
        user: &asked.admin_user,
        password: &asked.admin_password,
        email: &asked.admin_email,
        locale: &asked.locale,
    };
    let root = work.paths.public(&asked.site);
    let seen = wordpress::install(user, &claim.facts.php, &root, &first)?;
    if seen.changed {
        work.did(format!("installed WordPress {}", seen.version));
    }
    if !seen.locale {
        work.note(format!(
            "this WordPress has no language {}: install it in the dashboard",
            asked.locale
        ));
    }
    claim.facts.installed = true;
    claim.facts.wordpress = seen.version;
    claims::write(work.paths, Kind::Site, &asked.site, claim)
}

fn serve(work: &mut Work<'_>, site: &str, claim: &Claim<SiteFacts>, web_user: &str) -> Result<()> {
    let _locked = work.configuration_lock()?;
    let pool = fpm::render(work.paths, &work.mark(), site, web_user);
    if fpm::enable(work.paths, &claim.facts.php, site, &pool)? {
        work.did(format!("created the pool of php{}-fpm", claim.facts.php));
    }
    // Looked at again: another site may have come under this name while WordPress was installed.
    let all = nginx::whole_configuration(work.paths, site)?;
    nginx::refuse_taken(work.paths, &all, site, &[&claim.facts.address])?;
    let domain = claims::read::<DomainFacts>(work.paths, Kind::Domain, site)?;
    if nginx::enable(
        work.paths,
        site,
        &block_text(
            work.paths,
            site,
            claim,
            domain.as_ref().map(|domain| &domain.facts),
        ),
    )? {
        work.did("created the server block");
    }
    Ok(())
}
