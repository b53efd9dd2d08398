// SPDX-License-Identifier: Apache-2.0
//! What the command does when its output goes away, is full, or is a file that somebody else reads.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

fn osprofiler(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_osprofiler"));
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    command
        .args(arguments)
        .env_remove("CLICOLOR_FORCE")
        .env_remove("COLUMNS")
        .current_dir(fixtures);
    command
}

fn said(output: &Output) -> (Option<i32>, String) {
    let stderr = String::from_utf8(output.stderr.clone()).unwrap();
    (output.status.code(), stderr)
}

/// More than a pipe holds, so that the command is still writing when its reader is gone.
const LONG: [&str; 4] = ["trace", "show", "--json", "image-list.jsonl"];

#[test]
fn a_reader_that_goes_away_ends_the_command_quietly() {
    let mut child = osprofiler(&LONG)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(said(&output), (Some(0), String::new()));
}

#[test]
fn a_full_disk_behind_stdout_is_said() {
    for arguments in [
        &LONG[..],
        &["--version"],
        &["--help"],
        &["completions", "zsh"],
    ] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = osprofiler(arguments).stdout(full).output().unwrap();
        let message = "error: cannot write to standard output: no space left on device\n";
        assert_eq!(
            said(&output),
            (Some(1), message.to_owned()),
            "{arguments:?}"
        );
    }
}

#[test]
fn a_talk_that_nobody_hears_changes_nothing() {
    let full = File::options().write(true).open("/dev/full").unwrap();
    let status = osprofiler(&["trace", "show", "no-such-file.jsonl"])
        .stderr(full)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_failed_command_leaves_the_old_file() {
    let folder = tempfile::tempdir().unwrap();
    let report = folder.path().join("report.json");
    std::fs::write(&report, "old").unwrap();
    let out = report.to_str().unwrap();
    let output = osprofiler(&["trace", "show", "LICENSE.jsonl", "--json", "-o", out])
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(&report).unwrap(), "old");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_pipe_is_a_file() {
    let fixture = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/token-issue.jsonl");
    let whole = osprofiler(&["trace", "show", "--json", "token-issue.jsonl"])
        .output()
        .unwrap();
    for name in ["/dev/stdin", "-"] {
        let mut cat = Command::new("cat")
            .stdin(File::open(&fixture).unwrap())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let piped = osprofiler(&["trace", "show", "--json", name])
            .stdin(cat.stdout.take().unwrap())
            .output()
            .unwrap();
        cat.wait().unwrap();
        assert_eq!(said(&piped), (Some(0), String::new()), "{name}");
        assert_eq!(piped.stdout, whole.stdout, "{name}");
    }
}

#[test]
fn a_graphviz_that_warns_a_lot_before_it_reads_is_heard_out() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let dot = folder.path().join("dot");
    let script = "#!/bin/sh\nhead -c 200000 /dev/zero >&2\nwc -c > seen\n";
    std::fs::write(&dot, script).unwrap();
    std::fs::set_permissions(&dot, std::fs::Permissions::from_mode(0o700)).unwrap();
    let trace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/server-show.jsonl");
    let output = osprofiler(&["trace", "show", "--dot", "--render-dot", "graph"])
        .arg(trace)
        .current_dir(folder.path())
        .env("PATH", format!("{}:/usr/bin:/bin", folder.path().display()))
        .output()
        .unwrap();
    assert_eq!(said(&output), (Some(0), String::new()));
    let seen = std::fs::read_to_string(folder.path().join("seen")).unwrap();
    assert_eq!(seen.trim(), output.stdout.len().to_string());
    assert!(output.stdout.len() > 65536, "more than a pipe holds");
}
