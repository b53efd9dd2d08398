// SPDX-License-Identifier: Apache-2.0
//! What the command does when its output goes away, is full, or is a file that somebody else reads, and where its
//! input has no name.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::fs::File;
use std::io::Write;
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
fn standard_input_goes_by_that_name() {
    let read = |arguments: &[&str], input: Stdio| {
        let output = osprofiler(arguments).stdin(input).output().unwrap();
        let (code, text) = said(&output);
        (code, text.lines().next().unwrap_or_default().to_owned())
    };
    let beside = ["trace", "show", "-", "--transport-url", "rabbit://h"];
    let refused = "error: `--transport-url` goes with `messaging://` only, not with standard input";
    assert_eq!(read(&beside, Stdio::null()), (Some(2), refused.to_owned()));
    // What is no file cannot be opened by its name.
    let trace = include_str!("../../../fixtures/token-issue.jsonl");
    let mut several = trace
        .lines()
        .next()
        .unwrap()
        .replace("base_id\": \"", "base_id\": \"x");
    several += "\n";
    several += trace;
    let mut child = osprofiler(&["trace", "show", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = child.stdin.take().unwrap();
    // It need not read all of it.
    let _broken_pipe = input.write_all(several.as_bytes());
    drop(input);
    let (_, text) = said(&child.wait_with_output().unwrap());
    let first = "error: cannot show standard input: it holds several traces\nhelp: write it to a file first";
    assert!(text.starts_with(first), "{text}");
    assert!(text.contains("file:///PATH`"), "{text}");
    let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
    let socket = std::os::fd::OwnedFd::from(socket);
    let unread = "error: cannot read standard input: no such device or address";
    assert_eq!(
        read(&["trace", "show", "-"], socket.into()),
        (Some(1), unread.to_owned())
    );
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
