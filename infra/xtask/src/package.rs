//! Zips for Lambda: a binary called bootstrap, and what else its function needs.
//!
//! Promise: named by the hash of its contents, so an unchanged function is neither zipped nor uploaded again.

use crate::build::{agent_binary, local, release_binary, run, say, target};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::UNIX_EPOCH;
use zip::write::SimpleFileOptions;

/// A function's zip.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Package {
    /// The function.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// Hex SHA-256 of it.
    pub sha256: String,
    /// What it was made of, so that it is not made again.
    made_of: String,
}

/// What is in each function's zip beside its bootstrap.
fn extras(name: &str) -> Vec<(&'static str, PathBuf)> {
    if name == "install_agent" {
        vec![("triphammer-agent", agent_binary())]
    } else {
        Vec::new()
    }
}

fn fingerprint(path: &Path) -> Result<String> {
    let about = fs::metadata(path).with_context(|| format!("{} is not built", path.display()))?;
    let changed = about.modified()?.duration_since(UNIX_EPOCH)?.as_nanos();
    Ok(format!("{} {changed} {}", path.display(), about.len()))
}

/// The zips of these functions, of their debug build.
pub fn all(names: &[String]) -> Result<Vec<Package>> {
    let folder = local().join("zips");
    let one = |name: &String| one(&folder, name, &target().join("debug").join(name));
    names.iter().map(one).collect()
}

/// The same of their release build.
pub fn release(names: &[String]) -> Result<Vec<Package>> {
    let one = |name: &String| release_of(name, &release_binary(name));
    names.iter().map(one).collect()
}

/// The zip of any release binary.
pub fn release_of(name: &str, binary: &Path) -> Result<Package> {
    one(&local().join("zips-release"), name, binary)
}

fn one(folder: &Path, name: &str, binary: &Path) -> Result<Package> {
    fs::create_dir_all(folder)?;
    let extras = extras(name);
    let mut made_of = fingerprint(binary)?;
    for (_, path) in &extras {
        made_of.push_str(&fingerprint(path)?);
    }
    let stamp = folder.join(format!("{name}.json"));
    if let Some(package) = fs::read(&stamp)
        .ok()
        .and_then(|text| serde_json::from_slice::<Package>(&text).ok())
        && package.made_of == made_of
        && package.path.exists()
    {
        return Ok(package);
    }
    say(format!("zipping {name}"));
    let bytes = zipped(folder, name, binary, &extras)?;
    let sha256 = hex::encode(Sha256::digest(&bytes));
    let path = folder.join(format!("{name}.zip"));
    fs::write(&path, bytes)?;
    let package = Package {
        name: name.to_string(),
        path,
        sha256,
        made_of,
    };
    fs::write(stamp, serde_json::to_vec(&package)?)?;
    Ok(package)
}

fn zipped(folder: &Path, name: &str, binary: &Path, extras: &[(&str, PathBuf)]) -> Result<Vec<u8>> {
    let stripped = folder.join(format!("{name}.stripped"));
    run(Command::new("strip").arg("-o").arg(&stripped).arg(binary))?;
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    // Fixed times and the fastest level: the same binary gives the same zip, in a tenth of a second.
    let options = SimpleFileOptions::default()
        .unix_permissions(0o755)
        .compression_level(Some(1))
        .last_modified_time(zip::DateTime::default());
    let files = std::iter::once(("bootstrap", stripped.clone()))
        .chain(extras.iter().map(|(name, path)| (*name, path.clone())));
    for (name, path) in files {
        zip.start_file(name, options)?;
        zip.write_all(&fs::read(&path)?)?;
    }
    fs::remove_file(stripped)?;
    Ok(zip.finish()?.into_inner())
}
