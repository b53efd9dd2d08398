// SPDX-License-Identifier: Apache-2.0
//! What is nowhere in some folders: files, sockets, clocks, the environment. In: their Rust sources, without comments, texts and
//! unit tests. A word that is forbidden stands in a list, and so does each file that may have it.

use std::collections::HashSet;

use crate::sources::code;
use crate::{assert_none, extension, files, text};

/// Words by which code reaches files, sockets, other processes, the terminal and the environment.
const OUTSIDE: &[&str] = &[
    "Command",
    "File",
    "OpenOptions",
    "TcpListener",
    "TcpStream",
    "UdpSocket",
    "UnixDatagram",
    "UnixListener",
    "UnixStream",
    "env",
    "eprint",
    "eprintln",
    "fs",
    "net",
    "print",
    "println",
    "process",
    "stderr",
    "stdin",
    "stdout",
];

/// Words by which it reaches a clock, or waits.
const TIME: &[&str] = &[
    "Instant",
    "SystemTime",
    "UNIX_EPOCH",
    "park",
    "park_timeout",
    "sleep",
];

/// The calls to the system that the recorder makes, with their numbers and types: memory, and a barrier on other threads.
const RECORDERS_CALLS: &[&str] = &[
    "MADV_NOHUGEPAGE",
    "MADV_WIPEONFORK",
    "MAP_ANONYMOUS",
    "MAP_FAILED",
    "MAP_NORESERVE",
    "MAP_PRIVATE",
    "MEMBARRIER_CMD_PRIVATE_EXPEDITED",
    "MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED",
    "PROT_READ",
    "PROT_WRITE",
    "SYS_membarrier",
    "_SC_PAGESIZE",
    "c_int",
    "madvise",
    "mmap",
    "munmap",
    "syscall",
    "sysconf",
];

/// What a file may have beside, because it is there for that.
const MAY: &[(&str, &[&str])] = &[
    (
        "crates/osprofiler/src/recorder/clock.rs",
        &[
            "CLOCK_MONOTONIC",
            "SystemTime",
            "UNIX_EPOCH",
            "clock_gettime",
            "timespec",
        ],
    ),
    (
        "crates/osprofiler/src/recorder/ids.rs",
        &["GRND_NONBLOCK", "getrandom", "process"],
    ),
];

/// A folder of sources, and what is not in it.
struct Fence {
    folder: &'static str,
    forbidden: &'static [&'static [&'static str]],
    calls: &'static [&'static str],
}

const FENCES: &[Fence] = &[
    Fence {
        folder: "crates/osprofiler/src/recorder/",
        forbidden: &[OUTSIDE, TIME],
        calls: RECORDERS_CALLS,
    },
    Fence {
        folder: "crates/osprofiler-report/src/",
        // Nor does it ask the stages that know them.
        forbidden: &[OUTSIDE, TIME, &["delivery", "recorder", "registry"]],
        calls: &[],
    },
];

/// A source up to its unit tests.
fn without_tests(text: &str) -> &str {
    let tests = text.find("#[cfg(test)]\nmod tests {");
    &text[..tests.unwrap_or(text.len())]
}

/// The words of a piece of code.
fn words(piece: &str) -> impl Iterator<Item = &str> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    piece
        .split(move |letter| !is_word(letter))
        .filter(|word| !word.is_empty())
}

/// The words of a file's code that its fence forbids, with their lines.
fn found<'t>(fence: &Fence, path: &str, text: &'t str) -> Vec<(usize, &'t str)> {
    let may = MAY.iter().find(|(file, _)| *file == path);
    let may = may.map_or(&[][..], |(_, words)| words);
    let mut found = Vec::new();
    for (number, line) in without_tests(text).lines().enumerate() {
        for piece in code(line) {
            let mut before = "";
            for word in words(piece) {
                // A list in an import would hide what is called: each call is named where it is made.
                let is_import = before == "use" && word == "libc";
                let is_call = before == "libc" && !fence.calls.contains(&word);
                let is_forbidden = fence.forbidden.iter().any(|words| words.contains(&word));
                if (is_import || is_call || is_forbidden) && !may.contains(&word) {
                    found.push((number + 1, word));
                }
                before = word;
            }
        }
    }
    found
}

#[test]
fn the_recorder_and_the_report_touch_nothing_outside() {
    let files = files();
    let mut faults = Vec::new();
    for fence in FENCES {
        let sources = files
            .iter()
            .filter(|path| path.starts_with(fence.folder) && extension(path) == "rs");
        let mut count = 0;
        for path in sources {
            let text = text(path).unwrap();
            for (line, word) in found(fence, path, &text) {
                faults.push(format!("{path}:{line}: `{word}`"));
            }
            count += 1;
        }
        assert!(count > 5, "{} has {count} sources", fence.folder);
    }
    assert_none("ARCHITECTURE.md, \"What is nowhere\"", &faults);
}

/// Those of the words that are not in a file's code.
fn unused<'w>(text: &str, may: &[&'w str]) -> Vec<&'w str> {
    let lines = without_tests(text).lines();
    let used: HashSet<&str> = lines.flat_map(code).flat_map(words).collect();
    let unused = may.iter().filter(|word| !used.contains(*word));
    unused.copied().collect()
}

#[test]
fn what_a_comment_or_a_text_names_is_not_used() {
    let text = "/// No `Instant`.\nlet text = \"process\"; // getrandom\ncall(SystemTimes, libc::timespec)";
    let may = ["Instant", "process", "getrandom", "SystemTime", "timespec"];
    assert_eq!(unused(text, &may), may[..4]);
}

#[test]
fn what_a_file_may_have_it_has() {
    let mut faults = Vec::new();
    for (path, words) in MAY {
        for word in unused(&text(path).unwrap(), words) {
            faults.push(format!("{path}: `{word}` may be there, and is not"));
        }
    }
    assert_none("an exception is for something", &faults);
}

#[test]
fn a_breach_is_seen_however_it_is_written() {
    let recorder = &FENCES[0];
    for (code, word) in [
        ("use std::fs;", Some("fs")),
        ("use std::{env, io};", Some("env")),
        ("let file = std::fs::File::open(path);", Some("fs")),
        ("let now = time::SystemTime::now();", Some("SystemTime")),
        ("unsafe { libc::open(path, 0) };", Some("open")),
        ("unsafe { libc::munmap(made, bytes) };", None),
        ("use libc::{mmap, open};", Some("libc")),
        ("// use std::fs;", None),
        ("let text = \"std::fs\";", None),
        ("let a = \"file://x\"; std::fs::read(a)", Some("fs")),
        ("let a = \"x\"; // \"std::fs\" is std::fs", None),
        ("#[cfg(test)]\nmod tests {\n    use std::fs;", None),
    ] {
        let found = found(recorder, "crates/osprofiler/src/recorder/info.rs", code);
        assert_eq!(found.first().map(|(_, word)| *word), word, "{code}");
    }
}
