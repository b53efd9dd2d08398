// SPDX-License-Identifier: Apache-2.0
//! Completions for every shell and manual pages for every command: they exist, name what there is, and `man` can read them.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use osprofiler_cli::{Environment, Status, VARIABLES};

fn stdout_of(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_osprofiler"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(output.status.success(), "{arguments:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// A command's words, `osprofiler` first, and its long options, each with its help.
type Words = (Vec<String>, Vec<(String, String)>);

fn commands() -> Vec<Words> {
    fn walk(command: &clap::Command, path: &[String], found: &mut Vec<Words>) {
        let options = command
            .get_arguments()
            .filter(|argument| !argument.is_hide_set())
            .filter_map(|argument| {
                let help = argument.get_long_help().or(argument.get_help())?;
                Some((argument.get_long()?.to_owned(), help.to_string()))
            })
            .collect();
        found.push((path.to_vec(), options));
        for below in command.get_subcommands() {
            walk(
                below,
                &[path, &[below.get_name().to_owned()]].concat(),
                found,
            );
        }
    }
    let mut found = Vec::new();
    walk(
        &osprofiler_cli::command(&Environment::default()),
        &["osprofiler".to_owned()],
        &mut found,
    );
    found
}

#[test]
fn every_shells_completions_name_every_command_and_option() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout_of(&["completions", shell]);
        for (path, options) in commands() {
            let name = path.last().unwrap();
            assert!(script.contains(name.as_str()), "{shell}: {name}");
            for (option, _) in options {
                assert!(script.contains(&option), "{shell}: {name} --{option}");
            }
        }
    }
}

#[test]
fn bash_accepts_its_completions() {
    let script = stdout_of(&["completions", "bash"]);
    let status = Command::new("bash")
        .args(["-n", "-c", &script])
        .status()
        .unwrap();
    assert!(status.success());
}

#[test]
fn every_command_has_a_manual_page_that_names_its_options() {
    let folder = tempfile::tempdir().unwrap();
    stdout_of(&["man", "-o", folder.path().to_str().unwrap()]);
    let mut expected = BTreeSet::new();
    for (path, options) in commands() {
        let file = format!("{}.1", path.join("-"));
        let page = std::fs::read_to_string(folder.path().join(&file)).unwrap();
        assert!(page.contains("\n.SH SYNOPSIS\n"), "{file}");
        let page = page.replace("\\-", "-").replace("\\*(Aq", "'");
        for (option, help) in options {
            assert!(page.contains(&format!("--{option}")), "{file} --{option}");
            let line = help.lines().next().unwrap();
            assert!(page.contains(line), "{file} --{option}: {line}");
        }
        for status in Status::ALL {
            let line = format!("\n\\fB{}\\fR\n{}\n", status.code(), status.meaning());
            assert!(page.contains(&line), "{file} {status:?}");
        }
        for (name, meaning) in VARIABLES {
            let line = format!("\n\\fB{name}\\fR\n{meaning}\n");
            assert!(page.contains(&line), "{file} {name}");
        }
        let words: Vec<&str> = path[1..].iter().map(String::as_str).collect();
        let printed = stdout_of(&[&["man"], &words[..]].concat());
        assert_eq!(
            printed.trim_end(),
            std::fs::read_to_string(folder.path().join(&file))
                .unwrap()
                .trim_end()
        );
        expected.insert(file);
    }
    let written: BTreeSet<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn the_synopsis_of_a_manual_page_names_values() {
    for (command, expected) in [
        ("", "<COMMAND>"),
        ("trace show", "[OPTIONS] <TRACE>"),
        ("trace copy", "[OPTIONS] --to <STORE> <ID|--all>"),
    ] {
        let words = command.split_whitespace();
        let page = stdout_of(&std::iter::once("man").chain(words).collect::<Vec<_>>());
        let (_, synopsis) = page.split_once("\n.SH SYNOPSIS\n").unwrap();
        let line = synopsis.lines().next().unwrap().replace("\\-", "-");
        let whole = format!("osprofiler {command}");
        assert_eq!(line, format!("\\fB{}\\fR {expected}", whole.trim_end()));
    }
}

#[test]
fn a_manual_page_goes_by_its_own_name_too() {
    let page = stdout_of(&["man", "trace", "show"]);
    assert!(page.contains("trace show"), "{page}");
    for name in ["trace-show", "osprofiler-trace-show"] {
        assert_eq!(stdout_of(&["man", name]), page, "{name}");
    }
    assert_eq!(stdout_of(&["man", "osprofiler"]), stdout_of(&["man"]));
}

#[test]
fn the_document_tells_the_variables_that_the_manual_pages_tell() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/command.md");
    let document = std::fs::read_to_string(path).unwrap();
    let (_, table) = document
        .split_once("\n| Variable | Meaning |\n|---|---|\n")
        .unwrap();
    let (table, _) = table.split_once("\n\n").unwrap();
    let rows = VARIABLES.map(|(name, meaning)| format!("| `{name}` | {meaning} |"));
    assert_eq!(table, rows.join("\n"));
}
