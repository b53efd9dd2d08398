// SPDX-License-Identifier: Apache-2.0
//! Text hygiene: no tabs, no blanks at the end of a line, no carriage returns, no paths of somebody's machine.

use crate::{assert_none, extension, files, text};

/// Paths that exist on one machine only, in two parts so that this file holds none.
const MACHINE_PATHS: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/tm", "p/wt"),
    concat!("/tm", "p/target"),
];

/// Recorded data is kept as it was recorded, Cargo.lock is Cargo's.
fn is_ours(path: &str) -> bool {
    !path.starts_with("fixtures/") && path != "Cargo.lock" && path != "LICENSE"
}

/// Where a tab is syntax.
fn may_hold_tabs(path: &str) -> bool {
    path.ends_with("Makefile")
        || path.ends_with("go.mod")
        || matches!(extension(path), "mk" | "go" | "dot")
}

#[test]
fn texts_are_clean() {
    let mut faults = Vec::new();
    for path in files().iter().filter(|path| is_ours(path)) {
        // A picture is no text.
        let Some(text) = text(path).filter(|text| !text.contains('\0')) else {
            continue;
        };
        let mut fault = |number: usize, what: &str| faults.push(format!("{path}:{number}: {what}"));
        for (index, line) in text.split('\n').enumerate() {
            let number = index + 1;
            if line.contains('\t') && !may_hold_tabs(path) {
                fault(number, "a tab");
            }
            if line.ends_with([' ', '\t', '\r']) {
                fault(number, "a blank at the end");
            }
            if let Some(machine) = MACHINE_PATHS
                .iter()
                .find(|machine| line.contains(**machine))
            {
                fault(number, &format!("the path of a machine, `{machine}`"));
            }
        }
        if !text.is_empty() && (!text.ends_with('\n') || text.ends_with("\n\n")) {
            fault(
                text.lines().count(),
                "the file does not end with one newline",
            );
        }
    }
    assert_none("texts are clean", &faults);
}
