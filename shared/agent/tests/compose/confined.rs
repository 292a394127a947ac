//! What stands in Compose's place sees how it is run: with nobody's rights, no network, and nothing to read.

use super::{asked, plugin, resolve};
use agent::release::compose::Engine;
use std::os::unix::fs::PermissionsExt;

const CANARY: &str = "cAnArY-9c";

/// Tells what it sees as the command of a service.
const SPY: &str = r#"#!/bin/sh
file=$(cat)
seen="rights=$(id -u):$(id -g):$(id -G) $(tr '\n\t' '  ' < /proc/self/status)
interfaces=$(ls /sys/class/net 2>/dev/null | wc -l) routes=$(wc -l < /proc/net/route)
folder=$(pwd) entries=$(ls -A | wc -l) writes=$(touch x 2>/dev/null && echo yes || echo no)
arguments=$* environment=$(env | tr '\n' ' ')"
seen=$(printf '%s' "$seen" | tr '\n"\\' '   ')
case $file in *cAnArY-9c*) input=yes ;; *) input=no ;; esac
printf '{"name":"shop","services":{"web":{"image":"a","command":["input=%s %s"]}}}' "$input" "$seen"
"#;

#[test]
fn it_runs_as_nobody_without_a_network_in_an_empty_folder_and_values_go_in_by_its_input() {
    if plugin().is_none() {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary directory");
    let spy = folder.path().join("spy");
    std::fs::write(&spy, SPY).expect("written");
    for path in [folder.path(), &spy] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("set");
    }
    let mut asked = asked("services: {web: {image: a, command: $SECRET, environment: [SECRET]}}");
    asked.values.insert("SECRET".into(), CANARY.into());
    asked.profiles.push("wanted".into());
    let resolved =
        resolve(&Engine::at(&spy), &asked).unwrap_or_else(|error| panic!("{}", error.message));
    let seen = resolved.model["services"]["web"]["command"][0]
        .as_str()
        .expect("told")
        .to_string();
    for wanted in [
        "input=yes",
        "rights=65534:65534:65534 ",
        "NoNewPrivs: 1",
        "CapEff: 0000000000000000",
        "CapBnd: 0000000000000000",
        "routes=0 ",
        "folder=/run/triphammer-empty entries=0 writes=no",
        "--profile wanted config --format json",
    ] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    assert!(!seen.contains(CANARY), "{seen}");
}
