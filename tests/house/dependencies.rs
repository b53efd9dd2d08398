// SPDX-License-Identifier: Apache-2.0
//! What a service links stays small, and builds without a C++ toolchain or cmake.

use serde_json::Value;

use crate::{assert_none, stdout_of, text};

/// The most external crates that the core names itself, with `--no-default-features`.
const MOST_CORE_DEPENDENCIES: usize = 8;

/// Crates that cost minutes and cmake, or the system's libraries; rustls with `ring` takes their place.
const BANNED: &[&str] = &[
    "aws-lc-rs",
    "aws-lc-sys",
    "aws-lc-fips-sys",
    "openssl-sys",
    "native-tls",
];

fn packages() -> Vec<Value> {
    let metadata = stdout_of(
        "cargo",
        &[
            "metadata",
            "--format-version",
            "1",
            "--no-deps",
            "--offline",
        ],
    );
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["packages"].as_array().unwrap().clone()
}

#[test]
fn the_core_has_few_dependencies() {
    let packages = packages();
    let core = packages
        .iter()
        .find(|package| package["name"] == "osprofiler")
        .unwrap();
    let names: Vec<&str> = core["dependencies"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|dependency| {
            dependency["kind"].is_null()
                && dependency["optional"] == false
                && dependency["path"].is_null()
        })
        .map(|dependency| dependency["name"].as_str().unwrap())
        .collect();
    assert!(
        names.len() <= MOST_CORE_DEPENDENCIES,
        "the core names {} external crates, {MOST_CORE_DEPENDENCIES} are allowed: {names:?}",
        names.len()
    );
}

#[test]
fn crates_that_cost_minutes_stay_out() {
    let lock = text("Cargo.lock").unwrap();
    let found: Vec<String> = lock
        .lines()
        .filter_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"'))
        .filter(|name| BANNED.contains(name))
        .map(str::to_owned)
        .collect();
    assert_none(
        "crates that must not be in Cargo.lock (use rustls with `ring`)",
        &found,
    );
}

#[test]
fn every_crate_takes_versions_and_lints_from_the_workspace() {
    let mut faults = Vec::new();
    for package in packages() {
        let manifest = package["manifest_path"].as_str().unwrap();
        let manifest_text = std::fs::read_to_string(manifest).unwrap();
        if !manifest_text.contains("[lints]\nworkspace = true") {
            faults.push(format!("{manifest}: no `[lints] workspace = true`"));
        }
        let mut section = "";
        for line in manifest_text.lines() {
            if line.starts_with('[') {
                section = line;
            } else if section.contains("dependencies]")
                && line.contains('=')
                && !line.starts_with('#')
                && !line.contains("workspace = true")
            {
                faults.push(format!("{manifest}: {line}"));
            }
        }
    }
    assert_none(
        "versions and lint levels stand once, in the workspace's Cargo.toml",
        &faults,
    );
}
