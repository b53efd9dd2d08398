// SPDX-License-Identifier: Apache-2.0
//! Copies of stores that are larger than a batch, broken off and gone on with, refused, and watched at a terminal.

#![expect(
    clippy::unwrap_used,
    reason = "these are tests, in functions that they share"
)]

use std::fmt::Write as _;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use osprofiler_cli::{Environment, run};

/// More than a batch holds.
const MANY: usize = 25_000;

/// A start of the point `number`, as a line.
fn line(trace: &str, number: usize, info: &str) -> String {
    format!(
        "{{\"name\": \"db-start\", \"base_id\": \"{trace}\", \"trace_id\": \"p{number}\", \"parent_id\": \"{trace}\", \
         \"timestamp\": \"2026-01-01T00:{:02}:{:02}.{:06}\", \"info\": {info}, \"project\": null, \"service\": null}}\n",
        number / 60_000_000,
        number / 1_000_000 % 60,
        number % 1_000_000
    )
}

/// `count` lines of `traces` traces in turns.
fn lines(traces: usize, count: usize) -> String {
    let mut text = String::new();
    for number in 0..count {
        text += &line(
            &format!("t{}", number % traces),
            number,
            "{\"host\": \"a\"}",
        );
    }
    text
}

/// Copies everything and returns the exit code and the numbers of the JSON summary, without those that are 0.
fn copy(from: &str, to: &str) -> (u8, String) {
    let arguments = [
        "osprofiler",
        "trace",
        "copy",
        "--all",
        "--json",
        "--from",
        from,
        "--to",
        to,
    ];
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let arguments = arguments.map(Into::into);
    let status = run(arguments, &mut stdout, &mut stderr, &Environment::default());
    let summary = String::from_utf8(stdout).unwrap();
    let numbers = summary
        .split_once("\"traces\"")
        .map_or("", |(_, numbers)| numbers);
    let mut shown = String::new();
    for member in format!("\"traces\"{}", numbers.trim_end_matches("}\n")).split(", ") {
        let (name, number) = member.split_once(": ").unwrap_or((member, "0"));
        if number != "0" {
            write!(shown, "{} {number} ", name.trim_matches('"')).unwrap();
        }
    }
    (status.code(), shown.trim_end().to_owned())
}

fn export(store: &str) -> Vec<String> {
    let arguments = [
        "osprofiler",
        "trace",
        "export",
        "--all",
        "--connection-string",
        store,
    ];
    let mut stdout = Vec::new();
    let arguments = arguments.map(Into::into);
    let status = run(
        arguments,
        &mut stdout,
        &mut Vec::new(),
        &Environment::default(),
    );
    assert_eq!(status.code(), 0);
    let mut lines: Vec<_> = String::from_utf8(stdout)
        .unwrap()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort_unstable();
    lines
}

fn stores(folder: &Path) -> [String; 2] {
    ["file", "sqlite"].map(|scheme| format!("{scheme}://{}/{scheme}", folder.display()))
}

#[test]
fn traces_that_run_over_many_batches_are_copied_once() {
    for traces in [1, 7, 500] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("source");
        let text = lines(traces, MANY);
        let lost = "{\"osprofiler_lost\": 3, \"reason\": \"exit\", \"base_id\": \"t0\"}\n";
        // Some are there twice: written again after an unclear answer.
        fs::write(&path, format!("{lost}{text}{}{lost}", lines(traces, 100))).unwrap();
        let source = format!("file://{}", path.display());
        let mut expected: Vec<_> = text.lines().map(str::to_owned).collect();
        expected.push(lost.trim_end().replace('3', "6"));
        expected.sort_unstable();
        let [file, sqlite] = stores(folder.path());
        for (from, to, held) in [(&source, &sqlite, 100), (&sqlite, &file, 0)] {
            let held_before = if held == 0 {
                String::new()
            } else {
                format!(" held {held}")
            };
            let first =
                format!("traces {traces} traces_copied {traces} copied {MANY}{held_before} lost 6");
            assert_eq!(copy(from, to), (0, first));
            assert_eq!(export(to), expected);
            let again = format!("traces {traces} held {}", MANY + held);
            assert_eq!(copy(from, to), (0, again));
            assert_eq!(export(to), expected);
        }
    }
}

