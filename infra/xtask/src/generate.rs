//! What is derived from the pipelines and the API, checked in so that people can read it.
//!
//! Promise: written here and nowhere else; `generate(true)` only compares, and names what is stale.

use crate::build::{read, root, run, say};
use crate::setup::ensure_venv;
use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

const TABLE_BEGIN: &str = "<!-- pipelines:begin -->\n";
const TABLE_END: &str = "<!-- pipelines:end -->";

fn files() -> Result<Vec<(PathBuf, String)>> {
    let pipelines = pipelines::all();
    let root = root();
    let mut files = Vec::new();
    for pipeline in &pipelines {
        let machine = serde_json::to_string_pretty(&machine::asl::definition(pipeline))? + "\n";
        files.push((
            root.join(format!("state-machines/{}.asl.json", pipeline.name)),
            machine,
        ));
        files.push((
            root.join(format!("state-machines/{}.txt", pipeline.name)),
            machine::tree::tree(pipeline),
        ));
    }
    let base: Value = serde_yaml_ng::from_str(&fs::read_to_string(root.join("infra/base.yaml"))?)
        .context("infra/base.yaml")?;
    let template = serde_yaml_ng::to_string(&machine::template::template(&base, &pipelines))?;
    files.push((
        root.join("infra/template.yaml"),
        format!(
            "# Generated from base.yaml and the pipelines by `cargo xtask generate`.\n{template}"
        ),
    ));
    files.push((
        root.join("openapi.json"),
        read(
            Command::new(env!("CARGO"))
                .current_dir(&root)
                .args(["run", "--quiet", "--bin", "api", "--", "openapi"]),
        )?,
    ));
    let readme = root.join("README.md");
    let text = fs::read_to_string(&readme)?;
    let (before, rest) = text
        .split_once(TABLE_BEGIN)
        .context("README.md has no mark for the table of pipelines")?;
    let (_, after) = rest
        .split_once(TABLE_END)
        .context("README.md has no mark for the end of the table of pipelines")?;
    files.push((
        readme,
        format!(
            "{before}{TABLE_BEGIN}{}{TABLE_END}{after}",
            machine::docs::table(&pipelines)
        ),
    ));
    Ok(files)
}

/// Write all, or with `check` only compare.
pub fn generate(check: bool) -> Result<()> {
    let mut stale = Vec::new();
    for (path, text) in files()? {
        if fs::read_to_string(&path).is_ok_and(|old| old == text) {
            continue;
        }
        stale.push(
            path.strip_prefix(root())
                .unwrap_or(&path)
                .display()
                .to_string(),
        );
        if !check {
            fs::create_dir_all(path.parent().context("a folder")?)?;
            fs::write(&path, text)?;
        }
    }
    if check && !stale.is_empty() {
        bail!("stale: {}; run: cargo xtask generate", stale.join(", "));
    }
    if !check {
        say(if stale.is_empty() {
            "all generated files are fresh".to_string()
        } else {
            format!("written: {}", stale.join(", "))
        });
    }
    Ok(())
}

/// What AWS's own rules say of the template and the machines.
pub fn lint() -> Result<()> {
    let check = ensure_venv(
        "check",
        &[
            "infra/local/requirements.txt",
            "infra/local/requirements-check.txt",
        ],
    )?;
    say("cfn-lint");
    run(Command::new(check.join("bin/cfn-lint"))
        .current_dir(root())
        .arg("infra/template.yaml"))?;
    say("the machines, by an Amazon States Language parser");
    run(Command::new(check.join("bin/python"))
        .current_dir(root())
        .arg("infra/local/check_machines.py"))
}
