// SPDX-License-Identifier: Apache-2.0
//! Command lines with all they say: each file in `transcripts/` is a list of them with exit code, stderr and stdout.
//!
//! A command runs in a folder that holds what [`World::new`] puts there, one a file of transcripts; that folder's name
//! reads `[FOLDER]`, what a store took `[TIME]`, whose a file is `[OWNER]`. A new case is a line `$ osprofiler ...`, with `NAME=value` before it for variables; there is no shell,
//! but a `'quoted word'` may hold blanks. `UPDATE_TRANSCRIPTS=1 cargo test -p osprofiler-cli --test transcripts` writes
//! the files anew: read the difference before you commit it.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

mod world;

use world::World;

#[test]
fn every_command_line_says_what_its_transcript_says() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    let update = std::env::var_os("UPDATE_TRANSCRIPTS").is_some();
    let mut differing = Vec::new();
    for path in paths {
        let expected = std::fs::read_to_string(&path).unwrap();
        let actual = replay(&expected);
        if update {
            std::fs::write(&path, &actual).unwrap();
        } else if actual != expected {
            differing.push(format!(
                "{}:\n{}",
                path.display(),
                first_difference(&expected, &actual)
            ));
        }
    }
    assert!(
        differing.is_empty(),
        "{}\nif this is as it should be: UPDATE_TRANSCRIPTS=1 cargo test -p osprofiler-cli --test transcripts",
        differing.join("\n")
    );
}

/// The transcript with every command's output as it is now. Text before the first command stays.
fn replay(transcript: &str) -> String {
    let world = World::new();
    let mut actual = String::new();
    let mut in_head = true;
    for line in transcript.lines() {
        if let Some(command_line) = line.strip_prefix("$ ") {
            if !in_head {
                actual.push('\n');
            }
            in_head = false;
            let output = run(command_line, world.folder());
            let status = output.status.code().unwrap();
            writeln!(actual, "{line}\nexit {status}").unwrap();
            write_stream(&mut actual, "stderr", &output.stderr, &world);
            write_stream(&mut actual, "stdout", &output.stdout, &world);
        } else if in_head {
            writeln!(actual, "{line}").unwrap();
        }
    }
    actual
}

/// Runs `NAME=value ... osprofiler argument ...` in `folder`, with no other variable of ours set.
fn run(command_line: &str, folder: &Path) -> Output {
    let command_line = command_line.replace("[FOLDER]", folder.to_str().unwrap());
    let mut words = split_words(&command_line).into_iter();
    let mut command = Command::new(env!("CARGO_BIN_EXE_osprofiler"));
    for name in [
        "OSPROFILER_CONNECTION_STRING",
        "NO_COLOR",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "XDG_RUNTIME_DIR",
    ] {
        command.env_remove(name);
    }
    // Whatever else is traced on this machine is none of the transcripts'.
    command.env("OSPROFILER_RUNTIME_DIR", folder.join("folder"));
    for word in words.by_ref() {
        match word.split_once('=') {
            Some((name, value)) => command.env(name, value),
            None => break,
        };
    }
    command.args(words).current_dir(folder).output().unwrap()
}

fn split_words(command_line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    for letter in command_line.chars() {
        match letter {
            '\'' => quoted = !quoted,
            ' ' if !quoted => words.push(String::new()),
            _ => words.last_mut().unwrap().push(letter),
        }
    }
    words
}

/// Each line after `| `; an escape character as `^[`, a tab as `^I`.
fn write_stream(actual: &mut String, name: &str, bytes: &[u8], world: &World) {
    if bytes.is_empty() {
        return;
    }
    let text = String::from_utf8_lossy(bytes)
        .replace(world.folder().to_str().unwrap(), "[FOLDER]")
        .replace('\x1b', "^[")
        .replace('\t', "^I");
    writeln!(actual, "{name}").unwrap();
    let text = steady(&text);
    for line in text.lines() {
        writeln!(actual, "{}", format!("| {line}").trim_end()).unwrap();
    }
    if !text.ends_with('\n') {
        actual.push_str("(no newline at the end)\n");
    }
}

/// The text without what is different on another machine: how long a store took, and whose a file is.
fn steady(text: &str) -> String {
    let mut text = text.to_owned();
    for (beginning, stands_for) in [
        ("belongs to ", "[OWNER]"),
        ("the oldest was written ", "[TIME]"),
        ("connection included: ", "[TIME]"),
        ("came back: ", "[TIME]"),
        ("it answers: ", "[TIME]"),
    ] {
        let mut parts = text.split(beginning);
        let mut steady = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let ends =
                |letter: char| "\n\"".contains(letter) || stands_for == "[TIME]" && letter == ';';
            let (_, rest) = part.split_at(part.find(ends).unwrap_or(part.len()));
            write!(steady, "{beginning}{stands_for}{rest}").unwrap();
        }
        text = steady;
    }
    text
}

fn first_difference(expected: &str, actual: &str) -> String {
    let (mut expected_lines, mut actual_lines) = (expected.lines(), actual.lines());
    let (mut number, mut command) = (0, "");
    loop {
        number += 1;
        let (expected, actual) = (expected_lines.next(), actual_lines.next());
        if let Some(line) = expected.filter(|line| line.starts_with("$ ")) {
            command = line;
        }
        if expected != actual {
            let show = |line: Option<&str>| line.unwrap_or("(the end)").to_owned();
            return format!(
                "  {command}\n  line {number}\n  expected: {}\n  actual:   {}",
                show(expected),
                show(actual)
            );
        }
    }
}