#[test]
fn what_is_partly_there_is_made_whole() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    let text = lines(3, MANY);
    fs::write(&path, &text).unwrap();
    let source = format!("file://{}", path.display());
    for target in stores(folder.path()) {
        // Each third line, which is all of one trace, and some of the others.
        let some = text.lines().enumerate();
        let some: String = some
            .filter(|(number, _)| number % 3 == 0 || number % 7 == 0)
            .flat_map(|(_, line)| [line, "\n"])
            .collect();
        fs::write(folder.path().join("part"), &some).unwrap();
        copy(&format!("file://{}/part", folder.path().display()), &target);
        let (there, left) = (some.lines().count(), MANY - some.lines().count());
        let expected = format!("traces 3 traces_copied 2 copied {left} held {there}");
        assert_eq!(copy(&source, &target), (0, expected));
        assert_eq!(export(&target), export(&source));
    }
}

/// The source is a pipe that stands still after some batches, so that the copy is broken off in its middle for certain.
#[test]
fn a_copy_that_was_interrupted_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let text = lines(50, MANY);
    for target in stores(folder.path()) {
        let pipe = folder.path().join("pipe");
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        let mut child = Command::new(env!("CARGO_BIN_EXE_osprofiler"))
            .args(["trace", "copy", "--all", "--to", &target])
            .args(["--from", &format!("file://{}", pipe.display())])
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut input = OpenOptions::new().write(true).open(&pipe).unwrap();
        // Once half is taken, a batch is on its way or there.
        input.write_all(&text.as_bytes()[..text.len() / 2]).unwrap();
        let store = target.split_once("://").unwrap().1;
        while !File::open(store).is_ok_and(|file| file.metadata().unwrap().len() > 0) {
            assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
            std::thread::yield_now();
        }
        let interrupt = Command::new("kill")
            .args(["-INT", &child.id().to_string()])
            .status();
        assert!(interrupt.unwrap().success());
        assert_eq!(child.wait().unwrap().code(), None);
        drop(input);
        fs::remove_file(&pipe).unwrap();

        let path = folder.path().join("source");
        fs::write(&path, &text).unwrap();
        let source = format!("file://{}", path.display());
        let (status, numbers) = copy(&source, &target);
        assert_eq!(status, 0);
        assert!(
            numbers.starts_with("traces 50 traces_copied 50 copied "),
            "{numbers}"
        );
        assert_eq!(export(&target), export(&source), "{numbers}");
        assert_eq!(
            copy(&source, &target),
            (0, format!("traces 50 held {MANY}"))
        );
    }
}

#[test]
fn a_target_that_is_too_small_is_a_failure() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    // Nothing that compression makes small.
    let mut state = 1_u64;
    let mut random = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        state >> 16
    };
    let mut text = String::new();
    for number in 0..300 {
        let info = format!("{:?}", (0..500).map(|_| random()).collect::<Vec<_>>());
        text += &line(
            &format!("t{number}"),
            number,
            &info.replace('[', "{\"a\": [").replace(']', "]}"),
        );
    }
    fs::write(&path, text).unwrap();
    let [_, sqlite] = stores(folder.path());
    let source = format!("file://{}", path.display());
    let (status, numbers) = copy(&source, &format!("{sqlite}?max_size=300KB"));
    assert_eq!(status, 1);
    assert!(numbers.contains("copied 300 given_up "), "{numbers}");
}

#[test]
fn progress_is_seen_at_a_terminal_only() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("source");
    fs::write(&path, lines(5, MANY)).unwrap();
    let source = format!("file://{}", path.display());
    for is_terminal in [true, false] {
        let [file, _] = stores(folder.path());
        let arguments = [
            "osprofiler",
            "trace",
            "copy",
            "--all",
            "--from",
            &source,
            "--to",
            &file,
        ];
        let environment = Environment {
            stderr_is_terminal: is_terminal,
            ..Environment::default()
        };
        let mut stderr = Vec::new();
        run(
            arguments.map(Into::into),
            &mut Vec::new(),
            &mut stderr,
            &environment,
        );
        let said = String::from_utf8(stderr).unwrap();
        let shown: Vec<&str> = said.split("\r\x1b[K").collect();
        if is_terminal {
            assert!(
                shown[1].starts_with("5 traces, 10000 notifications copied, 0 there already, "),
                "{said}"
            );
            assert!(shown[3].contains("note:"), "{said}");
        } else {
            assert_eq!(shown.len(), 1, "{said}");
        }
    }
}
