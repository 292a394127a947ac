//! The service that keeps Caddy running with our configuration.
//!
//! Promise: it is set up where Caddy is and its ports are free, a repeat changes nothing, and its removal takes the
//! unit, the routes and the certificates. Debian's own caddy.service is left alone.

use super::kept::{self, Kept, Locked};
use super::{admin, config, ports};
use crate::fault::{Result, io_at, refused};
use crate::files;
use crate::paths::Paths;
use crate::run;
use crate::web::units;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The unit's name.
pub const UNIT: &str = "triphammer-proxy.service";
/// systemd says that it started when Caddy said so; the rest is a slow host.
const ANSWERS_WITHIN: Duration = Duration::from_secs(10);
/// Between two looks.
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// Connections that wait at a port while its listener is replaced by another one go to that, instead of being reset.
/// Caddy opens its ports anew with each configuration; this is what makes that safe. Linux 5.14 and newer.
const SYSCTL: &str = "net/ipv4/tcp_migrate_req";

fn unit_file(paths: &Paths) -> PathBuf {
    paths.absolute("/etc/systemd/system").join(UNIT)
}

fn sysctl_file(paths: &Paths) -> PathBuf {
    paths.absolute("/etc/sysctl.d/60-triphammer-proxy.conf")
}

/// Certificates and their keys; the second is where systemd keeps it, the first a link there.
fn data(paths: &Paths) -> [PathBuf; 2] {
    [
        paths.absolute("/var/lib/triphammer-proxy"),
        paths.absolute("/var/lib/private/triphammer-proxy"),
    ]
}

/// A user of its own that exists as long as it runs. Debian's user caddy may read the files of web servers; and two
/// Caddies of one user share a port without a word, each with half of the requests: this one cannot share caddy.service's.
/// It reads its configuration as a credential, for the agent's folder is root's alone.
fn unit_text(caddy: &Path, start_file: &Path) -> String {
    format!(
        "# managed by triphammer
[Unit]
Description=Triphammer's proxy in front of containers
After=network.target network-online.target
Wants=network-online.target
StartLimitIntervalSec=0

[Service]
Type=notify
DynamicUser=yes
User=triphammer-proxy
LoadCredential=caddy.json:{start_file}
ExecStart={caddy} run --config ${{CREDENTIALS_DIRECTORY}}/caddy.json
Environment=HOME=/var/lib/triphammer-proxy XDG_DATA_HOME=/var/lib/triphammer-proxy XDG_CONFIG_HOME=/var/lib/triphammer-proxy
StateDirectory=triphammer-proxy
StateDirectoryMode=0700
RuntimeDirectory=triphammer-proxy
RuntimeDirectoryMode=0700
UMask=0077
Restart=always
RestartSec=1
TimeoutStopSec=10
LimitNOFILE=1048576
AmbientCapabilities=CAP_NET_BIND_SERVICE
CapabilityBoundingSet=CAP_NET_BIND_SERVICE
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict
PrivateTmp=yes
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK

[Install]
WantedBy=multi-user.target
",
        start_file = start_file.display(),
        caddy = caddy.display(),
    )
}

/// Was it set up?
pub fn is_there(paths: &Paths) -> bool {
    files::exists(&unit_file(paths))
}

/// Make the proxy ready: its unit, its folders, a first configuration; a repeat changes nothing. Part of the agent's
/// installation where Caddy and a container engine are present.
pub fn set_up(paths: &Paths) -> Result<bool> {
    let locked = kept::lock(paths)?;
    set_up_locked(paths, &Kept::read(paths)?, &locked)
}

/// Let Caddy run these routes, and start it first if it does not run; true when it ran others.
pub fn load(paths: &Paths, kept: &Kept, locked: &Locked) -> Result<bool> {
    match load_into_running(paths, kept) {
        Err(error) if error.code == admin::DOWN => {}
        done => return done,
    }
    // With the routes that are kept: these here it may not take.
    set_up_locked(paths, &Kept::read(paths)?, locked)?;
    load_into_running(paths, kept)
}

