// SPDX-License-Identifier: Apache-2.0
//! How source files look: their first lines, their length, and what they must not hold.

use crate::{assert_none, extension, files, text};

/// The most lines of a source file.
const MOST_LINES: usize = 600;

/// The only files with `unsafe` in them. Each has a reason to be here: shared memory, the operating system, C's interface.
const FILES_WITH_UNSAFE: &[&str] = &[
    "crates/osprofiler-python/src/arguments.rs",
    "crates/osprofiler-python/src/context.rs",
    "crates/osprofiler-python/src/function.rs",
    "crates/osprofiler-python/src/function/attributes.rs",
    "crates/osprofiler-python/src/gil.rs",
    "crates/osprofiler-python/src/heap_type.rs",
    "crates/osprofiler-python/src/notifier.rs",
    "crates/osprofiler-python/src/raised.rs",
    "crates/osprofiler-python/src/replaced.rs",
    "crates/osprofiler-python/src/trace.rs",
    "crates/osprofiler/src/delivery/bounds.rs",
    "crates/osprofiler/src/delivery/exit.rs",
    "crates/osprofiler/src/delivery/fork.rs",
    "crates/osprofiler/src/delivery/futex.rs",
    "crates/osprofiler/src/delivery/process.rs",
    "crates/osprofiler/src/delivery/spool/owner.rs",
    "crates/osprofiler/src/delivery/published/folders.rs",
    "crates/osprofiler/src/delivery/table.rs",
    "crates/osprofiler/src/delivery/thread.rs",
    "crates/osprofiler/src/recorder/clock.rs",
    "crates/osprofiler/src/recorder/context.rs",
    "crates/osprofiler/src/recorder/future.rs",
    "crates/osprofiler/src/recorder/generation.rs",
    "crates/osprofiler/src/recorder/ids.rs",
    "crates/osprofiler/src/recorder/losses.rs",
    "crates/osprofiler/src/recorder/names.rs",
    "crates/osprofiler/src/recorder/open.rs",
    "crates/osprofiler/src/recorder/origin.rs",
    "crates/osprofiler/src/recorder/plain.rs",
    "crates/osprofiler/src/recorder/point.rs",
    "crates/osprofiler/src/recorder/pool.rs",
    "crates/osprofiler/src/recorder/signal.rs",
    "crates/osprofiler/src/recorder/sweep.rs",
    "crates/osprofiler/src/recorder/thread.rs",
    "crates/osprofiler/src/recorder/value.rs",
    "crates/osprofiler/tests/recorder_limits.rs",
    "tests/process/program.rs",
];

/// The crates whose files may be in that list, and a program that forks and handles signals so that tests can watch.
const CRATES_WITH_UNSAFE: &[&str] = &[
    "crates/osprofiler/",
    "crates/osprofiler-python/",
    "tests/process/program.rs",
];

/// How a file of that kind begins its comments. A page's template is no source: its comments would be in every report.
fn comment(path: &str) -> Option<&'static [&'static str]> {
    match extension(path) {
        "rs" => Some(&["//"]),
        "py" | "pyi" | "sh" => Some(&["#"]),
        "js" | "mjs" => Some(&["//", "/*"]),
        "css" => Some(&["/*"]),
        "" if path == "Makefile" || path == ".ci/run" || path.starts_with("scripts/") => {
            Some(&["#"])
        }
        _ => None,
    }
}

/// Every source file with its text; recorded data and the transcripts of tests are none.
fn sources() -> Vec<(String, String)> {
    files()
        .into_iter()
        .filter(|path| !path.starts_with("fixtures/") && comment(path).is_some())
        .map(|path| {
            let text = text(&path).unwrap_or_else(|| panic!("{path} is not UTF-8"));
            (path, text)
        })
        .collect()
}

