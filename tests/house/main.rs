// SPDX-License-Identifier: Apache-2.0
//! Tests that keep the house: what the documents promise about the sources holds, and what they name is there.
//!
//! They read the files that git knows or would take, so junk that is ignored does not count. Nothing is built or run but
//! `git ls-files` and `cargo metadata`. A failure says what to do; the lists of exceptions are short and stand here.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

mod dependencies;
mod documents;
mod nowhere;
mod sources;
mod texts;

use std::path::{Path, PathBuf};
use std::process::Command;

/// The repository's top folder.
fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// Every file of the repository, as a path below [`root`].
fn files() -> Vec<String> {
    let listing = stdout_of(
        "git",
        &["ls-files", "--cached", "--others", "--exclude-standard"],
    );
    let files: Vec<String> = listing
        .lines()
        .filter(|path| root().join(path).is_file())
        .map(str::to_owned)
        .collect();
    assert!(files.len() > 20, "git lists too little: {files:?}");
    files
}

/// What follows the last dot of a path's last name, or nothing.
fn extension(path: &str) -> &str {
    let extension = Path::new(path).extension();
    extension.and_then(|text| text.to_str()).unwrap_or_default()
}

/// The text of a file below [`root`]; `None` if it is not UTF-8.
fn text(path: &str) -> Option<String> {
    String::from_utf8(std::fs::read(root().join(path)).unwrap()).ok()
}

fn stdout_of(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root())
        .output()
        .unwrap_or_else(|error| panic!("cannot run `{program}`: {error}"));
    assert!(
        output.status.success(),
        "`{program} {}` failed: {}",
        arguments.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Fails with all of `faults`, one a line, after what the rule is.
fn assert_none(rule: &str, faults: &[String]) {
    assert!(faults.is_empty(), "{rule}:\n  {}", faults.join("\n  "));
}

fn exists(path: &str) -> bool {
    root().join(PathBuf::from(path)).exists()
}
