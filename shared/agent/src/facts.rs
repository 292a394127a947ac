//! What this host is and has, and what must be put right before it can be used.
//!
//! Promise: only looks. Whatever is away is left out or listed as missing; it never fails the call.

use crate::database;
use crate::fault::first_bytes;
use crate::paths::Paths;
use crate::proxy;
use crate::run::{self, As};
use crate::web::{fpm, nginx, units};
use protocol::Facts;
use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

/// WordPress unpacked, its database and an update beside it take half of this.
const FREE_ENOUGH_BYTES: u64 = 1024 * 1024 * 1024;
/// One line of a version.
const LINE_LIMIT_BYTES: usize = 120;

/// See [`protocol::Call::Facts`].
pub fn facts(paths: &Paths) -> Facts {
    let php = fpm::versions(paths);
    let database = database::version();
    let web_server = nginx::version();
    let docker = docker();
    let homes = rustix::fs::statvfs(paths.homes());
    let (free, total) = homes.map_or((0, 0), |fs| {
        (fs.f_bavail * fs.f_frsize, fs.f_blocks * fs.f_frsize)
    });
    let mut sites = Vec::new();
    let mut lacks = |what: String| sites.push(what);
    match php.last() {
        None => lacks("php-fpm: install a PHP FPM package (apt install php-fpm)".into()),
        Some(version) => match fpm::has_mysqli(version) {
            Err(_) => lacks(format!(
                "php{version}-cli: PHP on the command line (apt install php{version}-cli)"
            )),
            Ok(false) => lacks(format!(
                "php{version}-mysql: PHP's MySQL extension (apt install php{version}-mysql)"
            )),
            Ok(true) => {}
        },
    }
    if let Err(error) = &database {
        lacks(match error.code.as_str() {
            "missing_software" => {
                "mariadb-server: install a database server (apt install mariadb-server)".into()
            }
            "database_unreachable" => {
                "the database server does not answer: systemctl status mariadb (or mysql)".into()
            }
            _ => format!("the database: {}", error.message),
        });
    }
    if web_server.is_none() {
        lacks("nginx: install a web server (apt install nginx)".into());
    } else if !paths.blocks_enabled().is_dir() {
        lacks("nginx: /etc/nginx/sites-enabled is missing; Debian's package has it (apt install nginx)".into());
    } else if let Err(error) = nginx::configuration() {
        lacks(error.message);
    } else if units::is_active("nginx.service").is_ok_and(|active| !active) {
        lacks("nginx is not running: systemctl status nginx".into());
    }
    if run::find("useradd").is_none() {
        lacks("passwd: the programs that make users (apt install passwd)".into());
    }
    if run::find("cron").is_none() {
        lacks("cron: it runs WordPress's schedule (apt install cron)".into());
    }
    if free < FREE_ENOUGH_BYTES {
        lacks(format!(
            "disk: only {} MB are free at {}; make room for 1024 MB",
            free / (1024 * 1024),
            paths.homes().display()
        ));
    }
    let releases = proxy::missing(paths);
    let system = rustix::system::uname();
    Facts {
        os: os(paths),
        architecture: system.machine().to_string_lossy().into_owned(),
        hostname: system.nodename().to_string_lossy().into_owned(),
        php,
        database: database.ok(),
        web_server,
        docker,
        disk_free_bytes: free,
        disk_total_bytes: total,
        clock_seconds: SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(0)),
        cpus: std::thread::available_parallelism()
            .map_or(1, |count| u32::try_from(count.get()).unwrap_or(u32::MAX)),
        memory_bytes: memory(paths),
        missing: BTreeMap::from([
            ("releases".to_string(), releases),
            ("sites".to_string(), sites),
        ]),
    }
}

fn os(paths: &Paths) -> String {
    let text = std::fs::read_to_string(paths.absolute("/etc/os-release")).unwrap_or_default();
    let name = text
        .lines()
        .find_map(|line| line.strip_prefix("PRETTY_NAME="))
        .unwrap_or("Linux");
    first_bytes(name.trim_matches('"'), LINE_LIMIT_BYTES)
}

fn memory(paths: &Paths) -> u64 {
    let text = std::fs::read_to_string(paths.absolute("/proc/meminfo")).unwrap_or_default();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))
        .unwrap_or_default();
    line.split_whitespace()
        .next()
        .and_then(|kib| kib.parse::<u64>().ok())
        .unwrap_or(0)
        * 1024
}

/// `Docker version 20.10.24+dfsg1, build 297e128` as `Docker 20.10.24`.
fn docker() -> Option<String> {
    let seen = run::run(
        run::command(&run::find("docker")?, As::Root).arg("--version"),
        b"",
    )
    .ok()?;
    let number = seen
        .output
        .strip_prefix("Docker version ")?
        .split([',', '+', ' '])
        .next()?;
    Some(format!(
        "Docker {}",
        first_bytes(number.trim(), LINE_LIMIT_BYTES)
    ))
}
