//! The services that systemd keeps.
//!
//! Promise: only a unit that code names here is touched.

use crate::fault::{Result, unavailable, with_detail};
use crate::run::{self, As};

fn systemctl(verb: &str, unit: &str) -> Result<run::Outcome> {
    let program = run::need("systemctl", "systemd")?;
    run::run(
        run::command(&program, As::Root).args([verb, "--quiet", "--", unit]),
        b"",
    )
}

/// Is it running?
pub fn is_active(unit: &str) -> Result<bool> {
    Ok(systemctl("is-active", unit)?.ok)
}

/// Let it read its configuration again.
pub fn reload(unit: &str) -> Result<()> {
    act("reload", unit)
}

/// Start it.
pub fn start(unit: &str) -> Result<()> {
    // A unit that failed too often must be forgiven first; one that did not needs nothing.
    systemctl("reset-failed", unit)?;
    act("start", unit)
}

/// Stop it.
pub fn stop(unit: &str) -> Result<()> {
    act("stop", unit)
}

/// End it and start it again.
pub fn restart(unit: &str) -> Result<()> {
    systemctl("reset-failed", unit)?;
    act("restart", unit)
}

/// Start it with every boot; true when it was not so.
pub fn enable(unit: &str) -> Result<bool> {
    if systemctl("is-enabled", unit)?.ok {
        return Ok(false);
    }
    act("enable", unit)?;
    Ok(true)
}

/// Do not start it with a boot.
pub fn disable(unit: &str) -> Result<()> {
    act("disable", unit)
}

/// A unit file was written or removed.
pub fn read_units_again() -> Result<()> {
    let program = run::need("systemctl", "systemd")?;
    let seen = run::run(
        run::command(&program, As::Root).args(["daemon-reload", "--quiet"]),
        b"",
    )?;
    if seen.ok {
        return Ok(());
    }
    let error = unavailable(
        "service_down",
        "systemctl daemon-reload failed. Look at systemd: systemctl status.",
    );
    Err(with_detail(error, seen.status))
}

fn act(verb: &str, unit: &str) -> Result<()> {
    let seen = systemctl(verb, unit)?;
    if seen.ok {
        return Ok(());
    }
    let error = unavailable(
        "service_down",
        format!("systemctl {verb} {unit} failed. Look at it: systemctl status {unit}."),
    );
    Err(with_detail(error, seen.status))
}