fn load_into_running(paths: &Paths, kept: &Kept) -> Result<bool> {
    let (runs, wanted) = (admin::running(paths)?, kept.configuration(paths)?);
    if runs == wanted {
        return Ok(false);
    }
    // A Caddy that meets a port it cannot have goes on answering at the ones it could, half of the time with what it
    // refused (caddyserver/caddy#7175, until 2.10.2). So it is not led there,
    free_ports(config::ports(&wanted).difference(&config::ports(&runs)))?;
    let loaded = admin::load(paths, kept.text(paths)?.as_bytes());
    // and where it got there, for a port was taken just then, only a restart helps.
    if loaded
        .as_ref()
        .is_err_and(|error| error.code == "port_taken")
        && is_there(paths)
    {
        units::restart(UNIT)?;
    }
    loaded.map(|()| true)
}

fn set_up_locked(paths: &Paths, kept: &Kept, _locked: &Locked) -> Result<bool> {
    let caddy = run::need("caddy", "caddy")?;
    run::need("systemctl", "systemd")?;
    free_ports(&config::ports(&kept.configuration(paths)?))?;
    let mut changed = kept.store_start_file(paths)?;
    changed |= keep_waiting_connections(paths)?;
    let text = unit_text(&caddy, &kept::start_file(&Paths::host()));
    let file = unit_file(paths);
    let is_new = files::read(&file)?.as_deref() != Some(&text);
    if is_new {
        files::write(&file, text.as_bytes(), 0o644)?;
        units::read_units_again()?;
        changed = true;
    }
    changed |= units::enable(UNIT)?;
    if !units::is_active(UNIT)? {
        units::start(UNIT)?;
        changed = true;
    } else if is_new {
        units::restart(UNIT)?;
    }
    let until = Instant::now() + ANSWERS_WITHIN;
    while !admin::is_there(paths) && Instant::now() < until {
        thread::sleep(LOOK_AGAIN);
    }
    changed |= load_into_running(paths, kept)?;
    Ok(changed)
}

fn free_ports<'a>(wanted: impl IntoIterator<Item = &'a u16>) -> Result<()> {
    for port in wanted {
        if let Some(holder) = ports::holder(*port)?
            && holder.unit.as_deref() != Some(UNIT)
        {
            return Err(refused(
                "port_taken",
                format!("On this server, {}.", holder.complaint(*port)),
            ));
        }
    }
    Ok(())
}

/// Now, and after every boot. A kernel that has no such switch, or a container that may not turn it, is no failure.
fn keep_waiting_connections(paths: &Paths) -> Result<bool> {
    let text = format!(
        "# managed by triphammer\n-{} = 1\n",
        SYSCTL.replace('/', ".")
    );
    let file = sysctl_file(paths);
    let _ = fs::write(paths.absolute("/proc/sys").join(SYSCTL), "1\n");
    if files::read(&file)?.as_deref() == Some(&text) {
        return Ok(false);
    }
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(|error| io_at(folder, &error))?;
    }
    files::write(&file, text.as_bytes(), 0o644)?;
    Ok(true)
}

/// The opposite of [`set_up`], with all routes and certificates; true when anything was there.
pub fn remove(paths: &Paths) -> Result<bool> {
    let mut removed = false;
    if is_there(paths) {
        units::disable(UNIT)?;
        units::stop(UNIT)?;
        // Last: as long as it is there, a repeat comes here again.
        files::remove(&unit_file(paths))?;
        units::read_units_again()?;
        removed = true;
    }
    removed |= files::remove(&sysctl_file(paths))?;
    let [link, folder] = data(paths);
    for path in [folder, paths.proxy()] {
        removed |= remove_all(&path)?;
    }
    removed |= files::exists(&link) && (files::remove(&link).is_ok() || remove_all(&link)?);
    Ok(removed)
}

fn remove_all(path: &Path) -> Result<bool> {
    match fs::remove_dir_all(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(io_at(path, &error)),
    }
}
