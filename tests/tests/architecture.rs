//! The crates carry the architecture: who may know whom.

use cargo_metadata::{DependencyKind, MetadataCommand, Package};
use serde_json::Value;
use std::collections::BTreeSet;

/// What each crate may depend on, of ours.
const ARROWS: [(&str, &[&str]); 29] = [
    ("domain", &[]),
    ("protocol", &[]),
    ("archive", &[]),
    ("contract", &["domain"]),
    ("pipelines", &["domain"]),
    ("machine", &["domain", "pipelines"]),
    ("records", &["domain"]),
    ("kit", &["domain", "pipelines", "protocol", "records"]),
    ("sites", &["domain", "kit", "protocol"]),
    ("client", &["contract", "domain"]),
    ("cli", &["client", "contract", "domain"]),
    ("agent", &["archive", "protocol"]),
    (
        "agent-callback",
        &["backups", "domain", "kit", "protocol", "records"],
    ),
    (
        "testkit",
        &[
            "domain",
            "kit",
            "machine",
            "pipelines",
            "protocol",
            "records",
        ],
    ),
    (
        "api",
        &[
            "backups",
            "contract",
            "domain",
            "kit",
            "pipelines",
            "records",
        ],
    ),
    ("dispatcher", &["domain", "kit", "records"]),
    ("settle", &["domain", "kit", "records"]),
    ("sweeper", &["domain", "kit", "records"]),
    (
        "scheduler",
        &["backups", "domain", "kit", "pipelines", "records"],
    ),
    ("live", &["contract", "domain", "kit", "records"]),
    ("notifier", &["contract", "domain", "kit", "records"]),
    ("sender", &["contract", "domain", "kit", "records"]),
    (
        "steps",
        &[
            "backups",
            "domain",
            "kit",
            "pipelines",
            "protocol",
            "records",
            "sites",
        ],
    ),
    // The last two for its benchmarks alone.
    (
        "xtask",
        &[
            "domain",
            "machine",
            "pipelines",
            "records",
            "kit",
            "testkit",
        ],
    ),
    ("e2e", &["records", "xtask"]),
    ("fuzz", &[]),
    ("sample-app", &[]),
    ("releases", &[]),
    ("backups", &["domain", "kit", "pipelines", "protocol"]),
];

/// Who may make clients of AWS: the records, the kit that makes them, the store of backups, and the tools around.
const KNOWS_AWS: [&str; 6] = ["records", "kit", "backups", "xtask", "testkit", "e2e"];

fn packages() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .expect("metadata")
        .packages
}

fn normal(package: &Package) -> BTreeSet<&str> {
    package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind == DependencyKind::Normal)
        .map(|dependency| dependency.name.as_str())
        .collect()
}

#[test]
fn each_crate_knows_only_those_below_it() {
    let packages = packages();
    let ours: BTreeSet<&str> = packages
        .iter()
        .map(|package| package.name.as_str())
        .collect();
    for package in &packages {
        let (_, allowed) = ARROWS
            .iter()
            .find(|(name, _)| *name == package.name.as_str())
            .unwrap_or_else(|| panic!("{} has no place in the architecture yet", package.name));
        let known: Vec<&str> = normal(package)
            .into_iter()
            .filter(|name| ours.contains(name))
            .collect();
        assert!(
            known.iter().all(|name| allowed.contains(name)),
            "{} depends on {known:?}, but may on {allowed:?}",
            package.name
        );
    }
}

#[test]
fn only_a_few_crates_speak_to_aws() {
    for package in packages() {
        let speaks = normal(&package)
            .iter()
            .any(|name| name.starts_with("aws-sdk-"));
        assert!(
            !speaks || KNOWS_AWS.contains(&package.name.as_str()),
            "{}",
            package.name
        );
    }
}

#[test]
fn every_crate_is_held_to_the_workspaces_lints_and_is_not_published() {
    for package in packages() {
        let manifest = std::fs::read_to_string(&package.manifest_path).expect("a manifest");
        assert!(
            manifest.contains("[lints]\nworkspace = true"),
            "{}",
            package.name
        );
        assert_eq!(
            package.publish.as_deref(),
            Some(&[][..]),
            "{}",
            package.name
        );
    }
}

#[test]
fn the_tests_tables_have_the_keys_and_indexes_of_the_template() {
    let base: Value = serde_yaml_ng::from_str(include_str!("../../infra/base.yaml")).expect("YAML");
    let table = &base["Resources"]["Records"]["Properties"];
    let keys = |schema: &Value| {
        schema
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|key| key["AttributeName"].as_str().map(str::to_string))
            .collect::<Vec<_>>()
    };
    assert_eq!(keys(&table["KeySchema"]), ["pk", "sk"]);
    let indexes: Vec<(String, Vec<String>)> = table["GlobalSecondaryIndexes"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|index| {
            (
                index["IndexName"].as_str().unwrap_or_default().to_string(),
                keys(&index["KeySchema"]),
            )
        })
        .collect();
    let expected: Vec<(String, Vec<String>)> = records::INDEXES
        .iter()
        .map(|(name, partition, sort)| {
            (
                name.to_string(),
                vec![partition.to_string(), sort.to_string()],
            )
        })
        .collect();
    assert_eq!(indexes, expected);
}
