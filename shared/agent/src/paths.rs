//! Every place on the host the agent knows, as methods of one value.
//!
//! Promise: a test gives another root and no code touches the real one. Names are checked before they get here.

use std::path::{Path, PathBuf};

/// The root all paths hang from: `/`, or a test's own directory.
#[derive(Debug, Clone)]
pub struct Paths {
    root: PathBuf,
}

impl Paths {
    /// The host's own.
    pub fn host() -> Self {
        Self::under(Path::new("/"))
    }

    /// Another root.
    pub fn under(root: &Path) -> Self {
        Self {
            root: root.to_path_buf(),
        }
    }

    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    /// An absolute path of the host, under this root.
    pub fn absolute(&self, path: &str) -> PathBuf {
        self.at(path.trim_start_matches('/'))
    }

    /// The agent's own state, root's alone.
    pub fn state(&self) -> PathBuf {
        self.at("var/lib/triphammer")
    }

    /// One file for each thing created.
    pub fn claims(&self) -> PathBuf {
        self.state().join("claims")
    }

    /// One file for each target.
    pub fn leases(&self) -> PathBuf {
        self.state().join("leases")
    }

    /// One folder for each job.
    pub fn jobs(&self) -> PathBuf {
        self.state().join("jobs")
    }

    /// One journal for each database that is being restored.
    pub fn restores(&self) -> PathBuf {
        self.state().join("restores")
    }

    /// One folder for each environment of containers.
    pub fn releases(&self) -> PathBuf {
        self.state().join("releases")
    }

    /// Where Git works: a folder for each call, gone with it. Not in the agent's own, which Git's user may not enter.
    pub fn sources(&self) -> PathBuf {
        self.at("var/lib/triphammer-sources")
    }

    /// The proxy's configuration, and the routes it is made of.
    pub fn proxy(&self) -> PathBuf {
        self.state().join("proxy")
    }

    /// An empty folder that nobody but root may write, for programs that shall find nothing where they run.
    pub fn empty(&self) -> PathBuf {
        self.at("run/triphammer-empty")
    }

    /// The home of the user that SSH logs in.
    pub fn login_home(&self) -> PathBuf {
        self.at("var/lib/triphammer-login")
    }

    /// What lets that user run the agent as root.
    pub fn sudoers(&self) -> PathBuf {
        self.at("etc/sudoers.d/triphammer")
    }

    /// The users of the host.
    pub fn passwd(&self) -> PathBuf {
        self.at("etc/passwd")
    }

    /// Its groups.
    pub fn group(&self) -> PathBuf {
        self.at("etc/group")
    }

    /// Where homes are made, and whose free space counts.
    pub fn homes(&self) -> PathBuf {
        self.at("home")
    }

    /// A site's home, which holds all of it.
    pub fn home(&self, site: &str) -> PathBuf {
        self.homes().join(site)
    }

    /// Its web root.
    pub fn public(&self, site: &str) -> PathBuf {
        self.home(site).join("public")
    }

    /// `/etc/php`: one directory a version.
    pub fn php(&self) -> PathBuf {
        self.at("etc/php")
    }

    /// A site's pool of one PHP version.
    pub fn pool(&self, php: &str, site: &str) -> PathBuf {
        self.php()
            .join(php)
            .join("fpm/pool.d")
            .join(format!("{site}.conf"))
    }

    /// Where that pool listens.
    pub fn socket(&self, site: &str) -> PathBuf {
        self.at("run/php").join(format!("{site}.sock"))
    }

    /// A site's server block.
    pub fn block(&self, site: &str) -> PathBuf {
        self.at("etc/nginx/sites-available")
            .join(format!("{site}.conf"))
    }

    /// Where nginx reads enabled blocks from.
    pub fn blocks_enabled(&self) -> PathBuf {
        self.at("etc/nginx/sites-enabled")
    }

    /// The link that enables the block.
    pub fn block_enabled(&self, site: &str) -> PathBuf {
        self.blocks_enabled().join(format!("{site}.conf"))
    }

    /// What the site's owner's team may configure.
    pub fn site_conf(&self, site: &str) -> PathBuf {
        self.at("etc/triphammer/sites").join(site)
    }

    /// Its configuration directories.
    pub fn tower_conf(&self, site: &str) -> PathBuf {
        self.site_conf(site).join("tower-conf")
    }

    /// The link cron reads; no dots, or cron would skip it.
    pub fn cron(&self, site: &str) -> PathBuf {
        self.at("etc/cron.d").join(format!("triphammer-{site}"))
    }

    /// A crontab the user may have made.
    pub fn crontab(&self, site: &str) -> PathBuf {
        self.at("var/spool/cron/crontabs").join(site)
    }
}
