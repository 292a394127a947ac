//! Logins of registries: as a header of one request, or as a folder for one run of a program.
//!
//! Promise: never in an argument list or an environment; the folder is root's alone, in memory where the host has it, and
//! gone when dropped.

use super::reference::{Reference, same_registry};
use crate::fault::{Result, broken, io_at};
use crate::files;
use crate::secret;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use protocol::release::RegistryLogin;
use serde_json::{Map, Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Gone with the next boot, whatever happens.
const FOLDERS: &str = "/run/triphammer-logins";
/// No build takes so long.
const OLD: Duration = Duration::from_secs(24 * 3600);
/// What Docker Hub's login is filed under.
const HUB_ADDRESS: &str = "https://index.docker.io/v1/";
/// Where root may have installed plugins of the program.
const PLUGINS: &str = "/root/.docker/cli-plugins";

fn address(login: &RegistryLogin) -> &str {
    match same_registry(&login.registry) {
        "docker.io" => HUB_ADDRESS,
        other => other,
    }
}

/// The header that opens this image's registry; none when there is no login for it.
pub fn header(reference: &Reference, logins: &[RegistryLogin]) -> Option<String> {
    let login = logins
        .iter()
        .find(|login| same_registry(&login.registry) == same_registry(reference.registry()))?;
    let value = json!({
        "username": login.username,
        "password": login.password,
        "serveraddress": address(login),
    });
    Some(URL_SAFE.encode(value.to_string()))
}

/// A folder for `DOCKER_CONFIG`.
#[derive(Debug)]
pub struct LoginFolder(PathBuf);

impl LoginFolder {
    /// With these logins and nothing else.
    pub fn new(logins: &[RegistryLogin]) -> Result<Self> {
        let folders = Path::new(FOLDERS);
        files::directory(folders, 0o700)?;
        sweep(folders)?;
        let folder = Self(folders.join(secret::letters(16)));
        files::directory(&folder.0, 0o700)?;
        let auths: Map<String, Value> = logins
            .iter()
            .map(|login| {
                let auth = STANDARD.encode(format!("{}:{}", login.username, login.password));
                (address(login).to_string(), json!({ "auth": auth }))
            })
            .collect();
        let config = json!({ "auths": auths, "cliPluginsExtraDirs": [PLUGINS] });
        let text = serde_json::to_vec(&config)
            .map_err(|_| broken("reply_lost", "A login could not be written."))?;
        files::write(&folder.0.join("config.json"), &text, 0o600)?;
        Ok(folder)
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

/// Remove what killed jobs left.
fn sweep(folders: &Path) -> Result<()> {
    let entries = fs::read_dir(folders).map_err(|error| io_at(folders, &error))?;
    for entry in entries.flatten() {
        let changed = entry.metadata().and_then(|meta| meta.modified());
        if changed.is_ok_and(|at| at.elapsed().is_ok_and(|age| age > OLD)) {
            // Another job sweeps at the same time.
            let _ = fs::remove_dir_all(entry.path());
        }
    }
    Ok(())
}

impl Drop for LoginFolder {
    fn drop(&mut self) {
        // In memory only, and swept up by a later call.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn logins() -> Vec<RegistryLogin> {
        let login = |registry: &str, password: &str| RegistryLogin {
            registry: registry.into(),
            username: "deployer".into(),
            password: password.into(),
        };
        vec![
            login("ghcr.io", "one"),
            login("https://index.docker.io/v1/", "two"),
        ]
    }

    #[test]
    fn a_login_is_sent_to_its_own_registry_only() {
        let sent = |text: &str| {
            let header = header(&Reference::parse(text).expect(text), &logins())?;
            let bytes = URL_SAFE.decode(header).expect("base64");
            let value: Value = serde_json::from_slice(&bytes).expect("JSON");
            Some(value["password"].as_str().expect("a password").to_string())
        };
        assert_eq!(sent("ghcr.io/a/b").as_deref(), Some("one"));
        assert_eq!(sent("postgres:16").as_deref(), Some("two"));
        assert_eq!(sent("ghcr.io.evil.test/a"), None);
    }

    #[test]
    fn the_folder_goes_with_its_value() {
        let folder = LoginFolder::new(&logins()).expect("made");
        let path = folder.path().to_path_buf();
        let text = fs::read_to_string(path.join("config.json")).expect("read");
        assert!(text.contains("ghcr.io") && text.contains("https://index.docker.io/v1/"));
        drop(folder);
        assert!(!path.exists());
    }
}
