//! The whole way, as a user would go it: stack up, a server registered, a WordPress site created, its page fetched.
//!
//! Promise: every act goes through the command line and the API; nothing is done behind their back.

use crate::build::say;
use crate::cli::{ask, run};
use crate::lab::{self, Lab};
use crate::up;
use anyhow::{Context, Result, bail};
use std::process::Command;

/// Where a site can be made.
pub enum Target {
    /// A server booted here for the purpose.
    Lab,
    /// A person's own: `user@host`, with this key.
    Own {
        /// The account.
        user: String,
        /// The address.
        host: String,
        /// The key's file.
        key: String,
    },
}

/// The lab that the demo boots.
pub const LAB: &str = "demo";

struct Server {
    host: String,
    user: String,
    key: String,
    fingerprint: Option<String>,
}

/// See the module.
pub async fn demo(port: u16, target: Target) -> Result<()> {
    let server = match target {
        Target::Own { user, host, key } => Server {
            host,
            user,
            key,
            fingerprint: None,
        },
        Target::Lab => {
            if let Err(why) = lab::can_boot() {
                bail!(
                    "this machine cannot boot a test server ({why}); give one of yours: cargo xtask demo --server user@host --key FILE"
                );
            }
            // Packages first: the lab's servers have no way out once they are up.
            crate::setup::ensure_tools()?;
            say("booting a Debian server with nginx, PHP and MariaDB");
            let booted = Lab::up(LAB, 1, 0)?
                .servers
                .into_iter()
                .next()
                .context("the lab has no server")?;
            Server {
                host: booted.address,
                user: booted.user,
                key: booted.key_path.display().to_string(),
                fingerprint: Some(booted.host_key_fingerprint),
            }
        }
    };
    let up = up::up("local", port).await?;
    let known = ask(&up, &["servers", "list"])?;
    let registered = known["items"]
        .as_array()
        .into_iter()
        .flatten()
        .any(|known| {
            known["name"] == "demo"
                && known["host"] == server.host.as_str()
                && known["status"] == "active"
        });
    if registered {
        say("the server is registered already");
    } else {
        let mut add = vec![
            "servers",
            "add",
            "demo",
            "--host",
            &server.host,
            "--user",
            &server.user,
            "--key-file",
            &server.key,
            "--follow",
        ];
        if let Some(fingerprint) = &server.fingerprint {
            add.extend(["--host-key", fingerprint]);
        }
        run(&up, &add)?;
    }
    let name = format!("shop-{}", hex::encode(rand::random::<[u8; 2]>()));
    run(
        &up,
        &[
            "sites",
            "create",
            &name,
            "--server",
            "demo",
            "--title",
            "Triphammer & friends",
            "--admin-email",
            "admin@example.com",
            "--follow",
        ],
    )?;
    let site = ask(&up, &["sites", "show", &name])?;
    let url = site["url"].as_str().context("the site has no address")?;
    page(&server.host, url)
}

/// The front page, asked of the server by address: the name need not resolve here.
fn page(host: &str, url: &str) -> Result<()> {
    let name = url.trim_start_matches("http://");
    let output = Command::new("curl")
        .args([
            "--silent",
            "--show-error",
            "--fail",
            "--max-time",
            "15",
            "--noproxy",
            "*",
            "--header",
            &format!("Host: {name}"),
            &format!("http://{host}/"),
        ])
        .output()
        .context("curl is missing")?;
    if !output.status.success() {
        bail!(
            "{url} does not answer: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    let body = String::from_utf8_lossy(&output.stdout);
    let title = body
        .split_once("<title>")
        .and_then(|(_, rest)| rest.split_once("</title>"))
        .map_or("(no title)", |(title, _)| title);
    println!(
        "\nThe front page answers.\n  address  {url}  (here: curl -H 'Host: {name}' http://{host}/)\n  title    {title}\n  login    {url}/wp-admin/  as admin, with the password shown once above"
    );
    Ok(())
}
