// SPDX-License-Identifier: Apache-2.0
//! What the command asks at a terminal, which `script` makes, and what it does not ask elsewhere.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

/// Removes all traces of a store that holds one, at a terminal at which `answer` is typed; what was said, and whether the trace is
/// still there.
fn prune(answer: &str, options: &str) -> (String, bool) {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store.jsonl");
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    fs::copy(fixtures.join("token-issue.jsonl"), &store).unwrap();
    let program = env!("CARGO_BIN_EXE_osprofiler");
    let line = format!(
        "{program} trace prune --older-than 0s {options} --connection-string file://{}",
        store.display()
    );
    let mut child = Command::new("script")
        .args(["-qec", &line, "/dev/null"])
        .env("NO_COLOR", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    // Open until it has ended: at the end of its input `script` would hang up.
    let mut input = child.stdin.take().unwrap();
    input.write_all(answer.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    drop(input);
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stdout).unwrap();
    let said = said.replace(folder.path().to_str().unwrap(), "[FOLDER]");
    (said, fs::metadata(&store).unwrap().len() > 0)
}

#[test]
fn nothing_is_removed_at_a_terminal_without_a_yes() {
    let question = "remove 1 trace from `file://[FOLDER]/store.jsonl`? [y/N]";
    for (answer, options, asks, stays) in [
        ("\n", "", true, true),
        ("no\n", "", true, true),
        ("Y\n", "", true, false),
        ("yes\n", "", true, false),
        ("", "--yes", false, false),
        ("", "--dry-run", false, true),
    ] {
        let (said, is_there) = prune(answer, options);
        assert_eq!(said.contains(question), asks, "{said}");
        assert_eq!(is_there, stays, "{answer:?} {options}: {said}");
        assert_eq!(
            said.contains("nothing was removed"),
            asks && stays,
            "{said}"
        );
    }
}