#[test]
fn every_source_begins_with_its_licence_and_what_it_is_for() {
    let mut faults = Vec::new();
    for (path, text) in sources() {
        let mut lines = text
            .lines()
            .skip_while(|line| line.starts_with("#!") || line.starts_with("<!doctype"));
        let licence = lines.next().unwrap_or_default();
        let starts = comment(&path).unwrap_or_default();
        if !licence.contains("SPDX-License-Identifier: Apache-2.0")
            || !starts.iter().any(|start| licence.starts_with(start))
        {
            faults.push(format!("{path}: the first line is no SPDX line"));
        }
        let says = |line: &str| match extension(&path) {
            "rs" => line.starts_with("//! "),
            "py" | "pyi" => line.starts_with("# ") || line.starts_with("\"\"\""),
            _ => line.trim_start().len() > 3,
        };
        if !lines.take(3).any(says) {
            faults.push(format!("{path}: no header says what it is for"));
        }
    }
    assert_none("a file opens with its SPDX line and a header", &faults);
}

#[test]
fn no_source_is_too_long() {
    let faults: Vec<String> = sources()
        .into_iter()
        .map(|(path, text)| (path, text.lines().count()))
        .filter(|(_, lines)| *lines > MOST_LINES)
        .map(|(path, lines)| format!("{path}: {lines} lines"))
        .collect();
    assert_none(
        &format!("one idea a file, {MOST_LINES} lines at most"),
        &faults,
    );
}

/// What of a line of Rust is code: not its comment, not its texts.
pub(crate) fn code(line: &str) -> impl Iterator<Item = &str> {
    let mut is_comment = false;
    line.split('"').step_by(2).map_while(move |piece| {
        // What is in a text begins no comment.
        let code = piece.split("//").next().filter(|_| !is_comment);
        is_comment |= piece.contains("//");
        code
    })
}

/// The lines of Rust code with the word `unsafe` in them, comments and texts aside.
fn unsafe_lines(text: &str) -> Vec<usize> {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    text.lines()
        .enumerate()
        .filter(|(_, line)| {
            code(line)
                .flat_map(|piece| piece.split(|letter| !is_word(letter)))
                .any(|word| word == "unsafe")
        })
        .map(|(number, _)| number)
        .collect()
}

#[test]
fn unsafe_stays_in_a_short_list_of_files() {
    let mut faults = Vec::new();
    let mut found = Vec::new();
    let sources = sources();
    for (path, text) in sources.iter().filter(|(path, _)| extension(path) == "rs") {
        if unsafe_lines(text).is_empty() {
            continue;
        }
        found.push(path.as_str());
        if !CRATES_WITH_UNSAFE
            .iter()
            .any(|folder| path.starts_with(folder))
        {
            faults.push(format!("{path}: `unsafe` is forbidden in this crate"));
        } else if !FILES_WITH_UNSAFE.contains(&path.as_str()) {
            faults.push(format!(
                "{path}: not in FILES_WITH_UNSAFE of tests/house/sources.rs"
            ));
        }
    }
    for path in FILES_WITH_UNSAFE {
        if !found.contains(path) {
            faults.push(format!("{path}: listed, but there is no `unsafe` in it"));
        }
    }
    assert_none("`unsafe` is fenced in", &faults);
}

#[test]
fn every_unsafe_block_proves_itself() {
    let mut faults = Vec::new();
    for path in FILES_WITH_UNSAFE {
        let text = text(path).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        for number in unsafe_lines(&text) {
            let line = lines[number];
            let is_signature = line.contains("unsafe fn") || line.contains("unsafe extern");
            // The proof stands in the comment right above the statement that holds the block.
            let above = &lines[number.saturating_sub(12)..number];
            let proves = |line: &&str| line.contains("SAFETY:") || line.contains("# Safety");
            if !is_signature && !line.contains("#[unsafe(") && !above.iter().any(proves) {
                faults.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("an `unsafe` block has a `// SAFETY:` above it", &faults);
}

#[test]
fn lints_are_expected_with_a_reason_and_never_allowed() {
    let bare = concat!("#[all", "ow(");
    let inner = concat!("#![all", "ow(");
    let mut faults = Vec::new();
    for (path, text) in sources().iter().filter(|(path, _)| extension(path) == "rs") {
        for (number, line) in text.lines().enumerate() {
            if line.contains(bare) || line.contains(inner) {
                faults.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert_none("write `#[expect(.., reason = \"..\")]`", &faults);
}
