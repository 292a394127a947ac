//! What this machine must have.
//!
//! Promise: installs it where it may (apt as root, a venv for Python), once; otherwise says in one line what is missing.

use crate::build::{local, root, run, say};
use anyhow::{Result, bail};
use sha2::{Digest, Sha256};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A program, and the Debian package that has it.
const PROGRAMS: [(&str, &str); 8] = [
    ("cc", "gcc"),
    ("strip", "binutils"),
    ("mmdebstrap", "mmdebstrap"),
    ("systemd-nspawn", "systemd-container"),
    ("ip", "iproute2"),
    ("ssh-keygen", "openssh-client"),
    ("curl", "curl"),
    // The agent's tests start one of their own.
    ("mariadbd", "mariadb-server"),
];

/// Says no to every package that would start its service (`invoke-rc.d` asks it): only programs are wanted here.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// On this machine's PATH?
pub fn has(program: &str) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&paths)
        .chain([PathBuf::from("/usr/sbin"), PathBuf::from("/sbin")])
        .any(|folder| folder.join(program).exists())
}

/// Root on Debian or a relative of it.
pub fn may_install() -> bool {
    has("apt-get")
        && Command::new("id")
            .arg("-u")
            .output()
            .is_ok_and(|output| output.stdout == b"0\n")
}

/// Programs, and the local stack's Python packages.
pub fn ensure_tools() -> Result<()> {
    ensure_programs()?;
    ensure_venv("venv", &["infra/local/requirements.txt"]).map(|_| ())
}

fn ensure_programs() -> Result<()> {
    ensure(&PROGRAMS)
}

/// These programs, of these Debian packages.
pub fn ensure(programs: &[(&str, &'static str)]) -> Result<()> {
    let missing: Vec<&str> = programs
        .iter()
        .filter(|(program, _)| !has(program))
        .map(|(_, package)| *package)
        .collect();
    if missing.is_empty() {
        return Ok(());
    }
    if !may_install() {
        bail!(
            "these Debian packages are missing: {}; install them, or run this as root",
            missing.join(" ")
        );
    }
    say(format!("installing {}", missing.join(" ")));
    let apt = |arguments: &[&str]| {
        let mut apt = Command::new("apt-get");
        apt.args(["-qq", "-o", "DPkg::Lock::Timeout=300"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdout(Stdio::null());
        run(&mut apt)
    };
    apt(&["update"])?;
    let mut install = vec!["install", "-y", "--no-install-recommends"];
    install.extend(missing);
    // A machine that has a policy of its own keeps it.
    let ours = !Path::new(POLICY).exists();
    if ours {
        fs::write(POLICY, "#!/bin/sh\nexit 101\n")?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755))?;
    }
    let installed = apt(&install);
    if ours {
        fs::remove_file(POLICY)?;
    }
    installed
}

/// A virtual environment with these packages; made again only when the lists change.
pub fn ensure_venv(name: &str, requirements: &[&str]) -> Result<PathBuf> {
    let venv = local().join(name);
    let mut digest = Sha256::new();
    for list in requirements {
        digest.update(fs::read(root().join(list))?);
    }
    let wanted = hex::encode(digest.finalize());
    let stamp = venv.join("stamp");
    if fs::read_to_string(&stamp).is_ok_and(|stamp| stamp == wanted) {
        return Ok(venv);
    }
    say(format!(
        "installing Python packages into {}",
        venv.display()
    ));
    fs::create_dir_all(local())?;
    if !has("python3") {
        bail!("python3 is missing; install it with its venv module (apt-get install python3-venv)");
    }
    if run(Command::new("python3").args(["-m", "venv"]).arg(&venv)).is_err() {
        if !may_install() {
            bail!("python3 has no venv module; install it (apt-get install python3-venv)");
        }
        run(Command::new("apt-get")
            .args(["-qq", "install", "-y", "python3-venv"])
            .env("DEBIAN_FRONTEND", "noninteractive"))?;
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
    }
    let mut pip = Command::new(venv.join("bin/pip"));
    pip.current_dir(root())
        .args(["install", "--quiet", "--disable-pip-version-check"]);
    for list in requirements {
        pip.args(["-r", list]);
    }
    run(&mut pip)?;
    fs::write(stamp, wanted)?;
    Ok(venv)
}
