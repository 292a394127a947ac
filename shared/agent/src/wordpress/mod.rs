//! WordPress itself, spoken to through the host's PHP as the site's user.
//!
//! Promise: scripts are constant and values come by stdin; of what a script prints only its own last line is read,
//! since WordPress's pages of errors may hold anything.

pub mod config;

use crate::accounts::User;
use crate::fault::{Result, broken, first_bytes, refused, unavailable, with_detail};
use crate::run;
use crate::web::fpm;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::Path;

const BEGIN: &str = include_str!("begin.php");
const INSTALL: &str = include_str!("install.php");
const ADDRESS: &str = include_str!("address.php");
const CONNECTS: &str = include_str!("connects.php");

/// Before the line that is read.
const ANSWER: &str = "triphammer-answer ";
/// Settings of the host must not keep WordPress from being installed, nor print what it trips over.
const SETTINGS: [&str; 7] = [
    "display_errors=0",
    "log_errors=0",
    "zend.exception_ignore_args=1",
    "memory_limit=512M",
    "disable_functions=",
    "auto_prepend_file=",
    "open_basedir=",
];

/// A new WordPress's first values.
#[derive(Debug)]
pub struct First<'a> {
    /// `http://host`.
    pub url: &'a str,
    /// The site's title.
    pub title: &'a str,
    /// The administrator's login.
    pub user: &'a str,
    /// Password.
    pub password: &'a str,
    /// And mail address.
    pub email: &'a str,
    /// Or empty.
    pub locale: &'a str,
}

/// What an installation found or did.
#[derive(Debug, Deserialize)]
pub struct Installed {
    /// WordPress's version.
    pub version: String,
    /// Was anything done?
    pub changed: bool,
    /// Is the locale in use?
    pub locale: bool,
}

#[derive(Deserialize)]
struct Failed {
    error: String,
    #[serde(default)]
    at: String,
}

/// Install WordPress, or see to it that title and administrator are there.
pub fn install(user: &User, php: &str, root: &Path, first: &First<'_>) -> Result<Installed> {
    let First {
        url,
        title,
        user: login,
        password,
        email,
        locale,
    } = first;
    let input = json!({
        "root": root, "url": url, "title": title, "user": login, "password": password, "email": email, "locale": locale,
    });
    script(user, php, INSTALL, &input)
}

/// Move WordPress's own address; says whether it was another one.
pub fn set_address(user: &User, php: &str, root: &Path, url: &str) -> Result<bool> {
    #[derive(Deserialize)]
    struct Moved {
        changed: bool,
    }
    script(user, php, ADDRESS, &json!({ "root": root, "url": url }))
        .map(|moved: Moved| moved.changed)
}

/// Does the password in wp-config open the database?
pub fn connects(user: &User, php: &str, root: &Path) -> Result<bool> {
    #[derive(Deserialize)]
    struct Connects {
        connects: bool,
    }
    script(user, php, CONNECTS, &json!({ "root": root })).map(|seen: Connects| seen.connects)
}

fn script<T: DeserializeOwned>(user: &User, php: &str, script: &str, input: &Value) -> Result<T> {
    let mut command = run::command(&fpm::cli(php)?, user.rights());
    for setting in SETTINGS {
        command.args(["-d", setting]);
    }
    let code = [BEGIN, script]
        .map(|part| part.trim_start_matches("<?php"))
        .concat();
    let seen = run::run(command.arg("-r").arg(code), input.to_string().as_bytes())?;
    let answer = seen
        .output
        .lines()
        .rev()
        .find_map(|line| line.strip_prefix(ANSWER))
        .unwrap_or("{}");
    if let Ok(answer) = serde_json::from_str(answer) {
        return Ok(answer);
    }
    let failed = serde_json::from_str(answer).unwrap_or(Failed {
        error: "lost".into(),
        at: String::new(),
    });
    let error = match failed.error.as_str() {
        "database" => unavailable(
            "database_unreachable",
            "WordPress does not reach its database. Look at it: systemctl status mariadb (or mysql).",
        ),
        "stopped" | "lost" => broken(
            "wordpress_failed",
            "WordPress stopped with an error of its own.",
        ),
        code => refused(
            "wordpress_refused",
            format!(
                "WordPress did not accept what it was given: {}.",
                first_bytes(code, 100)
            ),
        ),
    };
    Err(with_detail(
        error,
        format!(
            "{} {} {}",
            seen.status,
            first_bytes(&failed.error, 100),
            first_bytes(&failed.at, 200)
        ),
    ))
}
